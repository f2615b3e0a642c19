"""The model catalog: what each model costs and may be asked to do, from a YAML file.

::

    models:
      gpt-small: {price: 0.18}                                  # USD per 1M tokens, input and output alike
      gpt-large: {input_price: 2.5, output_price: 10, max_share: 0.3, latency_s: 1.4, tags: [eu]}
"""

from __future__ import annotations

import difflib
import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

from routing_assets.datasets.simulated import PUBLISHED
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.yaml_files import read_yaml

ATTACHMENT_PRICES = ("image_price", "audio_price", "file_price")


@dataclass(frozen=True)
class ModelEntry:
    """One model's prices and limits.

    Attributes:
        name: The model's name, as in the label table.
        input_price: USD per 1M input tokens.
        output_price: USD per 1M output tokens.
        latency_s: Mean seconds per call.
        min_share: Least share of a batch the model must get, in [0, 1].
        max_share: Greatest share of a batch the model may get, in [0, 1].
        capacity: Most instructions of one batch the model can take.
        context_tokens: Most tokens of input; leave room for the output.
        tags: Free labels, such as a region or a capability; ``vision``, ``audio`` and ``files`` let a model get
            requests that hold images, sound or other files, where it has a price for them.
        image_price: USD per image; ``audio_price`` and ``file_price`` likewise per sound and per other file.
    """

    name: str
    input_price: float
    output_price: float
    latency_s: float | None = None
    min_share: float | None = None
    max_share: float | None = None
    capacity: int | None = None
    context_tokens: int | None = None
    tags: tuple[str, ...] = ()
    image_price: float | None = None
    audio_price: float | None = None
    file_price: float | None = None

    def attachment_price(self, kind: str) -> float | None:
        """USD of an attachment: one of ``images``, ``audio`` or ``files``."""
        return {"images": self.image_price, "audio": self.audio_price, "files": self.file_price}[kind]


@dataclass(frozen=True)
class ModelCatalog:
    """The models that instructions can be sent to, in the catalog's order.

    Attributes:
        models: One entry per model, names unique.
        source: Where the catalog came from, for messages; not part of its version.
    """

    models: tuple[ModelEntry, ...]
    source: str = "model catalog"

    @property
    def names(self) -> tuple[str, ...]:
        """The models' names, in order."""
        return tuple(model.name for model in self.models)

    @cached_property
    def version(self) -> str:
        """SHA-256 (hex) of the entries in order of name: it changes when, and only when, an entry does."""
        entries = sorted((as_row(model) for model in self.models), key=lambda entry: entry["name"])
        return hashlib.sha256(json.dumps(entries, sort_keys=True).encode()).hexdigest()

    def __getitem__(self, name: str) -> ModelEntry:
        """The entry of one model; raises InvalidInput when there is none."""
        return self.select([name]).models[0]

    def select(self, names: Iterable[str]) -> ModelCatalog:
        """The catalog of the named models, in the order of ``names``.

        Raises:
            InvalidInput: naming the first model that the catalog lacks.
        """
        entries = {model.name: model for model in self.models}
        wanted = tuple(names)
        for name in wanted:
            if name not in entries:
                raise InvalidInput(
                    f"the model {name!r} is not in the catalog",
                    source=self.source,
                    remedy=f"{_did_you_mean(name, entries)}Add it to the catalog, or leave it out of the labels",
                )
        return ModelCatalog(tuple(entries[name] for name in wanted), self.source)

    def check_covers(self, models: Iterable[str]) -> None:
        """Raises InvalidInput naming the first of a label table's models that the catalog lacks."""
        self.select(models)


def as_row(entry: ModelEntry) -> dict[str, Any]:
    """The entry's fields; prices of attachments only where it has them."""
    return {name: value for name, value in asdict(entry).items() if name not in ATTACHMENT_PRICES or value is not None}


def load_catalog(path: str | Path) -> ModelCatalog:
    """Reads a catalog: a top-level ``models:`` mapping from name to the fields of :class:`ModelEntry`.

    A flat ``price`` stands for equal ``input_price`` and ``output_price``.

    Raises:
        InvalidInput: naming file, model and field of the first fault found, and what to do about it.
    """
    source = str(path)
    document = read_yaml(Path(path))
    if not isinstance(document, dict) or not isinstance(document.get("models"), dict) or not document["models"]:
        raise InvalidInput(
            "there is no mapping 'models' with at least one model",
            source=source,
            remedy="Write 'models:' and below it, for example, 'my-model: {price: 0.9}'",
        )
    if unknown := [key for key in document if key != "models"]:
        raise InvalidInput(
            f"the top-level field {unknown[0]!r} is unknown", source=source, remedy="Keep everything under 'models:'"
        )
    return ModelCatalog(tuple(_entry(source, name, value) for name, value in document["models"].items()), source)


def twin_catalog(twin: str) -> ModelCatalog:
    """The published flat prices (USD per 1M tokens) of a simulated experiment's models.

    Raises:
        InvalidInput: when there is no such twin.
    """
    if twin not in PUBLISHED:
        raise InvalidInput(f"there is no simulated twin {twin!r}", remedy=f"Choose one of {', '.join(PUBLISHED)}")
    entries = (ModelEntry(model.name, model.price, model.price) for model in PUBLISHED[twin].models)
    return ModelCatalog(tuple(entries), source=f"published prices of {twin}")


def _entry(source: str, name: Any, value: Any) -> ModelEntry:
    if not isinstance(name, str) or not name.strip():
        raise InvalidInput(f"the model name {name!r} is no text", source=source, remedy="Put it in quotes")
    place = f"{source}, model '{name}'"
    if not isinstance(value, dict):
        raise InvalidInput("its fields are no mapping", source=place, remedy="Write, for example, {price: 0.9}")
    known = [field.name for field in fields(ModelEntry) if field.name != "name"]
    for field in value:
        if field not in (*known, "price"):
            raise InvalidInput(
                f"the field {field!r} is unknown",
                source=place,
                remedy=f"{_did_you_mean(str(field), [*known, 'price'])}Known are price, {', '.join(known)}",
            )
    min_share, max_share = (_number(place, value, field, most=1.0) for field in ("min_share", "max_share"))
    if min_share is not None and max_share is not None and min_share > max_share:
        raise InvalidInput("min_share is greater than max_share", source=place, remedy="Lower one or raise the other")
    return ModelEntry(
        name,
        *_prices(place, value),
        latency_s=_number(place, value, "latency_s"),
        min_share=min_share,
        max_share=max_share,
        capacity=_whole_number(place, value, "capacity"),
        context_tokens=_whole_number(place, value, "context_tokens"),
        tags=_tags(place, value),
        image_price=_number(place, value, "image_price"),
        audio_price=_number(place, value, "audio_price"),
        file_price=_number(place, value, "file_price"),
    )


def _prices(place: str, value: dict[str, Any]) -> tuple[float, float]:
    split = ("input_price", "output_price")
    if "price" in value and any(field in value for field in split):
        raise InvalidInput(
            "there is a flat price as well as an input or output price",
            source=place,
            column="price",
            remedy="Keep either price, or both input_price and output_price",
        )
    prices = [_number(place, value, field) for field in (("price", "price") if "price" in value else split)]
    for field, price in zip(split, prices, strict=True):
        if price is None:
            raise InvalidInput(
                "the price is missing",
                source=place,
                column="price" if "price" in value or not any(f in value for f in split) else field,
                remedy="Write price, or input_price and output_price, in USD per 1M tokens (0 for a free model)",
            )
    return prices[0], prices[1]  # type: ignore[return-value]


def _number(place: str, value: dict[str, Any], field: str, most: float = float("inf")) -> float | None:
    number = value.get(field)
    if number is None:
        return None
    if isinstance(number, bool) or not isinstance(number, int | float):
        raise InvalidInput(
            f"{number!r} is not a number", source=place, column=field, remedy="Write a number, such as 0.9"
        )
    if not 0 <= number <= most or number == float("inf"):
        raise InvalidInput(
            f"{number:g} is {'negative' if number < 0 else 'out of range'}",
            source=place,
            column=field,
            remedy="Write a number from 0 to 1" if most == 1 else "Write zero or a positive number",
        )
    return float(number)


def _whole_number(place: str, value: dict[str, Any], field: str) -> int | None:
    number = _number(place, value, field)
    if number is not None and not number.is_integer():
        raise InvalidInput(f"{number:g} is no whole number", source=place, column=field, remedy="Round it")
    return None if number is None else int(number)


def _tags(place: str, value: dict[str, Any]) -> tuple[str, ...]:
    tags = value.get("tags") or []
    if not isinstance(tags, list) or not all(isinstance(tag, str) for tag in tags):
        raise InvalidInput("the tags are no list of texts", source=place, column="tags", remedy="Write [eu, vision]")
    return tuple(tags)


def _did_you_mean(name: str, known: Iterable[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1)
    return f"Did you mean {close[0]!r}? " if close else ""
