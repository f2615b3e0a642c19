"""A batch's decisions as Parquet files, one per part, written by the worker that reads the part."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from routing_assets.allocation.carry_out import AnswerPart
from routing_assets.foundation.files import atomic_path


@dataclass(frozen=True)
class AnswerFile:
    """The file of one part's decisions: choice, runner_up, switching_price, expected_success, cost."""

    path: str
    rows: int

    @property
    def choice(self) -> np.ndarray:
        """(M,) int16 index into the models."""
        import pyarrow.parquet as pq

        return pq.read_table(self.path, columns=["choice"], use_threads=False)["choice"].to_numpy()


@dataclass(frozen=True)
class AnswerFolder:
    """Writes each part's decisions to ``part-NNNNNN.parquet`` in a folder; no file is ever half written.

    Two attempts at a part may write at once, as on a cluster that takes the first for lost: the later one replaces the
    earlier, with the same decisions.
    """

    folder: str

    def __call__(self, part: AnswerPart) -> AnswerFile:
        """Write a part's decisions; ``runner_up`` is null where no other model is allowed."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = Path(self.folder) / f"part-{part.number:06d}.parquet"
        runner_up = part.runner_up
        table = pa.table(
            {
                "choice": pa.array(part.choice),
                "runner_up": pa.array(runner_up.astype(np.int16), mask=runner_up < 0),
                "switching_price": pa.array(part.switching_price),
                "expected_success": pa.array(part.expected_success),
                "cost": pa.array(part.expected_cost),
            }
        )
        with atomic_path(path) as temporary:
            pq.write_table(table, temporary)
        return AnswerFile(str(path), len(part.choice))
