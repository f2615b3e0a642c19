"""How a label table is read: settings that training and evaluation share."""

import dagster as dg
from pydantic import Field

from routing_assets.datasets import LabelledInstructions
from routing_assets.routers.label_sources import read_labels


class LabelTable(dg.Config):
    """What the reader has to know of a label table or a simulated twin."""

    format: str = Field(default="auto", description="auto, table, routerbench or llm_uncertainty_bench.")
    ignore_columns: list[str] = Field(default=[], description="Columns of a table that are not models.")
    allow_missing: bool = Field(default=False, description="Treat an empty success cell as unlabelled.")
    size: int | None = Field(default=None, description="Instructions to simulate; default: as many as published.")

    def read(self, source: str, *, seed: int = 0) -> LabelledInstructions:
        """The labels at ``source``; ``seed`` matters to simulated twins only."""
        return read_labels(
            source,
            format=self.format,
            ignore_columns=self.ignore_columns,
            allow_missing=self.allow_missing,
            size=self.size,
            seed=seed,
        )
