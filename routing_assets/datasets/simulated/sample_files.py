"""Files as a user would have them, of simulated data: labels, catalog, batch and outcomes, to try commands on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv as pacsv
import yaml

from routing_assets.datasets.simulated.published import PUBLISHED
from routing_assets.datasets.simulated.twins import Twin, simulate

TWIN: Twin = "r1_math"
LABELLED, ROUTED = 600, 200


def write_sample_files(folder: Path) -> tuple[Path, ...]:
    """Writes ``labels.csv``, ``models.yaml``, ``batch.csv`` and ``answered.csv`` into a folder; returns their paths.

    ``answered.csv`` has what every model would answer to the batch, right or wrong, from which outcomes can be taken.
    """
    folder.mkdir(parents=True, exist_ok=True)
    prices = {model.name: {"price": model.price} for model in PUBLISHED[TWIN].models}
    catalog = folder / "models.yaml"
    catalog.write_text(yaml.safe_dump({"models": prices}, sort_keys=False), encoding="utf-8")
    labels, truth = simulate(TWIN, LABELLED, seed=1), simulate(TWIN, ROUTED, seed=2)
    named = {"labels.csv": ("q", labels), "answered.csv": ("b", truth)}
    for name, (letter, table) in named.items():
        ids = [f"{letter}{number}" for number in range(1, len(table) + 1)]
        columns = {"instruction_id": ids, "instruction": table.instruction.tolist()}
        success = {model: column.astype(np.int8) for model, column in zip(table.models, table.success.T, strict=True)}
        pacsv.write_csv(pa.table(columns | success), folder / name)
    batch = pacsv.read_csv(folder / "answered.csv").select(["instruction_id", "instruction"])
    pacsv.write_csv(batch, folder / "batch.csv")
    return tuple(folder / name for name in ("labels.csv", "models.yaml", "batch.csv", "answered.csv"))
