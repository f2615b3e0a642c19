"""Small networks that correct the logits of every model by those of the whole panel.

The classifier's heads are fitted model by model; what the other models' logits tell of a model is left over. On rows
that the classifier did not learn from, networks learn it. They are kept only where rows that they in turn did not learn
from say that they help.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save

from routing_assets.prediction.calibration.quality import loss_saved
from routing_assets.prediction.calibration.temperatures import fit_temperatures, scale
from routing_assets.prediction.encoder.threads import one_thread, side_by_side
from routing_assets.prediction.panel_refit.networks import (
    CorrectionConfig,
    Corrections,
    component_folds,
    joined,
    train_corrections,
)

Matrix = NDArray[np.float32]

ROWS_AT_ONCE = 2_048
LEAST_COMPONENTS = 250
"""With fewer unrelated rows nothing is fitted: 200 did not show a gain even where logits tell most of each other."""
STANDARD_ERRORS = 3.0
"""A refit is kept if the log-loss that it saves is so many standard errors above zero."""


@dataclass(frozen=True, eq=False)
class PanelRefit:
    """Networks that correct logits, one for each fold of the rows that they learnt from, which it left out.

    Attributes:
        centre: (K,) mean of the logits; ``spread`` (K,) their standard deviation.
        networks: one per fold.
        config: how they were trained; it determines the folds.
        why: it is kept, in words.
    """

    centre: Matrix
    spread: Matrix
    networks: Corrections
    config: CorrectionConfig
    why: str

    def correct(self, logits: Matrix) -> Matrix:
        """(N, K) corrected logits: the mean of the networks. The last bits do not depend on the number of threads."""
        corrected = np.empty_like(logits)

        @torch.no_grad()
        def work(left: Iterator[slice]) -> None:
            for rows in left:
                part = torch.tensor(logits[rows])
                inputs = self._inputs(part).expand(self.config.folds, -1, -1)
                corrected[rows] = self.networks(inputs, part).mean(dim=0).numpy()

        side_by_side(work, [slice(start, start + ROWS_AT_ONCE) for start in range(0, len(logits), ROWS_AT_ONCE)])
        return corrected

    @torch.no_grad()
    def correct_unseen(self, logits: Matrix, component: NDArray[np.integer]) -> Matrix:
        """(C, K) corrected logits of the rows that the networks learnt from, each by the network that left it out."""
        fold = component_folds(component, self.config.folds, self.config.seed)
        corrected = np.empty_like(logits)
        with one_thread():
            for part in range(self.config.folds):
                of_fold = torch.from_numpy(logits[fold == part])
                networks = self.networks(self._inputs(of_fold)[None], of_fold, slice(part, part + 1))
                corrected[fold == part] = networks[0].numpy()
        return corrected

    def _inputs(self, logits: torch.Tensor) -> torch.Tensor:
        return (logits - torch.from_numpy(self.centre)) / torch.from_numpy(self.spread)

    @property
    def version(self) -> str:
        """A content hash of the weights."""
        return hashlib.sha256(self._safetensors()).hexdigest()[:12]

    def save(self, directory: Path) -> None:
        """Write weights (safetensors) and the rest (JSON) into ``directory``."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "panel_refit.safetensors").write_bytes(self._safetensors())
        about = {"config": asdict(self.config), "why": self.why}
        (directory / "panel_refit.json").write_text(json.dumps(about, indent=1))

    def _safetensors(self) -> bytes:
        normalised = {"centre": torch.from_numpy(self.centre), "spread": torch.from_numpy(self.spread)}
        return save(normalised | self.networks.state_dict())

    @classmethod
    def load(cls, directory: Path) -> PanelRefit | None:
        """Inverse of :meth:`save`; None where there is no refit."""
        if not (directory / "panel_refit.json").is_file():
            return None
        about = json.loads((directory / "panel_refit.json").read_text())
        config = CorrectionConfig(**about["config"])
        tensors = load_file(directory / "panel_refit.safetensors")
        centre, spread = (tensors.pop(name).numpy() for name in ("centre", "spread"))
        networks = Corrections(config.folds, len(centre), len(centre), config)
        networks.load_state_dict(tensors)
        return cls(centre, spread, networks.eval(), config, about["why"])


@dataclass(frozen=True, eq=False)
class RefitTrial:
    """What the held-out rows said of a refit: it, or None where it is refused; why; and the logits to calibrate by.

    ``logits`` (C, K) are those that were given, corrected by networks that had not seen them where the refit is kept.
    """

    refit: PanelRefit | None
    logits: Matrix
    why: str


def try_panel_refit(
    logits: Matrix,
    success: Matrix,
    component: NDArray[np.integer],
    seed: int = 0,
    config: CorrectionConfig | None = None,
) -> RefitTrial:
    """Fit a refit on rows that the classifier did not learn from, and judge it by networks that left the rows out.

    Both sides of the comparison get their own temperatures.

    Args:
        logits: (C, K) of the classifier.
        success: (C, K), NaN where unlabelled.
        component: (C,) equal for related rows, which share a fold and count as one observation.
    """
    unrelated = len(np.unique(component))
    if unrelated < LEAST_COMPONENTS:
        return RefitTrial(None, logits, f"refused: {unrelated} unrelated held-out instructions are too few")
    refit = _fitted(logits, success, component, replace(config or CorrectionConfig(), seed=seed))
    corrected = refit.correct_unseen(logits, component)
    after, before = (scale(z, fit_temperatures(z, success)) for z in (corrected, logits))
    saved, error = loss_saved(after, before, success, component)
    kept = saved > STANDARD_ERRORS * error
    why = (
        f"{'kept' if kept else 'refused'}: on {unrelated} unrelated held-out instructions it saves {saved:.4f} ± "
        f"{error:.4f} of the log-loss per label; {STANDARD_ERRORS:g} standard errors are needed"
    )
    return RefitTrial(replace(refit, why=why), corrected, why) if kept else RefitTrial(None, logits, why)


def _fitted(logits: Matrix, success: Matrix, component: NDArray[np.integer], config: CorrectionConfig) -> PanelRefit:
    centre, spread = logits.mean(axis=0), np.maximum(logits.std(axis=0), np.float32(1e-6))
    z, target = torch.tensor(logits), torch.tensor(success)
    inputs = torch.from_numpy((logits - centre) / spread)[None]
    fold = component_folds(component, config.folds, config.seed)
    with one_thread():  # the steps are too short for several threads
        networks = [
            train_corrections(inputs[:, rest], z[rest], target[rest], replace(config, seed=config.seed * 101 + part))
            for part in range(config.folds)
            for rest in [np.flatnonzero(fold != part)]
        ]
    return PanelRefit(centre, spread, joined(networks, config), config, "")
