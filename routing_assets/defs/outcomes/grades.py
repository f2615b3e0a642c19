"""Stage 7: whether the answers that came back are right."""

from typing import Any

import dagster as dg
import pyarrow as pa
from pydantic import Field

from routing_assets.batches.grades import BatchGrades, grade_batch, grading_request, ungraded
from routing_assets.defs.common import (
    ARROW_TABLE,
    OWNERS,
    batches,
    data_version,
    failure,
    markdown_table,
    shown_figures,
)
from routing_assets.defs.home import RoutingHome
from routing_assets.foundation.errors import InvalidInput
from routing_assets.routers.catalog_in_force import catalog_in_force

GROUP = "outcomes"
MOST_SHOWN = 20
ALL_GRADED = dg.AssetCheckSpec(
    "every_answer_is_graded",
    asset="grades",
    partitions_def=batches,
    description="No answer is without a grade, such as for want of a reference.",
)


class GradingConfig(dg.Config):
    """How answers are graded."""

    grader: dict[str, Any] | None = Field(
        default=None,
        description="The grader of this batch, from now on, as in the policy file, such as {exact: {}}. Without it, "
        "the one that was chosen for the batch before, or that of the policy file.",
    )


@dg.asset(
    group_name=GROUP,
    owners=OWNERS,
    kinds={"parquet"},
    partitions_def=batches,
    check_specs=[ALL_GRADED],
    dagster_type=ARROW_TABLE,
    code_version="1",
)
def grades(
    context: dg.AssetExecutionContext, config: GradingConfig, home: RoutingHome, answers: pa.Table
) -> dg.MaterializeResult:
    """The grade of every answer and the reason for it, by the grader of the batch or of the policy file. Without a
    grader the table is empty. What could not be graded has no grade, and counts neither as right nor as wrong.
    """
    paths, batch_id = home.paths(), context.partition_key
    try:
        request = grading_request(paths.warehouse, paths.folders, paths.policy_file, batch_id, config.grader)
        graded = grade_batch(
            paths.warehouse,
            paths.store,
            paths.folders,
            batch_id,
            answers,
            request,
            run_id=context.run_id,
            catalog=catalog_in_force(paths.store),
        )
    except InvalidInput as error:
        raise failure(error) from error
    missing = ungraded(graded.table)
    for reason, count in list(missing.items())[:MOST_SHOWN]:
        context.log.warning(f"{count} answers are not graded: {reason}")
    rows = [{"answers": count, "reason": reason} for reason, count in missing.items()]
    return dg.MaterializeResult(
        value=graded.table,
        data_version=data_version(graded.table),
        metadata=figures_of(graded),
        check_results=[
            dg.AssetCheckResult(
                check_name=ALL_GRADED.name,
                passed=not missing,
                severity=dg.AssetCheckSeverity.WARN,
                metadata={"ungraded": markdown_table(rows[:MOST_SHOWN])},
            )
        ],
    )


def figures_of(graded: BatchGrades) -> dict[str, Any]:
    """The grader, how many it graded, and how far people agree with it."""
    if graded.grader is None:
        return {"grader": "none"}
    table, compared = graded.table, graded.agreement
    agreed: dict[str, Any] = {}
    if compared is not None:
        agreed = {"compared_with_people": compared.answers, "agreement": compared.accuracy}
        if compared.kappa is not None:
            agreed |= {
                "kappa": compared.kappa,
                "kappa_lower": compared.kappa_lower,
                "kappa_upper": compared.kappa_upper,
            }
    judged: dict[str, Any] = {}
    if graded.judging is not None:
        orders = graded.judging.orders
        judged = {
            "judge_spent_usd": float(graded.judging.spent),
            "to_judge": len(graded.judging.to_ask),
            "to_judge_usd": float(graded.judging.asked_usd),
            "not_judged_for_want_of_money": graded.judging.withheld,
        }
        if orders.compared:
            judged |= {"judged_in_both_orders": orders.compared, "orders_differ": orders.differ / orders.compared}
    values = [value for value in table["success"].to_pylist() if value is not None]
    mean = {"mean_grade": sum(values) / len(values)} if values else {}
    return shown_figures(
        {
            "grader": graded.grader.name,
            "grader_version": graded.grader.version,
            "graded": len(values),
            "ungraded": table.num_rows - len(values),
            **mean,
            **judged,
            **agreed,
        }
    )
