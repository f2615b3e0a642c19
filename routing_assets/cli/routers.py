"""Commands on routers: train, extend, compare, list, roll back, evaluate."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from routing_assets.batches.stale import stale_batches
from routing_assets.cli.output import say, show
from routing_assets.cli.prices import costs_in_force
from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.evaluation.terminal import gain_rows, second_look_rows
from routing_assets.foundation.errors import InvalidInput
from routing_assets.home import Home
from routing_assets.pricing.catalog_table import SIMULATED, absolute, read_catalog
from routing_assets.routers.few_labels import checked_addition, kept_labels, priced_models
from routing_assets.routers.label_sources import read_as
from routing_assets.routers.release import why_by_rates
from routing_assets.storage.in_force import router_in_force


def train(home: Home, labels: str, catalog: str | None, format: str, **options: Any) -> None:
    """Train and calibrate a router, compare it with the one in force, and say which of them routes from now on.

    Args:
        options: those of :func:`train_router`.
    """
    train_router(home, labels, catalog, format, **options)
    trained = show_comparison(home)
    say(f"router {trained} on the test split of its labels, after each step:")
    show("router_quality", home.warehouse.fetch("router_quality", {"router_version": trained}))
    say(f"estimated costs, by the prices in force, come from: {costs_in_force(home).source}")
    say(learnt(home))


def learnt(home: Home) -> str:
    """What the newest router learnt, in a sentence."""
    return str(home.warehouse.fetch("latest_comparison")[0]["worth"])


def train_router(
    home: Home,
    labels: str,
    catalog: str | None,
    format: str,
    *,
    catalog_models: Sequence[str] = (),
    method: str,
    seed: int,
    precision: str = "fp32",
    ignore_columns: Sequence[str] = (),
    allow_missing: bool = False,
    columns: Mapping[str, str] | None = None,
    made_ids: str | None = None,
    success_scale: float = 1.0,
    preferences: str | None = None,
    encoding: str | None = None,
    signals: Sequence[str] = (),
    second_look: bool = False,
    check_auc: float | None = None,
    first_models: Sequence[str] = (),
    size: int | None = None,
    force: bool = False,
    confirm_prices: bool = False,
) -> None:
    """Run the job that trains a router, without printing the result."""
    with instance_of(home) as instance:
        say_how_labels_are_read(labels, encoding)
        say_what_becomes_of_added_models(home, _catalog(labels, catalog), catalog_models)
        run_job(
            instance,
            "train_router",
            ops={
                "labelled_instructions": {
                    "labels": absolute(labels),
                    "format": format,
                    "ignore_columns": list(ignore_columns),
                    "allow_missing": allow_missing,
                    "columns": dict(columns or {}),
                    "made_ids": made_ids,
                    "success_scale": success_scale,
                    "preferences": preferences,
                    "encoding": encoding,
                    "signals": list(signals),
                    "second_look": second_look,
                    "check_auc": check_auc,
                    "size": size,
                    "seed": seed,
                    "confirm_prices": confirm_prices,
                },
                "model_catalog": {
                    "catalog": _catalog(labels, catalog),
                    "catalog_models": list(catalog_models),
                    "confirm_prices": confirm_prices,
                },
                "splits": {"seed": seed},
                "success_classifier": {"method": method, "seed": seed},
                "router": {"precision": precision},
                "second_look": {"first_models": list(first_models)},
                "router_comparison": {"force": force},
            },
        )


def add_models(
    home: Home,
    models: Sequence[str],
    labels: str,
    catalog: str | None,
    *,
    catalog_models: Sequence[str] = (),
    force: bool = False,
    confirm_prices: bool = False,
    **table: Any,
) -> None:
    """Add models to the router in force by a few labels, and say whether the extended router took over.

    Args:
        table: how the labels are read, see ``read_few``.
    """
    labels, catalog = absolute(labels), None if catalog is None else absolute(catalog)
    with instance_of(home) as instance:
        router_in_force(home.warehouse)
        if catalog is None and home.store.read("model_catalog").num_rows:
            raise InvalidInput(
                "the prices in force come from a catalog", remedy="Give one that names the new models too."
            )
        prices = read_catalog(catalog, catalog_models)
        checked_addition(home.warehouse, home.store, home.shelf, labels, models, prices, **table)
        result = run_job(
            instance,
            "add_model",
            ops={
                "added_labels": {"labels": labels, "models": list(models), "confirm_prices": confirm_prices, **table},
                "model_catalog": {
                    "catalog": catalog,
                    "catalog_models": list(catalog_models),
                    "confirm_prices": confirm_prices,
                },
                "extended_router": {"models": list(models)},
                "router_comparison": {"force": force},
            },
        )
    made = result.asset_materializations_for_node("extended_router")[0].metadata
    learnt, held_back = (made[f"instructions_{which}"].value for which in ("learnt_from", "held_back"))
    aside = f"; {held_back} more are held back to test the router" if held_back else ""
    say(f"learnt from {learnt} labelled instructions, nothing trained{aside}; predicted unseen:")
    show("predicted_unseen", home.store.read("extended_router").to_pylist())
    show_comparison(home)
    if waiting := len(stale_batches(home.warehouse, home.store, home.folders, home.policy_file)):
        say(f"{waiting} batches that are not dispatched will be routed again")


def say_how_labels_are_read(labels: str, encoding: str | None) -> None:
    """Print what is unusual in the file of labels; nothing where it is to be read in another encoding."""
    if encoding is None and (said := read_as(labels)):
        say(f"{labels} is read as: {said}")


def say_what_becomes_of_added_models(home: Home, catalog: str | None, models: Sequence[str] = ()) -> None:
    """Print which models that were added from few labels are trained on again, and which are left out."""
    kept, prices = kept_labels(home.store), read_catalog(catalog, models)
    learnt = priced_models(kept, prices)
    if learnt:
        say(f"training also uses the labels of added models: {', '.join(learnt)}")
    if kept is not None and (left_out := [model for model in kept.models if model not in learnt]):
        say(f"labels of added models are left out, because {catalog} does not name them: {', '.join(left_out)}")


def recalibrate(home: Home) -> None:
    """Recalibrate the router in force by outcomes, and say whether the recalibrated one took over."""
    with instance_of(home) as instance:
        run_job(instance, "recalibrate_router")
    show_comparison(home)


def show_comparison(home: Home) -> str:
    """Print the newest comparison, its figures, and what is in force; returns the router that was compared."""
    compared = home.warehouse.fetch("latest_comparison")[0]
    router = router_in_force(home.warehouse)
    if router["router_version"] != compared["challenger"]:
        say(
            f"router {compared['challenger']} is not in force: {compared['why']}\n"
            f"it is kept; to put it in force anyway: routing-assets rollback {compared['challenger']}"
        )
    elif compared["champion"] is not None:
        why = compared["why"] if compared["takes_over"] else f"forced, although {compared['why']}"
        say(f"router {compared['challenger']} replaces {compared['champion']}: {why}")
    if compared["champion_brier"] is not None:
        figures = ("ece", "brier", "log_loss")
        sides = ("champion", "challenger")
        show("comparison", [{"": s, **{name: compared[f"{s}_{name}"] for name in figures}} for s in sides])
    say(
        f"router {router['router_version']} is in force (MLflow model version {router['mlflow_model_version']}, "
        f"decides by {router['decision_estimate']})"
    )
    if why := why_by_rates(home.warehouse, home.shelf):
        say(why)
    return str(compared["challenger"])


def rollback(home: Home, version: str | None) -> None:
    """Put the named router in force or, without a name, the one that was in force before."""
    from routing_assets.routers.release import rollback

    with instance_of(home):
        router = rollback(home.releases, home.shelf, version)
        waiting = len(stale_batches(home.warehouse, home.store, home.folders, home.policy_file))
    say(
        f"router {router['router_version']} is in force (MLflow model version {router['mlflow_model_version']}); "
        f"{waiting} batches that are not dispatched will be routed again by it"
    )


def evaluate(
    home: Home,
    labels: str,
    catalog: str | None,
    format: str,
    *,
    catalog_models: Sequence[str] = (),
    method: str = "auto",
    ignore_columns: Sequence[str] = (),
    allow_missing: bool = False,
    columns: Mapping[str, str] | None = None,
    made_ids: str | None = None,
    success_scale: float = 1.0,
    preferences: str | None = None,
    encoding: str | None = None,
    signals: Sequence[str] = (),
    second_look: bool = False,
    check_auc: float | None = None,
    seeds: int,
    size: int | None,
    output: Path,
    confirm_prices: bool = False,
) -> None:
    """Run ``budget_curves`` on a label table and print its verdict: a sentence, a table, and where the rest is."""
    output.mkdir(parents=True, exist_ok=True)  # so that a folder that cannot be written to fails before the training
    config = {
        "labels": absolute(labels),
        "format": format,
        "ignore_columns": list(ignore_columns),
        "allow_missing": allow_missing,
        "columns": dict(columns or {}),
        "made_ids": made_ids,
        "success_scale": success_scale,
        "preferences": preferences,
        "encoding": encoding,
        "signals": list(signals),
        "second_look": second_look,
        "check_auc": check_auc,
        "catalog": _catalog(labels, catalog),
        "catalog_models": list(catalog_models),
        "confirm_prices": confirm_prices,
        "method": method,
        "seeds": seeds,
        "size": size,
        "output": str(output.absolute()),
    }
    with instance_of(home) as instance:
        say_how_labels_are_read(labels, encoding)
        run_job(instance, "evaluate_router", ops={"budget_curves": config})
    summary = json.loads((output / "summary.json").read_text(encoding="utf-8"))
    verdict = summary["verdict"]
    say(f"{verdict['text']}\n")
    if verdict["gains"]:
        simulated = " (simulated)" if summary["simulated"] and "simulated" not in summary["dataset"] else ""
        say(f"{summary['dataset']}{simulated}: success relative to the best single model")
        show("gains", gain_rows(verdict["gains"]))
    if summary["second_look"]:
        _print_second_look(summary["second_look"])
    say(f"\nfine print: {output / 'fine_print.txt'}; every policy: {output / 'summary.txt'}")
    say(f"written to {output}")


def _print_second_look(second: Mapping[str, Any]) -> None:
    """The verdict on second looks, and the gain at each budget."""
    say(f"\n{second['text']}")
    if second["gains"]:
        say("Gain of a second look over one call for the same money, in points of relative success")
        show("second_look", second_look_rows(second["gains"]))


def _catalog(labels: str, catalog: str | None) -> str | None:
    if catalog is not None:
        return absolute(catalog)
    return labels if labels.startswith(SIMULATED) else None
