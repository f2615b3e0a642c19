"""A finished evaluation: its curves, its summary and a table for the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from routing_assets.evaluation import summary as figures
from routing_assets.evaluation.intervals import Curves, bootstrap_curves, mean_curves
from routing_assets.evaluation.policies import judged_policy
from routing_assets.evaluation.results import SeedResult, curves_table
from routing_assets.evaluation.second_look import SECOND_LOOK
from routing_assets.evaluation.terminal import calibration_lines, policy_lines
from routing_assets.evaluation.verdict import Verdict, give_verdict
from routing_assets.prediction.second_look import TriedRounds, judge_gains, second_look_verdict
from routing_assets.prediction.second_look.verdict import SecondLookVerdict


@dataclass(frozen=True, eq=False)
class Evaluation:
    """Results over all seeds.

    Attributes:
        dataset: name of the label table; ``simulated`` whether its labels were drawn, not measured.
        models: K names.
        label_hash: content hash of the label table.
        catalog_version: content hash of the prices, or None where costs came from the label table.
        budget_fractions: (F,) of the dearest model's spend on the test split.
        replicates: of the bootstrap.
        seeds: results per seed.
        seconds: wall-clock time of the evaluation.
    """

    dataset: str
    simulated: bool
    models: tuple[str, ...]
    label_hash: str
    catalog_version: str | None
    budget_fractions: np.ndarray
    replicates: int
    seeds: Sequence[SeedResult]
    seconds: float

    @property
    def title(self) -> str:
        """The dataset's name, marked where the data is simulated."""
        said = "simulated" in self.dataset.casefold()
        return self.dataset if said or not self.simulated else f"{self.dataset} (simulated)"

    @cached_property
    def curves(self) -> pa.Table:
        """One row per seed, policy and feasible budget fraction; see :func:`curves_table`."""
        return curves_table(self.dataset, self.budget_fractions, list(self.seeds))

    @cached_property
    def mean_curves(self) -> Curves:
        """Mean curves over the seeds."""
        return mean_curves(self.seeds)

    @cached_property
    def bootstrap(self) -> Curves:
        """Paired bootstrap replicates of the mean curves."""
        return bootstrap_curves(self.seeds, self.replicates)

    @cached_property
    def policies(self) -> dict[str, figures.Row]:
        """Figures per policy."""
        return figures.policy_rows(self.budget_fractions, self.mean_curves, self.bootstrap, self.seeds)

    @cached_property
    def best_single(self) -> str:
        """The model that is best on the test split in most seeds."""
        return self.models[int(np.bincount([seed.best_single for seed in self.seeds]).argmax())]

    @property
    def reference(self) -> str:
        """What success is relative to, in words: the splits may differ in their best model."""
        same = len({seed.best_single for seed in self.seeds}) == 1
        return self.best_single if same else f"the best of each test split, most often {self.best_single}"

    @property
    def scored(self) -> str:
        """How many test instructions count, in words."""
        scored, tested = (np.mean(n) for n in ([len(s.rows) for s in self.seeds], [s.tested for s in self.seeds]))
        left_out = f" of {tested:,.0f}, as the others lack a label" if scored < tested else ""
        return f"{scored:,.0f} test instructions each{left_out}"

    @cached_property
    def verdict(self) -> Verdict:
        """Route or do not route, at which budgets, how sure."""
        k = self.models.index(self.best_single)
        cost = np.mean([seed.cost[:, k].sum() / seed.cost[:, seed.dearest].sum() for seed in self.seeds])
        return give_verdict(
            self.title,
            self.budget_fractions,
            self.mean_curves,
            self.bootstrap,
            self.reference,
            float(cost),
            self.policies,
            unrelated=len(np.unique(np.concatenate([seed.component for seed in self.seeds]))),
            costs_recorded=float(np.mean([seed.costs_recorded for seed in self.seeds])),
        )

    @cached_property
    def second_look(self) -> SecondLookVerdict | None:
        """Whether second looks pay, and at which budgets; None where they were not evaluated."""
        if SECOND_LOOK not in self.seeds[0].outcomes:
            return None
        once = judged_policy(self.seeds[0].outcomes)
        tried = [
            TriedRounds(
                (seed.outcomes[SECOND_LOOK].success - seed.outcomes[once].success) / seed.best_success, seed.component
            )
            for seed in self.seeds
        ]
        gains = judge_gains(self.budget_fractions.tolist(), tried)
        return second_look_verdict(gains, [seed.second_look for seed in self.seeds])

    @cached_property
    def summary(self) -> dict[str, Any]:
        """Everything in one JSON-able dictionary; None where a number does not exist."""
        infeasible = {
            policy: [
                float(f) for f in self.budget_fractions if f not in {row["budget_fraction"] for row in rows["curve"]}
            ]
            for policy, rows in self.policies.items()
        }
        everything = {
            "dataset": self.dataset,
            "simulated": self.simulated,
            "verdict": {
                "route": self.verdict.route,
                "budgets": self.verdict.budgets,
                "text": self.verdict.text,
                "fine_print": self.verdict.fine_print,
                "gains": list(self.verdict.gains),
            },
            "second_look": None
            if self.second_look is None
            else self.second_look.as_row()
            | {
                "first_models": [
                    [asdict(quality) | {"tells": quality.tells} for quality in seed.second_look] for seed in self.seeds
                ]
            },
            "models": list(self.models),
            "best_single": self.best_single,
            "seeds": [seed.seed for seed in self.seeds],
            "scored_instructions": [len(seed.rows) for seed in self.seeds],
            "tested_instructions": [seed.tested for seed in self.seeds],
            "costs_recorded": [seed.costs_recorded for seed in self.seeds],
            "budget_fractions": self.budget_fractions.tolist(),
            "infeasible_budget_fractions": {policy: missing for policy, missing in infeasible.items() if missing},
            "policies": self.policies,
            "differences": figures.difference_rows(self.budget_fractions, self.mean_curves, self.bootstrap),
            "per_model": figures.model_rows(self.models, self.budget_fractions, self.seeds),
            "calibration": self.calibration,
            "two_models": figures.two_model_rows(self.seeds) if len(self.models) == 2 else None,
            "decision": [seed.decision for seed in self.seeds],
            "cost_model": [dict(seed.cost_model) for seed in self.seeds],
            "knn": [dict(seed.knn) for seed in self.seeds],
            "bootstrap_replicates": self.replicates,
            "label_hash": self.label_hash,
            "catalog_version": self.catalog_version,
            "timings_s": {"total": self.seconds, "per_seed": [dict(seed.timings) for seed in self.seeds]},
        }
        return {name: figures.plain(value) for name, value in everything.items()}

    @cached_property
    def calibration(self) -> dict[str, figures.Row]:
        """Log-loss, Brier score and ECE on test after each step of the router."""
        return figures.calibration_rows(self.models, self.seeds)

    def table(self) -> str:
        """The verdict, relative success by policy and budget, and what calibration changed, as lines of text."""
        return "\n".join(
            [
                self.verdict.text,
                *([self.second_look.text] if self.second_look else []),
                "",
                f"{self.title}: {len(self.seeds)} seeds, {self.scored}",
                "Success relative to the best single model",
                *policy_lines(self.budget_fractions, self.policies),
                "",
                "What calibration changed: quality of the probabilities on test, and of MIP fed with them",
                *calibration_lines(self.budget_fractions, self.policies, self.calibration),
            ]
        )
