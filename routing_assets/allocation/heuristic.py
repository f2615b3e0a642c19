"""The certificate of a policy that proves nothing itself: how much better any assignment within the budget could be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from routing_assets.allocation.mip_one_budget import maximise_within_budget
from routing_assets.allocation.policy import Plan
from routing_assets.allocation.solver.rules import Rule
from routing_assets.allocation.solver.source import Source


def certified(source: Source, budget: float, rule: Rule, notes: Mapping[str, Any]) -> Plan:
    """A policy's rule with the bound and the price of money from the relaxed knapsack."""
    best = maximise_within_budget(source, budget, relative_gap=math.inf)
    bound = float(best.value / source.rows) + best.loss / source.rows
    return Plan(rule, "heuristic", bound, best.price, notes=notes)
