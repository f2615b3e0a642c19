"""The command line: each command starts a Dagster job and prints what it made."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from routing_assets.cli.errors import Command, says_what_is_wrong
from routing_assets.cli.label_options import (
    ENCODING,
    FORMAT,
    OF_OUTCOMES,
    column_options,
    few_label_options,
    label_options,
    layout_options,
)
from routing_assets.cli.output import with_json
from routing_assets.foundation.packaged import beside_package

if TYPE_CHECKING:
    from routing_assets.home import Home


def home() -> Home:
    """The installation that ROUTING_HOME names. It loads only once a command runs, not for help."""
    from routing_assets.home import Home

    return Home.from_env()


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


def batch_argument(*, required: bool = True) -> Callable[[Command], Command]:
    """The argument BATCH_ID, for commands on a batch that is already known. It may also be the batch's file name."""

    def decorate(command: Command) -> Command:
        @wraps(command)
        def wrapped(batch_id: str | None, **others: Any) -> bool | None:
            from routing_assets.batches.known import known_batch

            if batch_id is not None:
                batch_id = known_batch(home().ready().warehouse, batch_id)
            return command(batch_id=batch_id, **others)

        return click.argument("batch_id", required=required)(wrapped)

    return decorate


@main.command()
@click.option("--size", type=COUNT, default=2500, show_default=True, help="Simulated instructions to learn from.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@says_what_is_wrong
@with_json
def demo(size: int, seed: int) -> None:
    """The whole system on simulated data: labels, router, a routed batch, budget curves."""
    from routing_assets.cli.demo import run_demo

    run_demo(home(), size=size, seed=seed)


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
@with_json
def train(labels: str, catalog: str | None, format_: str, **options: Any) -> None:
    """Train and calibrate a router.

    It is put in force if its predictions beat each model's success rate on at least 30 unrelated held-out instructions,
    and, for the models of the router in force, that router as well (one that knows more models must not be worse on the
    others). A router trained on simulated labels never replaces one trained on real labels. A router that is not put in
    force is kept but routes nothing; --force overrides this. If no router was in force, batches are routed by each
    model's success rate alone. Training also uses the judged outcomes of routed batches.
    """
    from routing_assets.cli import routers as router_commands

    router_commands.train(home(), labels, catalog, format_, **options)


@main.command("add-model")
@click.argument("models", nargs=-1, required=True)
@click.option("--labels", required=True, help="Label table with the success of MODELS on 20 or more instructions.")
@click.option("--catalog", help="Model catalog or price list with MODELS too. Without it, costs come from the labels.")
@CATALOG_MODELS
@few_label_options
@click.option("--force", is_flag=True, help="Put it in force whatever the comparison says.")
@CONFIRM_PRICES
@says_what_is_wrong
@with_json
def add_model(models: tuple[str, ...], labels: str, catalog: str | None, **options: Any) -> None:
    """Add MODELS to the router in force from 20 to 500 labels each, without training.

    Only their columns of the label table are read. Instructions may be among those labelled before or new; those that
    the router in force is tested on are held back and test its successor. The labels are kept: train learns from them
    as well, as long as the catalog names the model. With more labels, run it again. It is put in force if its
    predictions of labels that they did not learn from, at least 30, beat the model's success rate.
    """
    from routing_assets.cli import routers as router_commands

    router_commands.add_models(home(), models, labels, catalog, **options)


@main.command()
@says_what_is_wrong
@with_json
def recalibrate() -> None:
    """Recalibrate the router in force by outcomes, without training; it takes over if it beats the present one."""
    from routing_assets.cli import routers as router_commands

    router_commands.recalibrate(home())


@main.command()
@says_what_is_wrong
@with_json
def routers() -> None:
    """List routers: where each came from, which is in force and since when, and how good they are."""
    from routing_assets.cli import listing

    listing.routers(home().ready())


@main.command()
@says_what_is_wrong
@with_json
def batches() -> None:
    """List batches, the newest first: where each stands, and what was decided on it."""
    from routing_assets.cli import listing

    listing.batches(home().ready())


@main.command()
@click.argument("version", required=False)
@says_what_is_wrong
def rollback(version: str | None) -> None:
    """Put the previous router, or VERSION, in force. Nothing is deleted; open batches are routed again by it."""
    from routing_assets.cli import routers as router_commands

    router_commands.rollback(home(), version)


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
@click.option("--dry-run", is_flag=True, help="Only print what it would cost and buy, at this and other budgets.")
@says_what_is_wrong
@with_json
def route(batch: Path, batch_id: str | None, output: Path | None, *, dry_run: bool, **options: Any) -> None:
    """Route the instructions of BATCH: exactly one model each, within the budget in estimated cost.

    BATCH is a table, a file of requests in any provider's form, or a folder of part files of these.

    Records that cannot be routed are set aside: they and the reasons are in set_aside.jsonl beside the routed batch.
    """
    from routing_assets.cli import batches as batch_commands

    of_file = {name: options.pop(name) for name in ("duplicate", "encoding", "grader")}
    given = {"budget_usd" if name == "budget" else name: v for name, v in options.items() if v is not None}
    if dry_run:
        from routing_assets.cli.preview import preview

        preview(home().ready(), batch, given, encoding=of_file["encoding"])
        return
    batch_commands.route(home(), batch, given, batch_id=batch_id, output=output, **of_file)


@main.command()
@says_what_is_wrong
def reroute() -> bool:
    """Route every batch that waits or is out of date now, in one process, instead of by the schedule's runs."""
    from routing_assets.cli import batches as batch_commands

    return batch_commands.reroute(home())


@main.command()
@says_what_is_wrong
@with_json
@batch_argument()
@click.argument("instruction_id")
def explain(batch_id: str, instruction_id: str) -> None:
    """Everything behind one assignment: file, router, prices, policy, certificate, run.

    routing-assets batches lists batches; the instruction ids are those of the batch's file.
    """
    from routing_assets.cli import audit as audit_commands

    audit_commands.explain(home(), batch_id, instruction_id)


@main.command()
@says_what_is_wrong
@with_json
@batch_argument()
def page(batch_id: str) -> None:
    """Write the page of BATCH_ID anew, an HTML file for people, and print its path.

    It says what was asked, what it costs and buys, where the instructions went, and what is in doubt.
    """
    from routing_assets.cli import page as page_command

    page_command.page(home(), batch_id)


@main.command()
@says_what_is_wrong
@with_json
@batch_argument()
@click.argument("file", type=click.Path(exists=True, path_type=Path))
@column_options(OF_OUTCOMES)
@ENCODING
def outcomes(batch_id: str, file: Path, encoding: str | None, columns: dict[str, str]) -> None:
    """Record the outcomes of BATCH_ID: FILE is a table of instruction_id, model, success, cost.

    Outcomes freeze the batch, as dispatch does: it is never routed again.
    """
    from routing_assets.cli import batches as batch_commands

    batch_commands.outcomes(home(), batch_id, file, encoding, columns)


@main.command(name="second-round")
@says_what_is_wrong
@with_json
@batch_argument()
def second_round(batch_id: str) -> None:
    """Look at the answers to BATCH_ID that came: keep each, or ask another model, within the same budget.

    For a batch that was routed with second_look. In the background, a sensor does it once all answers came or their
    time is up. A batch has two rounds at most.
    """
    from routing_assets.cli import second_round as second_round_commands

    second_round_commands.decide(home(), batch_id)


@main.command()
@says_what_is_wrong
@with_json
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

    batch_commands.answers(home(), batch_id, files, **options)


@main.command()
@says_what_is_wrong
@with_json
@batch_argument(required=False)
@click.option("--run", "run_id", help="Dagster run of the decision to replay; default: the one in force.")
@click.option("--quick", is_flag=True, help="Do not repeat the decision, nor read the anchors in Dagster's log.")
def audit(batch_id: str | None, run_id: str | None, quick: bool) -> bool:
    """Check the ledgers' chains, rows, anchors and files; with BATCH_ID, also repeat its decision, byte for byte.

    This proves the order of entries, and that none is missing up to the newest anchor or was changed since. It does not
    prove that entries were true when written. Somebody who can rewrite the database and every anchor is not detected.
    """
    from routing_assets.cli import audit as audit_commands

    return audit_commands.audit(home().ready(), batch_id, run_id, quick=quick)


@main.command()
@click.argument("day", type=click.DateTime(["%Y-%m-%d"]), default=lambda: datetime.now(UTC).strftime("%Y-%m-%d"))
@says_what_is_wrong
@with_json
def report(day: datetime) -> None:
    """Print one DAY (YYYY-MM-DD, UTC; default: today so far): routed, spent, realised, drift, failures, refusals."""
    from routing_assets.cli import report as report_command

    report_command.report(home().ready(), day.date())


@main.command()
@says_what_is_wrong
@with_json
def doctor() -> bool:
    """Say what is wrong with ROUTING_HOME, and what to do about it; exits with 1 where something is."""
    from routing_assets.cli import doctor as doctor_command

    return doctor_command.doctor(home())


@main.command("sample-files")
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@says_what_is_wrong
def sample_files(folder: Path) -> None:
    """Write small files of simulated data into FOLDER: labels, catalog and batch, to try the other commands on."""
    from routing_assets.datasets.simulated.sample_files import write_sample_files

    for path in write_sample_files(folder):
        click.echo(path)


@main.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the script with which SHELL completes commands and options.

    For bash: eval "$(routing-assets completion bash)", in ~/.bashrc.
    """
    from click.shell_completion import get_completion_class

    script = get_completion_class(shell)
    if script is not None:
        click.echo(script(main, {}, "routing-assets", "_ROUTING_ASSETS_COMPLETE").source())


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

    price_commands.update_prices(home(), catalog, **options)


@main.command()
@says_what_is_wrong
@batch_argument()
def dispatch(batch_id: str) -> None:
    """Mark BATCH_ID, from routing-assets batches, as handed to the LLM runners: it is never routed again."""
    from routing_assets.cli import ends

    ends.dispatch(home(), batch_id)


@main.command()
@says_what_is_wrong
@batch_argument(required=False)
@click.option("--json", "as_json", is_flag=True, help="As JSON, for programs.")
def submissions(batch_id: str | None, as_json: bool) -> None:
    """List what was sent to providers, for all batches or for BATCH_ID, and what became of it.

    Nothing is sent unless the policy file has submit.
    """
    from routing_assets.cli import submissions as submission_commands

    submission_commands.submissions(home(), batch_id, as_json=as_json)


@main.command()
@says_what_is_wrong
@batch_argument()
def withdraw(batch_id: str) -> None:
    """Take BATCH_ID back before it is dispatched: it is never routed again, and money held for it is free.

    Its name cannot be used again. Only to replace its file or its settings, do not withdraw it: send or route it again
    under the same name.
    """
    from routing_assets.cli import ends

    ends.withdraw(home(), batch_id)


@main.command()
@click.option("--before", type=click.DateTime(["%Y-%m-%d"]), help="Day (UTC); default: by the policy's retention_days.")
@click.option("--dry-run", is_flag=True, help="Only list what would be deleted.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@says_what_is_wrong
@with_json
def retire(before: datetime | None, dry_run: bool, yes: bool) -> None:
    """Delete data, texts and partitions of batches dispatched or withdrawn before a day, once that is confirmed.

    Ledger and open batches stay. So do judged texts as labels, where the policy says keep_outcomes_as_labels: true.
    """
    from routing_assets.cli import batches as batch_commands

    batch_commands.retire(home(), before, dry_run=dry_run, yes=yes)


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
@with_json
def evaluate(labels: str, catalog: str | None, format_: str, **options: Any) -> None:
    """Success against budget for every policy and control: curves.parquet, summary.json, curves.png."""
    from routing_assets.cli import routers as router_commands

    router_commands.evaluate(home(), labels, catalog, format_, **options)


@main.group()
def labels() -> None:
    """From nothing to labels: what to have answered first, a label table from the answers, what more would buy."""


@labels.command("plan")
@click.argument("instructions", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--catalog", help="Model catalog (YAML), or LiteLLM's or OpenRouter's price list (JSON). Default: the one in force."
)
@CATALOG_MODELS
@click.option("--budget", type=float, required=True, help="USD; the sum of the estimated costs never exceeds it.")
@click.option("--output", required=True, type=click.Path(file_okay=False, path_type=Path), help="A new folder.")
@click.option(
    "--labelled",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="Label table whose texts need no more labels (repeatable).",
)
@click.option("--output-tokens", type=COUNT, default=128, show_default=True, help="Tokens of an answer, on average.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the random choice.")
@layout_options
@says_what_is_wrong
def plan_labels(instructions: Path, catalog: str | None, budget: float, output: Path, **options: Any) -> None:
    """Choose which of INSTRUCTIONS to have answered by all models under a budget, and write the request files.

    INSTRUCTIONS is a batch file; a column or field "reference" has the right answers. Nothing is sent. A greater budget
    with the same seed asks for the same answers and more.
    """
    from routing_assets.batches.policy import LAYOUT_SETTINGS, layout_of
    from routing_assets.cli import labels as label_commands

    given = {name: value for name in LAYOUT_SETTINGS if (value := options.pop(name)) is not None}
    label_commands.plan(instructions, catalog, budget, output, layout=layout_of(given), **options)


@labels.command("send")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--wait", is_flag=True, help="Look every minute, until all answers are there.")
@says_what_is_wrong
def send_labels(folder: Path, wait: bool) -> None:
    """Send the request files in FOLDER to their providers, and fetch the answers that are there.

    FOLDER is that of a plan, or its folder "judge". The policy file has to say submit: which providers are sent to, and
    how much a month. Each request is sent once, however often this is repeated.
    """
    from routing_assets.cli import labels as label_commands

    label_commands.send(folder, wait=wait)


@labels.command("collect")
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--grader", required=True, help="How answers are graded: a name, or YAML, such as '{number: 0.01}'.")
@click.option("--output", required=True, type=click.Path(dir_okay=False, path_type=Path), help="A .parquet file.")
@click.option(
    "--append-to", type=click.Path(exists=True, path_type=Path), help="Labels that the output is to have too."
)
@click.option("--catalog", help="Prices of a judge that is not among the models.")
@says_what_is_wrong
def collect_labels(folder: Path, files: tuple[Path, ...], grader: str, output: Path, **options: Any) -> None:
    """Grade the answers to the plan in FOLDER, and write a label table for train --labels.

    FILES are all output files of the providers, or tables of instruction_id, model, answer. Failed calls and answers
    that cannot be graded stay without a label.
    """
    from routing_assets.cli import labels as label_commands

    label_commands.collect(folder, files, grader, output, **options)


@labels.command("curve")
@click.argument("source", metavar="LABELS")
@click.option("--catalog", help=CATALOG)
@click.option("--more", type=float, default=10.0, show_default=True, help="USD for further labels.")
@click.option("--seeds", type=COUNT, default=5, show_default=True, help="Number of random splits.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@says_what_is_wrong
def label_curve(source: str, catalog: str | None, **options: Any) -> None:
    """What more labels would buy, and when to stop: routers trained on a quarter to all of LABELS, extrapolated."""
    from routing_assets.cli import labels as label_commands

    label_commands.curve(source, catalog, **options)


@main.command()
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True)
def ui(port: int) -> None:
    """Dagster's UI with sensors and schedules, on loopback."""
    from routing_assets.routers.release_ledger import finish_release

    here = home().ready()
    finish_release(here.releases)
    os.environ |= {"ROUTING_HOME": str(here.root), "DAGSTER_HOME": str(here.dagster)}
    workspace = ["--workspace", str(beside_package("workspace.yaml"))]
    address = ["--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-W", "ignore", "-m", "dagster", "dev", *workspace, *address]
    os.execv(command[0], command)  # noqa: S606 - replaces this process


if __name__ == "__main__":
    main()
