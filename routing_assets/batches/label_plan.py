"""Which instructions to have answered first, by which models, so that their answers can be learnt from.

Nothing is known of the instructions but their texts, and those that are chosen at random are as good as any that are
chosen with care. What pays is to ask dear models less than cheap ones: see ``docs/from-nothing.md``.
"""

from __future__ import annotations

import json
import math
from bisect import bisect_right
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from fractions import Fraction
from itertools import accumulate
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from routing_assets.allocation.solver.exact import exact_sum
from routing_assets.batches.handoff import Manifest, hand_off
from routing_assets.batches.outbox import MANIFEST
from routing_assets.batches.policy import RoutingSettings, bars
from routing_assets.batches.request_files import original_requests
from routing_assets.datasets.batch import BatchInstructions
from routing_assets.datasets.file_layout import AS_OURS, FileLayout
from routing_assets.datasets.related import normalise_text, related_rows
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.files import atomic_path
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.catalog_table import catalog_table
from routing_assets.pricing.first_costs import first_costs
from routing_assets.pricing.recorded_costs import ASSUMED_OUTPUT_TOKENS
from routing_assets.providers.lines import with_id

PLAN = "plan.parquet"
"""A row for each request of a plan: its id, instruction and model. In a folder beside the request files."""
CATALOG = "catalog"
"""In the metadata of the plan: the rows of the price list that it was made by."""
NARROWING = 0.5
"""A model gets labels in proportion to its price to the power of minus this: half as many at four times the price. It
is the least variance for the money where labels of all models tell equally much (Neyman's allocation of a sample).
"""
GREATEST_RATIO = 64.0
"""Of prices; greater ones count as this, so that a dear model gets at least an eighth of the labels of a free one.
"""


@dataclass(frozen=True, eq=False)
class LabelPlan:
    """What is to be answered.

    Attributes:
        instructions: all of the file that can be sent.
        catalog: the K models.
        cost: (N, K) estimated USD.
        chosen: (N, K) whether the model is to answer the instruction.
    """

    instructions: BatchInstructions
    catalog: ModelCatalog
    cost: np.ndarray
    chosen: np.ndarray

    @property
    def usd(self) -> Fraction:
        """The sum of the estimated costs, exactly."""
        return exact_sum(self.cost[self.chosen])


def plan_labels(
    batch: BatchInstructions,
    catalog: ModelCatalog,
    budget: Fraction,
    *,
    labelled: Collection[tuple[str, str]] = (),
    output_tokens: float = ASSUMED_OUTPUT_TOKENS,
    seed: int = 0,
) -> LabelPlan:
    """Put the instructions in a random order, and have each model answer as many from the first as the budget pays for.

    So a dear model answers a part of what a cheap one answers. Equal texts are answered once. A greater budget with the
    same seed asks for the same answers and more.

    Args:
        budget: USD; the sum of the estimated costs never exceeds it.
        labelled: text and model of labels that are there already: they are not asked for again, and cost nothing.
        output_tokens: of an answer, as far as its request does not bound it.

    Raises:
        InvalidInput: the budget does not pay for one answer of each model, or all are labelled.
    """
    shuffled = np.random.default_rng(seed).permutation(len(batch))
    text = related_rows(batch.instruction)[shuffled]
    order = shuffled[np.sort(np.unique(text, return_index=True)[1])]
    cost = first_costs(batch, catalog, output_tokens)
    barred = bars(batch, catalog.names, catalog, RoutingSettings()).values()
    wanted = ~np.logical_or.reduce([np.zeros_like(cost, bool), *barred])
    had = {(normalise_text(text), model) for text, model in labelled}
    if had:
        texts = map(normalise_text, batch.instruction)
        wanted &= [[(text, model) not in had for model in catalog.names] for text in texts]
    if not wanted[order].any():
        raise InvalidInput("all instructions are labelled already", remedy="Give a file with others.")
    counts = widths(np.where(wanted, cost, 0.0)[order], cost.mean(axis=0), budget)
    chosen = np.zeros_like(wanted)
    for k, count in enumerate(counts):
        chosen[order[:count], k] = wanted[order[:count], k]
    if not counts.all() or not chosen.any():
        raise InvalidInput(
            f"{float(budget):g} USD do not pay for one more answer of each model",
            remedy="Give a greater budget, fewer models, or a smaller --output-tokens.",
        )
    return LabelPlan(batch, catalog, cost, chosen)


def widths(cost: np.ndarray, mean: np.ndarray, budget: Fraction, narrowing: float = NARROWING) -> np.ndarray:
    """(K,) how many of the N instructions, from the first, each model answers: as many as the budget pays for, in
    proportion to the ``mean`` cost to the power of minus ``narrowing``, and at most all.
    """
    wide = mean.clip(min=max(mean.max() / GREATEST_RATIO, np.finfo(float).tiny)) ** -narrowing
    share = wide / wide.max()
    spent = [list(accumulate(map(Fraction, column), initial=Fraction(0))) for column in cost.T]

    def counts(widest: int) -> np.ndarray:
        return np.minimum(np.floor(widest * share * (1 + 1e-12)), len(cost)).astype(np.int64)

    def usd(widest: int) -> Fraction:
        return sum((of_model[n] for of_model, n in zip(spent, counts(widest), strict=True)), Fraction(0))

    return counts(bisect_right(range(math.ceil(len(cost) / share.min()) + 1), budget, key=usd) - 1)


def write_plan(plan: LabelPlan, path: Path, folder: Path, layout: FileLayout = AS_OURS) -> Manifest:
    """Hand the requests of a plan off into ``folder``, with the plan beside them.

    Args:
        path: the file of its instructions; requests keep their parameters.
        layout: how the file differs from ours.

    Raises:
        InvalidInput: ``folder`` holds a plan.
    """
    if (folder / MANIFEST).exists():
        raise InvalidInput(
            "there is a plan here, whose answers may be paid for", source=str(folder), remedy="Give another --output."
        )
    table = plan_table(plan)
    with atomic_path(folder / PLAN) as temporary:
        pq.write_table(table, temporary)
    lines = original_requests(path, plan.instructions.set_aside, layout)
    return hand_off(
        pa.table({"instruction_id": table["request_id"], "instruction": table["instruction"]}),
        _routed(table, plan.catalog),
        folder,
        batch_id=folder.resolve().name,
        originals=None if lines is None else _requests(plan, lines),
        also=[folder / PLAN],
    )


def plan_table(plan: LabelPlan) -> pa.Table:
    """A row per request, in the order of instructions and models."""
    row, model = np.nonzero(plan.chosen)
    names = ("instruction_id", "instruction", "task", "group", "reference")
    columns = {
        name: pa.array(values[row], pa.string())
        for name in names
        if (values := getattr(plan.instructions, name)) is not None
    }
    return pa.table(
        {
            "request_id": [
                _request_id(plan.instructions.instruction_id[i], int(k)) for i, k in zip(row, model, strict=True)
            ],
            "model": np.array(plan.catalog.names)[model],
            "cost": plan.cost[plan.chosen],
            **columns,
        }
    ).replace_schema_metadata({CATALOG: json.dumps(catalog_table(plan.catalog).to_pylist())})


def _request_id(instruction_id: str, model: int) -> str:
    """One instruction goes to several models: the id says which, for not every provider names it in its answers."""
    return f"{instruction_id}-{model + 1}"


def _routed(table: pa.Table, catalog: ModelCatalog) -> pa.Table:
    """The requests as a hand-off takes them."""
    return pa.table(
        {
            "instruction_id": table["request_id"],
            "model": table["model"],
            "expected_success": np.zeros(len(table)),
            "cost": table["cost"],
        }
    ).replace_schema_metadata({"summary": json.dumps({"catalog": catalog_table(catalog).to_pylist()})})


def _requests(plan: LabelPlan, lines: Iterator[str]) -> Iterator[str]:
    """The original requests, each once for every model that it goes to."""
    for name, models, line in zip(plan.instructions.instruction_id, plan.chosen, lines, strict=True):
        for k in np.flatnonzero(models):
            yield json.dumps(with_id(json.loads(line), _request_id(name, int(k))))
