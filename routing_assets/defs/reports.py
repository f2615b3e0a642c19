"""The daily report: one page for people, the same as JSON for programs."""

from datetime import UTC, date, datetime, time, timedelta

import dagster as dg
from pydantic import Field

from routing_assets.daily_report import as_markdown, day_report, write_report
from routing_assets.defs.common import OWNERS
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.jobs import report_day


class ReportConfig(dg.Config):
    """Which day."""

    day: str | None = Field(default=None, description="YYYY-MM-DD (UTC); null: yesterday.")


@dg.asset(
    group_name="reports",
    owners=OWNERS,
    kinds={"markdown"},
    deps=["batch_export", "batch_outcomes", "calibration_drift", "router_release"],
    code_version="1",
)
def daily_report(context: dg.AssetExecutionContext, config: ReportConfig, home: RoutingHome) -> dg.MaterializeResult:
    """What was routed and spent on one day, what came of it, what drifted, failed or was refused."""
    day = date.fromisoformat(config.day) if config.day else datetime.now(UTC).date() - timedelta(days=1)
    start = datetime.combine(day, time(), UTC)
    failed = dg.RunsFilter(
        statuses=[dg.DagsterRunStatus.FAILURE], created_after=start, created_before=start + timedelta(days=1)
    )
    report = day_report(home.paths(), day, {run.run_id: run.job_name for run in context.instance.get_runs(failed)})
    page, data = write_report(home.paths(), day, report)
    return dg.MaterializeResult(
        metadata={
            "report": dg.MetadataValue.md(as_markdown(day, report)),
            "page": dg.MetadataValue.path(str(page)),
            "json": dg.MetadataValue.path(str(data)),
            **{f"{name}_rows": len(rows) for name, rows in report.items()},
        }
    )


@dg.schedule(job=report_day, cron_schedule="15 0 * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def daily_report_schedule() -> dg.RunRequest:
    """Reports on the day that ended, a quarter of an hour after midnight (UTC)."""
    return dg.RunRequest()
