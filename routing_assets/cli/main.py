"""The command line: each command starts a Dagster job and prints what it made."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any

import click

from routing_assets.cli.interrupts import exits_when_stopped
from routing_assets.cli.label_options import (
    ENCODING,
    FORMAT,
    OF_OUTCOMES,
    column_options,
    few_label_options,
    label_options,
    layout_options,
)
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.packaged import beside_package
from routing_assets.home import Home


class PolicyName(click.ParamType):
    """A name in the table of policies, which loads only where one is given or help is asked for."""

    name = "policy"

    def get_metavar(self, param: click.Parameter, ctx: click.Context) -> str:
        from routing_assets.allocation import POLICIES

        return f"[{'|'.join(POLICIES)}]"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from routing_assets.allocation import POLICIES

        if value not in POLICIES:
            self.fail(f"{value!r} is not one of {', '.join(POLICIES)}.", param, ctx)
        return str(value)


COUNT = click.IntRange(min=1)
SEED = click.IntRange(min=0, max=2**32 - 1)  # of NumPy and scikit-learn
GRADER = "How answers to the batch are graded: a name, such as exact, or YAML, such as '{number: 0.01}'."
METHOD = click.Choice(["auto", "frozen", "upper_layers", "finetune"])


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="routing_assets")
def main() -> None:
    """Route batches of instructions to LLMs under a hard budget, never exceeded in estimated cost.

    Everything is kept under ROUTING_HOME (default: ./.routing).
    """


CONFIRM_PRICES = click.option(
    "--confirm-prices", is_flag=True, help="Accept prices and costs even if they look like another unit."
)


CATALOG_MODELS = click.option(
    "--models",
    "catalog_models",
    multiple=True,
    metavar="A,B",
    help="Models to take from the catalog, as NAME or NAME=LISTED. A published price list needs them.",
)
CATALOG = (
    "Model catalog (YAML), or LiteLLM's or OpenRouter's price list (JSON). Without it, costs come from the label table."
)


def says_what_is_wrong(command: Callable[..., None]) -> Callable[..., None]:
    """Print an error that has a remedy in one line and exit with 2; exit with 130 or 143 after a signal."""

    @wraps(command)
    def wrapped(*args: Any, **kwargs: Any) -> None:
        from sqlalchemy.exc import OperationalError

        from routing_assets.cli.run_job import RunFailed

        try:
            with exits_when_stopped():
                command(*args, **kwargs)
        except (InvalidInput, RunFailed, OSError) as error:
            click.secho(f"error: {error}", fg="red", err=True)
            sys.exit(2)
        except OperationalError as error:
            click.secho(f"error: a database of {Home.from_env().root}: {error.orig}", fg="red", err=True)
            sys.exit(2)

    return wrapped


def batch_argument(*, required: bool = True) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """The argument BATCH_ID, for commands on a batch that is already known. It may also be the batch's file name."""

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def wrapped(batch_id: str | None, **others: Any) -> None:
            from routing_assets.batches.known import known_batch

            if batch_id is not None:
                home = Home.from_env().create()
                home.warehouse.create()
                batch_id = known_batch(home.warehouse, batch_id)
            command(batch_id=batch_id, **others)

        return click.argument("batch_id", required=required)(wrapped)

    return decorate


@main.command()
@click.option("--size", type=COUNT, default=2500, show_default=True, help="Simulated instructions to learn from.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@says_what_is_wrong
def demo(size: int, seed: int) -> None:
    """The whole system on simulated data: labels, router, a routed batch, budget curves."""
    from routing_assets.cli.demo import run_demo

    run_demo(Home.from_env(), size=size, seed=seed)


@main.command()
@click.option("--labels", required=True, help="Label table, dataset folder, or simulated:<twin>.")
@click.option("--catalog", help=CATALOG)
@CATALOG_MODELS
@click.option("--format", "format_", type=FORMAT, default="auto", show_default=True, help="Format of the labels.")
@label_options
@click.option("--method", type=METHOD, default="auto", show_default=True, help="Which part of the encoder is trained.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="Precision of scoring; bf16 is refused where it changes decisions on held-out instructions.",
)
@click.option("--second-look", is_flag=True, help="Also learn what answers tell, from a benchmark's own files.")
@click.option("--check-auc", type=float, help="Quality of a check of the answers of a simulated twin, as 0.9.")
@click.option("--force", is_flag=True, help="Put it in force whatever the comparison says.")
@CONFIRM_PRICES
@says_what_is_wrong
def train(labels: str, catalog: str | None, format_: str, **options: Any) -> None:
    """Train and calibrate a router.

    It is put in force if its predictions beat each model's success rate on at least 30 unrelated held-out instructions,
    and, for the models of the router in force, that router as well (one that knows more models must not be worse on the
    others). A router trained on simulated labels never replaces one trained on real labels. A router that is not put in
    force is kept but routes nothing; --force overrides this. If no router was in force, batches are routed by each
    model's success rate alone. Training also uses the judged outcomes of routed batches.
    """
    from routing_assets.cli import routers as router_commands

    router_commands.train(Home.from_env(), labels, catalog, format_, **options)


@main.command("add-model")
@click.argument("models", nargs=-1, required=True)
@click.option("--labels", required=True, help="Label table with the success of MODELS on 20 or more instructions.")
@click.option("--catalog", help="Model catalog or price list with MODELS too. Without it, costs come from the labels.")
@CATALOG_MODELS
@few_label_options
@click.option("--force", is_flag=True, help="Put it in force whatever the comparison says.")
@CONFIRM_PRICES
@says_what_is_wrong
def add_model(models: tuple[str, ...], labels: str, catalog: str | None, **options: Any) -> None:
    """Add MODELS to the router in force from 20 to 500 labels each, without training.

    Only their columns of the label table are read. Instructions may be among those labelled before or new; those that
    the router in force is tested on are held back and test its successor. The labels are kept: train learns from them
    as well, as long as the catalog names the model. With more labels, run it again. It is put in force if its
    predictions of labels that they did not learn from, at least 30, beat the model's success rate.
    """
    from routing_assets.cli import routers as router_commands

    router_commands.add_models(Home.from_env(), models, labels, catalog, **options)


@main.command()
@says_what_is_wrong
def recalibrate() -> None:
    """Recalibrate the router in force by outcomes, without training; it takes over if it beats the present one."""
    from routing_assets.cli import routers as router_commands

    router_commands.recalibrate(Home.from_env())


@main.command()
@says_what_is_wrong
def routers() -> None:
    """List routers: where each came from, which is in force and since when, and how good they are."""
    from routing_assets.cli import routers as router_commands

    router_commands.routers(Home.from_env())


@main.command()
@click.argument("version", required=False)
@says_what_is_wrong
def rollback(version: str | None) -> None:
    """Put the previous router, or VERSION, in force. Nothing is deleted; open batches are routed again by it."""
    from routing_assets.cli import routers as router_commands

    router_commands.rollback(Home.from_env(), version)


@main.command()
@click.argument("batch", type=click.Path(exists=True, path_type=Path))
@click.option("--policy", type=PolicyName(), help="Default: the standing policy (mip).")
@click.option("--budget", type=float, help="Hard budget for the batch in USD of estimated cost.")
@click.option(
    "--budget-fraction",
    type=float,
    help="Budget as a fraction of the cost of sending everything to the most expensive model.",
)
@click.option("--urgent", is_flag=True, default=None, help="The batch may use the month's reserve.")
@click.option(
    "--confidence", type=float, help="Probability that the true spend, not only the estimate, stays within the budget."
)
@click.option("--target", type=float, help="Success probability that the threshold policy requires.")
@click.option("--strict", is_flag=True, default=None, help="Refuse the file if a record of it cannot be routed.")
@layout_options
@ENCODING
@click.option("--grader", help=GRADER)
@click.option("--batch-id", help="Name of the batch; default: from the file name.")
@click.option(
    "--duplicate", is_flag=True, help="Route and pay for it again, although another batch has the same bytes."
)
@click.option(
    "--output", type=click.Path(dir_okay=False, path_type=Path), help="Also write here: .parquet, .csv, .jsonl."
)
@says_what_is_wrong
def route(batch: Path, batch_id: str | None, output: Path | None, **options: Any) -> None:
    """Route the instructions of BATCH: exactly one model each, within the budget in estimated cost.

    BATCH is a table, a file of requests in any provider's form, or a folder of part files of these.

    Records that cannot be routed are set aside: they and the reasons are in set_aside.jsonl beside the routed batch.
    """
    from routing_assets.cli import batches as batch_commands

    of_file = {name: options.pop(name) for name in ("duplicate", "encoding", "grader")}
    given = {"budget_usd" if name == "budget" else name: v for name, v in options.items() if v is not None}
    batch_commands.route(Home.from_env(), batch, given, batch_id=batch_id, output=output, **of_file)


@main.command()
@says_what_is_wrong
def reroute() -> None:
    """Route every batch that waits or is out of date now, in one process, instead of by the schedule's runs."""
    from routing_assets.cli import batches as batch_commands

    if not batch_commands.reroute(Home.from_env()):
        sys.exit(1)


@main.command()
@says_what_is_wrong
@batch_argument()
@click.argument("instruction_id")
def explain(batch_id: str, instruction_id: str) -> None:
    """Everything behind one assignment: file, router, prices, policy, certificate, run."""
    from routing_assets.cli import audit as audit_commands

    audit_commands.explain(Home.from_env(), batch_id, instruction_id)


@main.command()
@says_what_is_wrong
@batch_argument()
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@column_options(OF_OUTCOMES)
@ENCODING
def outcomes(batch_id: str, file: Path, encoding: str | None, columns: dict[str, str]) -> None:
    """Record the outcomes of BATCH_ID: FILE is a table of instruction_id, model, success, cost.

    Outcomes freeze the batch, as dispatch does: it is never routed again.
    """
    from routing_assets.cli import batches as batch_commands

    batch_commands.outcomes(Home.from_env(), batch_id, file, encoding, columns)


@main.command(name="second-round")
@says_what_is_wrong
@batch_argument()
def second_round(batch_id: str) -> None:
    """Look at the answers to BATCH_ID that came: keep each, or ask another model, within the same budget.

    For a batch that was routed with second_look. In the background, a sensor does it once all answers came or their
    time is up. A batch has two rounds at most.
    """
    from routing_assets.cli import second_round as second_round_commands

    second_round_commands.decide(Home.from_env(), batch_id)


@main.command()
@says_what_is_wrong
@batch_argument()
@click.argument("files", nargs=-1, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--grader", help=GRADER)
@column_options(OF_OUTCOMES)
@ENCODING
def answers(batch_id: str, files: tuple[Path, ...], **options: Any) -> None:
    """Take in the answers to BATCH_ID from FILES of its providers, grade them, and price them.

    Without FILES, those that came before are graded again. Failed calls are written out to be sent again.
    """
    from routing_assets.cli import batches as batch_commands

    batch_commands.answers(Home.from_env(), batch_id, files, **options)


@main.command()
@says_what_is_wrong
@batch_argument(required=False)
@click.option("--run", "run_id", help="Dagster run of the decision to replay; default: the one in force.")
def audit(batch_id: str | None, run_id: str | None) -> None:
    """Check the ledgers' chains, rows, anchors and files; with BATCH_ID, also repeat its decision, byte for byte.

    This proves the order of entries, and that none is missing up to the newest anchor or was changed since. It does not
    prove that entries were true when written. Somebody who can rewrite the database and every anchor is not detected.
    """
    from routing_assets.cli import audit as audit_commands

    if not audit_commands.audit(Home.from_env(), batch_id, run_id):
        sys.exit(1)


@main.command()
@click.argument("day", type=click.DateTime(["%Y-%m-%d"]), default=lambda: datetime.now(UTC).strftime("%Y-%m-%d"))
@says_what_is_wrong
def report(day: datetime) -> None:
    """Print one DAY (YYYY-MM-DD, UTC; default: today so far): routed, spent, realised, drift, failures, refusals."""
    from routing_assets.cli import batches as batch_commands

    batch_commands.report(Home.from_env(), f"{day:%Y-%m-%d}")


@main.command()
@click.argument("catalog")
@CATALOG_MODELS
@CONFIRM_PRICES
@click.option("--force", is_flag=True, help="Put simulated prices in force in place of real ones.")
@says_what_is_wrong
def prices(catalog: str, **options: Any) -> None:
    """Put a new model CATALOG in force, without training anything again.

    It may also be a published price list: LiteLLM's model_prices_and_context_window.json or OpenRouter's /models.
    """
    from routing_assets.cli import prices as price_commands

    price_commands.update_prices(Home.from_env(), catalog, **options)


@main.command()
@says_what_is_wrong
@batch_argument()
def dispatch(batch_id: str) -> None:
    """Mark BATCH_ID as handed to the LLM runners: it is never routed again."""
    from routing_assets.cli import batches as batch_commands

    batch_commands.dispatch(Home.from_env(), batch_id)


@main.command()
@says_what_is_wrong
@batch_argument(required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def submissions(batch_id: str | None, as_json: bool) -> None:
    """List what was sent to providers, for all batches or for BATCH_ID, and what became of it.

    Nothing is sent unless the policy file has submit.
    """
    from routing_assets.cli import submissions as submission_commands

    submission_commands.submissions(Home.from_env(), batch_id, as_json=as_json)


@main.command()
@says_what_is_wrong
@batch_argument()
def withdraw(batch_id: str) -> None:
    """Take BATCH_ID back before it is dispatched: it is never routed again, and money held for it is free.

    Its name cannot be used again. Only to replace its file or its settings, do not withdraw it: send or route it again
    under the same name.
    """
    from routing_assets.cli import batches as batch_commands

    batch_commands.withdraw(Home.from_env(), batch_id)


@main.command()
@click.option("--before", type=click.DateTime(["%Y-%m-%d"]), help="Day (UTC); default: by the policy's retention_days.")
@click.option("--dry-run", is_flag=True, help="Only list what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@says_what_is_wrong
def retire(before: datetime | None, dry_run: bool, yes: bool) -> None:
    """Delete data, texts and partitions of batches dispatched or withdrawn before a day, once that is confirmed.

    Ledger and open batches stay. So do judged texts as labels, where the policy says keep_outcomes_as_labels: true.
    """
    from routing_assets.cli import batches as batch_commands

    batch_commands.retire(Home.from_env(), before, dry_run=dry_run, yes=yes)


@main.command()
@click.option("--labels", required=True, help="Label table, dataset folder, or simulated:<twin>.")
@click.option("--catalog", help=CATALOG)
@CATALOG_MODELS
@click.option("--format", "format_", type=FORMAT, default="auto", show_default=True, help="Format of the labels.")
@label_options
@click.option("--method", type=METHOD, default="auto", show_default=True, help="Which part of the encoder is trained.")
@click.option("--second-look", is_flag=True, help="Also a second call after a look at the answer, by its signals.")
@click.option("--check-auc", type=float, help="Quality of a check of the answers of a simulated twin, as 0.9.")
@click.option("--seeds", type=COUNT, default=5, show_default=True, help="Number of random splits.")
@click.option("--size", type=COUNT, help="Instructions of a simulated twin.")
@click.option("--output", required=True, type=click.Path(file_okay=False, path_type=Path))
@CONFIRM_PRICES
@says_what_is_wrong
def evaluate(labels: str, catalog: str | None, format_: str, **options: Any) -> None:
    """Success against budget for every policy and control: curves.parquet, summary.json, curves.png."""
    from routing_assets.cli import routers as router_commands

    router_commands.evaluate(Home.from_env(), labels, catalog, format_, **options)


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True)
def ui(port: int) -> None:
    """Dagster's UI with sensors and schedules, on loopback."""
    from routing_assets.routers.release_ledger import finish_release

    home = Home.from_env().create()
    home.warehouse.create()
    finish_release(home.releases)
    os.environ |= {"ROUTING_HOME": str(home.root), "DAGSTER_HOME": str(home.dagster)}
    workspace = ["--workspace", str(beside_package("workspace.yaml"))]
    address = ["--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-W", "ignore", "-m", "dagster", "dev", *workspace, *address]
    os.execv(command[0], command)  # noqa: S606 - replaces this process


if __name__ == "__main__":
    main()
