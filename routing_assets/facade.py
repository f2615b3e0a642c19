"""Routing in a notebook: labels and prices in, a routed table out, without Dagster, a warehouse or a home.

::

    router = routing_assets.Router.train(labels, catalog)
    plan = router.route(texts, budget=25)
    print(plan.report())
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import narwhals as nw
import pyarrow as pa
import pyarrow.parquet as pq
from narwhals.dependencies import is_into_dataframe
from narwhals.typing import IntoDataFrame

from routing_assets.batches.plan import Plan, plan_batch
from routing_assets.batches.policy import refuse_doubtful_budget, settings_from
from routing_assets.datasets import (
    BatchInstructions,
    LabelledInstructions,
    batch_from_table,
    labels_from_table,
    load_batch,
    refuse_scarce_models,
)
from routing_assets.datasets.splits import split_instructions
from routing_assets.foundation.content_version import content_version
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.files import atomic_folder
from routing_assets.prediction import router as prediction
from routing_assets.prediction.classifier.config import ClassifierConfig, Method
from routing_assets.pricing.catalog import ModelCatalog, catalog_of
from routing_assets.pricing.catalog_table import catalog_from_table, catalog_table, read_catalog
from routing_assets.pricing.cost_matrix import cost_model_table
from routing_assets.pricing.cost_model import fit_cost_model
from routing_assets.pricing.recorded_costs import recorded_costs
from routing_assets.pricing.units import refuse_doubtful_costs, refuse_doubtful_prices
from routing_assets.routers.label_sources import read_labels

TEXTS = "Give a list of texts, a frame with the columns instruction_id and instruction, or the path of a batch file."


@dataclass(frozen=True)
class Origin:
    """What a router was trained on."""

    labels: str
    instructions: int
    simulated: bool
    version: str
    """Of labels and settings: equal ones give an equal router."""


@dataclass(frozen=True, eq=False)
class Router:
    """Predicts success and cost of every model on a text, and routes texts under a budget.

    Attributes:
        predictor: gives the probabilities of success.
        cost_model: the table that prices calls.
        catalog: prices and limits of the models; None where costs come from the labels.
        origin: the labels behind it.
    """

    predictor: prediction.Router
    cost_model: pa.Table
    catalog: ModelCatalog | None
    origin: Origin

    @classmethod
    def train(
        cls,
        labels: str | Path | IntoDataFrame,
        catalog: str | Path | Mapping[str, Any] | None = None,
        *,
        method: Method = "auto",
        seed: int = 0,
        confirm_prices: bool = False,
        **reading: Any,
    ) -> Router:
        """Learn from labels which model answers what well, and what calls cost.

        Args:
            labels: a frame, the path of a file or folder of labels, or ``simulated:<twin>``.
            catalog: the path of a model catalog, a mapping like such a file, or ``simulated:<twin>``; None where the
                labels have costs.
            method: which part of the encoder is trained; ``auto`` chooses.
            seed: of the split and of the training.
            confirm_prices: accept prices and costs that look like another unit.
            reading: how the labels are read, such as ``allow_missing=True``; see ``read_labels``.

        Raises:
            InvalidInput: labels or catalog cannot be used. The message says where the fault is and what to do.
        """
        known, priced = _labels(labels, reading), _catalog(catalog)
        if not confirm_prices:
            if priced is not None:
                refuse_doubtful_prices(priced, None)
            refuse_doubtful_costs(known, priced)
        refuse_scarce_models(known)
        recorded_costs(known, priced)  # raises where a cost is unknown, before anything is trained
        split = split_instructions(known.instruction, known.group, seed=seed)
        default = ClassifierConfig()
        classifier = replace(default, method=method, training=replace(default.training, seed=seed))
        predictor = prediction.fit_router(known, split, prediction.RouterConfig(classifier))
        cost_model = cost_model_table(fit_cost_model(known.take(split.train), priced), catalog_table(priced))
        version = content_version(pa.table({"labels": [known.content_hash], "method": [method], "seed": [seed]}))
        return cls(predictor, cost_model, priced, Origin(known.name, len(known), known.simulated, version))

    @property
    def models(self) -> tuple[str, ...]:
        """The models that it can route to."""
        return self.predictor.models

    def route(
        self,
        texts: Iterable[str] | IntoDataFrame | str | Path,
        *,
        budget: float | None = None,
        budget_fraction: float | None = None,
        policy: str = "mip",
        constraints: Mapping[str, Any] | None = None,
        target: float = 0.75,
        seed: int = 0,
        exact: bool = False,
    ) -> Plan:
        """Give every text one model, so that as many as possible succeed within the budget.

        Args:
            texts: a list of texts; a frame with ``instruction_id`` and ``instruction``, and perhaps ``task``, ``group``
                and ``input_tokens``; or the path of a batch file.
            budget: USD of estimated cost for all texts, never exceeded.
            budget_fraction: the same as a fraction of sending everything to the dearest model; 0.5 by default.
            policy: ``mip``, ``ndch``, ``ndch_p`` or ``threshold``, the last with ``target``.
            constraints: by name, as in a policy file, such as ``{"max_share": {"R1": 0.2}}``.
            seed: of random choices.
            exact: prove the MIP optimal, instead of stopping at a relative gap of 1e-6.

        Raises:
            InvalidInput: texts or settings cannot be used. The message says where the fault is and what to do.
            InfeasibleAllocation: the budget or the constraints allow no assignment. The message says what would.
        """
        given = {
            "policy": policy,
            "budget_usd": budget,
            "budget_fraction": budget_fraction,
            "constraints": constraints or {},
            "target": target,
            "seed": seed,
            "exact": exact,
        }
        settings = settings_from(given, source="route")
        refuse_doubtful_budget(settings, "route")
        batch, backend = _batch(texts)
        return plan_batch(
            batch,
            self.predictor,
            self.origin.version,
            self.cost_model,
            self.catalog,
            settings,
            simulated=self.origin.labels if self.origin.simulated else None,
            backend=backend,
        )

    def save(self, folder: str | Path) -> None:
        """Write the router into a new folder: safetensors, Parquet and JSON."""
        folder = Path(folder)
        if folder.exists():
            raise InvalidInput("there is something of this name", source=str(folder), remedy="Name a new folder.")
        with atomic_folder(folder) as work:
            self.predictor.save(work / "router")
            pq.write_table(self.cost_model, work / "cost_model.parquet")
            pq.write_table(catalog_table(self.catalog), work / "catalog.parquet")
            (work / "origin.json").write_text(json.dumps(asdict(self.origin), indent=1))

    @classmethod
    def load(cls, folder: str | Path) -> Router:
        """Inverse of :meth:`save`."""
        folder = Path(folder)
        if not (folder / "origin.json").is_file():
            raise InvalidInput("there is no router", source=str(folder), remedy="Name a folder that save() wrote.")
        return cls(
            prediction.Router.load(folder / "router"),
            pq.read_table(folder / "cost_model.parquet"),
            catalog_from_table(pq.read_table(folder / "catalog.parquet")),
            Origin(**json.loads((folder / "origin.json").read_text())),
        )

    def __repr__(self) -> str:
        return f"Router({', '.join(self.models)}; learnt from {self.origin.instructions} of {self.origin.labels})"


def _arrow(frame: IntoDataFrame) -> tuple[pa.Table, ModuleType]:
    """A frame as a table, and the library that it is of."""
    held = nw.from_native(frame, eager_only=True)
    table = pa.table({str(name): held[name].to_arrow() for name in held.columns})
    return table, held.implementation.to_native_namespace()


def _labels(labels: Any, reading: Mapping[str, Any]) -> LabelledInstructions:
    if isinstance(labels, str | Path):
        return read_labels(str(labels), **reading)
    if is_into_dataframe(labels):
        return labels_from_table(_arrow(labels)[0], "labels", **reading)
    raise InvalidInput(
        f"the labels are a {type(labels).__name__}", remedy="Give a frame in memory, or the path of a file or folder."
    )


def _catalog(catalog: str | Path | Mapping[str, Any] | None) -> ModelCatalog | None:
    if isinstance(catalog, Mapping):
        return catalog_of(dict(catalog))
    return None if catalog is None else read_catalog(str(catalog))


def _batch(texts: Any) -> tuple[BatchInstructions, ModuleType]:
    """The texts as a batch, and the library that its tables are to be of."""
    pandas = nw.Implementation.PANDAS.to_native_namespace()
    if isinstance(texts, str | Path):
        return load_batch(texts), pandas
    if is_into_dataframe(texts):
        table, library = _arrow(texts)
        return batch_from_table(table, "texts"), library
    if not isinstance(texts, Iterable):
        raise InvalidInput(f"these are a {type(texts).__name__}", source="texts", remedy=TEXTS)
    held = list(texts)
    for row, text in enumerate(held, start=1):
        if not isinstance(text, str):
            raise InvalidInput(f"this is no text but {text!r}", source="texts", row=row, remedy=TEXTS)
    ids = [f"row-{row}" for row in range(1, len(held) + 1)]
    return batch_from_table(pa.table({"instruction_id": ids, "instruction": held}), "texts"), pandas
