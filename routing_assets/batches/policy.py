"""Routing settings: which policy spends how much, and the allocation problem they make of a priced batch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from pydantic import Field, with_config
from pydantic.dataclasses import dataclass
from typing_extensions import TypedDict

from routing_assets.allocation import POLICIES, AllocationProblem
from routing_assets.allocation.policies import DEFAULT_POLICY
from routing_assets.allocation.solver.exact import exact_sum, float_not_above, float_not_below
from routing_assets.allocation.solver.rows import decimal
from routing_assets.answers.graders.table import GraderChoice
from routing_assets.batches.join_small_files import Coalescing
from routing_assets.batches.second_look_settings import Written
from routing_assets.batches.submissions.settings import SubmitSettings
from routing_assets.datasets.batch import BatchInstructions
from routing_assets.datasets.column_mapping import MadeIds
from routing_assets.datasets.file_layout import FileLayout
from routing_assets.datasets.request_content import CAPABILITY
from routing_assets.engine import EngineSettings
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.schema import (
    FORM,
    Amount,
    AmountAsWritten,
    AsWritten,
    ShareAsWritten,
    Text,
    YesNo,
    read_file,
    read_values,
)
from routing_assets.pacing import PeriodBudget
from routing_assets.pricing.catalog import ModelCatalog, ModelEntry
from routing_assets.providers.provider import DEFAULT, Destination

COLUMN_SETTINGS = {
    "instruction_id": "id_column",
    "instruction": "text_column",
    "task": "task_column",
    "group": "group_column",
    "input_tokens": "tokens_column",
    "reference": "reference_column",
}
"""By our name for a column, the setting that names the file's own."""
LAYOUT_SETTINGS = (*COLUMN_SETTINGS.values(), "make_ids")
_LATER = ("strict", "second_look", *LAYOUT_SETTINGS)
_MADE_IDS: Mapping[str | None, MadeIds] = {"position": "row", "content": "text"}
DEFAULT_FRACTION = 0.5
GREATEST_FRACTION = 2.0
"""The greatest budget fraction that is accepted: a greater number is probably meant in per cent."""
GRADER = "grader"
"""In a batch's own request, how its answers are graded. It has no part in routing."""
if TYPE_CHECKING:
    PolicyName = str
else:
    PolicyName = Literal[tuple(POLICIES)]  # the names that the table of policies has
Confidence = Annotated[float, Field(strict=True, ge=0.5, lt=1)]
Seed = Annotated[int, Field(strict=True, ge=0)]
Shares = Mapping[str, ShareAsWritten]
Amounts = Mapping[str, AmountAsWritten]


@with_config(FORM)
class Constraints(TypedDict, total=False):
    """What the allocation must keep besides the budget."""

    min_share: Annotated[
        Shares,
        Field(
            description="By model: least share of the batch, from 0 to 1, such as the share that a contract promises.",
            examples=[{"small": 0.1}],
        ),
    ]
    max_share: Annotated[
        Shares, Field(description="By model: greatest share of the batch, from 0 to 1.", examples=[{"large": 0.4}])
    ]
    capacity: Annotated[
        Amounts, Field(description="By model: most instructions of one batch.", examples=[{"large": 5000}])
    ]
    token_capacity: Annotated[
        Amounts,
        Field(description="By model: most input tokens of one batch, as estimated.", examples=[{"large": 2_000_000}]),
    ]
    mean_latency: Annotated[
        AmountAsWritten,
        Field(
            description="Greatest mean latency over the batch, in seconds. Each model needs latency_s in the catalog.",
            examples=[2.0],
        ),
    ]
    max_latency: Annotated[
        AmountAsWritten,
        Field(
            description="Greatest latency of any single call, in seconds: slower models get nothing. Each model needs "
            "latency_s in the catalog.",
            examples=[5.0],
        ),
    ]
    group_floor: Annotated[
        AmountAsWritten | Amounts,
        Field(
            description="Least mean expected success, from 0 to 1: of all groups, or by group. The batch needs a "
            "column group or task.",
            examples=[{"north": 0.8, "south": 0.7}],
        ),
    ]
    max_group_gap: Annotated[
        AmountAsWritten,
        Field(
            description="Greatest difference of mean expected success between any two groups. The batch needs a column "
            "group or task.",
            examples=[0.05],
        ),
    ]
    max_changes: Annotated[
        AmountAsWritten,
        Field(description="Most instructions that may leave their model when a batch is routed again.", examples=[100]),
    ]
    required_tags: Annotated[
        Sequence[Text],
        Field(
            description="Tags that a model must have in the catalog, such as a region: other models get nothing.",
            examples=[["eu"]],
        ),
    ]


@dataclass(frozen=True, config=FORM)
class RoutingSettings:
    """How one batch is to be routed."""

    policy: PolicyName = Field(
        default=DEFAULT_POLICY, description="The allocation that becomes the routed batch.", examples=["mip"]
    )
    budget_usd: AmountAsWritten | None = Field(
        default=None, description="Hard budget for the whole batch, in USD of estimated cost."
    )
    budget_fraction: AmountAsWritten | None = Field(
        default=None,
        description="The same as a fraction of sending everything to the dearest model: 0.5 for 50 %.",
        examples=[0.5],
    )
    period: Annotated[Mapping[str, float], AsWritten(PeriodBudget)] | None = Field(
        default=None,
        description="The money of a calendar month (UTC), shared by all its batches. A batch without a budget of its "
        "own is paced by it. No batch ever exceeds what it has left.",
    )
    urgent: YesNo = Field(default=False, description="The batch may use the period's reserve.")
    confidence: Annotated[float, AsWritten(Confidence)] | None = Field(
        default=None,
        description="Probability, from 0.5 to below 1, with which the true spend is to stay within the budget, "
        "although costs before a call are estimates. Part of the budget is held back for it. Without it, the estimate "
        "keeps the budget.",
        examples=[0.95],
    )
    target: ShareAsWritten = Field(
        default=0.75, description="Probability of success, from 0 to 1, that the threshold policy asks for."
    )
    seed: Seed = Field(default=0, description="Seed of every random choice.")
    exact: YesNo = Field(
        default=False, description="Prove the MIP optimal instead of stopping at a relative gap of 1e-6."
    )
    strict: YesNo = Field(
        default=False,
        description="Refuse a file of which a single record cannot be routed, instead of setting that record aside.",
    )
    constraints: Annotated[Mapping[str, Any], AsWritten(Constraints)] = Field(
        default_factory=dict,
        description="Limits that the allocation keeps besides the budget, by name.",
        examples=[{"max_share": {"large": 0.4}}],
    )
    second_look: Written | None = Field(
        default=None,
        description="Whether first answers are looked at, and some instructions then go on to another model within "
        "the same budget: auto (where it paid on held-out labels), or a mapping.",
    )
    id_column: Text | None = Field(default=None, description="Column of a batch file that holds the ids.")
    text_column: Text | None = Field(default=None, description="Column of a batch file that holds the texts.")
    task_column: Text | None = Field(default=None, description="Column of a batch file that holds the tasks.")
    group_column: Text | None = Field(
        default=None, description="Column of a batch file that holds the groups, such as tenants."
    )
    tokens_column: Text | None = Field(default=None, description="Column of a batch file that holds input tokens.")
    reference_column: Text | None = Field(
        default=None, description="Column of a batch file that holds the right answers, for graders."
    )
    make_ids: Literal["position", "content"] | None = Field(
        default=None, description="Make the ids of a batch file that has none: from the row's number or its text."
    )

    @property
    def layout(self) -> FileLayout:
        """How the batch's file differs from ours."""
        columns = {ours: getattr(self, setting) for ours, setting in COLUMN_SETTINGS.items()}
        return FileLayout({ours: theirs for ours, theirs in columns.items() if theirs}, _MADE_IDS.get(self.make_ids))

    def own_budget(self, cost: np.ndarray) -> float | None:
        """:meth:`budget_of` a batch whose calls cost ``cost`` (N, K)."""
        return self.budget_of([exact_sum(column) for column in cost.T])

    def budget_of(self, totals: Sequence[Fraction]) -> float | None:
        """USD for a batch that costs ``totals`` (K) with each model; None where its share of the period decides.

        A fraction is that of what everything costs with the dearest model, rounded up to a float as costs are, and
        itself rounded down: 1.0 just pays for it, and no fraction gives more than it says.
        """
        if self.budget_usd is not None:
            return float(self.budget_usd)
        if self.budget_fraction is None and self.period is not None:
            return None
        fraction = DEFAULT_FRACTION if self.budget_fraction is None else self.budget_fraction
        dearest = float_not_below(max(totals))
        return float_not_above(decimal(fraction) * Fraction(dearest))

    @property
    def limits_churn(self) -> bool:
        """Whether a re-routed batch may change only so many assignments."""
        return "max_changes" in self.constraints

    @property
    def version(self) -> str:
        """Content hash: equal settings have equal versions."""
        return hashlib.sha256(self.to_json().encode()).hexdigest()[:12]

    def to_json(self) -> str:
        """Canonical JSON; what came later only where it is set, so that settings from before it keep their version."""
        unset = (None, False, "")
        values = {name: value for name, value in asdict(self).items() if name not in _LATER or value not in unset}
        return json.dumps(values, sort_keys=True)


@dataclass(frozen=True, config=FORM)
class StandingPolicy(RoutingSettings):
    """The policy file: how batches without settings of their own are routed, and how files are taken in and kept."""

    coalesce: Coalescing | None = Field(
        default=None, description="Small files wait for each other and become one batch."
    )
    duplicates: Literal["hold", "route"] = Field(
        default="hold",
        description="Whether a file that another batch has byte for byte waits in inbox/held, or is routed and "
        "paid for again.",
    )
    engine: EngineSettings | None = Field(
        default=None, description="Where the work on the parts of large tables is done."
    )
    retention_days: Annotated[Amount, Field(le=36_500)] | None = Field(
        default=None,
        description="Days after which batches that ended give up their data and their texts. Without it, "
        "everything is kept.",
        examples=[90],
    )
    grader: GraderChoice | None = Field(
        default=None,
        description="How answers are graded: the name of a grader, such as exact, or a grader with settings, such as "
        "{number: {tolerance: 0.01}}. Without it, success comes from outcome files alone.",
    )
    keep_outcomes_as_labels: YesNo = Field(default=False, description="Judged texts of retired batches stay as labels.")

    submit: SubmitSettings | None = Field(
        default=None,
        description="Request files are sent to providers, and the answers fetched, by this program itself. Without it, "
        "nothing is ever sent.",
    )

    encoding: Text | None = Field(
        default=None, description="Of text files that are not UTF-8, such as cp1252; files that are stay as they are."
    )

    @property
    def settings(self) -> RoutingSettings:
        """The part that says how batches are routed. How a file is read is settled when it comes."""
        return RoutingSettings(**_values_of(self) | dict.fromkeys(LAYOUT_SETTINGS))


def settings_from(values: Mapping[str, Any], *, base: RoutingSettings | None = None, source: str) -> RoutingSettings:
    """``base`` with the given values in place of its own; unknown ones are refused."""
    return read_values(RoutingSettings, {**_values_of(base or RoutingSettings()), **values}, source=source)


def _values_of(settings: RoutingSettings) -> dict[str, Any]:
    return {field.name: getattr(settings, field.name) for field in fields(RoutingSettings)}


def settings_of_request(request: Mapping[str, Any], standing: RoutingSettings, *, source: str) -> RoutingSettings:
    """A batch's own request over the standing policy; a budget in one form replaces one in the other."""
    request = {name: value for name, value in request.items() if name != GRADER}
    if {"budget_usd", "budget_fraction"} & set(request):
        standing = replace(standing, budget_usd=None, budget_fraction=None)
    return settings_from(request, base=standing, source=source)


def layout_of(request: Mapping[str, Any]) -> FileLayout:
    """How the file of a batch with these settings of its own is read."""
    return settings_from({name: request[name] for name in LAYOUT_SETTINGS if name in request}, source="request").layout


def layout_settings(layout: FileLayout) -> dict[str, str]:
    """The settings that say a layout."""
    settings = {COLUMN_SETTINGS[ours]: theirs for ours, theirs in layout.columns.items()}
    made = {ids: name for name, ids in _MADE_IDS.items() if name}
    return settings | ({"make_ids": made[layout.made_ids]} if layout.made_ids else {})


def read_policy(path: Path) -> StandingPolicy:
    """The policy file (YAML); the defaults where there is none.

    Raises:
        InvalidInput: naming line and field of the first fault found, and what to do about it.
    """
    if not path.exists():
        return StandingPolicy()
    policy = read_file(StandingPolicy, path)
    refuse_doubtful_budget(policy, str(path))
    return policy


def standing_policy(path: Path) -> RoutingSettings:
    """The routing settings in the policy file (YAML); the defaults where there is none."""
    return read_policy(path).settings


def refuse_doubtful_budget(settings: RoutingSettings, source: str) -> None:
    """Raise InvalidInput for a budget that is given twice, or probably in per cent. Past decisions are not checked."""
    fraction = settings.budget_fraction
    if fraction is not None and settings.budget_usd is not None:
        raise InvalidInput("budget_usd and budget_fraction are both given", source=source, remedy="Give one of them.")
    if fraction is not None and fraction > GREATEST_FRACTION:
        raise InvalidInput(f"the budget fraction is {fraction:g}", source=source, remedy="Give 0.5 for 50 %.")


def allocation_problem(
    success: np.ndarray,
    cost: np.ndarray,
    models: tuple[str, ...],
    settings: RoutingSettings,
    *,
    budget: float,
    catalog: ModelCatalog | None,
    tokens: np.ndarray,
    incapable: np.ndarray | None = None,
    group: np.ndarray | None = None,
    previous: np.ndarray | None = None,
) -> AllocationProblem:
    """The problem of one batch: its matrices, its budget, the constraints of ``settings``, the limits of the catalog.

    Args:
        success: (N, K) probability of success.
        cost: (N, K) estimated USD per call.
        budget: USD for the batch.
        catalog: its shares, capacities, latencies, context lengths and tags become constraints.
        tokens: (N,) tokens of each instruction, for context lengths and token capacities.
        incapable: (N, K) True where a model cannot take what a request holds, see :func:`bars`.
        group: (N,) tenant or task, for fairness between groups.
        previous: (N,) model index in the allocation that is to be changed little; -1 where an instruction is new.
    """
    wanted = dict(settings.constraints)
    entries = {entry.name: entry for entry in catalog.models if entry.name in models} if catalog else {}
    limits: dict[str, Any] = {
        name: {**catalog_limits(entries, name), **wanted.pop(name, {})} or None
        for name in ("min_share", "max_share", "capacity")
    }
    latency = np.array([_field(entries, model, "latency_s", 0.0) for model in models])
    wants_latency = wanted.keys() & {"mean_latency", "max_latency"}
    forbidden = forbidden_pairs(entries, models, tokens, frozenset(wanted.pop("required_tags", ())))
    if incapable is not None:
        forbidden = forbidden | incapable
    return AllocationProblem(
        success,
        cost,
        budget,
        models,
        latency=latency if wants_latency else None,
        tokens=tokens if "token_capacity" in wanted else None,
        forbidden=forbidden if forbidden.any() else None,
        group=group if wanted.keys() & {"group_floor", "max_group_gap"} else None,
        previous=previous if "max_changes" in wanted and previous is not None else None,
        **limits,
        **{name: value for name, value in wanted.items() if name != "max_changes" or previous is not None},
    )


def refuse_limits_on_unknowns(
    settings: RoutingSettings, models: tuple[str, ...], catalog: ModelCatalog | None, *, has_groups: bool
) -> None:
    """Raise InvalidInput where constraints limit latencies or compare groups that nobody gave. Not asked of past
    decisions, which were once made with an unknown latency as zero.
    """
    wants_groups = sorted({"group_floor", "max_group_gap"} & settings.constraints.keys())
    if wants_groups and not has_groups:
        raise InvalidInput(
            f"{wants_groups[0]} compares groups, and the batch has none",
            source=f"constraints.{wants_groups[0]}",
            remedy="Give the batch a column 'group' or 'task', or route it without this constraint.",
        )
    wants_latency = sorted({"mean_latency", "max_latency"} & settings.constraints.keys())
    entries = {entry.name: entry for entry in catalog.models} if catalog else {}
    unknown = [model for model in models if _field(entries, model, "latency_s", None) is None]
    if wants_latency and unknown:
        raise InvalidInput(
            f"{wants_latency[0]} limits latency, and the catalog has none for {', '.join(unknown)}",
            source=f"constraints.{wants_latency[0]}",
            remedy="Give each of them latency_s, in seconds, in the catalog.",
        )


def catalog_limits(entries: Mapping[str, ModelEntry], name: str) -> dict[str, float]:
    """The catalog's value of one limit, for the models that have it."""
    values = {model: getattr(entry, name) for model, entry in entries.items()}
    return {model: value for model, value in values.items() if value is not None}


def forbidden_pairs(
    entries: Mapping[str, ModelEntry], models: tuple[str, ...], tokens: np.ndarray, required_tags: frozenset[str]
) -> np.ndarray:
    """(N, K) True where an instruction is too long for a model's context, or the model lacks a required tag."""
    context = np.array([_field(entries, model, "context_tokens", np.inf) for model in models])
    lacks_tag = np.array([not required_tags <= set(_field(entries, model, "tags", ())) for model in models])
    return (tokens[:, None] > context[None, :]) | lacks_tag[None, :]


def bars(
    batch: BatchInstructions, models: tuple[str, ...], catalog: ModelCatalog | None, settings: RoutingSettings
) -> dict[str, np.ndarray]:
    """By rule, (N, K) or (1, K) True where it bars an instruction from a model; rules that bar none are left out."""
    entries = {entry.name: entry for entry in catalog.models} if catalog else {}
    tags = frozenset(settings.constraints.get("required_tags", ()))
    latency = np.array([_field(entries, model, "latency_s", 0.0) for model in models])
    of_rules = {
        "context_tokens": forbidden_pairs(entries, models, batch.tokens, frozenset()),
        "required_tags": forbidden_pairs(entries, models, np.zeros(1), tags),
        "max_latency": latency[None, :] > settings.constraints.get("max_latency", np.inf),
        **incapable_pairs(batch, models, catalog),
    }
    return {rule: bar for rule, bar in of_rules.items() if bar.any()}


def incapable_pairs(
    batch: BatchInstructions, models: tuple[str, ...], catalog: ModelCatalog | None
) -> dict[str, np.ndarray]:
    """By capability, (N, K) True where a request needs it and a model lacks it.

    Images, sound and files go only to models that have a tag and a price for them. Any other capability counts where
    some model of the catalog has its tag. The form of the model's provider must be able to express the request.
    """
    entries = {entry.name: entry for entry in catalog.models} if catalog else {}
    needs = batch.needs if batch.needs is not None else np.full(len(batch), None)
    attachment = {capability: kind for kind, capability in CAPABILITY.items()}
    lacking = {}
    distinct, place = np.unique(np.array([said or "" for said in needs]), return_inverse=True)
    destinations = [entries[m].destination if m in entries else Destination.of(DEFAULT, m) for m in models]
    for need in sorted({need for said in distinct for need in said.split()}):
        able = np.array([need in _field(entries, model, "tags", ()) for model in models])
        if kind := attachment.get(need):
            able &= [model in entries and entries[model].attachment_price(kind) is not None for model in models]
        elif need.startswith(("form:", "only:")):
            able = np.array([destination.takes(need) for destination in destinations])
        elif not able.any():
            continue
        if able.all():
            continue
        wanted = np.array([need in said.split() for said in distinct])[place]
        lacking[need] = wanted[:, None] & ~able[None, :]
    return lacking


def incapable(batch: BatchInstructions, models: tuple[str, ...], catalog: ModelCatalog | None) -> np.ndarray | None:
    """(N, K) True where a request needs what a model lacks; None where none does."""
    lacking = incapable_pairs(batch, models, catalog)
    return np.logical_or.reduce(list(lacking.values())) if lacking else None


def _field(entries: Mapping[str, ModelEntry], model: str, name: str, default: Any) -> Any:
    value = getattr(entries[model], name) if model in entries else None
    return default if value is None else value
