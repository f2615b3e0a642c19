"""The page of the policy file, docs/policy.md: every setting and constraint, from the models that read the file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import yaml

from routing_assets.batches.policy import StandingPolicy
from routing_assets.foundation.schema import json_schema

START = """# The policy file

`ROUTING_HOME/policy.yaml` says how batches are routed that have no settings of their own. Every setting has a default,
and without the file all of them hold. A misspelt name or a wrong value is refused with its line and the remedy.

<!-- read as: policy -->
```yaml
{sample}```

`routing-assets route` has options for the settings of one batch, such as `--budget 25`; they count before the file.
`max_share`, `min_share` and `capacity` of a model may also stand in the
[catalog](own-data.md#the-catalog-prices-and-limits).

This page is written by `make schemas`. `docs/policy.schema.json` says the same to editors.

## All settings
"""
CONSTRAINTS = """
## Constraints

A constraint is a limit besides the budget. `mip` keeps all of them. `threshold` keeps only `required_tags` and
`max_latency`, and `ndch` and `ndch_p` keep none. A batch whose own policy cannot keep its constraints is refused;
of the policies that are computed for comparison, `route` says which constraints they ignore. Where no assignment keeps
all constraints, the batch is refused, and the message says why.
"""
Schema = Mapping[str, Any]


def policy_page() -> str:
    """The text of docs/policy.md."""
    schema = json_schema(StandingPolicy)
    parts = schema["$defs"]
    constraints = parts["Constraints"]["properties"]
    sample = {name: field["examples"][0] for name, field in schema["properties"].items() if "examples" in field}
    sections = [START.format(sample=_yaml(sample)), *_table(schema), CONSTRAINTS]
    for name, field in constraints.items():
        example = yaml.safe_dump({name: field["examples"][0]}, default_flow_style=True)
        block = f"<!-- read as: policy -->\n```yaml\nconstraints: {example}```\n"
        sections.append(f"\n### {name}\n\n{field['description']}\n\n{block}")
    for setting, field in schema["properties"].items():
        for part in _parts_of(field, parts):
            if part != "Constraints" and parts[part]["properties"]:
                sections += [f"\n## {setting}\n\n{field['description']}\n", *_table(parts[part])]
                sections += _inner(parts[part], parts)
    return "".join(sections)


def _inner(form: Schema, parts: Schema) -> Iterator[str]:
    """The parts that the fields of a part refer to."""
    for name, field in form["properties"].items():
        for part in _parts_of(field, parts):
            if parts[part].get("properties"):
                yield f"\n### {name}\n"
                yield from _table(parts[part])


def _table(form: Schema) -> Iterator[str]:
    yield "\n| setting | value | default | meaning |\n|---|---|---|---|\n"
    for name, field in form["properties"].items():
        default = field.get("default")
        shown = "" if default is None else f"`{_yaml(default).removesuffix('...' + chr(10)).strip()}`"
        if name in form.get("required", ()):
            shown = "required"
        yield f"| `{name}` | {_value(field)} | {shown} | {field['description']} |\n"


def _value(field: Schema) -> str:
    """What a field may hold, in words."""
    choices = [choice for choice in field.get("anyOf", ()) if choice.get("type") != "null"]
    if choices:
        return " or ".join(_value(choice) for choice in choices)
    if "$ref" in field:
        return "a mapping, see below"
    if "const" in field or "enum" in field:
        return ", ".join(f"`{value}`" for value in field.get("enum", [field.get("const")]))
    if field["type"] == "array":
        return "a list" + (f" of {_value(field['items'])}" if "enum" in field["items"] else "")
    if field["type"] == "object":
        inner = field.get("additionalProperties")
        return f"by name: {_value(inner)}" if isinstance(inner, Mapping) else "a mapping"
    kind = {"boolean": "true or false", "string": "a text", "integer": "a whole number", "number": "a number"}
    bounds = {"minimum": "at least", "exclusiveMinimum": "above", "maximum": "at most", "exclusiveMaximum": "below"}
    said = [f"{word} {field[bound]:g}" for bound, word in bounds.items() if bound in field]
    return ", ".join([kind[field["type"]], *said])


def _parts_of(field: Schema, parts: Schema) -> list[str]:
    """The models that a field may hold."""
    named = [choice.get("$ref", "") for choice in (field, *field.get("anyOf", ()))]
    return [name for ref in named if (name := ref.rpartition("/")[2]) in parts]


def _yaml(values: Any) -> str:
    return yaml.safe_dump(values, sort_keys=False, default_flow_style=None, width=100)
