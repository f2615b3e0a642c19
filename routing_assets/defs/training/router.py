"""Stages 2 and 3: a router, that is a classifier, its panel refit, temperatures, buckets, and the deciding estimate."""

import json
from typing import Any, Literal

import dagster as dg
import pyarrow as pa
from pydantic import Field

from routing_assets.datasets import LabelledInstructions
from routing_assets.defs.common import (
    ARROW_TABLE,
    OWNERS,
    TRAINING_POOL,
    data_version,
    failure,
    inline_png,
    markdown_table,
)
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.training.labels import split_from_table
from routing_assets.foundation.content_version import content_version
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.long_table import about
from routing_assets.home import Home
from routing_assets.routers.release import labels_config, record_candidate

GROUP = "router"


class ClassifierSettings(dg.Config):
    """How the success classifier is trained."""

    method: Literal["auto", "frozen", "upper_layers", "finetune"] = Field(
        default="auto", description="Which part of the encoder is trained; auto chooses and gives its reason."
    )
    encoder: str = Field(default="packaged", description="packaged MiniLM, a local directory, or a hub name.")
    seed: int = Field(default=0, description="Seed of weights and batches.")


class CalibrationSettings(dg.Config):
    """How probabilities are cut into buckets."""

    buckets: int = Field(default=20, description="Buckets per model, at most.")
    equal_width: bool = Field(default=False, description="Buckets of equal width instead of equal mass.")
    monotone: bool = Field(default=False, description="Observed rates may not fall as the probability rises.")
    smoothing: float = Field(default=2.0, description="Labels' worth of pull toward the model's mean.")


class DecisionSettings(dg.Config):
    """Which estimate feeds the allocation."""

    estimate: str = Field(
        default="auto", description="auto (chosen on held-out labels), scaled, bucket, shrunken, lower_bound or rate."
    )
    precision: Literal["fp32", "bf16"] = Field(
        default="fp32", description="What the encoder scores in; bf16 is refused where held-out decisions change by it."
    )
    ece_limit: float = Field(
        default=0.15,
        description="A router whose calibration error exceeds what chance explains by more than this is refused.",
    )
    ece_tolerance: float = Field(
        default=0.02, description="How much calibration may raise the error before the router is refused (noise)."
    )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"torch", "mlflow"}, pool=TRAINING_POOL, code_version="6")
def success_classifier(
    context: dg.AssetExecutionContext,
    config: ClassifierSettings,
    home: RoutingHome,
    labelled_instructions: pa.Table,
    splits: pa.Table,
) -> dg.MaterializeResult:
    """P(success) of every model from the text: a sentence encoder with a multi-label head, logged to MLflow."""
    paths = home.paths()
    from routing_assets.routers.train import train_and_log

    labels, split = LabelledInstructions.from_arrow(labelled_instructions), split_from_table(splits)
    try:
        trained = train_and_log(
            paths.shelf,
            paths.registry,
            paths.checkpoints,
            labels,
            split,
            config.model_dump(),
            run_id=context.run_id,
        )
    except InvalidInput as error:
        raise failure(error) from error
    return dg.MaterializeResult(
        value=pa.Table.from_pylist([trained.record]),
        data_version=dg.DataVersion(trained.record["classifier_id"]),
        metadata={
            **trained.record,
            "why_this_method": trained.why,
            **{f"test_{name}": value for name, value in trained.test_means.items()},
            "test_quality": markdown_table(trained.test_quality),
            "losses": markdown_table(trained.losses),
        },
    )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"torch", "parquet"}, code_version="3")
def held_out_logits(
    home: RoutingHome, success_classifier: pa.Table, labelled_instructions: pa.Table, splits: pa.Table
) -> dg.MaterializeResult:
    """Logit and success of every pair that calibrates, of instructions the classifier did not learn from, and which of
    these are related.
    """
    from routing_assets.routers import train as router_steps

    labels, split = LabelledInstructions.from_arrow(labelled_instructions), split_from_table(splits)
    logits = router_steps.held_out_logits(home.paths().shelf, record(success_classifier), labels, split)
    return dg.MaterializeResult(value=logits, data_version=data_version(logits))


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"torch", "parquet"}, code_version="1")
def panel_refit(
    home: RoutingHome, success_classifier: pa.Table, held_out_logits: pa.Table, labelled_instructions: pa.Table
) -> dg.MaterializeResult:
    """The held-out logits after small networks have corrected each model's by those of the others, each pair by a
    network that had not seen it; unchanged where that does not help.
    """
    from routing_assets.routers import train as router_steps

    models = LabelledInstructions.from_arrow(labelled_instructions).models
    logits = router_steps.panel_refit(home.paths().shelf, record(success_classifier), held_out_logits, models)
    return dg.MaterializeResult(value=logits, data_version=data_version(logits), metadata=about(logits))


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"duckdb"}, code_version="3")
def calibration_temperatures(
    home: RoutingHome, success_classifier: pa.Table, panel_refit: pa.Table, labelled_instructions: pa.Table
) -> dg.MaterializeResult:
    """One temperature per model, by maximum likelihood on held-out labels."""
    from routing_assets.routers import train as router_steps

    models = LabelledInstructions.from_arrow(labelled_instructions).models
    fitted = router_steps.temperatures(panel_refit, models)
    version = content_version(success_classifier, fitted)
    table = fitted.append_column("temperatures_id", pa.array([version] * fitted.num_rows))
    home.paths().warehouse.run("insert_calibration_temperatures", table)
    return dg.MaterializeResult(
        value=table,
        data_version=dg.DataVersion(version),
        metadata={"temperatures_id": version, "temperatures": markdown_table(fitted.to_pylist())},
    )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"duckdb"}, code_version="3")
def calibration_buckets(
    config: CalibrationSettings, home: RoutingHome, panel_refit: pa.Table, calibration_temperatures: pa.Table
) -> dg.MaterializeResult:
    """The observed success rate of each model in each probability bucket, with Wilson intervals and counts.

    Look at ``reliability``: points near the diagonal mean that predictions can be believed.
    """
    from routing_assets.prediction.calibration.reliability_figure import reliability_png
    from routing_assets.routers import train as router_steps

    fitted = router_steps.buckets(panel_refit, calibration_temperatures, config.model_dump())
    version = content_version(calibration_temperatures, fitted)
    table = fitted.append_column("buckets_id", pa.array([version] * fitted.num_rows))
    home.paths().warehouse.run("insert_calibration_buckets", table)
    return dg.MaterializeResult(
        value=table,
        data_version=dg.DataVersion(version),
        metadata={
            "reliability": inline_png(
                reliability_png(
                    {"calibrated": table.to_pylist()}, calibration_temperatures["model"].to_pylist(), "Held-out labels"
                )
            ),
            "labels_per_bucket": float(table["count"].to_numpy().mean()),
            "buckets_id": version,
        },
    )


CALIBRATION_HOLDS = dg.AssetCheckSpec(
    "calibration_holds",
    asset="router",
    blocking=True,
    description="On validation data the calibrated error is within the limit and not above that of raw probabilities.",
)


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"duckdb"},
    check_specs=[CALIBRATION_HOLDS],
    dagster_type=ARROW_TABLE,
    code_version="4",
)
def router(
    context: dg.AssetExecutionContext,
    config: DecisionSettings,
    home: RoutingHome,
    success_classifier: pa.Table,
    panel_refit: pa.Table,
    calibration_temperatures: pa.Table,
    calibration_buckets: pa.Table,
    labelled_instructions: pa.Table,
    splits: pa.Table,
) -> dg.MaterializeResult:
    """Classifier, panel refit, temperatures and buckets as one version, the estimate that decides, and how good each
    step is.
    """
    paths = home.paths()
    from routing_assets.routers import mlflow_registry as tracking
    from routing_assets.routers import train as router_steps

    labels, split = LabelledInstructions.from_arrow(labelled_instructions), split_from_table(splits)
    try:
        assembled = router_steps.assemble(
            paths.shelf,
            record(success_classifier),
            panel_refit,
            calibration_temperatures,
            calibration_buckets,
            labels,
            split,
            config.estimate,
            config.precision,
        )
    except InvalidInput as error:
        raise failure(error) from error
    paths.warehouse.run("insert_router_quality", assembled.test_quality)
    holds = calibration_holds(assembled.mean_quality("validation"), config)
    tracking.link_router(paths.registry, assembled.record["mlflow_model_version"], assembled.record["router_version"])
    if holds.passed:
        record_candidate(
            paths.warehouse,
            assembled.record,
            origin="trained",
            models=labels.models,
            training_config=training_config(context, paths),
            run_id=context.run_id,
        )
    return dg.MaterializeResult(
        value=pa.Table.from_pylist([assembled.record]),
        data_version=dg.DataVersion(assembled.record["router_version"]),
        metadata={
            **assembled.record,
            "why_this_estimate": assembled.why,
            "panel_refit": about(panel_refit)["why"],
            "precision": config.precision,
            **({"why_this_precision": assembled.why_precision} if assembled.why_precision else {}),
            "test_quality": markdown_table(assembled.mean_quality("test")),
            "validation_quality": markdown_table(assembled.mean_quality("validation")),
            **{f"test_ece_{row['step']}": row["ece"] for row in assembled.mean_quality("test")},
        },
        check_results=[holds],
    )


def record(table: pa.Table) -> dict[str, Any]:
    """The single row of a table."""
    return table.to_pylist()[0]


TRAINED_BY = (
    "labelled_instructions",
    "splits",
    "success_classifier",
    "calibration_temperatures",
    "calibration_buckets",
    "router",
)


def training_config(context: dg.AssetExecutionContext, home: Home) -> str:
    """JSON of this run's configuration of the assets that make a router, by asset; the labels are always named."""
    ops: Any = context.run.run_config.get("ops", {})
    labels = labels_config(home.warehouse, ops.get("labelled_instructions", {}).get("config", {}))
    named = {name: ops[name] for name in TRAINED_BY if name in ops} | {"labelled_instructions": {"config": labels}}
    return json.dumps(named, sort_keys=True)


def calibration_holds(quality: list[dict[str, Any]], config: DecisionSettings) -> dg.AssetCheckResult:
    """Whether calibration error is within the limit, and no worse than before, both beyond sampling noise.

    The noise is the error that a perfectly calibrated router would show on as many rows.
    """
    ece, noise = {row["step"]: row["ece"] for row in quality}, quality[0]["ece_floor"]
    allowed = min(max(ece["raw"], noise) + config.ece_tolerance, noise + config.ece_limit)
    return dg.AssetCheckResult(
        check_name=CALIBRATION_HOLDS.name,
        passed=bool(ece["decision"] <= allowed),
        description=f"On validation data the calibration error is {ece['decision']:.3f}, and {allowed:.3f} is allowed. "
        "Label more instructions, or allow more (ece_limit, ece_tolerance of the asset 'router').",
        metadata={"ece": dg.MetadataValue.json(ece), "allowed": allowed, "noise": noise},
    )
