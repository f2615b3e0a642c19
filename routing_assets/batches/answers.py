"""The answers to a routed batch: from every file that was received for it, by the models and prices of its decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from routing_assets.answers.answer import Answer
from routing_assets.answers.collect import Collected, collect
from routing_assets.answers.costs import token_prices
from routing_assets.answers.models import ModelNames
from routing_assets.answers.outcomes import priced, unpriced
from routing_assets.answers.reading import AnswerFile, is_answer_file, read_answers
from routing_assets.answers.table import read_answer_table
from routing_assets.batches.folders import BatchFolders
from routing_assets.batches.judging import is_verdict
from routing_assets.batches.known import decision_in_force, outcome_files
from routing_assets.batches.request_ids import replaced_ids
from routing_assets.batches.route import summary_of
from routing_assets.batches.second_rounds import NO_SECOND_CALLS, SecondCalls, second_calls, second_round_of
from routing_assets.datasets.outcomes import Outcomes, load_outcomes, named, require_usable, strays
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.names import printable
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.catalog_table import catalog_from_rows
from routing_assets.pricing.token_prices import TokenPrices
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.partitioned import PartitionedTable
from routing_assets.storage.warehouse import Warehouse

ROUTED = ("instruction_id", "model", "expected_success", "cost")
FIRST_SUCCESS = "first_success"


@dataclass(frozen=True, eq=False)
class Sent:
    """What a decision sent to which model, and at which prices.

    Attributes:
        routed: ``instruction_id, model, expected_success, cost``, in the batch's order.
        model: by instruction, the model that it was routed to.
        second: what the second round asked.
        prices: by model, per token; of the price list in force when the batch was routed.
    """

    batch_id: str
    routed: pa.Table
    model: dict[str, str]
    names: ModelNames
    prices: dict[str, TokenPrices]
    second: SecondCalls = field(default_factory=lambda: NO_SECOND_CALLS)

    def answers_in(self, path: Path, arrived: float | None = None) -> AnswerFile:
        """The answers in a provider's file, under the ids of their instructions."""
        file = read_answers(path) if arrived is None else read_answers(path, arrived)
        ids = replaced_ids((answer.instruction_id for answer in file.answers), self.model)
        answers = [replace(a, instruction_id=ids.get(a.instruction_id, a.instruction_id)) for a in file.answers]
        return replace(file, answers=tuple(answers))

    @property
    def calls(self) -> pa.Table:
        """``routed``, followed by the second calls."""
        if self.second.calls is None:
            return self.routed
        first = self.routed.set_column(1, "model", self.routed["model"].cast(pa.string()))
        return pa.concat_tables([first, self.second.calls.select(ROUTED).cast(first.schema)])

    def asked(self, name: str, model: str) -> bool:
        """Whether an instruction went to a model, in the first round or the second."""
        first = self.model.get(name)
        return first is not None and (self.names.model(model, first) or model) in (first, self.second.model.get(name))

    def is_verdict(self, answer: Answer) -> bool:
        """Whether this is the verdict of a judge on an answer to the batch."""
        return answer.instruction_id not in self.model and is_verdict(answer.instruction_id, self.batch_id)


def sent_by(warehouse: Warehouse, store: Store, decision: Mapping[str, Any]) -> Sent:
    """What a decision sent, from its routed table, and what its second round sent.

    Where answers are looked at, ``expected_success`` is that of the first model alone.
    """
    version = store.at(decision["routed_path"])
    routed, catalog = version.read(ROUTED), catalog_of(version)
    if FIRST_SUCCESS in version.schema.names:
        alone = version.read([FIRST_SUCCESS])[FIRST_SUCCESS]
        routed = routed.set_column(ROUTED.index("expected_success"), "expected_success", alone)
    models = routed["model"].cast(pa.string())
    to = dict(zip(routed["instruction_id"].to_pylist(), models.to_pylist(), strict=True))
    known = dict.fromkeys([*(catalog.names if catalog else ()), *pc.unique(models).to_pylist()])
    of_api = {entry.api_name: entry.name for entry in catalog.models if entry.api_name} if catalog else {}
    second = second_calls(store, second_round_of(warehouse, decision["batch_id"]))
    return Sent(decision["batch_id"], routed, to, ModelNames(known, of_api), token_prices(catalog), second)


def catalog_of(routed: PartitionedTable) -> ModelCatalog | None:
    """The catalog in force when the batch was routed; None where costs came from labels."""
    return catalog_from_rows(summary_of(routed).get("catalog") or [])


def collect_answers(warehouse: Warehouse, store: Store, folders: BatchFolders, batch_id: str) -> Collected:
    """Every answer and every failed call received for a batch.

    Raises:
        InvalidInput: the batch is not routed.
    """
    return answers_to(sent_by(warehouse, store, decision_in_force(warehouse, batch_id)), folders)


def answers_to(sent: Sent, folders: BatchFolders) -> Collected:
    """Every answer and every failed call received for what a decision sent."""
    answers = [answer for answer in received_answers(folders, sent) if not sent.is_verdict(answer)]
    return collect(answers, sent.model, sent.names, sent.prices, sent.second.model, sent.second.since)


def received_answers(folders: BatchFolders, sent: Sent) -> Iterator[Answer]:
    """Every answer in the files that were received for a batch, verdicts of its judge too."""
    for path in outcome_files(folders, sent.batch_id):
        yield from answers_in(path, sent)


def answers_in(path: Path, sent: Sent) -> tuple[Answer, ...]:
    """The answers in a received file, whose name begins with its time of arrival, in nanoseconds."""
    arrived = int(path.name.partition("-")[0]) / 1e9
    return sent.answers_in(path, arrived).answers if is_answer_file(path) else read_answer_table(path, arrived)


def outcome_tables(folders: BatchFolders, batch_id: str, sent: Sent) -> list[Outcomes]:
    """The successes and costs in the received files, earliest first; costs that are not given follow from tokens."""
    tables = [path for path in outcome_files(folders, batch_id) if not is_answer_file(path)]
    return [priced(load_outcomes(path), sent.model, sent.names, sent.prices) for path in tables]


def check_answers(path: Path, sent: Sent) -> list[str]:
    """The unused parts of a provider's file, in words. Raises InvalidInput where none of it belongs to the batch."""
    file = sent.answers_in(path)
    unknown = [a for a in file.answers if a.instruction_id not in sent.model and not sent.is_verdict(a)]
    if len(unknown) == len(file.answers):
        some = ", ".join(f"'{printable(answer.instruction_id)}'" for answer in unknown[:3])
        raise InvalidInput(
            f"no answer belongs to an instruction of the batch; the file has answers to {some}",
            remedy="Give the output of the request files in the batch's outbox",
        )
    remarks = list(file.remarks)
    if unknown:
        remarks.append(f"{len(unknown)} answers belong to no instruction of the batch")
    others = [
        (answer.instruction_id, answer.model)
        for answer in file.answers
        if answer.instruction_id in sent.model and answer.model and not sent.asked(answer.instruction_id, answer.model)
    ]
    if others:
        remarks.append(f"{len(others)} answers are of another model than the one asked: {named(others)}")
    return remarks


def check_outcomes(outcomes: Outcomes, sent: Sent, *, usable: bool = False) -> list[str]:
    """The unused parts of a table of outcomes, in words. Raises InvalidInput where none of it can be used, unless its
    answers are ``usable``.
    """
    known, remarks = priced(outcomes, sent.model, sent.names, sent.prices), []
    if missing := unpriced(known):
        remarks.append(f"tokens are not priced: the price list of the decision has no price per token for {missing}")
    if not usable:
        require_usable(sent.calls, known, also="; ".join(remarks))
    if unknown := [pair for pair in strays(sent.routed, known) if not sent.asked(*pair)]:
        remarks.append(f"{len(unknown)} outcomes are not used: they match no assignment of the batch: {named(unknown)}")
    if outcomes.conflicts:
        remarks.append(f"{outcomes.conflicts} pairs of instruction and model have different outcomes; the last counts")
    if outcomes.unused:
        remarks.append(f"columns that are not used: {', '.join(map(printable, outcomes.unused))}")
    return remarks
