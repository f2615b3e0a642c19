"""The precision in which an encoder scores texts: float32, or bfloat16 for matrix products and float32 for the rest."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Literal, get_args

import torch

from routing_assets.foundation.errors import InvalidInput

Precision = Literal["fp32", "bf16"]

NAMES: tuple[Precision, ...] = get_args(Precision)


def check_precision(name: str) -> None:
    """Raise :class:`InvalidInput` for an unknown precision."""
    if name not in NAMES:
        raise InvalidInput(f"unknown precision '{name}'", source="precision", remedy=f"Use {' or '.join(NAMES)}")


def products_in(precision: Precision, device: str) -> AbstractContextManager[object]:
    """Context in which torch multiplies matrices in ``precision``; sums between layers and norms stay in float32."""
    return torch.autocast(device, dtype=torch.bfloat16) if precision == "bf16" else nullcontext()


def weights_cast_once(device: str) -> AbstractContextManager[object]:
    """Context in which weights are cast to bfloat16 once, not per :func:`products_in`. Results stay the same."""
    return torch.autocast(device, enabled=False)


def supports_bfloat16(device: str) -> bool:
    """Whether bfloat16 is faster than float32 on ``device``."""
    return device == "cuda" or bool(torch.cpu.get_capabilities().get("avx512_bf16", False))


def remark(precision: Precision, device: str) -> str:
    """A warning for scoring in ``precision`` on this machine; empty where there is none."""
    if precision == "fp32" or supports_bfloat16(device):
        return ""
    return (
        "the router scores in bf16, which this processor emulates: slower than fp32, and equal to a processor with "
        "bf16 only up to rounding; use one with avx512_bf16 or a GPU, or train with precision fp32"
    )
