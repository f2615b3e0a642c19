"""The Parquet store: every table that an asset makes, one immutable file per run, and which one is current.

``store/<asset>/[<partition>/]<run id>.parquet`` is rewritten only where texts of retired batches have to leave it;
``current.parquet`` beside it is a hard link to the newest (of prices: to those in force), replaced in one step. A
killed run therefore leaves either the old table or the new one.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.files import PARTIAL, atomic_path


@dataclass(frozen=True)
class Store:
    """Tables of assets under ``root``."""

    root: Path

    def path(self, asset: str, partition: str | None = None, run_id: str | None = None) -> Path:
        """The table written by ``run_id``, or the current one."""
        folder = self.root / asset / partition if partition else self.root / asset
        return folder / f"{run_id or 'current'}.parquet"

    def write(
        self, table: pa.Table, asset: str, partition: str | None, run_id: str, *, make_current: bool = True
    ) -> Path:
        """Write the table of this run and, unless told otherwise, make it the current one."""
        version = self.path(asset, partition, run_id)
        with atomic_path(version) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        if make_current:
            self.make_current(asset, partition, run_id)
        return version

    def make_current(self, asset: str, partition: str | None, run_id: str) -> None:
        """Make the table that this run wrote the current one."""
        version, current = self.path(asset, partition, run_id), self.path(asset, partition)
        link = current.with_name(f".{run_id}{PARTIAL}")
        link.unlink(missing_ok=True)
        os.link(version, link)
        os.replace(link, current)

    def version(self, asset: str, partition: str | None, run_id: str, table: pa.Table) -> Path:
        """The file of this run; written now where the run was started again after the step that made ``table``."""
        path = self.path(asset, partition, run_id)
        return path if path.exists() else self.write(table, asset, partition, run_id)

    def read(
        self,
        asset: str,
        partition: str | None = None,
        *run_ids: str,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """The table that the first of the runs which made one wrote, or else the current one; all of it or those of
        the named columns that it has.

        Raises:
            InvalidInput: there is none.
        """
        for path in (*(self.path(asset, partition, run_id) for run_id in run_ids), self.path(asset, partition)):
            if path.exists():
                known = pq.read_schema(path).names
                wanted = columns if columns is None else [name for name in columns if name in known]
                return pq.read_table(path, columns=wanted, partitioning=None)
        of_batch = f" of batch '{partition}'" if partition else ""
        raise InvalidInput(f"{asset}{of_batch} was not made yet", source=str(self.root), remedy="Materialise it first.")

    def read_version(self, asset: str, partition: str | None, run_id: str) -> pa.Table:
        """The table that ``run_id`` itself wrote.

        Raises:
            InvalidInput: it wrote none.
        """
        path = self.path(asset, partition, run_id)
        if not path.exists():
            raise InvalidInput(f"run {run_id} made no {asset}", source=str(path.parent), remedy="Run it again.")
        return pq.read_table(path, partitioning=None)

    def keep_rows(self, asset: str, kept: Callable[[list[str]], np.ndarray]) -> int:
        """Rewrite all versions of an unpartitioned table without the other rows; returns how many the current one lost.

        Args:
            kept: from instruction ids (N) to the rows that stay, (N,) True.
        """
        current, removed = self.path(asset), 0
        versions = sorted((self.root / asset).glob("*.parquet"), key=lambda path: path == current)
        for path in versions:  # the current one last: what is linked to it is rewritten with its version
            rows = kept(
                pq.read_table(path, columns=["instruction_id"], partitioning=None)["instruction_id"].to_pylist()
            )
            if rows.all():
                continue
            is_current = path == current or (current.exists() and path.samefile(current))
            removed += int((~rows).sum()) if is_current else 0
            with atomic_path(path) as temporary:
                pq.write_table(pq.read_table(path, partitioning=None).filter(rows), temporary, compression="zstd")
            if is_current and path != current:
                self.make_current(asset, None, path.stem)
        return removed
