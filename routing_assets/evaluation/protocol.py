"""The evaluation: the article's protocol, run through the same code that production uses.

Per seed: split (grouped), train and calibrate a router, learn what calls cost, allocate the test split at each budget
by every policy and control, and look up what that achieved and cost.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
from joblib import Parallel, cpu_count, delayed

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.related import related_rows
from routing_assets.datasets.scarce import refuse_scarce_models
from routing_assets.datasets.splits import Split, SplitFractions, split_instructions
from routing_assets.datasets.tokens import proxy_tokens
from routing_assets.evaluation.evaluation import Evaluation
from routing_assets.evaluation.knn import knn_estimates
from routing_assets.evaluation.policies import TestSplit, budgets, follow_all
from routing_assets.evaluation.results import SeedResult
from routing_assets.evaluation.second_look import SecondLookResult, evaluate_second_looks
from routing_assets.evaluation.task_rates import task_rates
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.progress import progress_bar
from routing_assets.prediction.calibration.buckets import STEPS
from routing_assets.prediction.classifier.neighbours import TunedNeighbours
from routing_assets.prediction.encoder.embedding_cache import EmbeddingCache
from routing_assets.prediction.encoder.encoder import SentenceEncoder
from routing_assets.prediction.router import Router, RouterConfig, fit_router
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.cost_model import CostModel, fit_cost_model
from routing_assets.pricing.held_out_spend import HeldOutCalls
from routing_assets.pricing.recorded_costs import RecordedCosts, recorded_costs
from routing_assets.pricing.spend import CostEstimate

BUDGET_FRACTIONS = (0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True)
class EvaluationConfig:
    """Settings of an evaluation.

    ``budget_fractions`` are fractions of the dearest model's spend on the whole test split. ``replicates`` is the
    number of bootstrap replicates, ``safe_probability`` that with which ``mip_safe`` must stay within its budget.
    ``second_look`` adds two rounds of calls, planned by the signals of the labels, and their controls.
    """

    router: RouterConfig = field(default_factory=RouterConfig)
    fractions: SplitFractions = field(default_factory=SplitFractions)
    budget_fractions: tuple[float, ...] = BUDGET_FRACTIONS
    safe_probability: float = 0.95
    replicates: int = 1000
    second_look: bool = False

    def __post_init__(self) -> None:
        fractions = np.asarray(self.budget_fractions, dtype=np.float64)
        if not (fractions.size and np.all(fractions > 0) and np.all(np.diff(fractions) > 0)):
            raise InvalidInput(
                f"budget fractions {list(self.budget_fractions)} are not positive and increasing",
                remedy="Give shares of the dearest model's spend, such as 0.1, 0.5, 1.0.",
            )


def evaluate(
    labels: LabelledInstructions,
    catalog: ModelCatalog | None = None,
    seeds: Sequence[int] = (0, 1, 2, 3, 4),
    config: EvaluationConfig | None = None,
    *,
    embeddings_cache: Path | str | EmbeddingCache | None = None,
    workers: int = 1,
    progress: bool = False,
) -> Evaluation:
    """Evaluate routing on a label table: five seeds of split, training, calibration and allocation.

    ``embeddings_cache`` (a directory, or None for memory only) is shared between the seeds. ``workers`` processes take
    the seeds in turn; the figures do not depend on how many. Raises InvalidInput when costs are unknown, when splits
    would be empty, when a model has too few labels, or when no test instruction has a label for every model or costs
    anything.
    """
    config = config or EvaluationConfig()
    refuse_scarce_models(labels)
    if config.second_look and not labels.signals:
        raise InvalidInput(
            "the labels have no signals of the answers, so that a second look would see nothing",
            source=labels.name,
            remedy="Add columns such as <model>|agreement or <model>|judge, or evaluate without --second-look",
        )
    if not isinstance(embeddings_cache, EmbeddingCache):
        embeddings_cache = EmbeddingCache(SentenceEncoder(config.router.classifier.encoder), embeddings_cache)
    if catalog is not None:
        catalog = catalog.select(labels.models)
    started = time.perf_counter()
    recorded = recorded_costs(labels, catalog)
    if not np.any(recorded.cost > 0):
        raise InvalidInput(
            "no call costs anything", source=labels.name, remedy="Give a catalog with prices, or costs in USD"
        )
    component = related_rows(labels.instruction, labels.group)
    splits = [split_instructions(labels.instruction, labels.group, seed=s, fractions=config.fractions) for s in seeds]
    scored = [scored_rows(labels, split, seed) for split, seed in zip(splits, seeds, strict=True)]
    each = (
        delayed(_evaluate_seed)(labels, catalog, recorded, component, split, rows, seed, config, embeddings_cache)
        for split, rows, seed in zip(splits, scored, seeds, strict=True)
    )
    done = Parallel(min(workers, len(seeds)), return_as="generator")(each)
    results = []
    with progress_bar(f"evaluating {labels.name}", len(seeds), "splits", shown=progress) as advance:
        for result in done:
            results.append(result)
            advance()
    return Evaluation(
        dataset=labels.name,
        simulated=labels.simulated,
        models=labels.models,
        label_hash=labels.content_hash,
        catalog_version=None if catalog is None else catalog.version,
        budget_fractions=np.array(config.budget_fractions),
        replicates=config.replicates,
        seeds=results,
        seconds=time.perf_counter() - started,
    )


def scored_rows(labels: LabelledInstructions, split: Split, seed: int) -> np.ndarray:
    """Test rows with a label for every model. Raises InvalidInput where there is none."""
    labelled = np.isfinite(labels.success)
    rows: np.ndarray = split.test[labelled[split.test].all(axis=1)]
    if not len(rows):
        least = int(labelled.sum(axis=0).argmin())
        raise InvalidInput(
            f"no test instruction of seed {seed} has a label for every model; "
            f"'{labels.models[least]}' has fewest, {labelled[:, least].sum()} of {len(labels)}",
            source=labels.name,
            remedy="Label some instructions with all models, or evaluate fewer models.",
        )
    return rows


def _evaluate_seed(
    labels: LabelledInstructions,
    catalog: ModelCatalog | None,
    recorded: RecordedCosts,
    component: np.ndarray,
    split: Split,
    rows: np.ndarray,
    seed: int,
    config: EvaluationConfig,
    embeddings: EmbeddingCache,
) -> SeedResult:
    stage = _Stopwatch()
    test = labels.take(rows)
    cost_model = fit_cost_model(labels.take(split.train), catalog, "auto")
    cost, costs = _costs(labels.take(split.train), catalog, recorded, rows, test, cost_model)
    if not cost.any():
        raise InvalidInput(
            f"no test call of seed {seed} costs anything",
            source=labels.name,
            remedy="Give a catalog with prices, or record what more calls cost.",
        )
    stage.done("cost_model")
    router = fit_router(labels, split, for_seed(config.router, seed), embeddings_cache=embeddings)
    stage.done("fit_router")
    estimates = estimates_by_step(router, test)
    stage.done("predict")
    estimates["knn"], knn = _knn(labels, split, rows, router, embeddings)
    if labels.task is not None and len(set(labels.task)) > 1:
        estimates["task_rates"] = task_rates(labels.task[split.train], labels.success[split.train], labels.task[rows])
    stage.done("knn")
    budget = budgets(cost, np.array(config.budget_fractions))
    held_out = _held_out(labels, recorded, split, cost_model, router)
    batch = TestSplit(labels.models, test.success, cost, estimates, costs, seed, config.safe_probability, held_out)
    outcomes = follow_all(batch, budget)
    looks: SecondLookResult | None = None
    if config.second_look:
        looks = evaluate_second_looks(labels, split, router, rows, cost_model, batch, budget)
        outcomes |= looks.outcomes
    if np.isnan(outcomes["mip"].predicted_cost[-1]):
        raise InvalidInput(
            f"the largest budget fraction, {config.budget_fractions[-1]:g}, cannot pay for the cheapest model",
            source=labels.name,
            remedy="Give larger fractions, or models that differ in cost: routing saves nothing among equals.",
        )
    stage.done("allocate")
    return SeedResult(
        seed=seed,
        rows=rows,
        tested=len(split.test),
        component=component[rows],
        budget=budget,
        success=test.success,
        cost=cost,
        costs_recorded=float(recorded.recorded[rows].mean()) if recorded.measured else 1.0,
        outcomes=outcomes,
        probabilities={step: estimates[step] for step in STEPS},
        knn=asdict(knn),
        second_look=() if looks is None else looks.quality,
        decision=router.why,
        cost_model={"mode": cost_model.mode, "source": cost_model.source, "why": cost_model.why}
        | {f"held_out_{mode}": asdict(error) for mode, error in cost_model.held_out.items()},
        timings=stage.seconds,
    )


def _held_out(
    labels: LabelledInstructions, recorded: RecordedCosts, split: Split, cost_model: CostModel, router: Router
) -> HeldOutCalls:
    """Calls to calibrate the safety margin on: the validation and calibration rows.

    The cost model was not fitted to these rows, and the test split stays free to judge the margin. The router's
    temperatures and buckets were fitted to them, but they know nothing of costs. Production uses the test rows instead.
    """
    index = np.concatenate([split.validation, split.calibration])
    rows = labels.take(index)
    return HeldOutCalls(
        labels.models,
        router.predict(rows.instruction, rows.task).decision,
        cost_model.estimate(rows.instruction, rows.task),
        np.where(recorded.recorded[index], recorded.cost[index], np.nan),
        proxy_tokens(rows.instruction),
    )


def for_seed(config: RouterConfig, seed: int) -> RouterConfig:
    """The same settings with another training seed and a fixed number of threads.

    The last digits of a training depend on its threads. Half of the cores leaves room for two splits at a time.
    """
    training = replace(config.classifier.training, seed=seed)
    threads = config.classifier.threads or max(1, cpu_count() // 2)
    return replace(config, classifier=replace(config.classifier, training=training, threads=threads))


def estimates_by_step(router: Router, test: LabelledInstructions) -> dict[str, np.ndarray]:
    """(n, K) probabilities after each step of the router."""
    matrix = router.predict(test.instruction, None if test.task is None else list(test.task))
    return {step: getattr(matrix, step) for step in STEPS}


def _knn(
    labels: LabelledInstructions, split: Split, rows: np.ndarray, router: Router, embeddings: EmbeddingCache
) -> tuple[np.ndarray, TunedNeighbours]:
    """The kNN control on the encoder's sentence embeddings, with shared preambles cut off as for the router.

    Only the last pooled layer is used: neighbours are nearer in meaning there, and the control is stronger for it.
    """
    width = embeddings.encoder.width

    def embed(part: np.ndarray) -> np.ndarray:
        return embeddings.embed(router.classifier.preparation.prepare(labels.instruction[part]))[:, -width:]

    success = labels.success
    return knn_estimates(
        embed(split.train), success[split.train], embed(split.validation), success[split.validation], embed(rows)
    )


def _costs(
    train: LabelledInstructions,
    catalog: ModelCatalog | None,
    recorded: RecordedCosts,
    rows: np.ndarray,
    test: LabelledInstructions,
    cost_model: CostModel,
) -> tuple[np.ndarray, dict[str, CostEstimate]]:
    """True costs (n, K) of the test calls, with the best estimate where none was recorded; and the estimates by name.

    Where calls were not measured one by one, a model's calls cost the same, as in the article, and are known exactly.
    """
    mean = fit_cost_model(train, catalog, "mean").estimate(test.instruction)
    if not recorded.measured:
        return mean.mean, {"mean": CostEstimate(mean.mean, np.zeros_like(mean.mean), np.zeros(len(train.models)))}
    costs = {"mean": mean}
    best = mean
    if cost_model.mode == "per_instruction":
        best = costs["token_aware"] = cost_model.estimate(test.instruction, test.task)
    truth = recorded.cost[rows]
    return np.where(np.isfinite(truth), truth, best.mean), costs


class _Stopwatch:
    """Seconds by stage."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self._last = time.perf_counter()

    def done(self, stage: str) -> None:
        now = time.perf_counter()
        self.seconds[stage], self._last = now - self._last, now
