"""The answers to the requests of a label plan, graded: a label table that a router can be trained on."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from routing_assets.answers.answer import Answer
from routing_assets.answers.collect import Collected, collect
from routing_assets.answers.costs import token_prices
from routing_assets.answers.graders.grade import Grader
from routing_assets.answers.graders.grading import Asked, gradable, grade_answers
from routing_assets.answers.graders.judge import Judge
from routing_assets.answers.models import ModelNames
from routing_assets.answers.reading import is_answer_file, read_answers
from routing_assets.answers.table import read_answer_table
from routing_assets.batches.judging import Judging, is_verdict, questions_of, replace_questions
from routing_assets.batches.label_plan import CATALOG, PLAN
from routing_assets.batches.outbox import JUDGE
from routing_assets.batches.request_ids import replaced_ids
from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.reading import require_file
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.long_table import about
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.catalog_table import catalog_from_rows

_COUNTS = ("input_tokens", "output_tokens")


@dataclass(frozen=True, eq=False)
class CollectedLabels:
    """What came of a plan.

    Attributes:
        labels: of the instructions and models with at least one graded answer; None where none is graded.
        grades: of every answer; see ``graders.grading.SCHEMA``.
        spent: USD of the calls whose tokens are known.
        requests: of the plan.
        answered: requests with an answer.
        failed: requests with nothing but failed calls.
        strays: answers that belong to no request of the plan, or are of another model than the one asked.
        judging: of a judge.
    """

    labels: LabelledInstructions | None
    grades: pa.Table
    spent: Fraction
    requests: int
    answered: int
    failed: int
    strays: int
    judging: Judging | None = None


@dataclass(frozen=True, eq=False)
class _Plan:
    """The requests of a plan, as its folder has them."""

    name: str
    table: pa.Table
    catalog: ModelCatalog

    @classmethod
    def read(cls, folder: Path) -> _Plan:
        require_file(folder / PLAN)
        table = pq.read_table(folder / PLAN)
        catalog = catalog_from_rows(json.loads(about(table)[CATALOG]))
        if catalog is None:
            raise InvalidInput("the plan names no models", source=str(folder / PLAN), remedy="Plan again.")
        return cls(folder.resolve().name, table, catalog)

    def answers(self, files: Iterable[Path]) -> tuple[list[Answer], list[Answer], int]:
        """The answers under the names of instruction and model; those that may be verdicts; and how many stray."""
        pairs = list(zip(*(self.table[name].to_pylist() for name in ("instruction_id", "model")), strict=True))
        requests = dict(zip(self.table["request_id"].to_pylist(), pairs, strict=True))
        of_api = {entry.api_name: entry.name for entry in self.catalog.models if entry.api_name}
        names, planned = ModelNames(self.catalog.names, of_api), set(pairs)
        ours, verdicts, strays = list[Answer](), list[Answer](), 0
        for path in files:
            found = read_answers(path).answers if is_answer_file(path) else read_answer_table(path)
            sent = replaced_ids((answer.instruction_id for answer in found), requests)
            for answer in found:
                name, said = answer.instruction_id, answer.model and names.model(answer.model)
                pair = requests.get(sent.get(name, name)) or (name, said or "")
                if is_verdict(name, self.name):
                    verdicts.append(answer)
                elif pair in planned and said in (None, pair[1]):
                    ours.append(replace(answer, instruction_id=pair[0], model=pair[1]))
                else:
                    strays += 1
        return ours, verdicts, strays

    def asked(self) -> dict[str, Asked]:
        """What each instruction asked, and its reference."""
        references = self.table["reference"].to_pylist() if "reference" in self.table.column_names else None
        texts = zip(*(self.table[name].to_pylist() for name in ("instruction_id", "instruction")), strict=True)
        return {name: Asked(text, references[i] if references else None) for i, (name, text) in enumerate(texts)}


def collect_labels(
    folder: Path, files: Sequence[Path], grader: Grader, *, judge_catalog: ModelCatalog | None = None
) -> CollectedLabels:
    """Read and grade the answers to a plan. A pair of instruction and model whose call failed, or whose answer the
    grader cannot judge, stays without a label. What a judge is to be asked is handed off into ``folder/judge``.

    Args:
        folder: of the plan.
        files: all output files of the providers, in any order, or tables of ``instruction_id, model, answer``; verdicts
            of a judge too.
        judge_catalog: prices of the judge; by default those of the plan.

    Raises:
        InvalidInput: the folder holds no plan, a file cannot be read, no answer belongs to the plan, or the grader
            needs references that the plan lacks.
    """
    plan = _Plan.read(folder)
    if grader.uses_reference and "reference" not in plan.table.column_names:
        raise InvalidInput(
            f"the grader {grader.name} needs references, and the instructions have none",
            column="reference",
            remedy="Plan with a column 'reference' that has the right answers, or choose a grader that needs none.",
        )
    answers, verdicts, strays = plan.answers(files)
    if not answers:
        raise InvalidInput(
            f"none of {strays} answers belongs to a request of this plan",
            source=str(folder),
            remedy="Give the providers' output for the request files in this folder.",
        )
    names = ModelNames(plan.catalog.names)
    collected, asked = collect(answers, {}, names, token_prices(plan.catalog)), plan.asked()
    table, judging = collected.to_arrow(), None
    if isinstance(grader, Judge):
        prices = judge_catalog or plan.catalog
        judging = questions_of(grader, plan.name, gradable(table, asked), verdicts, prices).chosen()
        replace_questions(folder / JUDGE, folder / f".{JUDGE}", plan.name, None, judging, prices)
        grader = judging.grader
    grades = grade_answers(table, asked, grader)
    answered = len(grades)
    return CollectedLabels(
        _labels(plan, collected, grades),
        grades,
        collected.spent,
        len(plan.table),
        answered,
        len(collected.calls) - answered,
        strays,
        judging,
    )


def _labels(plan: _Plan, collected: Collected, grades: pa.Table) -> LabelledInstructions | None:
    """The wide table: NaN where there is no grade; None where there is none at all."""
    first = plan.table.group_by("instruction_id", use_threads=False).aggregate(
        [(name, "first") for name in ("instruction", "task", "group") if name in plan.table.column_names]
    )
    row = {name: i for i, name in enumerate(first["instruction_id"].to_pylist())}
    models = plan.catalog.names
    matrices = {name: np.full((len(row), len(models)), np.nan) for name in ("success", *_COUNTS)}
    for name, model, success in zip(
        *(grades[c].to_pylist() for c in ("instruction_id", "model", "success")), strict=True
    ):
        if success is not None:
            place = row[name], models.index(model)
            matrices["success"][place] = success
            newest = next(a for a, _ in reversed(collected.calls[name, model]) if a.error is None)
            for count in _COUNTS:
                matrices[count][place] = np.nan if (tokens := getattr(newest, count)) is None else tokens
    graded = ~np.isnan(matrices["success"])
    if not graded.any():
        return None
    texts = {c.removesuffix("_first"): first[c].to_numpy(zero_copy_only=False) for c in first.column_names}
    known: dict[str, Any] = {name: values for name, values in matrices.items() if not np.isnan(values).all()}
    table = LabelledInstructions(name=plan.name, models=models, **texts, **known)
    return table.of_models(np.array(models)[graded.any(axis=0)].tolist()).take(graded.any(axis=1))
