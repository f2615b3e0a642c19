"""Put a router in force, after a comparison or by hand, and load it for each batch."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from routing_assets.foundation.errors import InvalidInput
from routing_assets.routers.release_ledger import ReleaseLedger, record_release, releasing
from routing_assets.routers.shelf import Shelf, load_router
from routing_assets.storage.in_force import candidate, next_price_release, prices_in_force, router_in_force
from routing_assets.storage.warehouse import Warehouse

if TYPE_CHECKING:  # torch loads with the router, not with the definitions
    from routing_assets.prediction.router import Router

_RECORDED = (
    "router_version",
    "classifier_id",
    "label_hash",
    "temperatures_id",
    "buckets_id",
    "decision_estimate",
    "mlflow_run_id",
    "mlflow_model_version",
)


@dataclass(frozen=True)
class Champion:
    """A router and the version that the ledger knows it by."""

    version: str
    router: Router


def load_champion(warehouse: Warehouse, shelf: Shelf) -> Champion:
    """The router in force. Raises InvalidInput when no router has been trained yet."""
    version = router_in_force(warehouse)["router_version"]
    return Champion(version, load_router(shelf, version))


def why_by_rates(warehouse: Warehouse, shelf: Shelf) -> str | None:
    """Why the router in force decides by each model's success rate alone; None if it does not."""
    router = router_in_force(warehouse)
    if router["decision_estimate"] != "rate":
        return None
    about = json.loads((shelf.folder / router["router_version"] / "router.json").read_text())
    return f"batches are routed by each model's success rate alone, because {about['why']}"


def is_trained_again(router: Mapping[str, Any], before: Mapping[str, Any]) -> bool:
    """Whether a training ended in the very classifier that there was before."""
    return bool(router["origin"] == "trained" and router["classifier_id"] == before["classifier_id"])


def record_candidate(
    warehouse: Warehouse,
    router: Mapping[str, Any],
    *,
    origin: str,
    models: tuple[str, ...],
    training_config: str,
    run_id: str,
    parent: str | None = None,
) -> None:
    """Enter a router that passed its checks.

    Args:
        router: its record: version, classifier, labels, temperatures, buckets, estimate and MLflow's ids.
        origin: ``trained``, or ``recalibrated``, ``extended`` or ``rates``, then from ``parent``.
        training_config: JSON of the assets' configuration, by asset, that trains such a router again.
    """
    row = {name: router[name] for name in _RECORDED} | {
        "origin": origin,
        "parent": parent,
        "models": list(models),
        "training_config": training_config,
        "dagster_run_id": run_id,
    }
    warehouse.append("candidates", pa.Table.from_pylist([row]))


def put_in_force(
    releases: ReleaseLedger, router: Mapping[str, Any], *, reason: str, run_id: str, prices_of: Sequence[str]
) -> None:
    """Put a router in force by a row in the ledger, and with it the prices that were made with it.

    To be called within ``releasing``.

    Args:
        router: its record in the ledger of candidates.
        reason: ``first``, ``rates``, ``comparison``, ``forced`` or ``rollback``.
        run_id: of the Dagster run that decided it.
        prices_of: runs; the prices of the first of them that made some come into force as well.
    """
    row = {name: router[name] for name in _RECORDED} | {"reason": reason, "dagster_run_id": run_id}
    record_release(
        releases, router=row, prices=next_price_release(releases.warehouse, releases.store, prices_of, run_id=run_id)
    )


def put_prices_in_force(releases: ReleaseLedger, made_by: Sequence[str], *, run_id: str) -> None:
    """Put the price list of the first of these runs that made one in force; where none did, nothing changes.

    To be called within ``releasing``.
    """
    if prices := next_price_release(releases.warehouse, releases.store, made_by, run_id=run_id):
        record_release(releases, router=None, prices=prices)


def learnt_from_simulated(warehouse: Warehouse, router: Mapping[str, Any]) -> bool:
    """Whether the labels of a router are simulated."""
    rows = warehouse.fetch("labels_of", {"label_hash": router["label_hash"]})
    return bool(rows and rows[0]["simulated"])


def labels_config(warehouse: Warehouse, given: Mapping[str, Any]) -> dict[str, Any]:
    """How labels are read: as given, or as for the router in force where no labels are named.

    Raises InvalidInput where none are named and no router is in force.
    """
    if given.get("labels") is not None:
        return dict(given)
    in_force = warehouse.fetch("latest_router")
    trained = json.loads(candidate(warehouse, in_force[0]["router_version"])["training_config"]) if in_force else {}
    known = trained.get("labelled_instructions", {}).get("config", {})
    if in_force and known.get("labels") is None:  # trained when labels had a default
        known = {"labels": warehouse.fetch("labels_of", {"label_hash": in_force[0]["label_hash"]})[0]["source"]}
    if not known:
        raise InvalidInput(
            "no labels are named, and there is no router in force to take labels from",
            remedy="Name a label table in the configuration of the asset labelled_instructions: {labels: PATH}.",
        )
    return dict(known)


def rollback(releases: ReleaseLedger, shelf: Shelf, version: str | None = None) -> dict[str, Any]:
    """Put the named router in force or, without a name, the one before; returns its record. Nothing is deleted.

    Prices stay, unless they lack one of its models: then those that it came with are put in force as well.

    Raises:
        InvalidInput: there is no such router, it is in force already, its files are gone, or neither the prices in
            force nor its own are of all its models.
    """
    with releasing(releases):
        return _put_back(releases, shelf, version)


def _put_back(releases: ReleaseLedger, shelf: Shelf, version: str | None) -> dict[str, Any]:
    now = router_in_force(releases.warehouse)["router_version"]
    if version is None:
        before = releases.warehouse.fetch("router_before", {"router_version": now})
        if not before:
            raise InvalidInput(
                f"no router other than {now} was ever in force", remedy="Name one; routing-assets routers lists them."
            )
        version = before[0]["router_version"]
    if version == now:
        raise InvalidInput(f"router {version} is in force already")
    target = candidate(releases.warehouse, version)
    if not (shelf.folder / version).is_dir():
        raise InvalidInput(f"the files of router {version} are gone", source=str(shelf.folder / version))
    runs: list[str] = []
    if not set(target["models"]) <= set(prices_in_force(releases.store)[1]):
        runs = _runs_behind(releases.warehouse, target)
        _, priced = prices_in_force(releases.store, made_by=runs)
        if not set(target["models"]) <= set(priced):
            raise InvalidInput(
                f"router {version} knows {', '.join(target['models'])}, but the prices in force are of "
                f"{', '.join(sorted(priced))}",
                remedy="Train again on its labels and catalog.",
            )
    put_in_force(releases, target, reason="rollback", run_id="command line", prices_of=runs)
    return target


def _runs_behind(warehouse: Warehouse, router: Mapping[str, Any]) -> list[str]:
    """The runs that made a router and those that it was recalibrated or extended from, newest first."""
    runs = [router["dagster_run_id"]]
    while router["parent"] is not None:
        router = candidate(warehouse, router["parent"])
        runs.append(router["dagster_run_id"])
    return runs
