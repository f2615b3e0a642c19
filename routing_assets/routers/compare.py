"""Compare a new router (challenger) with the one in force (champion).

They are compared on the challenger's held-out rows (the test split of its labels, or outcomes that its recalibration
did not use), without the rows that either router learnt from. Where drift was found, labels are out of date: then only
outcomes are used, if there are enough, and the challenger has to match the champion rather than beat it.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow.parquet as pq

from routing_assets.datasets import LabelledInstructions
from routing_assets.datasets.related import related_rows
from routing_assets.monitoring import LEAST_GROUPS, MARGIN, beats
from routing_assets.monitoring.skill import Skill, skill
from routing_assets.prediction.calibration.estimate import model_rates
from routing_assets.routers.outcome_labels import is_outcome
from routing_assets.routers.shelf import JUDGED_BY, LEARNT_FROM, UNSEEN, Shelf, load_router
from routing_assets.routers.texts_learnt import learnt_rows

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class Quality:
    """A router's probabilities on the rows of a comparison: means over the models, weighted by their labels."""

    ece: float
    brier: float
    log_loss: float


@dataclass(frozen=True)
class Comparison:
    """The verdict and its figures, which are None where nothing had to be compared."""

    challenger: str
    champion: str | None
    takes_over: bool
    why: str
    champion_is_stale: bool = False
    judged_rows: int = 0
    improvement: float | None = None
    """By how much the challenger's Brier score is lower."""
    lower_bound: float | None = None
    required: float | None = None
    champion_quality: Quality | None = None
    challenger_quality: Quality | None = None
    worth: str | None = None
    """How the challenger's predictions compare with each model's success rate, in words."""
    has_skill: bool = True
    """Whether they are better than the success rates, beyond noise."""

    def row(self) -> dict[str, Any]:
        """One flat row for the warehouse."""
        names = ("champion_quality", "challenger_quality", "has_skill")
        flat = {name: value for name, value in asdict(self).items() if name not in names}
        for side in ("champion", "challenger"):
            quality = getattr(self, f"{side}_quality")
            flat |= {f"{side}_{name}": quality and getattr(quality, name) for name in ("ece", "brier", "log_loss")}
        return flat

    def before_and_after(self) -> list[dict[str, Any]]:
        """Figures of champion and challenger, one row each; none where nothing was compared."""
        sides = (("before", self.champion, self.champion_quality), ("after", self.challenger, self.challenger_quality))
        return [{"": when, "router": router, **asdict(quality)} for when, router, quality in sides if quality]


def compare(
    shelf: Shelf,
    champion: Mapping[str, Any] | None,
    challenger: Mapping[str, Any],
    *,
    champion_is_stale: bool,
    priced: Collection[str],
    simulates: bool = False,
) -> Comparison:
    """Whether the challenger takes over.

    Every router has to beat the success rate of each of its models, the first one, too. One for the same models as the
    champion has to beat the champion as well. One for other models has to be usable: the prices in force are of
    all its models, and it knows every priced model of the champion. A router that adds models to the champion, or
    labels to models added before, only must not be shown to be worse by more than a hundredth on the models that both
    know. Simulated labels and prices never replace real ones.

    Args:
        champion, challenger: their records in the ledger of candidates.
        champion_is_stale: drift was found in what the champion decided.
        priced: the models of the price list in force.
        simulates: simulated labels or prices of the challenger would replace real ones.
    """
    judged = judge(shelf, challenger)
    compared = _against_champion(shelf, champion, challenger, champion_is_stale=champion_is_stale, priced=priced)
    compared = replace(compared, worth=judged.why, has_skill=judged.shown)
    if simulates:
        return replace(compared, takes_over=False, why="it is simulated, and what is in force is not")
    if compared.takes_over and not judged.shown:
        return replace(compared, takes_over=False, why=judged.why)
    return replace(compared, why=judged.why) if champion is None else compared


def judge(shelf: Shelf, challenger: Mapping[str, Any]) -> Skill:
    """Whether a router's predictions say more than the success rates of its models, on rows it did not learn from.

    These are its held-out rows; for models added by few labels, each label as predicted by a fit without it. The
    classifier of a recalibrated router was judged before; the rates only must not be shown to be better on its held-out
    outcomes, which are those of chosen models alone. A router that decides by rates alone is not judged.

    Args:
        challenger: its record in the ledger of candidates.
    """
    folder = shelf.folder / challenger["router_version"]
    if challenger["decision_estimate"] == "rate":
        return Skill(True, "it decides by each model's success rate alone", 0)
    if (folder / UNSEEN).exists():
        of_model = [_skill_of_added(rows) for _, rows in pq.read_table(folder / UNSEEN).to_pandas().groupby("model")]
        return next((found for found in of_model if not found.shown), of_model[0])
    rows = held_out_rows(shelf, challenger["router_version"], challenger["models"])
    group = related_rows(rows.instruction, rows.group)
    if (found := len(np.unique(group))) < LEAST_GROUPS:
        labelled = pq.read_metadata(folder / LEARNT_FROM).num_rows
        few = f"of {labelled} labelled instructions, {found} unrelated ones were held out: {LEAST_GROUPS} are needed"
        return Skill(challenger["origin"] == "recalibrated", f"{few} to judge the predictions", found)
    router = load_router(shelf, challenger["router_version"])
    order = [router.models.index(model) for model in rows.models]
    p = router.predict(rows.instruction, rows.task).decision
    judged = skill(p[:, order], rows.success, model_rates(p, router.buckets)[order], group)
    return replace(judged, shown=True) if challenger["origin"] == "recalibrated" and not judged.is_worse else judged


def _skill_of_added(unseen: pd.DataFrame) -> Skill:
    p, success = (unseen[name].to_numpy()[:, None] for name in ("probability", "success"))
    name = unseen["model"].iloc[0]
    return skill(p, success, success.mean(axis=0), unseen["component"].to_numpy(), of=f" of model '{name}'")


def _against_champion(
    shelf: Shelf,
    champion: Mapping[str, Any] | None,
    challenger: Mapping[str, Any],
    *,
    champion_is_stale: bool,
    priced: Collection[str],
) -> Comparison:
    version = challenger["router_version"]
    if champion is None:
        return Comparison(version, None, True, "nothing was in force")
    known, models, present = set(champion["models"]), set(challenger["models"]), champion["router_version"]
    if known != models and (unfit := why_unfit(known, models, set(priced))):
        return Comparison(version, present, False, unfit, champion_is_stale)
    if not known <= models:
        why = "it knows other models than the router in force; the prices in force are its own"
        return Comparison(version, present, True, why, champion_is_stale)
    rows = judging_rows(shelf, present, version, champion["models"], only_outcomes=champion_is_stale)
    groups = related_rows(rows.instruction, rows.group)
    found = len(np.unique(groups))
    has_more = what_it_has_more(champion, challenger)
    if found < LEAST_GROUPS:
        why = f"{found} unrelated held-out rows that neither router learnt from are too few to judge by"
        why = f"{has_more}; {why}" if has_more else f"{why}: it stays out"
        return Comparison(version, present, has_more is not None, why, champion_is_stale, len(rows))
    before, after = (predictions(shelf, name, rows) for name in (present, version))
    losses = [np.nanmean((p - rows.success) ** 2, axis=1) for p in (before, after)]
    challenge = beats(*losses, group=groups, champion_is_stale=champion_is_stale)
    same = np.array_equal(*losses)
    takes_over, why = challenge.takes_over and not same, challenge.why
    if has_more:
        worse = beats(*losses[::-1], group=groups).lower > MARGIN * losses[0].mean()
        of_others = "the very same" if same else "worse" if worse else "no worse"
        takes_over = not worse
        why = f"{has_more}; its predictions of the models that both know are {of_others} on {len(rows)} held-out rows"
    elif same:
        why = "its predictions are identical: the champion stays"
    return Comparison(
        version,
        present,
        takes_over,
        why,
        champion_is_stale,
        len(rows),
        challenge.improvement,
        challenge.lower,
        challenge.required,
        quality_of(before, rows.success, rows.models),
        quality_of(after, rows.success, rows.models),
    )


def what_it_has_more(champion: Mapping[str, Any], challenger: Mapping[str, Any]) -> str | None:
    """An advantage of the challenger that need not show on rows held out of both; None if there is none."""
    if new := sorted(set(challenger["models"]) - set(champion["models"])):
        return f"it adds {', '.join(new)}"
    if challenger["origin"] == "extended" and challenger["parent"] == champion["router_version"]:
        return "it knows added models by newer labels"
    reads = champion["decision_estimate"] == "rate" != challenger["decision_estimate"]
    return "it tells instructions apart, and the router in force decides by success rates alone" if reads else None


def why_unfit(known: set[str], models: set[str], priced: set[str]) -> str | None:
    """Why a router for other models than the one in force cannot replace it; None where it can."""
    if unpriced := models - priced:
        return f"there are no prices in force of {', '.join(sorted(unpriced))}"
    if lost := known & priced - models:
        return f"it does not know {', '.join(sorted(lost))}, which the router in force does, at prices in force"
    return None


def judging_rows(
    shelf: Shelf, champion: str, challenger: str, models: Sequence[str], *, only_outcomes: bool
) -> LabelledInstructions:
    """The challenger's held-out rows that neither router learnt from.

    Args:
        models: those to be judged; both routers know them.
        only_outcomes: leave out label rows, if the outcomes alone are enough to judge by.
    """
    rows = held_out_rows(shelf, challenger, models)
    rows = rows.take(~learnt_rows(rows, pq.read_table(shelf.folder / champion / LEARNT_FROM)))
    outcomes = rows.take(is_outcome(rows))
    enough = len(np.unique(related_rows(outcomes.instruction))) >= LEAST_GROUPS
    return outcomes if only_outcomes and enough else rows


def held_out_rows(shelf: Shelf, version: str, models: Sequence[str]) -> LabelledInstructions:
    """The rows to judge a router by that label one of the models, and that it did not learn from."""
    rows = LabelledInstructions.from_arrow(pq.read_table(shelf.folder / version / JUDGED_BY)).of_models(models)
    rows = rows.take(~learnt_rows(rows, pq.read_table(shelf.folder / version / LEARNT_FROM)))
    return rows.take(~np.isnan(rows.success).all(axis=1))


def predictions(shelf: Shelf, version: str, rows: LabelledInstructions) -> np.ndarray:
    """The probabilities that the router decides by, (N, K), in the columns of ``rows``."""
    router = load_router(shelf, version)
    order = [router.models.index(model) for model in rows.models]
    return router.predict(rows.instruction, rows.task).decision[:, order]


def quality_of(probability: np.ndarray, success: np.ndarray, models: Sequence[str]) -> Quality:
    """ECE (ten bins of equal mass), Brier score and log-loss of (N, K): means over models, weighted by their labels."""
    from routing_assets.prediction.calibration.quality import calibration_metrics

    of_models = calibration_metrics(probability, success, models)
    labels = of_models["labels"].to_numpy()
    return Quality(*(float(np.average(of_models[name], weights=labels)) for name in ("ece", "brier", "log_loss")))
