"""Stage 3b: which router is in force. A new one takes over when it beats the present one."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import dagster as dg
import pyarrow as pa
from pydantic import Field

from routing_assets.dagster_instance.runs import runs_of
from routing_assets.defs.common import IO_RETRY, OWNERS, failure, markdown_table
from routing_assets.defs.home import RoutingHome
from routing_assets.foundation.errors import InvalidInput
from routing_assets.home import Home
from routing_assets.routers import release as champion
from routing_assets.routers.catalog_in_force import would_simulate
from routing_assets.routers.compare import compare
from routing_assets.routers.release_ledger import releasing
from routing_assets.storage.in_force import prices_in_force, router_in_force

GROUP = "release"


class RecalibrationSettings(dg.Config):
    """What recalibrates the router in force."""

    batches: int = Field(default=30, description="Most recent batches it decided whose outcomes are taken.")


@dg.asset(group_name=GROUP, owners=OWNERS, kinds={"duckdb", "mlflow"}, code_version="1")
def recalibrated_router(
    context: dg.AssetExecutionContext, config: RecalibrationSettings, home: RoutingHome
) -> dg.MaterializeResult:
    """The classifier in force with a new temperature, a shift and new buckets per model, from recent outcomes."""
    paths = home.paths()
    from routing_assets.routers.recalibrate import recalibrate

    try:
        parent = champion.candidate(paths.warehouse, router_in_force(paths.warehouse)["router_version"])
        recalibrated = recalibrate(
            paths.warehouse,
            paths.store,
            paths.shelf,
            paths.registry,
            parent,
            batches=config.batches,
        )
    except InvalidInput as error:
        raise failure(error) from error
    paths.warehouse.run("insert_calibration_temperatures", recalibrated.temperatures)
    paths.warehouse.run("insert_calibration_buckets", recalibrated.buckets)
    champion.record_candidate(
        paths.warehouse,
        recalibrated.record,
        origin="recalibrated",
        parent=parent["router_version"],
        models=tuple(parent["models"]),
        training_config=parent["training_config"],
        run_id=context.run_id,
    )
    version = recalibrated.record["router_version"]
    return dg.MaterializeResult(
        value=pa.Table.from_pylist([{"router_version": version, "parent": parent["router_version"]}]),
        data_version=dg.DataVersion(version),
        metadata={
            "router_version": version,
            "parent": parent["router_version"],
            "fitted_on_outcomes": recalibrated.fitted_on,
            "outcomes_held_out": recalibrated.judged_by,
            "temperatures": markdown_table(recalibrated.temperatures.drop(["temperatures_id"]).to_pylist()),
        },
    )


class ComparisonSettings(dg.Config):
    """Whether the comparison decides which router is in force."""

    force: bool = Field(default=False, description="Put the newest router in force, whatever the comparison says.")


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"numpy"},
    deps=["router", "cost_model", "extended_router", recalibrated_router],
    code_version="2",
)
def router_comparison(
    context: dg.AssetExecutionContext, config: ComparisonSettings, home: RoutingHome
) -> dg.MaterializeResult:
    """The router that this run made, or the newest that passed its checks, against the one in force, on rows that
    neither learnt from.
    """
    paths = home.paths()
    warehouse = paths.warehouse
    in_force = warehouse.fetch("latest_router")
    runs = runs_of(context.instance, context.run)
    newest = warehouse.fetch("newest_candidate", {"runs": runs})
    if not newest:
        raise failure(InvalidInput("no router passed its checks yet", remedy="Run routing-assets train."))
    advice = warehouse.fetch("latest_advice")
    present = champion.candidate(paths.warehouse, in_force[0]["router_version"]) if in_force else None
    verdict = compare(
        paths.shelf,
        present,
        newest[0],
        champion_is_stale=bool(advice and advice[0]["advice"] != "none"),
        priced=prices_in_force(paths.store, made_by=runs)[1],
        simulates=simulates(paths, present, newest[0], runs),
    )
    warehouse.append("router_comparisons", pa.Table.from_pylist([verdict.row() | {"dagster_run_id": context.run_id}]))
    takes_over = (verdict.takes_over or config.force) and verdict.challenger != verdict.champion
    reason = "forced" if not verdict.takes_over else "first" if verdict.champion is None else "comparison"
    version = verdict.challenger
    if verdict.champion is None and not takes_over:
        version, takes_over, reason = by_rates(context, paths, newest[0], verdict.why), True, "rates"
    decided = {
        "router_version": version,
        "ledger_entry": in_force[0]["entry"] if in_force else 0,
        "takes_over": takes_over,
        "reason": reason,
    }
    return dg.MaterializeResult(
        value=pa.Table.from_pylist([decided]),
        metadata={
            "challenger": verdict.challenger,
            "in_force_from_now_on": version if takes_over else verdict.champion or "none yet",
            "worth": verdict.worth or "-",
            "champion": verdict.champion or "none yet",
            "takes_over": takes_over,
            "why": verdict.why if verdict.takes_over or not config.force else f"forced, although {verdict.why}",
            "champion_is_stale": verdict.champion_is_stale,
            "judged_rows": verdict.judged_rows,
            "before_and_after": markdown_table(verdict.before_and_after()),
        },
    )


def simulates(
    home: Home, present: Mapping[str, Any] | None, challenger: Mapping[str, Any], runs: Sequence[str]
) -> bool:
    """Whether simulated labels or prices would replace real ones in force."""
    if present is None:
        return False
    labels_are_simulated = champion.learnt_from_simulated(home.warehouse, present)
    if champion.learnt_from_simulated(home.warehouse, challenger) and not labels_are_simulated:
        return True
    return would_simulate(home.store, runs, labels_are_simulated=labels_are_simulated)


def by_rates(context: dg.AssetExecutionContext, home: Home, router: Mapping[str, Any], why: str) -> str:
    """Store a router that predicts each model's success rate, in place of one without skill; return its version."""
    from routing_assets.routers.rates import rate_router

    kept = rate_router(home.shelf, home.registry, router, why)
    home.warehouse.run("insert_router_quality", kept.quality)
    champion.record_candidate(
        home.warehouse,
        kept.record,
        origin="rates",
        parent=router["router_version"],
        models=tuple(router["models"]),
        training_config=router["training_config"],
        run_id=context.run_id,
    )
    return str(kept.record["router_version"])


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"mlflow", "duckdb"},
    retry_policy=IO_RETRY,
    output_required=False,
    code_version="3",
)
def router_release(
    context: dg.AssetExecutionContext, home: RoutingHome, router_comparison: pa.Table
) -> Iterator[dg.MaterializeResult]:
    """Puts the router that won in force, with the prices it came with: a line in the ledger, MLflow's alias
    ``champion``. A router that lost is only kept, with its prices, unless it is the same classifier trained again.

    So is the winner of an old comparison, if another router was put in force since, by release or rollback.
    """
    paths = home.paths()
    verdict, paths, runs = router_comparison.to_pylist()[0], paths, runs_of(context.instance, context.run)
    router = champion.candidate(paths.warehouse, verdict["router_version"])
    with releasing(paths.releases):
        in_force = paths.warehouse.fetch("latest_router")
        is_done = bool(in_force) and in_force[0]["dagster_run_id"] in runs  # by an attempt that was interrupted
        if not is_done and not verdict["takes_over"]:
            if (
                in_force
                and champion.is_trained_again(router, in_force[0])
                and not simulates(paths, in_force[0], router, runs)
            ):
                champion.put_prices_in_force(paths.releases, runs, run_id=context.run_id)
            context.log.info(f"router {verdict['router_version']} is kept as a challenger; nothing changes")
            return
        if not is_done and verdict["ledger_entry"] != (in_force[0]["entry"] if in_force else 0):
            context.log.warning(
                f"routers changed since {verdict['router_version']} won its comparison; nothing changes. "
                "Materialise router_comparison, or use routing-assets rollback."
            )
            return
        if unpriced := set(router["models"]) - set(prices_in_force(paths.store, made_by=runs)[1]):
            raise failure(InvalidInput(f"there are no prices in force any more of {', '.join(sorted(unpriced))}"))
        if not is_done:
            champion.put_in_force(
                paths.releases, router, reason=verdict["reason"], run_id=context.run_id, prices_of=runs
            )
    shown = ("router_version", "origin", "classifier_id", "label_hash", "buckets_id", "mlflow_model_version")
    yield dg.MaterializeResult(metadata={"reason": verdict["reason"], **{name: router[name] for name in shown}})
