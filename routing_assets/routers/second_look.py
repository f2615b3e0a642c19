"""Second looks of a router: fitted from the signals of its labels, judged, and kept beside it."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from routing_assets.datasets import LabelledInstructions
from routing_assets.datasets.splits import Split
from routing_assets.foundation.files import file_sha256
from routing_assets.foundation.long_table import matrix
from routing_assets.prediction.calibration.temperatures import scale
from routing_assets.prediction.classifier.classifier import SuccessClassifier
from routing_assets.prediction.router import calibration_rows
from routing_assets.prediction.second_look import (
    FirstModelQuality,
    Gain,
    KeptSecondLook,
    SecondLook,
    fit_posterior,
    judge_first_models,
    second_look_of,
    second_look_verdict,
    telling,
)
from routing_assets.prediction.second_look.second_look import ABOUT, ARRAYS, logits_of
from routing_assets.pricing.cost_model import CostModel
from routing_assets.routers.second_look_gains import second_look_gains
from routing_assets.routers.shelf import Shelf
from routing_assets.storage.in_force import candidate
from routing_assets.storage.warehouse import Warehouse

FOLDER, GAINS = "second_looks", "gains.json"


@dataclass(frozen=True, eq=False)
class FittedSecondLook:
    """What the answers of the labelled calls teach.

    Attributes:
        second_look: None where no answer tells more than the instruction.
        quality: of each first model, on held-out rows.
        gains: by budget; empty without a second look.
    """

    second_look: SecondLook | None
    quality: tuple[FirstModelQuality, ...]
    gains: tuple[Gain, ...] = ()

    def rows(self) -> list[dict[str, Any]]:
        """By first model, what its answers tell beside the control that reads none."""
        return [{**asdict(first), "used": first.tells} for first in self.quality]

    @property
    def verdict(self) -> str:
        """Where second looks pay, in words."""
        return second_look_verdict(self.gains, [self.quality]).text


def fit_second_look(
    classifier: SuccessClassifier,
    logits: pa.Table,
    temperatures: pa.Table,
    labels: LabelledInstructions,
    split: Split,
    cost_model: CostModel,
    first_models: Sequence[str],
    seed: int = 0,
) -> FittedSecondLook:
    """Learn from rows that the router did not learn from; ``labels`` have signals.

    Args:
        classifier: of the router.
        logits: of these rows, as ``panel_refit`` makes them: corrected where the router corrects them.
        temperatures: of the router, by model.
        first_models: whose answers may be looked at.
    """
    rows = calibration_rows(classifier, split)
    known = labels.take(rows)
    probability = scale(matrix(logits, "logit", labels.models), temperatures["temperature"].to_numpy())
    scaled, component = logits_of(probability), matrix(logits, "component", labels.models)[:, 0].astype(np.int64)
    success = known.success.astype(np.float32)
    fit = fit_posterior(labels.models, scaled, success, known.signals, component, first_models)
    quality = judge_first_models(fit, success, component)
    columns = [cost_model.models.index(model) for model in labels.models]
    cost = cost_model.estimate(known.instruction, known.task).mean[:, columns]
    made = second_look_of(fit, telling(quality), scaled, cost, success)
    if made is None:
        return FittedSecondLook(None, quality)
    return FittedSecondLook(made, quality, second_look_gains(fit, made.first, scaled, success, cost, component, seed))


def classifier_of(shelf: Shelf, record: Mapping[str, Any]) -> SuccessClassifier:
    """The classifier that a training kept."""
    return SuccessClassifier.load(
        shelf.folder / "classifiers" / record["classifier_id"], embeddings_cache=shelf.embeddings
    )


def keep_second_look(shelf: Shelf, second_look: SecondLook, gains: Sequence[Gain]) -> KeptSecondLook:
    """Keep it, with what it gained on held-out rows, under a hash of its content."""
    folder = shelf.folder / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".") as work:
        made = Path(work) / "made"
        second_look.save(made)
        (made / GAINS).write_text(json.dumps([asdict(gain) for gain in gains], indent=1), encoding="utf-8")
        version = "".join(file_sha256(made / name)[:4] for name in (ARRAYS, ABOUT, GAINS))
        if not (folder / version).exists():
            os.replace(made, folder / version)
    return KeptSecondLook(version, second_look, tuple(gains))


def kept_second_look(shelf: Shelf, version: str) -> KeptSecondLook:
    """A second look that was kept."""
    folder = shelf.folder / FOLDER / version
    gains = json.loads((folder / GAINS).read_text(encoding="utf-8"))
    return KeptSecondLook(version, SecondLook.load(folder), tuple(Gain(**gain) for gain in gains))


def record_second_look(warehouse: Warehouse, router_version: str, kept: KeptSecondLook, *, run_id: str) -> None:
    """Append the second look of a router; the newest row of a router counts."""
    row = {
        "router_version": router_version,
        "second_look_version": kept.version,
        "signals": list(kept.second_look.signals),
        "first_models": list(kept.second_look.first),
        "gains": json.dumps([asdict(gain) for gain in kept.gains]),
        "dagster_run_id": run_id,
    }
    warehouse.append("second_looks", pa.Table.from_pylist([row]))


def second_look_of_router(warehouse: Warehouse, shelf: Shelf, router_version: str) -> KeptSecondLook | None:
    """The second look of a router or, where it was recalibrated or extended, of the one that it came from."""
    known_as: str | None = router_version
    while known_as is not None:
        if found := warehouse.fetch("second_look_of", {"router_version": known_as}):
            return kept_second_look(shelf, found[0]["second_look_version"])
        known_as = candidate(warehouse, known_as)["parent"]
    return None
