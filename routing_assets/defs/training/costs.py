"""Stage 2b: what a call costs, from the catalog's prices or the label table's own costs."""

from typing import cast

import dagster as dg
import numpy as np
import pyarrow as pa
from pydantic import Field

from routing_assets.dagster_instance.runs import runs_of
from routing_assets.datasets import LabelledInstructions
from routing_assets.defs.common import OWNERS, failure, markdown_table, shown
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.training.labels import split_from_table
from routing_assets.foundation.errors import InvalidInput
from routing_assets.pricing.catalog_table import catalog_from_table
from routing_assets.pricing.cost_matrix import cost_model_table
from routing_assets.pricing.cost_model import CostMode, fit_cost_model
from routing_assets.routers import release as champion
from routing_assets.routers.catalog_in_force import would_simulate
from routing_assets.routers.few_labels import kept_labels, priced_models, with_added
from routing_assets.routers.release_ledger import releasing
from routing_assets.storage.in_force import prices_in_force


class CostConfig(dg.Config):
    """How the cost of a new call is estimated."""

    mode: str = Field(
        default="auto",
        description="mean (one cost per model), per_instruction (token-aware), or auto (by held-out error).",
    )


@dg.asset(group_name="labels", owners=OWNERS, kinds={"scikitlearn"}, deps=["added_labels"], code_version="6")
def cost_model(
    context: dg.AssetExecutionContext,
    config: CostConfig,
    home: RoutingHome,
    labelled_instructions: pa.Table,
    splits: pa.Table,
    model_catalog: pa.Table,
) -> dg.MaterializeResult:
    """The estimated USD of a call, per model, or per model and instruction where costs were recorded.

    Batches are priced by it, and by the catalog, once ``price_release`` or ``router_release`` puts both in force.
    """
    paths = home.paths()
    labels, catalog = LabelledInstructions.from_arrow(labelled_instructions), catalog_from_table(model_catalog)
    kept = kept_labels(paths.store)
    added = [model for model in priced_models(kept, catalog) if model not in labels.models]
    calls = with_added(labels.take(split_from_table(splits).train), kept, added)
    try:
        model = fit_cost_model(calls, catalog, cast(CostMode, config.mode))
    except InvalidInput as error:
        raise failure(error) from error
    fitted = cost_model_table(model, model_catalog)
    version = fitted["price_version"][0].as_py()
    prices = {entry.name: (entry.input_price, entry.output_price) for entry in catalog.models} if catalog else {}
    rows = [
        {
            "price_version": version,
            "model": name,
            "mean_cost": float(mean),
            "input_price": prices.get(name, (None, None))[0],
            "output_price": prices.get(name, (None, None))[1],
            "source": model.source,
            "dagster_run_id": context.run_id,
        }
        for name, mean in zip(model.models, model.mean_cost, strict=True)
    ]
    paths.warehouse.append("price_lists", pa.Table.from_pylist(rows))
    by_model = [{"model": row["model"], "mean_cost_usd": row["mean_cost"]} for row in rows]
    errors = [{"mode": mode, **vars(error)} for mode, error in model.held_out.items()]
    return dg.MaterializeResult(
        value=fitted,
        data_version=dg.DataVersion(version),
        metadata={
            "mode": model.mode,
            "why_this_mode": model.why,
            "source": model.source,
            "dearest_mean_cost_usd": shown(np.max(model.mean_cost)),
            "held_out_error": markdown_table(errors),
            "mean_cost": markdown_table(by_model),
        },
    )


class PriceReleaseSettings(dg.Config):
    """Whether simulated prices may replace real ones."""

    force: bool = Field(default=False, description="Put simulated prices in force in place of real ones.")


@dg.asset(group_name="release", owners=OWNERS, kinds={"parquet"}, deps=["model_catalog", cost_model], code_version="2")
def price_release(
    context: dg.AssetExecutionContext, config: PriceReleaseSettings, home: RoutingHome
) -> dg.MaterializeResult:
    """Puts the prices that this run made in force, if they name every model of the router in force. With a new router,
    ``router_release`` does.
    """
    paths = home.paths()
    runs = runs_of(context.instance, context.run)
    with releasing(paths.releases):
        in_force = paths.warehouse.fetch("latest_router")
        version, priced = prices_in_force(paths.store, made_by=runs)
        known = champion.candidate(paths.warehouse, in_force[0]["router_version"])["models"] if in_force else []
        if unpriced := [model for model in known if model not in priced]:
            raise failure(
                InvalidInput(
                    f"there is no price of {', '.join(unpriced)}, which the router in force knows; the prices stay",
                    remedy="Name every model of the router in the catalog.",
                )
            )
        simulated = bool(in_force) and champion.learnt_from_simulated(paths.warehouse, in_force[0])
        if not config.force and would_simulate(paths.store, runs, labels_are_simulated=simulated):
            raise failure(
                InvalidInput(
                    "simulated prices would replace real ones; the prices stay",
                    remedy="Name a catalog of your own; or confirm it: --force, or force of the asset price_release.",
                )
            )
        champion.put_prices_in_force(paths.releases, runs, run_id=context.run_id)
    return dg.MaterializeResult(metadata={"price_version": version or "none", "models": ", ".join(priced)})
