"""Once a day, old batches give up their data and partition, where the policy file has ``retention_days``."""

import dagster as dg

from routing_assets.defs.home import RoutingHome
from routing_assets.defs.jobs import tags
from routing_assets.retention import retire_batches, retirement_day
from routing_assets.retired_texts import forget_retired_labels


@dg.op
def retire_old_batches(context: dg.OpExecutionContext, home: RoutingHome) -> None:
    """Deletes what batches left that ended more than ``retention_days`` ago, texts and labels; the ledger stays."""
    before = retirement_day(home.paths())
    if before is None:
        context.log.info("the policy has no retention_days: everything is kept")
    else:
        context.log.info(f"retired: {retire_batches(home.paths(), context.instance, before) or 'nothing'}")
        context.log.info(forget_retired_labels(home.paths(), context.instance))


@dg.job(tags=tags(priority=-1, minutes=60), executor_def=dg.in_process_executor)
def retirement() -> None:
    """Old batches give up their data, not their entries in the ledger."""
    retire_old_batches()


@dg.schedule(job=retirement, cron_schedule="30 3 * * *", default_status=dg.DefaultScheduleStatus.RUNNING)
def daily_retirement(home: RoutingHome) -> dg.RunRequest | dg.SkipReason:
    """Retires old batches every night, where the policy says how old."""
    if retirement_day(home.paths()) is None:
        return dg.SkipReason("the policy has no retention_days: everything is kept")
    return dg.RunRequest()
