"""All that is known about second looks after a training: kept in a folder, and applied to new batches."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import load_file, save_file

from routing_assets.prediction.panel_refit.networks import CorrectionConfig, Corrections
from routing_assets.prediction.second_look.encoding import ClassSignal, NumberSignal, SignalEncoding, Signals
from routing_assets.prediction.second_look.gain import Gain
from routing_assets.prediction.second_look.plan import BatchLooks, Lookahead, fit_lookahead
from routing_assets.prediction.second_look.posterior import CrossFit, Posterior

Matrix = NDArray[np.float32]
ARRAYS, ABOUT = "second_look.safetensors", "second_look.json"
NEVER = -1.0
"""Less than any probability: a model that is never asked after an answer."""
LEAST, MOST = 1e-7, 1 - 1e-7
"""Probabilities beyond these have no finite logit in single precision."""


@dataclass(frozen=True, eq=False)
class SecondLook:
    """The posterior after each telling first model, and the regressions that plan looks at their answers.

    Attributes:
        posterior: of every model after an answer.
        lookahead: of the first models whose answers tell something.
    """

    posterior: Posterior
    lookahead: Lookahead

    @property
    def models(self) -> tuple[str, ...]:
        """The K models that it knows."""
        return self.posterior.models

    @property
    def first(self) -> tuple[str, ...]:
        """The models whose answers tell more than the instruction, in the order of the plan's columns."""
        return tuple(self.models[k] for k in self.lookahead.first)

    @property
    def signals(self) -> tuple[str, ...]:
        """What it reads of an answer."""
        return self.posterior.encoding.names

    @property
    def wanted(self) -> dict[str, bool]:
        """The names of these signals, and whether each is a class."""
        return {signal.name: isinstance(signal, ClassSignal) for signal in self.posterior.encoding.signals}

    def after_only(self, first: Sequence[str]) -> SecondLook:
        """The same, where only the answers of these first models are looked at."""
        kept = [j for j, name in enumerate(self.first) if name in first]
        lookahead = replace(self.lookahead, after=self.lookahead.after[kept], first=self.lookahead.first[kept])
        return replace(self, lookahead=lookahead)

    def without(self, models: Collection[str]) -> SecondLook:
        """The same, where no second call goes to these models."""
        closed = [k for k, model in enumerate(self.models) if model in models]
        alone, after = self.lookahead.alone.copy(), self.lookahead.after.copy()
        alone[:, closed] = after[:, :, closed] = NEVER
        return replace(self, lookahead=replace(self.lookahead, alone=alone, after=after))

    def looks(self, alone: Matrix, cost: NDArray[np.floating]) -> BatchLooks:
        """The columns of second looks on m instructions, by the number of successes that a US dollar buys elsewhere.

        The calls that the regressions learnt from are priced as the batch: a model's mean cost is that of the batch.

        Args:
            alone: (m, K) probabilities by which one call is planned.
            cost: (m, K) USD of the calls.
        """
        known, closed = self.lookahead.cost, (self.lookahead.alone == NEVER).all(axis=0)
        priced = replace(self.lookahead, cost=known * (cost.mean(axis=0) / np.maximum(known.mean(axis=0), 1e-300)))
        return BatchLooks(priced, np.where(closed, NEVER, alone).astype(np.float32), cost)

    def after(self, first: str, scaled: Matrix, signals: Signals) -> Matrix:
        """(m, K) probabilities once the answers of ``first`` are there; ``signals`` by name, (m,)."""
        return self.posterior.after(first, logits_of(scaled), signals)

    def save(self, directory: Path) -> None:
        """Write safetensors and JSON into ``directory``."""
        directory.mkdir(parents=True, exist_ok=True)
        posterior = self.posterior
        arrays: dict[str, np.ndarray] = {"centre": posterior.centre, "scale": posterior.scale}
        arrays |= {f"lookahead.{name}": values for name, values in vars(self.lookahead).items()}
        for n, member in enumerate(posterior.members):
            arrays |= {f"member{n}.{name}": tensor.numpy() for name, tensor in member.state_dict().items()}
        save_file({name: np.ascontiguousarray(values) for name, values in arrays.items()}, directory / ARRAYS)
        about = {
            "models": posterior.models,
            "first": posterior.first,
            "members": len(posterior.members),
            "signals": [
                {"kind": "class" if isinstance(signal, ClassSignal) else "number", **asdict(signal)}
                for signal in posterior.encoding.signals
            ],
        }
        (directory / ABOUT).write_text(json.dumps(about, indent=1), encoding="utf-8")

    @classmethod
    def load(cls, directory: Path) -> SecondLook:
        """Inverse of :meth:`save`."""
        about = json.loads((directory / ABOUT).read_text(encoding="utf-8"))
        arrays = load_file(directory / ARRAYS)
        posterior = Posterior(
            tuple(about["models"]),
            tuple(about["first"]),
            SignalEncoding(tuple(map(_signal, about["signals"]))),
            arrays["centre"],
            arrays["scale"],
            tuple(_member(_within(arrays, f"member{n}.")) for n in range(about["members"])),
        )
        return cls(posterior, Lookahead(**_within(arrays, "lookahead.")))


@dataclass(frozen=True, eq=False)
class KeptSecondLook:
    """A second look that was kept under a version, and what it gained on held-out rows."""

    version: str
    second_look: SecondLook
    gains: tuple[Gain, ...]

    def gain_at(self, fraction: float) -> Gain | None:
        """The lesser gain of the judged budgets on both sides; beyond the last, the last; None below the first."""
        below = [gain for gain in self.gains if gain.budget_fraction <= fraction + 1e-9][-1:]
        above = [gain for gain in self.gains if gain.budget_fraction >= fraction - 1e-9][:1]
        return min(below + above, key=lambda gain: (gain.pays, gain.gain)) if below else None


def second_look_of(
    fit: CrossFit,
    first: Collection[str],
    logits: Matrix,
    cost: NDArray[np.floating],
    success: Matrix,
    rows: NDArray[np.integer] | slice = slice(None),
) -> SecondLook | None:
    """What a cross-fitted posterior makes of second looks; None where no answer is looked at.

    Args:
        first: the models whose answers are looked at.
        logits: (n, K) scaled logits of the rows that it was fitted to.
        cost: (n, K) USD of their calls.
        success: (n, K) labels, NaN where unlabelled.
        rows: those of the n that the plan learns from.
    """
    read = [j for j, name in enumerate(fit.posterior.first) if name in first]
    if not read:
        return None
    columns = [fit.posterior.models.index(fit.posterior.first[j]) for j in read]
    lookahead = fit_lookahead(logits[rows], fit.after[read][:, rows], cost[rows], columns, success[rows])
    return SecondLook(fit.posterior, lookahead)


def logits_of(probability: Matrix) -> Matrix:
    """Logits of probabilities."""
    p = np.clip(probability, LEAST, MOST)
    return np.asarray(np.log(p) - np.log1p(-p), dtype=np.float32)


def _within(arrays: Mapping[str, np.ndarray], prefix: str) -> dict[str, np.ndarray]:
    return {name.removeprefix(prefix): values for name, values in arrays.items() if name.startswith(prefix)}


def _signal(about: Mapping[str, Any]) -> NumberSignal | ClassSignal:
    values = {name: value for name, value in about.items() if name != "kind"}
    if about["kind"] == "class":
        return ClassSignal(values["name"], tuple(values["classes"]))
    return NumberSignal(**values)


def _member(state: Mapping[str, np.ndarray]) -> Corrections:
    networks, inputs, hidden = state["first"].shape
    member = Corrections(networks, inputs, state["second"].shape[2], CorrectionConfig(hidden=hidden))
    member.load_state_dict({name: torch.from_numpy(values) for name, values in state.items()})
    return member.eval()
