"""The daily report: one page for people, the same as JSON for programs."""

from datetime import UTC, date, datetime, time, timedelta

import dagster as dg
from pydantic import Field

from routing_assets.audit.daily_report import as_markdown, day_report, write_report
from routing_assets.dagster_instance.runs import failure_reason
from routing_assets.defs.common import OWNERS
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.upkeep.jobs import report_day


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
    """One day's routed batches, spend, outcomes, drift, failures and refusals."""
    paths = home.paths()
    day = date.fromisoformat(config.day) if config.day else datetime.now(UTC).date() - timedelta(days=1)
    report = day_report(paths.warehouse, paths.folders, paths.policy_file, day, failed_runs(context.instance, day))
    page, data = write_report(paths.reports, day, report)
    return dg.MaterializeResult(
        metadata={
            "report": dg.MetadataValue.md(as_markdown(day, report)),
            "page": dg.MetadataValue.path(str(page)),
            "json": dg.MetadataValue.path(str(data)),
            **{f"{name}_rows": len(rows) for name, rows in report.items()},
        }
    )


def failed_runs(instance: dg.DagsterInstance, day: date) -> list[dict[str, str | None]]:
    """Run, job, batch and reason of every run that ended in failure on that day (UTC), whenever it began."""
    start = datetime.combine(day, time(), UTC)
    records = instance.get_run_records(dg.RunsFilter(statuses=[dg.DagsterRunStatus.FAILURE], updated_after=start))
    return [
        {
            "run": record.dagster_run.run_id[:8],
            "job": record.dagster_run.job_name,
            "batch": record.dagster_run.tags.get("dagster/partition"),
            "reason": failure_reason(instance, record.dagster_run.run_id),
        }
        for record in records
        if start <= _ended(record) < start + timedelta(days=1)
    ]


def _ended(record: dg.RunRecord) -> datetime:
    return datetime.fromtimestamp(record.end_time or record.create_timestamp.timestamp(), UTC)


@dg.schedule(
    job=report_day,
    cron_schedule="15 0 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Reports on the day that ended, a quarter of an hour after midnight (UTC).",
)
def daily_report_schedule() -> dg.RunRequest:
    return dg.RunRequest()
