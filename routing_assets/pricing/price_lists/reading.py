"""Published price lists, known by their content and not by the name of the file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from types import ModuleType
from typing import Any

from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.schema import did_you_mean
from routing_assets.pricing.catalog import ModelEntry
from routing_assets.pricing.price_lists import litellm, openrouter

FORMS = (litellm, openrouter)
MOST_AT_ONCE = 100
"""Models of a list that are taken without being named."""


@dataclass(frozen=True)
class PriceList:
    """A published list.

    Attributes:
        form: the module that reads its entries.
        models: its entries by name, as they are written; numbers are decimals.
        source: the file.
    """

    form: ModuleType
    models: Mapping[str, Mapping[str, Any]]
    source: str

    def entries(self, wanted: Mapping[str, str]) -> tuple[ModelEntry, ...]:
        """The wanted models, as entries of a catalog; all of a short list where none is named.

        Args:
            wanted: by a name of the user's own, the name in the list. Where only one model of the list has it behind
                the name of a provider, as in ``openai/gpt-4o``, that one is meant.

        Raises:
            InvalidInput: a model is not in the list, or its entry is no price of calls, by name and with the reason.
        """
        if not wanted and len(self.models) > MOST_AT_ONCE:
            raise InvalidInput(
                f"{self.form.NAME} has {len(self.models):,} models",
                source=self.source,
                remedy="Name those that you route to: --models gpt-4o,my-name=gpt-4o-mini",
            )
        named = wanted or {name: name for name in self.models}
        return tuple(self._entry(ours, theirs) for ours, theirs in named.items())

    def _entry(self, ours: str, theirs: str) -> ModelEntry:
        name = theirs if theirs in self.models else self._behind_a_provider(theirs)
        try:
            return self.form.read(name, self.models[name]).entry(ours)
        except InvalidInput as error:
            raise InvalidInput(
                f"the model {name!r} of {self.form.NAME} cannot be priced: {error.problem}",
                source=self.source,
                remedy="Name another model (--models), or write its price in a catalog of your own",
            ) from error

    def _behind_a_provider(self, theirs: str) -> str:
        found = [name for name in self.models if name.rpartition("/")[2] == theirs]
        if len(found) == 1:
            return found[0]
        several = f"Name one of {', '.join(found[:5])}" if found else "Name it as the list does"
        raise InvalidInput(
            f"the model {theirs!r} is not in {self.form.NAME}",
            source=self.source,
            remedy=f"{'' if found else did_you_mean(theirs, self.models)}{several}: --models {theirs}=LISTED",
        )


def price_list(path: Path) -> PriceList | None:
    """The published list in a file; None where it is something else, such as a catalog."""
    document = _json(path)
    form = next((form for form in FORMS if form.recognises(document)), None)
    return None if form is None else PriceList(form, form.models_of(document), str(path))


def _json(path: Path) -> Any:
    """The JSON document in a file, its numbers as decimals; None where there is none."""
    try:
        text = path.read_text(encoding="utf-8-sig")
        return json.loads(text, parse_float=Decimal) if text.lstrip()[:1] in ("{", "[") else None
    except (OSError, ValueError, RecursionError):  # the reader of catalogs says what is wrong with it
        return None
