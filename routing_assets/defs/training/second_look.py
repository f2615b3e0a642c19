"""Stage 3b: what the answer of a first model tells, and where looking at it pays."""

import json
from dataclasses import asdict
from typing import Any

import dagster as dg
import pyarrow as pa
from pydantic import Field

from routing_assets.datasets import LabelledInstructions
from routing_assets.defs.common import OWNERS, data_version, markdown_table
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.training.labels import split_from_table
from routing_assets.defs.training.router import GROUP, record
from routing_assets.pricing.cost_model import CostModel

FIGURES = ("log_loss", "log_loss_without", "auc", "auc_without", "ece", "ece_without", "gain", "standard_error")
QUALITY = pa.schema(
    [
        ("router_version", pa.string()),
        ("second_look_version", pa.string()),
        ("first", pa.string()),
        ("used", pa.bool_()),
        *((name, pa.float64()) for name in FIGURES),
    ]
)


class SecondLookConfig(dg.Config):
    """Whose answers are looked at."""

    first_models: list[str] = Field(default=[], description="Models whose answers may be looked at; none: all.")


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"torch", "parquet"}, code_version="1")
def second_look(
    context: dg.AssetExecutionContext,
    config: SecondLookConfig,
    home: RoutingHome,
    success_classifier: pa.Table,
    panel_refit: pa.Table,
    calibration_temperatures: pa.Table,
    labelled_instructions: pa.Table,
    splits: pa.Table,
    cost_model: pa.Table,
    router: pa.Table,
) -> dg.MaterializeResult:
    """What the answer of a first model tells of the success of every model, by the signals of the labels; and what a
    look at it gained on held-out rows, by budget. Labels without signals teach nothing, and the table is empty.
    """
    labels, paths = LabelledInstructions.from_arrow(labelled_instructions), home.paths()
    if not labels.signals:
        why = "the labels have no signals: columns <model>|<signal>, such as small|check"
        return dg.MaterializeResult(value=QUALITY.empty_table(), metadata={"why": why})
    from routing_assets.routers import second_look as looks

    fitted = looks.fit_second_look(
        looks.classifier_of(paths.shelf, record(success_classifier)),
        panel_refit,
        calibration_temperatures,
        labels,
        split_from_table(splits),
        CostModel.from_dict(json.loads(cost_model["cost_model"][0].as_py())),
        config.first_models or labels.models,
    )
    router_version, version = record(router)["router_version"], None
    if fitted.second_look is not None:
        kept = looks.keep_second_look(paths.shelf, fitted.second_look, fitted.gains)
        looks.record_second_look(paths.warehouse, router_version, kept, run_id=context.run_id)
        version = kept.version
    rows = [{"router_version": router_version, "second_look_version": version, **row} for row in fitted.rows()]
    table = pa.Table.from_pylist(rows, schema=QUALITY)
    return dg.MaterializeResult(
        value=table,
        data_version=data_version(table),
        metadata={
            "signals": ", ".join(labels.signals),
            "verdict": fitted.verdict,
            "first_models": markdown_table(rows_shown(fitted.rows())),
            "gains": markdown_table([asdict(gain) | {"pays": gain.pays} for gain in fitted.gains]),
        },
    )


def rows_shown(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The figures that tell most, for the asset's page."""
    return [
        {
            "first model": row["first"],
            "log-loss without its answer": row["log_loss_without"],
            "with its answer": row["log_loss"],
            "AUC without": row["auc_without"],
            "AUC with": row["auc"],
            "looked at": row["used"],
        }
        for row in rows
    ]
