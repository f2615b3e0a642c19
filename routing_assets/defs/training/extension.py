"""Stage 3c: a model is added to the router in force by a few labels, without training."""

import dagster as dg
import numpy as np
import pyarrow as pa
from pydantic import Field

from routing_assets.datasets import LabelledInstructions
from routing_assets.defs.common import ARROW_TABLE, OWNERS, failure, markdown_table
from routing_assets.defs.home import RoutingHome
from routing_assets.foundation.errors import InvalidInput
from routing_assets.pricing.catalog_table import catalog_from_table
from routing_assets.pricing.units import refuse_doubtful_costs
from routing_assets.routers import release as champion
from routing_assets.routers.few_labels import checked_addition
from routing_assets.storage.in_force import router_in_force

GROUP = "extension"


class AddedLabels(dg.Config):
    """A label table of models that the router in force was not trained on."""

    labels: str = Field(description="A label table: Parquet, CSV or JSONL; an empty cell is unlabelled.")
    models: list[str] = Field(description="Its models that are to be added; other columns are not read.")
    columns: dict[str, str] = Field(default={}, description="By our name of a column, that of the table.")
    made_ids: str | None = Field(default=None, description="row or text: what ids are made from, where there are none.")
    success_scale: float = Field(default=1.0, description="Success of a fully correct answer.")
    encoding: str | None = Field(default=None, description="Of a text file that is not UTF-8.")
    confirm_prices: bool = Field(default=False, description="Accept recorded costs that look like another unit.")


class ExtensionSettings(dg.Config):
    """Which models are added."""

    models: list[str] = Field(description="Models of the added labels.")
    ece_limit: float = Field(
        default=0.15,
        description="A model whose calibration error is greater by this than so few labels explain is refused.",
    )


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"parquet"}, code_version="1")
def added_labels(config: AddedLabels, home: RoutingHome, model_catalog: pa.Table) -> dg.MaterializeResult:
    """All labels of models that were added by a few; training learns from them too."""
    paths = home.paths()
    try:
        catalog = catalog_from_table(model_catalog)
        how = config.model_dump(include={"columns", "made_ids", "success_scale", "encoding"})
        labels = checked_addition(
            paths.warehouse, paths.store, paths.shelf, config.labels, config.models, catalog, **how
        )
        if not config.confirm_prices:
            refuse_doubtful_costs(labels, catalog)
    except InvalidInput as error:
        raise failure(error) from error
    counts = (~np.isnan(labels.success)).sum(axis=0)
    shown = [{"model": model, "labels": int(count)} for model, count in zip(labels.models, counts, strict=True)]
    return dg.MaterializeResult(
        value=labels.to_arrow(),
        data_version=dg.DataVersion(labels.content_hash),
        metadata={"source": config.labels, "labels": markdown_table(shown)},
    )


NEW_MODELS_ARE_CALIBRATED = dg.AssetCheckSpec(
    "new_models_are_calibrated",
    asset="extended_router",
    blocking=True,
    description="On held-out labels, the calibration error of each new model is within chance.",
)


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"torch", "mlflow"},
    check_specs=[NEW_MODELS_ARE_CALIBRATED],
    dagster_type=ARROW_TABLE,
    code_version="1",
)
def extended_router(
    context: dg.AssetExecutionContext, config: ExtensionSettings, home: RoutingHome, added_labels: pa.Table
) -> dg.MaterializeResult:
    """The router in force with new models. Their logits follow from those of the trained models; nothing is trained."""
    paths = home.paths()
    from routing_assets.routers.add_model import extend

    labels = LabelledInstructions.from_arrow(added_labels)
    try:
        parent = champion.candidate(paths.warehouse, router_in_force(paths.warehouse)["router_version"])
        extended = extend(paths.shelf, paths.registry, parent, labels, config.models, run_id=context.run_id)
    except InvalidInput as error:
        raise failure(error) from error
    paths.warehouse.run("insert_calibration_temperatures", extended.temperatures)
    paths.warehouse.run("insert_calibration_buckets", extended.buckets)
    paths.warehouse.run("insert_router_quality", extended.quality)
    new = [row for row in extended.quality.to_pylist() if row["model"] in config.models and row["step"] == "decision"]
    calibrated = all(row["ece"] <= row["ece_floor"] + config.ece_limit for row in new)
    if calibrated:
        champion.record_candidate(
            paths.warehouse,
            extended.record,
            origin="extended",
            parent=parent["router_version"],
            models=extended.models,
            training_config=parent["training_config"],
            run_id=context.run_id,
        )
    version = extended.record["router_version"]
    figures = ("model", "labels", "success_rate", "log_loss", "auc", "ece", "ece_floor")
    shown = [{name: row[name] for name in figures} for row in new]
    return dg.MaterializeResult(
        value=pa.Table.from_pylist(shown),
        data_version=dg.DataVersion(version),
        check_results=[dg.AssetCheckResult(check_name=NEW_MODELS_ARE_CALIBRATED.name, passed=calibrated)],
        metadata={
            "router_version": version,
            "parent": parent["router_version"],
            "instructions_learnt_from": extended.learnt_from,
            "instructions_held_back": extended.held_back,
            "new_models": markdown_table(shown),
        },
    )
