"""Once a day, the data and partitions of old batches are deleted, if the policy file sets ``retention_days``."""

from datetime import datetime

import dagster as dg

from routing_assets.batches.policy import read_policy
from routing_assets.batches.retention import remove_leftovers, retire_batches, retired_batches, retirement_day
from routing_assets.dagster_instance.partitions import forget_partitions
from routing_assets.defs.common import tags
from routing_assets.defs.home import RoutingHome
from routing_assets.home import Home
from routing_assets.routers.retired_texts import READERS, forget_retired_labels

UNDER_WAY = dg.RunsFilter(
    statuses=[
        dg.DagsterRunStatus.QUEUED,
        dg.DagsterRunStatus.STARTING,
        dg.DagsterRunStatus.STARTED,
        dg.DagsterRunStatus.CANCELING,
    ]
)


def retire_with_partitions(home: Home, instance: dg.DagsterInstance, before: datetime) -> list[str]:
    """Retire every batch that ended before ``before``, and delete its partition; returns the ids."""
    retired = retire_batches(home.warehouse, home.store, home.folders, before)
    shelf, folders = home.shelf, home.folders
    remove_leftovers(home.store.root, folders.outbox, folders.pages, folders.received, shelf.folder, shelf.embeddings)
    forget_partitions(instance, retired_batches(home.warehouse))
    return retired


def forget_labels(home: Home, instance: dg.DagsterInstance) -> str:
    """Remove labels that outcomes of retired batches made, unless a run reads labels; says what was done."""
    reading = [run.run_id for run in instance.get_runs(UNDER_WAY) if run.job_name in READERS]
    keep = read_policy(home.policy_file).keep_outcomes_as_labels
    return forget_retired_labels(
        home.warehouse, home.store, home.shelf, home.registry, reading[0] if reading else None, keep_labels=keep
    )


@dg.op
def retire_old_batches(context: dg.OpExecutionContext, home: RoutingHome) -> None:
    """Deletes the data, texts and labels of batches that ended more than ``retention_days`` ago. The ledger stays."""
    paths = home.paths()
    before = retirement_day(paths.policy_file)
    if before is None:
        context.log.info("the policy has no retention_days: everything is kept")
    else:
        context.log.info(f"retired: {retire_with_partitions(paths, context.instance, before) or 'nothing'}")
        context.log.info(forget_labels(paths, context.instance))


@dg.job(tags=tags(priority=-1, minutes=60), executor_def=dg.in_process_executor)
def retirement() -> None:
    """Deletes the data of old batches, but not their entries in the ledger."""
    retire_old_batches()


@dg.schedule(
    job=retirement,
    cron_schedule="30 3 * * *",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Retires old batches every night, where the policy says how old.",
)
def daily_retirement(home: RoutingHome) -> dg.RunRequest | dg.SkipReason:
    if retirement_day(home.paths().policy_file) is None:
        return dg.SkipReason("the policy has no retention_days: everything is kept")
    return dg.RunRequest()
