"""Instructions that every model is barred from: set aside, or refused, with the rules that bar them and what helps."""

from __future__ import annotations

import numpy as np

from routing_assets.datasets import BatchInstructions
from routing_assets.datasets.set_aside import count_set_aside
from routing_assets.errors import InvalidInput
from routing_assets.names import printable
from routing_assets.pricing.catalog import ModelCatalog
from routing_assets.routing import RoutingSettings, bars

_REMEDIES = {
    "context_tokens": "Raise context_tokens in the catalog, or shorten the instructions.",
    "required_tags": "Give models the required tags in the catalog, or require fewer.",
    "max_latency": "Raise max_latency.",
    "vision": "Give a model that sees images the tag vision and an image_price in the catalog.",
    "audio": "Give a model that hears sound the tag audio and an audio_price in the catalog.",
    "files": "Give a model that reads files the tag files and a file_price in the catalog.",
    "tools": "Give the models that call tools the tag tools in the catalog.",
    "json": "Give the models that answer in JSON the tag json in the catalog.",
}


def set_barred_aside(
    batch: BatchInstructions, models: tuple[str, ...], catalog: ModelCatalog | None, settings: RoutingSettings
) -> BatchInstructions:
    """The batch without the instructions that no model may get by the catalog's limits and the settings.

    Raises:
        InvalidInput: there is such an instruction and the settings are strict, or there is no other.
    """
    by_rule = bars(batch, models, catalog, settings)
    kept_from = np.zeros((len(batch), len(models)), bool)
    for bar in by_rule.values():
        kept_from |= bar
    barred = kept_from.all(axis=1)
    if not barred.any():
        return batch
    of_rows: dict[str, list[int]] = {}
    for row in np.flatnonzero(barred).tolist():
        rules = " and ".join(rule for rule, bar in by_rule.items() if bar[row if len(bar) > 1 else 0].any())
        of_rows.setdefault(rules, []).append(row)
    if settings.strict or barred.all():
        rules, rows = next(iter(of_rows.items()))
        raise InvalidInput(
            f"no model is left by {rules} to {len(rows)} of {len(batch)} instructions, "
            f"the first of them '{printable(batch.instruction_id[rows[0]])}' of {batch.tokens[rows[0]]:g} tokens"
            + (f". Before, {count_set_aside(batch.set_aside)} records were set aside" if batch.set_aside else ""),
            remedy=_remedy(rules),
        )
    return batch.set_apart(
        {f"no model is left by {rules}. {_remedy(rules)}": _mask(rows, len(batch)) for rules, rows in of_rows.items()}
    )


def _remedy(rules: str) -> str:
    return " ".join(_REMEDIES[rule] for rule in rules.split(" and "))


def _mask(rows: list[int], n: int) -> np.ndarray:
    mask = np.zeros(n, bool)
    mask[rows] = True
    return mask
