"""The certificate of a heuristic policy: the dual bound of the knapsack with the same budget."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from routing_assets.allocation.mip_one_budget import maximise_within_budget
from routing_assets.allocation.policy import Plan
from routing_assets.allocation.solver.rules import Rule
from routing_assets.allocation.solver.source import Source


def certified(source: Source, budget: float, rule: Rule, notes: Mapping[str, Any]) -> Plan:
    """Return the plan of a rule, with the bound and the shadow price of the relaxed knapsack."""
    best = maximise_within_budget(source, budget, relative_gap=math.inf)
    bound = float(best.value / source.rows) + best.loss / source.rows
    return Plan(rule, "heuristic", bound, best.price, notes=notes)
