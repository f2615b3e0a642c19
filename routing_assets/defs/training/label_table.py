"""How a label table is read: settings that training and evaluation share."""

from collections.abc import Sequence
from typing import get_args

import dagster as dg
from pydantic import Field

from routing_assets.datasets import LabelFormat, LabelledInstructions
from routing_assets.routers.label_sources import read_labels


class LabelTable(dg.Config):
    """What the reader has to know of a label table or a simulated twin."""

    format: str = Field(default="auto", description=f"One of {', '.join(get_args(LabelFormat))}.")
    ignore_columns: list[str] = Field(default=[], description="Columns of a table that are not models.")
    allow_missing: bool = Field(default=False, description="Treat an empty success cell as unlabelled.")
    columns: dict[str, str] = Field(
        default={}, description="By our name for a column, the table's own, such as {instruction: prompt}."
    )
    made_ids: str | None = Field(default=None, description="row or text: what ids are made from where there are none.")
    success_scale: float = Field(default=1.0, description="The greatest success of a cell, such as 100 for points.")
    preferences: str | None = Field(default=None, description="What pairwise preferences count as, as a rule.")
    encoding: str | None = Field(default=None, description="Of a text file that is not UTF-8, such as cp1252.")
    signals: list[str] = Field(default=[], description="Further signals of the answers, <model>|<signal> columns.")
    size: int | None = Field(default=None, description="Instructions to simulate; default: as many as published.")

    def read(
        self,
        source: str,
        *,
        seed: int = 0,
        signals: Sequence[str] | bool | None = None,
        check_auc: float | None = None,
    ) -> LabelledInstructions:
        """The labels at ``source``; ``seed`` and ``check_auc`` are for simulated twins. ``signals`` replace those of
        the settings.
        """
        return read_labels(
            source,
            format=self.format,
            ignore_columns=self.ignore_columns,
            allow_missing=self.allow_missing,
            columns=self.columns,
            made_ids=self.made_ids,
            success_scale=self.success_scale,
            preferences=self.preferences,
            encoding=self.encoding,
            signals=self.signals if signals is None else signals,
            check_auc=check_auc,
            size=self.size,
            seed=seed,
        )
