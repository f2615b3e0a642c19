"""Stage 7: outcomes of routed batches, and whether the router's predictions still hold."""

import math

import dagster as dg
import pyarrow as pa
from pydantic import Field

from routing_assets.batches.outcomes import record_batch_outcomes
from routing_assets.defs.common import (
    ARROW_TABLE,
    OWNERS,
    batches,
    data_version,
    failure,
    markdown_table,
    shown,
    shown_figures,
)
from routing_assets.defs.home import RoutingHome
from routing_assets.foundation.errors import InvalidInput
from routing_assets.monitoring import DriftSettings
from routing_assets.storage.in_force import router_in_force

GROUP = "outcomes"


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"parquet"},
    partitions_def=batches,
    code_version="3",
)
def batch_outcomes(
    context: dg.AssetExecutionContext, home: RoutingHome, answers: pa.Table, grades: pa.Table
) -> dg.MaterializeResult:
    """Every outcome received for a batch, and the grades of its answers, compared with its predictions; missing
    outcomes are counted. A batch with outcomes is frozen, whether or not it was marked as dispatched. Failed calls are
    written out to be sent again.
    """
    paths = home.paths()
    try:
        recorded = record_batch_outcomes(
            paths.warehouse, paths.store, paths.folders, context.partition_key, context.run_id, answers, grades
        )
    except InvalidInput as error:
        raise failure(error) from error
    result = recorded.realised
    return dg.MaterializeResult(
        value=recorded.matched,
        data_version=data_version(recorded.matched),
        metadata=shown_figures(
            {
                "files": recorded.files,
                "judged": result.judged,
                "missing": result.instructions - result.judged,
                "strays": result.strays,
                "conflicts": recorded.conflicts,
                "to_resend": recorded.to_resend,
                "withheld": recorded.withheld,
                "predicted_success": result.predicted_success,
                "realised_success": result.realised_success,
                "estimated_usd": result.estimated_usd,
                "realised_usd": result.realised_usd,
                "expected_total_usd": result.expected_total_usd,
            }
        ),
    )


class DriftConfig(dg.Config):
    """What counts as drift."""

    batches: int = Field(default=30, description="Most recent batches with outcomes to judge by.")
    false_alarm_rate: float = Field(
        default=0.05, description="Probability that a report finds drift where there is none."
    )
    tolerance: float = Field(
        default=0.02, description="Tolerated difference between predicted and observed success rates."
    )
    tolerated_psi: float = Field(default=0.1, description="Tolerated population stability index.")
    tolerated_auc: float = Field(
        default=0.55,
        description="Tolerated AUC of a classifier that tells recent instructions from the router's test split.",
    )


FIGURES = pa.schema(
    [
        ("figure", pa.string()),
        ("model", pa.string()),
        ("value", pa.float64()),
        ("threshold", pa.float64()),
        ("drifted", pa.bool_()),
    ]
)
STABLE = dg.AssetCheckSpec(
    "promises_hold", asset="calibration_drift", description="Predicted success and its order hold; nothing drifted."
)


# Reset by a request, not by an update: outcomes that arrive during a run are not in what that run makes.
UNSEEN_OUTCOMES = (
    dg.AutomationCondition.any_deps_updated().since(dg.AutomationCondition.newly_requested())
    & ~dg.AutomationCondition.in_progress()
)


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"numpy"},
    deps=[batch_outcomes],
    check_specs=[STABLE],
    dagster_type=ARROW_TABLE,
    automation_condition=UNSEEN_OUTCOMES,
    code_version="2",
)
def calibration_drift(
    context: dg.AssetExecutionContext, config: DriftConfig, home: RoutingHome
) -> dg.MaterializeResult:
    """Calibration, ranking, occupancy and embeddings of recent batches against the labels, and what to do.

    It waits for outcomes: until the first ones of a batch come, it is empty. Look at ``advice`` and ``why``.
    """
    paths = home.paths()
    from routing_assets.routers.watch import watch

    settings = DriftSettings(
        false_alarm_rate=config.false_alarm_rate,
        tolerance=config.tolerance,
        tolerated_psi=config.tolerated_psi,
        tolerated_auc=config.tolerated_auc,
    )
    try:
        router = router_in_force(paths.warehouse)
        report = watch(
            paths.warehouse,
            paths.store,
            paths.shelf,
            router["router_version"],
            settings,
            batches=config.batches,
        )
    except InvalidInput as error:
        raise failure(error) from error
    advice = {
        "router_version": router["router_version"],
        "advice": report.advice,
        "why": report.why,
        "judged": report.judged,
        "dagster_run_id": context.run_id,
    }
    paths.warehouse.append("drift_reports", pa.Table.from_pylist([advice]))
    rows = [
        {"figure": m.name, "model": m.model or "all", "value": m.value, "threshold": m.threshold, "drifted": m.drifted}
        for m in report.metrics
    ]
    # Outcomes that are all equal have no order (NaN), and Dagster's UI shows no NaN.
    overall = {m.name: shown(m.value) for m in report.metrics if not m.model and math.isfinite(m.value)}
    return dg.MaterializeResult(
        value=pa.Table.from_pylist(rows, schema=FIGURES),
        metadata={
            "advice": report.advice,
            "why": report.why,
            "router_version": router["router_version"],
            "judged": report.judged,
            "figures": markdown_table(rows),
            **{f"{name}_all": value for name, value in overall.items()},
        },
        check_results=[
            dg.AssetCheckResult(
                check_name=STABLE.name,
                passed=report.advice == "none",
                severity=dg.AssetCheckSeverity.ERROR if report.advice == "retrain" else dg.AssetCheckSeverity.WARN,
                metadata={
                    "advice": report.advice,
                    "why": report.why,
                    "figures": markdown_table(rows),
                    **overall,
                },
            )
        ],
    )
