"""Evaluation: what routing buys at each budget, on held-out instructions, over several random splits."""

from pathlib import Path
from typing import Literal

import dagster as dg
from pydantic import Field

from routing_assets.datasets import LabelledInstructions
from routing_assets.defs.common import OWNERS, TRAINING_POOL, failure, inline_png
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.training.label_table import LabelTable
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.markdown import code_block
from routing_assets.home import Home
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.pricing.catalog_table import catalog_from_table
from routing_assets.pricing.units import refuse_doubtful_costs
from routing_assets.routers.catalog_in_force import new_catalog
from routing_assets.routers.few_labels import without_added
from routing_assets.routers.outcome_labels import without_outcomes

AT_ONCE = 2
"""Splits evaluated at a time: each takes half of the cores."""


class EvaluationSettings(LabelTable):
    """What to evaluate, and how often."""

    labels: str | None = Field(
        default=None, description="Label table, dataset folder or simulated:<twin>; null: the project's own labels."
    )
    catalog: str | None = Field(default=None, description="Model catalog of these labels; null: their own costs.")
    catalog_models: list[str] = Field(default=[], description="Models to take from the catalog; none: all.")
    confirm_prices: bool = Field(default=False, description="Accept prices and costs that look like another unit.")
    method: Literal["auto", "frozen", "upper_layers", "finetune"] = Field(
        default="auto", description="Which part of the encoder is trained; auto chooses and gives its reason."
    )
    second_look: bool = Field(default=False, description="Also evaluate a second call after a look at the answer.")
    check_auc: float | None = Field(default=None, description="Simulated twins: the quality of a check of the answers.")
    seeds: int = Field(default=5, description="Random splits, each with its own training.")
    output: str | None = Field(default=None, description="Folder for curves, summary and figure.")

    def read_with_signals(self, source: str) -> LabelledInstructions:
        """The labels at ``source``, with everything that is known about the answers."""
        return self.read(source, signals=self.signals or True, check_auc=self.check_auc)


@dg.asset(
    group_name="evaluation",
    owners=OWNERS,
    kinds={"html", "parquet"},
    deps=["labelled_instructions", "model_catalog"],
    pool=TRAINING_POOL,
    code_version="3",
)
def budget_curves(
    context: dg.AssetExecutionContext, config: EvaluationSettings, home: RoutingHome
) -> dg.MaterializeResult:
    """Realised success and spend of every policy and control at every budget, over several random splits.

    Look at ``verdict``, then at ``page`` or ``budget_curve``.
    """
    from routing_assets.evaluation.protocol import EvaluationConfig, evaluate
    from routing_assets.evaluation.writing import write_evaluation
    from routing_assets.prediction.classifier.config import ClassifierConfig
    from routing_assets.prediction.router import RouterConfig
    from routing_assets.routers.mlflow_registry import log_evaluation

    paths = home.paths()
    try:
        labels, catalog = labels_and_catalog(config, paths)
        classifier = ClassifierConfig(method=config.method)
        evaluation = evaluate(
            labels,
            catalog,
            seeds=range(config.seeds),
            config=EvaluationConfig(RouterConfig(classifier=classifier), second_look=config.second_look),
            embeddings_cache=paths.shelf.embeddings,
            workers=AT_ONCE,
            progress=True,
        )
    except InvalidInput as error:
        raise failure(error) from error
    folder = Path(config.output) if config.output else paths.evaluations / context.run_id
    written = write_evaluation(evaluation, folder, paths.folders.pages)
    shown = [written[name] for name in ("page.html", "curves.png", "reliability.png")]
    run_id = log_evaluation(paths.registry, evaluation.label_hash, shown)
    return dg.MaterializeResult(
        metadata={
            "verdict": evaluation.verdict.text,
            "page": dg.MetadataValue.url(written["page.html"].absolute().as_uri()),
            "budget_curve": inline_png(written["curves.png"].read_bytes()),
            "reliability": inline_png(written["reliability.png"].read_bytes()),
            "dataset": evaluation.dataset,
            "simulated": evaluation.simulated,
            **({"mlflow_run_id": run_id} if run_id else {}),
            **({"second_look": evaluation.second_look.text} if evaluation.second_look else {}),
            "fine_print": dg.MetadataValue.path(str(folder / "fine_print.txt")),
            "curves": dg.MetadataValue.path(str(folder / "curves.parquet")),
            "success_by_budget": dg.MetadataValue.md(code_block(evaluation.table())),
        }
    )


def labels_and_catalog(config: EvaluationSettings, home: Home) -> tuple[LabelledInstructions, ModelCatalog | None]:
    """The labels and prices named by the settings, or the project's own."""
    store = home.store
    if config.labels is not None:
        labels = config.read_with_signals(config.labels) if config.second_look else config.read(config.labels)
        catalog = new_catalog(home.store, config.catalog, config.catalog_models, confirmed=config.confirm_prices)
        if not config.confirm_prices:
            refuse_doubtful_costs(labels, catalog)
        return labels, catalog
    return (
        without_added(without_outcomes(LabelledInstructions.from_arrow(store.read("labelled_instructions")))),
        catalog_from_table(store.read("model_catalog")),
    )
