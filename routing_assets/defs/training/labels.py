"""Stage 1: the labelled instructions, the models' prices, and the splits."""

import dagster as dg
import numpy as np
import pyarrow as pa
from pydantic import Field

from routing_assets.datasets import LabelledInstructions, refuse_scarce_models
from routing_assets.datasets.splits import Split, SplitFractions, leaks, split_instructions
from routing_assets.defs.common import OWNERS, data_version, failure, markdown_table
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.training.label_table import LabelTable
from routing_assets.foundation.errors import InvalidInput
from routing_assets.pricing.catalog_table import catalog_from_table, catalog_table
from routing_assets.pricing.recorded_costs import recorded_costs
from routing_assets.pricing.units import refuse_doubtful_costs
from routing_assets.routers.catalog_in_force import IN_FORCE, new_catalog
from routing_assets.routers.few_labels import kept_labels, priced_models, with_added
from routing_assets.routers.label_sources import read_as, source_sha256
from routing_assets.routers.outcome_labels import judged_batches, outcome_labels, with_outcomes
from routing_assets.routers.release import labels_config
from routing_assets.routers.texts_learnt import learnt_by_router_in_force, steadied

GROUP = "labels"


class LabelsConfig(LabelTable):
    """Where the recorded successes come from."""

    labels: str | None = Field(
        default=None,
        description="A label table (Parquet, CSV, JSONL), a dataset folder, simulated:llm_uncertainty_bench or "
        "simulated:r1_math; null: what the router in force learnt from, read as it was.",
    )
    seed: int = Field(default=0, description="Seed of the simulation.")
    second_look: bool = Field(
        default=False, description="Read what a benchmark's files tell about the answers, to plan second looks."
    )
    check_auc: float | None = Field(
        default=None, description="Simulated twins: give every answer a check of this quality, such as 0.9."
    )
    outcomes: int = Field(
        default=1000,
        description="Judged outcomes of so many most recent batches are added as partial labels; 0: of none.",
    )
    confirm_prices: bool = Field(default=False, description="Accept recorded costs that look like another unit.")


class CatalogConfig(dg.Config):
    """Where the prices come from."""

    catalog: str | None = Field(
        default=IN_FORCE,
        description="A model catalog (YAML) or published price list (JSON), simulated:<twin>, null where the labels "
        "carry their costs, or in_force: the prices in force, if there are any.",
    )
    catalog_models: list[str] = Field(
        default=[],
        description="Models to take from it, as NAME or NAME=LISTED; none: all. A published price list needs them.",
    )
    confirm_prices: bool = Field(default=False, description="Accept prices that look like another unit.")


class SplitConfig(dg.Config):
    """Shares of the labelled instructions."""

    train: float = Field(default=0.70, description="Share that trains the classifier.")
    validation: float = Field(default=0.05, description="Share that stops the training and chooses settings.")
    calibration: float = Field(default=0.05, description="Share that fits temperatures and buckets.")
    test: float = Field(default=0.20, description="Share that measures; nothing is fitted on it.")
    seed: int = Field(default=0, description="Seed of the split.")


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"parquet"}, deps=["added_labels"], code_version="2")
def labelled_instructions(
    context: dg.AssetExecutionContext, config: LabelsConfig, home: RoutingHome, model_catalog: pa.Table
) -> dg.MaterializeResult:
    """Which LLM succeeded on which instruction: one validated table, whatever the source, and the added models' labels.

    Added models that the catalog does not name are left out.
    """
    paths = home.paths()
    try:
        config = LabelsConfig(**labels_config(paths.warehouse, config.model_dump()))
        place = str(config.labels)
        source_hash = source_sha256(place)  # taken before reading, so that a file written meanwhile counts as new
        signals = config.signals or config.second_look
        source = config.read(place, seed=config.seed, signals=signals, check_auc=config.check_auc)
        kept = kept_labels(paths.store)
        catalog = catalog_from_table(model_catalog)
        if not config.confirm_prices:
            refuse_doubtful_costs(source, catalog)
        source = with_added(source, kept, priced_models(kept, catalog))
        refuse_scarce_models(source)
        recorded_costs(source, catalog)  # raises where a cost is unknown, before anything is trained
        judged = judged_batches(paths.warehouse, paths.store, batches=config.outcomes)
        outcomes = outcome_labels(paths.store, judged, source.models)
    except InvalidInput as error:
        raise failure(error) from error
    labels = with_outcomes(source, outcomes)
    paths.warehouse.append(
        "labels",
        pa.Table.from_pylist(
            [
                {
                    "label_hash": labels.content_hash,
                    "name": labels.name,
                    "source": place,
                    "source_sha256": source_hash,
                    "outcome_rows": len(outcomes),
                    "simulated": labels.simulated,
                    "instructions": len(labels),
                    "models": list(labels.models),
                    "dagster_run_id": context.run_id,
                }
            ]
        ),
    )
    rates = np.nanmean(labels.success, axis=0)
    return dg.MaterializeResult(
        value=labels.to_arrow(),
        data_version=dg.DataVersion(labels.content_hash),
        metadata={
            "dataset": labels.name,
            **({"read_as": said} if (said := read_as(place)) and config.encoding is None else {}),
            "simulated": labels.simulated,
            "models": len(labels.models),
            "outcome_rows": len(outcomes),
            "labelled_share": float(np.isfinite(labels.success).mean()),
            "success_by_model": markdown_table(
                [{"model": m, "success": float(r)} for m, r in zip(labels.models, rates, strict=True)]
            ),
        },
    )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"yaml"}, code_version="1")
def model_catalog(config: CatalogConfig, home: RoutingHome) -> dg.MaterializeResult:
    """The models' prices (USD per 1M tokens) and limits; no rows where costs come from the label table."""
    try:
        catalog = new_catalog(
            home.paths().store, config.catalog, config.catalog_models, confirmed=config.confirm_prices
        )
    except InvalidInput as error:
        raise failure(error) from error
    table = catalog_table(catalog)
    return dg.MaterializeResult(
        value=table,
        data_version=dg.DataVersion(catalog.version if catalog else "costs-from-labels"),
        metadata={
            "source": config.catalog or "the label table's own costs",
            "catalog": markdown_table(table.to_pylist()),
        },
    )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"parquet"}, code_version="1")
def splits(config: SplitConfig, home: RoutingHome, labelled_instructions: pa.Table) -> dg.MaterializeResult:
    """Train, validation, calibration and test, never separating equal texts or members of one group.

    Instructions that tested the router in force stay in the test split, so that the next one can be compared with it.
    """
    paths = home.paths()
    labels = LabelledInstructions.from_arrow(labelled_instructions)
    fractions = SplitFractions(config.train, config.validation, config.calibration, config.test)
    try:
        split = split_instructions(labels.instruction, labels.group, seed=config.seed, fractions=fractions)
    except InvalidInput as error:
        raise failure(error) from error
    if (learnt := learnt_by_router_in_force(paths.warehouse, paths.shelf)) is not None:
        split = steadied(split, labels, learnt)
    table = pa.table({"instruction_id": pa.array(labels.instruction_id, pa.string()), "split": split.names()})
    return dg.MaterializeResult(
        value=table,
        data_version=data_version(table),
        metadata={name: len(rows) for name, rows in split.parts()},
    )


@dg.asset_check(asset=splits, additional_ins={"labelled_instructions": dg.AssetIn()}, blocking=True)
def splits_do_not_leak(splits: pa.Table, labelled_instructions: pa.Table) -> dg.AssetCheckResult:
    """The same text, or the same group, never straddles two splits."""
    labels = LabelledInstructions.from_arrow(labelled_instructions)
    leaking = leaks(split_from_table(splits), labels.instruction, labels.group)
    return dg.AssetCheckResult(passed=len(leaking) == 0, metadata={"leaking_instructions": len(leaking)})


def split_from_table(table: pa.Table) -> Split:
    """The row indices of each part of the ``splits`` table."""
    names = table["split"].to_numpy(zero_copy_only=False)
    return Split(*(np.flatnonzero(names == part) for part in ("train", "validation", "calibration", "test")))
