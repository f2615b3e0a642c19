from __future__ import annotations

from pathlib import Path

import pytest

from routing_assets.datasets.simulated import PUBLISHED
from routing_assets.foundation.errors import InvalidInput
from routing_assets.pricing.catalog import ModelCatalog, ModelEntry, load_catalog, twin_catalog

CATALOG = """\
models:
  small: {price: 0.18}
  large:
    input_price: 2.5
    output_price: 10
    latency_s: 1.4
    min_share: 0.1
    max_share: 0.5
    capacity: 1000
    context_tokens: 8192
    tags: [eu, vision]
  free: {price: 0}
"""


def write(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "catalog.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_every_field_is_read(tmp_path: Path) -> None:
    catalog = load_catalog(write(tmp_path, CATALOG))
    assert catalog.names == ("small", "large", "free")
    assert catalog["small"] == ModelEntry("small", 0.18, 0.18)
    assert catalog["large"] == ModelEntry(
        "large",
        2.5,
        10.0,
        latency_s=1.4,
        min_share=0.1,
        max_share=0.5,
        capacity=1000,
        context_tokens=8192,
        tags=("eu", "vision"),
    )
    assert catalog["free"].input_price == 0


def test_the_version_follows_the_content_not_the_form(tmp_path: Path) -> None:
    version = load_catalog(write(tmp_path, CATALOG)).version
    reordered = "models:\n  free: {price: 0.0}\n" + CATALOG.removeprefix("models:\n").replace(
        "  free: {price: 0}\n", ""
    )
    assert load_catalog(write(tmp_path, "# a comment\n" + reordered)).version == version
    for old, new in (
        ("0.18", "0.19"),
        ("capacity: 1000", "capacity: 999"),
        ("[eu, vision]", "[eu]"),
        ("free", "gratis"),
    ):
        assert load_catalog(write(tmp_path, CATALOG.replace(old, new))).version != version
    assert len(version) == 64


def test_select_keeps_the_asked_order_and_names_what_is_unknown(tmp_path: Path) -> None:
    path = write(tmp_path, CATALOG)
    catalog = load_catalog(path)
    assert catalog.select(("free", "small")).names == ("free", "small")
    catalog.check_covers(("large",))
    with pytest.raises(InvalidInput, match=r"'smal' is not in the catalog. Did you mean 'small'\?") as caught:
        catalog.check_covers(("large", "smal"))
    assert str(path) in str(caught.value)
    with pytest.raises(InvalidInput, match="'gpt'"):
        catalog.select(["gpt"])


FAULTS = {
    "negative price": ("{price: -1}", "models.m.price is -1. It must be at least 0"),
    "negative input price": ("{input_price: -1, output_price: 1}", "models.m.input_price is -1. It must be at least 0"),
    "no price": ("{latency_s: 1}", "models.m: price is missing.*USD per 1M tokens"),
    "empty price": ("{price: }", "models.m: price is missing"),
    "half a price": ("{input_price: 1}", "models.m: output_price is missing"),
    "the other half": ("{output_price: 1}", "models.m: input_price is missing"),
    "both prices": ("{price: 1, input_price: 1}", "a flat price as well as"),
    "price as text": ("{price: '1'}", "models.m.price is '1'. It must be a number"),
    "price as truth": ("{price: yes}", "models.m.price is True. It must be a number"),
    "price not finite": ("{price: .inf}", "models.m.price is inf. It must be a finite number"),
    "price not a number": ("{price: .nan}", "models.m.price is nan. It must be a finite number"),
    "misspelt field": ("{prise: 1}", r"'prise' is unknown in models.m. Did you mean 'price'\?"),
    "unknown field": ("{price: 1, colour: red}", "'colour' is unknown in models.m. Choose from .*price"),
    "share above 1": ("{price: 1, max_share: 30}", "models.m.max_share is 30. It must be at most 1"),
    "share below 0": ("{price: 1, min_share: -0.1}", "models.m.min_share is -0.1. It must be at least 0"),
    "min above max": ("{price: 1, min_share: 0.6, max_share: 0.5}", "min_share is greater than max_share"),
    "negative latency": ("{price: 1, latency_s: -1}", "models.m.latency_s is -1"),
    "half an instruction": ("{price: 1, capacity: 1.5}", "models.m.capacity is 1.5. It must be a whole number"),
    "whole number as truth": ("{price: 1, context_tokens: yes}", "models.m.context_tokens is True"),
    "tags as text": ("{price: 1, tags: eu}", "models.m.tags is 'eu'. It must be a list"),
    "number as a tag": ("{price: 1, tags: [eu, 7]}", "models.m.tags.1 is 7. It must be a text"),
    "no fields": ("5", "models.m is 5. It must be a mapping"),
    "empty fields": ("", "models.m is None. It must be a mapping"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_faults_name_file_model_and_field(tmp_path: Path, fault: str) -> None:
    fields, message = FAULTS[fault]
    path = write(tmp_path, f"models:\n  ok: {{price: 1}}\n  m: {fields}\n")
    with pytest.raises(InvalidInput, match=message) as caught:
        load_catalog(path)
    assert f"{path}, row 3: " in str(caught.value)
    assert caught.value.remedy


DOCUMENTS = {
    "models:\n  a: {price: 1}\n  a: {price: 2}\n": "row 3: this is not valid YAML: 'a' is given twice",
    "models:\n  a: {price: 1, price: 2}\n": "row 2: this is not valid YAML: 'price' is given twice",
    "models:\n  a: {price: 1\n  b: x\n": "row 3: this is not valid YAML",
    "models:\n\ta: 1\n": "row 2: this is not valid YAML",
    "models: {}\n": "models is {}. It must be non-empty",
    "models: [a, b]\n": r"models is \['a', 'b'\]. It must be a mapping",
    "": "models is missing. Add it",
    "a: {price: 1}\n": "row 1: 'a' is unknown. Choose from models",
    "models:\n  a: {price: 1}\nmodles: 1\n": "row 3: 'modles' is unknown. Did you mean 'models'",
    "models:\n  5: {price: 1}\n": "row 2: models.5 is 5. It must be a text",
    "models:\n  ' ': {price: 1}\n": "row 2: .*the model's name is blank",
    "models:\n  a: !!python/object/apply:os.getcwd []\n": "not valid YAML",
    b"models:\n  caf\xe9: {price: 1}\n": "the file is not UTF-8",
}


@pytest.mark.parametrize("document", DOCUMENTS)
def test_documents_that_are_no_catalog_are_named(tmp_path: Path, document: str | bytes) -> None:
    path = write(tmp_path, document)
    with pytest.raises(InvalidInput, match=DOCUMENTS[document]) as caught:
        load_catalog(path)
    assert str(path) in str(caught.value)
    assert caught.value.remedy


def test_an_absent_catalog_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidInput, match=r"absent\.yaml: there is no such file"):
        load_catalog(tmp_path / "absent.yaml")


def test_yaml_anchors_and_merges_work(tmp_path: Path) -> None:
    text = "models:\n  a: &base {price: 1, tags: [eu]}\n  b: {<<: *base, latency_s: 2}\n"
    assert load_catalog(write(tmp_path, text))["b"] == ModelEntry("b", 1.0, 1.0, latency_s=2.0, tags=("eu",))


@pytest.mark.parametrize("twin", PUBLISHED)
def test_a_twin_costs_what_was_published(twin: str) -> None:
    catalog = twin_catalog(twin)
    assert isinstance(catalog, ModelCatalog)
    assert catalog.names == tuple(model.name for model in PUBLISHED[twin].models)
    prices = [model.price for model in PUBLISHED[twin].models]
    assert [entry.input_price for entry in catalog.models] == prices
    assert [entry.output_price for entry in catalog.models] == prices
    assert catalog.models[0].input_price in (2.20, 2.19)


def test_an_unknown_twin_is_named() -> None:
    with pytest.raises(InvalidInput, match=r"'gpt'.*r1_math"):
        twin_catalog("gpt")
