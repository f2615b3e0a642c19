"""Instructions that every model is barred from: said by their ids, with the rules that bar them and what helps."""

from __future__ import annotations

import numpy as np

from routing_assets.allocation import AllocationProblem
from routing_assets.datasets import BatchInstructions
from routing_assets.errors import InvalidInput
from routing_assets.names import printable
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.routing import RoutingSettings, forbidden_pairs

_REMEDIES = {
    "context_tokens": "Raise context_tokens in the catalog, or shorten the instructions.",
    "required_tags": "Give models the required tags in the catalog, or require fewer.",
    "max_latency": "Raise max_latency.",
}


def refuse_barred_instructions(
    batch: BatchInstructions, problem: AllocationProblem, catalog: ModelCatalog | None, settings: RoutingSettings
) -> None:
    """Raise InvalidInput where context lengths, required tags and the greatest latency bar an instruction from all."""
    if problem.allowed is None:
        return
    barred = np.flatnonzero(~problem.allowed.any(axis=1))
    if not barred.size:
        return
    first = barred[0]
    rules = _rules_on(batch.tokens[first : first + 1], problem, catalog, settings)
    raise InvalidInput(
        f"no model is left by {' and '.join(rules)} to {barred.size} of {len(batch)} instructions, "
        f"the first of them '{printable(batch.instruction_id[first])}' of {batch.tokens[first]:g} tokens",
        remedy=" ".join(_REMEDIES[rule] for rule in rules),
    )


def _rules_on(
    tokens: np.ndarray, problem: AllocationProblem, catalog: ModelCatalog | None, settings: RoutingSettings
) -> list[str]:
    """The rules that bar some model from an instruction of so many tokens."""
    entries = {entry.name: entry for entry in catalog.models} if catalog else {}
    models = tuple(problem.models or ())
    tags = frozenset(settings.constraints.get("required_tags", ()))
    slow = problem.max_latency is not None and np.any(np.asarray(problem.latency) > problem.max_latency)
    bars = {
        "context_tokens": forbidden_pairs(entries, models, tokens, frozenset()).any(),
        "required_tags": forbidden_pairs(entries, models, np.zeros(1), tags).any(),
        "max_latency": slow,
    }
    return [rule for rule, bar in bars.items() if bar]
