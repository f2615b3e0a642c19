"""Commands on labels: plan them, collect them, and see what more of them would buy."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import click
import numpy as np
import pyarrow.parquet as pq

from routing_assets.batches.grades import ungraded
from routing_assets.batches.label_answers import collect_labels
from routing_assets.batches.label_plan import plan_labels, write_plan
from routing_assets.batches.outbox import JUDGE
from routing_assets.batches.policy import read_policy
from routing_assets.batches.submissions.desk import Desk
from routing_assets.batches.submissions.label_files import ANSWERS, send_labels
from routing_assets.batches.submissions.overview import overview
from routing_assets.cli.batches import MOST_REASONS, grader_of
from routing_assets.cli.tables import text_table
from routing_assets.datasets import LabelledInstructions, load_labels
from routing_assets.datasets.appending import merge_labels
from routing_assets.datasets.file_layout import FileLayout, refuse_divided_texts
from routing_assets.datasets.portions import load_batch
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.files import atomic_path
from routing_assets.home import Home
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.catalog_table import read_catalog
from routing_assets.routers.catalog_in_force import catalog_in_force
from routing_assets.routers.label_sources import read_labels

LOOK_EVERY_S = 60.0
"""At the providers' jobs, while labels are waited for."""


def plan(
    instructions: Path,
    catalog: str | None,
    budget: float,
    output: Path,
    *,
    catalog_models: Sequence[str],
    labelled: Sequence[Path],
    output_tokens: int,
    layout: FileLayout,
    seed: int,
) -> None:
    """Choose what to have answered, write the requests, and print what goes to each model."""
    given, layout = layout, layout.fitting(instructions)
    batch = load_batch(instructions, layout=layout)
    refuse_divided_texts(batch.ignored_columns, instructions, given)
    made = plan_labels(
        batch,
        catalog_of(catalog, catalog_models),
        Fraction(budget),
        labelled=[pair for path in labelled for pair in _labelled_pairs(load_labels(path, allow_missing=True))],
        output_tokens=output_tokens,
        seed=seed,
    )
    manifest = write_plan(made, instructions, output, layout)
    files = [file for file in manifest.files if file.model]
    click.echo(
        text_table(
            [
                {
                    "model": model,
                    "requests": sum(file.rows or 0 for file in manifest.of(model)),
                    "USD": sum(file.cost_usd or 0.0 for file in manifest.of(model)),
                }
                for model in dict.fromkeys(file.model for file in files if file.model)
            ]
        )
    )
    chosen = int(made.chosen.any(axis=1).sum())
    click.echo(
        f"{chosen} of {len(made.instructions)} instructions for {float(made.usd):.6g} of {budget:g} USD, estimated "
        f"with {output_tokens} tokens an answer"
    )
    click.echo(f"{len(files)} request files in {output}")


def catalog_of(source: str | None, models: Sequence[str]) -> ModelCatalog:
    """The named models of the catalog at ``source``; without one, of the catalog in force."""
    prices = read_catalog(source, models) if source else catalog_in_force(Home.from_env().store)
    if prices is None:
        raise InvalidInput("the prices of the models are unknown", remedy="Give a catalog: --catalog prices.yaml.")
    return prices if source or not models else prices.select(name for of in models for name in of.split(","))


def send(folder: Path, *, wait: bool) -> None:
    """Send the request files in a folder, fetch the answers that are there, and print where each file stands."""
    home = Home.from_env().create()
    home.warehouse.create()
    settings = read_policy(home.policy_file).submit
    if settings is None:
        raise InvalidInput(
            "nothing is sent to providers",
            source=str(home.policy_file),
            remedy="Add submit to the policy, such as submit: {providers: [openai], most_usd: 20}",
        )
    desk = Desk(home.warehouse, home.store, home.folders, settings, "labels send")
    found, remarks = send_labels(desk, folder)
    while wait and any(of.is_open for of in found):
        time.sleep(LOOK_EVERY_S)
        found, remarks = send_labels(desk, folder)
    click.echo(text_table(overview(found)) or "no file here is for a provider that the policy sends to")
    for remark in remarks:
        click.echo(f"warning: {remark}", err=True)
    if found and not any(of.is_open for of in found):
        click.echo(f"the answers are in {folder / ANSWERS}")


def collect(
    folder: Path, files: Sequence[Path], grader: str, output: Path, *, append_to: Path | None, catalog: str | None
) -> None:
    """Grade the answers to a plan, write the label table, and print what came of it."""
    found = collect_labels(folder, files, grader_of(grader), judge_catalog=read_catalog(catalog))
    if found.labels is not None:
        labels = found.labels
        if append_to is not None:
            labels = merge_labels(load_labels(append_to, allow_missing=True), labels)
        with atomic_path(output) as temporary:
            pq.write_table(labels.to_arrow(), temporary)
        click.echo(text_table(_of_models(labels)))
    click.echo(
        f"{found.answered} of {found.requests} requests are answered for {float(found.spent):.6g} USD"
        + (f", {found.failed} calls failed" if found.failed else "")
    )
    if found.strays:
        click.echo(f"warning: {found.strays} answers belong to no request of this plan", err=True)
    for reason, count in list(ungraded(found.grades).items())[:MOST_REASONS]:
        click.echo(f"warning: {count} answers are not graded: {reason}", err=True)
    if found.judging and found.judging.to_ask:
        click.echo(f"to be judged: {len(found.judging.to_ask)} requests in {folder / JUDGE}")
    click.echo(f"labels of {len(labels)} instructions are in {output}" if found.labels else "no label yet")


def curve(source: str, catalog: str | None, *, more: float, as_json: bool, seeds: int) -> None:
    """Print the learning curve of a label table."""
    from routing_assets.evaluation.label_curve import LITTLE, label_curve

    found = label_curve(
        read_labels(source, allow_missing=True),
        read_catalog(catalog),
        more_usd=more,
        seeds=range(seeds),
        progress=not as_json,
    )
    if as_json:
        click.echo(json.dumps(found.to_dict()))
        return
    click.echo(text_table(list(found.points)))
    for gain in filter(None, (found.more, found.doubled)):
        click.echo(
            f"another {gain.usd:.3g} USD ({gain.instructions} instructions) would buy about {100 * gain.gain:+.1f} "
            f"points of success at 50 % budget ({100 * gain.lower:.1f} to {100 * gain.upper:.1f})"
        )
    upper = 100 * found.doubled.upper
    click.echo(
        f"more labels gain little: twice as many would add less than {100 * LITTLE:g} point"
        if found.little
        else f"more labels may pay: twice as many could add {upper:.1f} points"
    )


def _labelled_pairs(labels: LabelledInstructions) -> Iterator[tuple[str, str]]:
    """Text and model of each label."""
    for row, model in np.argwhere(np.isfinite(labels.success)).tolist():
        yield labels.instruction[row], labels.models[model]


def _of_models(labels: LabelledInstructions) -> list[dict[str, object]]:
    """Labels and success rate of each model."""
    return [
        {"model": model, "labels": int((known := column[column == column]).size), "success": float(known.mean())}
        for model, column in zip(labels.models, labels.success.T, strict=True)
    ]
