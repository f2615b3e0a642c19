"""Commands on prices."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

import click
import dagster as dg

from routing_assets.batches.spend_margin import margin_in_words
from routing_assets.cli.output import say
from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.home import Home
from routing_assets.pricing.catalog_table import absolute, read_catalog
from routing_assets.pricing.cost_model import CostModel
from routing_assets.storage.in_force import candidate, router_in_force


def update_prices(
    home: Home, catalog: str, *, catalog_models: Sequence[str] = (), confirm_prices: bool = False, force: bool = False
) -> None:
    """Put a catalog in force, and print which of its prices change estimates.

    Args:
        catalog_models: those to take from it; see ``read_catalog``.
        confirm_prices: accept prices that do not look like USD per 1M tokens.
        force: simulated prices may replace real ones.

    Raises InvalidInput where it lacks a model of the router in force, or there is none.
    """
    with instance_of(home) as instance:
        refuse_to_unprice(home, absolute(catalog), catalog_models)
        run_job(
            instance,
            "update_prices",
            ops={
                "model_catalog": {
                    "catalog": absolute(catalog),
                    "catalog_models": list(catalog_models),
                    "confirm_prices": confirm_prices,
                },
                "price_release": {"force": force},
            },
        )
    say("the catalog is in force; batches that are not dispatched yet will be routed again")
    costs = costs_in_force(home)
    say(f"estimated costs come from: {costs.source}")
    if unmoved := costs.unmoved_by_prices:
        click.echo(
            f"warning: the prices of {', '.join(unmoved)} in it change no estimate, because the labels record what "
            "their calls cost; its limits, latencies and tags do apply. To price them by the catalog, train on "
            "labels that record tokens (input_tokens, output_tokens).",
            err=True,
        )


def refuse_to_unprice(home: Home, catalog: str, models: Sequence[str] = ()) -> None:
    """Raise InvalidInput where no router is in force, or the catalog lacks one of its models."""
    prices, in_force = read_catalog(catalog, models), router_in_force(home.warehouse)
    if prices is not None:
        prices.check_covers(
            candidate(home.warehouse, in_force["router_version"])["models"],
            remedy="A catalog replaces the one before it, so give the prices of every model of the router in force.",
        )


def costs_in_force(home: Home) -> CostModel:
    """The cost model that batches are priced by."""
    return CostModel.from_dict(json.loads(home.store.read("cost_model")["cost_model"][0].as_py()))


def warn_of_doubtful_costs(routed: dg.ExecuteInProcessResult, summary: Mapping[str, Any]) -> None:
    """Print why the estimated costs of a batch may be far off, where there is a reason, and what a confidence costs.

    Args:
        routed: the run that routed it.
        summary: of the routed batch.
    """
    if doubt := routed.asset_materializations_for_node("cost_matrix")[0].metadata.get("doubt"):
        click.echo(f"warning: {doubt.value}", err=True)
    if summary["settings"]["confidence"] is not None:
        say(margin_in_words(summary))
