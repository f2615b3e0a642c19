"""The model catalog: what each model costs and may be asked to do, from a YAML file.

::

    models:
      gpt-small: {price: 0.18}                                  # USD per 1M tokens, input and output alike
      gpt-large: {input_price: 2.5, output_price: 10, max_share: 0.3, latency_s: 1.4, tags: [eu]}
      gpt-long:                                                 # further prices: docs/prices.md
        {input_price: 1.25, output_price: 10, cached_input_price: 0.125, batch: 0.5,
         tiers: [{above_tokens: 200000, input_price: 2.5, output_price: 15}]}
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field
from pydantic.dataclasses import dataclass as checked_dataclass

from routing_assets.datasets.simulated import PUBLISHED
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.schema import FORM, Amount, Share, Text, did_you_mean, read_values
from routing_assets.foundation.yaml_files import read_yaml
from routing_assets.pricing.price_spellings import other_spelling
from routing_assets.providers import PROVIDERS, Destination
from routing_assets.providers.provider import DEFAULT

if TYPE_CHECKING:
    ProviderName = str
else:
    ProviderName = Literal[tuple(PROVIDERS)]  # the names that the table of providers has
PLACE = ("provider", "api_name", "unsupported_parameters")
"""Fields that say where a model runs; a row has those that are not the default."""
ATTACHMENT_PRICES = ("image_price", "audio_price", "file_price")
FURTHER_PRICES = ("cached_input_price", "request_price", "batch", "tiers")
NOT_IN_CATALOG = "Add it to the catalog, or leave it out of the labels"
"""What to do about a model of a label table that the catalog lacks."""
"""Fields of prices that not every model has; a row has those that are given."""
TAGS = (
    "Free labels, such as a region or a capability. A model gets requests that hold images, sound or other files only "
    "with the tag vision, audio or files, and a price for them."
)


def _empty_for_none(tags: Any) -> Any:
    return () if tags is None else tags


def _whole(value: Any) -> Any:
    """A whole number that was written with a point, as one without."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _not_blank(name: str) -> str:
    if not name.strip():
        raise InvalidInput("the model's name is blank", remedy="Name it as in the labels.")
    return name


Count = Annotated[int, Field(strict=True, ge=0), BeforeValidator(_whole)]
Positive = Annotated[int, Field(strict=True, ge=1), BeforeValidator(_whole)]
Discount = Annotated[float, Field(strict=True, allow_inf_nan=False, gt=0, le=1)]
ModelName = Annotated[Text, AfterValidator(_not_blank)]


@checked_dataclass(frozen=True, kw_only=True, config=FORM)
class PriceTier:
    """The prices of a whole call, input and output, whose input is longer than so many tokens."""

    above_tokens: Annotated[Positive, Field(description="Input tokens, cached ones too, above which it applies.")]
    input_price: Annotated[Amount, Field(description="USD per 1M input tokens of such a call.")]
    output_price: Annotated[Amount, Field(description="USD per 1M output tokens of such a call.")]
    cached_input_price: Annotated[
        Amount | None, Field(description="USD per 1M input tokens read from a cache; default: input_price.")
    ] = None


def _different(tiers: tuple[PriceTier, ...]) -> tuple[PriceTier, ...]:
    if len({tier.above_tokens for tier in tiers}) < len(tiers):
        raise InvalidInput("two tiers have the same above_tokens", remedy="Keep one of them.")
    return tiers


@checked_dataclass(frozen=True, kw_only=True, config=FORM)
class ModelTerms:
    """What holds for a model besides its input and output price."""

    latency_s: Annotated[Amount | None, Field(description="Mean seconds per call.")] = None
    min_share: Annotated[Share | None, Field(description="Least share of a batch, from 0 to 1.")] = None
    max_share: Annotated[Share | None, Field(description="Greatest share of a batch, from 0 to 1.")] = None
    capacity: Annotated[Count | None, Field(description="Most instructions of one batch.")] = None
    context_tokens: Annotated[Count | None, Field(description="Most tokens of input; leave room for output.")] = None
    tags: Annotated[tuple[Text, ...], BeforeValidator(_empty_for_none), Field(description=TAGS)] = ()
    image_price: Annotated[Amount | None, Field(description="USD per image.")] = None
    audio_price: Annotated[Amount | None, Field(description="USD per sound.")] = None
    file_price: Annotated[Amount | None, Field(description="USD per other file.")] = None
    cached_input_price: Annotated[
        Amount | None, Field(description="USD per 1M input tokens read from a cache; default: the input price.")
    ] = None
    request_price: Annotated[Amount | None, Field(description="USD per call, besides its tokens.")] = None
    batch: Annotated[
        Discount | None,
        Field(description="Share of the prices of tokens and attachments that is paid in a batch: 0.5 for half."),
    ] = None
    tiers: Annotated[
        tuple[PriceTier, ...],
        BeforeValidator(_empty_for_none),
        AfterValidator(_different),
        Field(description="Prices of calls with a longer input, for the whole call."),
    ] = ()
    provider: Annotated[ProviderName, Field(description="Whose batch API runs the model.")] = DEFAULT
    api_name: Annotated[Text | None, Field(description="The model's name in that API, where it is another one.")] = None
    unsupported_parameters: Annotated[
        tuple[Text, ...],
        BeforeValidator(_empty_for_none),
        Field(description="Parameters that the model refuses, such as temperature: renamed or left out."),
    ] = ()


@checked_dataclass(frozen=True, config=FORM)
class ModelEntry(ModelTerms):
    """One model's prices and limits."""

    name: Annotated[str, Field(description="The model's name, as in the label table.")]
    input_price: Annotated[Amount, Field(description="USD per 1M input tokens.")]
    output_price: Annotated[Amount, Field(description="USD per 1M output tokens.")]

    @property
    def destination(self) -> Destination:
        """Where requests to the model go."""
        return Destination.of(self.provider, self.api_name or self.name, self.unsupported_parameters)

    @property
    def share_paid(self) -> float:
        """What is paid of the prices of tokens and attachments: requests go out in batches."""
        return 1.0 if self.batch is None else self.batch

    def attachment_price(self, kind: str) -> float | None:
        """USD that is paid for an attachment: one of ``images``, ``audio`` or ``files``."""
        price = {"images": self.image_price, "audio": self.audio_price, "files": self.file_price}[kind]
        return None if price is None else price * self.share_paid


@checked_dataclass(frozen=True, kw_only=True, config=FORM)
class CatalogEntry(ModelTerms):
    """What the catalog says of a model: a flat price, or an input and an output price, and its limits."""

    price: Annotated[Amount | None, Field(description="USD per 1M tokens, input and output alike.")] = None
    input_price: Annotated[Amount | None, Field(description="USD per 1M input tokens.")] = None
    output_price: Annotated[Amount | None, Field(description="USD per 1M output tokens.")] = None

    def __post_init__(self) -> None:
        split = (self.input_price, self.output_price)
        if self.price is not None and split != (None, None):
            raise InvalidInput(
                "there is a flat price as well as an input or output price",
                remedy="Keep either price, or both input_price and output_price.",
            )
        if self.price is None and None in split:
            missing = "price" if split == (None, None) else ("input_price", "output_price")[split.index(None)]
            raise InvalidInput(
                f"{missing} is missing",
                remedy="Write price, or input_price and output_price, in USD per 1M tokens (0 for a free model).",
            )
        if self.min_share is not None and self.max_share is not None and self.min_share > self.max_share:
            raise InvalidInput("min_share is greater than max_share", remedy="Lower one or raise the other.")

    def named(self, name: str) -> ModelEntry:
        """The entry of the model ``name``."""
        terms = {field.name: getattr(self, field.name) for field in fields(ModelTerms)}
        prices = (self.input_price, self.output_price) if self.price is None else (self.price, self.price)
        return ModelEntry(name, *prices, **terms)  # type: ignore[arg-type]  # none is missing


CATALOG_FIELDS = tuple(field.name for field in fields(CatalogEntry))


@checked_dataclass(frozen=True, config=FORM)
class CatalogFile:
    """The model catalog: what each model costs, and may be asked to do."""

    models: Annotated[dict[ModelName, CatalogEntry], Field(min_length=1)] = Field(
        description="Each model by its name, as in the labels. For example: my-model: {price: 0.9}."
    )


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

    @property
    def by_token(self) -> ModelCatalog:
        """The catalog without prices of a whole call: neither tiers nor a price per request."""
        flat = tuple(replace(model, tiers=(), request_price=None) for model in self.models)
        return ModelCatalog(flat, self.source)

    def __getitem__(self, name: str) -> ModelEntry:
        """The entry of one model; raises InvalidInput when there is none."""
        return self.select([name]).models[0]

    def select(self, names: Iterable[str], *, remedy: str = NOT_IN_CATALOG) -> ModelCatalog:
        """The catalog of the named models, in the order of ``names``.

        Raises:
            InvalidInput: naming every model that the catalog lacks.
        """
        entries = {model.name: model for model in self.models}
        wanted = tuple(names)
        if missing := [name for name in wanted if name not in entries]:
            are = "the models {} are" if len(missing) > 1 else "the model {} is"
            raise InvalidInput(
                f"{are.format(', '.join(map(repr, missing)))} not in the catalog",
                source=self.source,
                remedy=f"{did_you_mean(missing[0], entries)}{remedy}",
            )
        return ModelCatalog(tuple(entries[name] for name in wanted), self.source)

    def called(self, names: Mapping[str, str]) -> ModelCatalog:
        """The catalog of some models under other names: by the new name, the present one.

        Raises:
            InvalidInput: naming every model that the catalog lacks.
        """
        known = self.select(names.values()).models
        renamed = (
            entry if name == entry.name else replace(entry, name=name, api_name=entry.api_name or entry.name)
            for name, entry in zip(names, known, strict=True)
        )
        return ModelCatalog(tuple(renamed), self.source)

    def check_covers(self, models: Iterable[str], *, remedy: str = NOT_IN_CATALOG) -> None:
        """Raises InvalidInput naming those of a label table's models that the catalog lacks."""
        self.select(models, remedy=remedy)


def as_row(entry: ModelEntry) -> dict[str, Any]:
    """The entry's fields; further prices, and where the model runs, only where it says so."""
    unsaid = {
        **dict.fromkeys((*ATTACHMENT_PRICES, *FURTHER_PRICES)),
        **{"tiers": (), "provider": DEFAULT, "api_name": None, "unsupported_parameters": ()},
    }
    return {name: value for name, value in asdict(entry).items() if name not in unsaid or value != unsaid[name]}


def load_catalog(path: str | Path) -> ModelCatalog:
    """Reads a catalog: a top-level ``models:`` mapping from name to the fields of :class:`ModelEntry`.

    A flat ``price`` is both ``input_price`` and ``output_price``.

    Raises:
        InvalidInput: naming file, model and field of the first fault found, and what to do about it.
    """
    document = read_yaml(Path(path))
    values = {} if document.values is None else document.values
    return catalog_of(values, source=str(path), line_of=document.line_of)


def catalog_of(
    values: Any, *, source: str = "catalog", line_of: Callable[[tuple[Any, ...]], int | None] | None = None
) -> ModelCatalog:
    """The catalog that a file, or a mapping like it, holds; see :func:`load_catalog`.

    Args:
        line_of: gives the line of a value in ``source``, for messages.
    """
    if isinstance(values, dict) and (found := other_spelling(values.get("models"), CATALOG_FIELDS)):
        place, error = found
        row = line_of(("models", *place)) if line_of else None
        raise InvalidInput(error.problem, source=source, row=row, remedy=error.remedy)
    written = read_values(CatalogFile, values, source=source, line_of=line_of)
    return ModelCatalog(tuple(entry.named(name) for name, entry in written.models.items()), source)


def twin_catalog(twin: str) -> ModelCatalog:
    """The published flat prices (USD per 1M tokens) of a simulated experiment's models.

    Raises:
        InvalidInput: when there is no such twin.
    """
    if twin not in PUBLISHED:
        raise InvalidInput(f"there is no simulated twin {twin!r}", remedy=f"Choose one of {', '.join(PUBLISHED)}")
    entries = (ModelEntry(model.name, model.price, model.price) for model in PUBLISHED[twin].models)
    return ModelCatalog(tuple(entries), source=f"published prices of {twin}")
