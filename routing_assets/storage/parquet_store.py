"""The Parquet store: the tables that assets make, one immutable version per run, one of which is current.

A version is ``store/<asset>/[<partition>/]<run id>.parquet``. It is rewritten only to delete the texts of retired
batches. ``current.parquet`` beside it is a hard link to the newest version (for prices: the version in force), replaced
in one step. A killed run therefore leaves either the old table or the new one.

A version too large for one file is a partitioned table in the folder ``<run id>/``. ``current.json`` names the run
whose folder is current; if that file exists, ``current.parquet`` is older and is not read.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.files import PARTIAL, atomic_path, file_sha256
from routing_assets.storage.draft import NOTES, Draft, keep_rows, with_metadata
from routing_assets.storage.partitioned import (
    MANIFEST,
    PartitionedTable,
    is_partitioned,
    open_partitioned,
    single_file,
    write_manifest,
)


@dataclass(frozen=True)
class Store:
    """Tables of assets under ``root``."""

    root: Path

    def path(self, asset: str, partition: str | None = None, run_id: str | None = None) -> Path:
        """The path of the file written by ``run_id``, or of the current file."""
        folder = self.root / asset / partition if partition else self.root / asset
        return folder / f"{run_id or 'current'}.parquet"

    def write(
        self, table: pa.Table, asset: str, partition: str | None, run_id: str, *, make_current: bool = True
    ) -> Path:
        """Write the table of this run and, by default, make it the current one; returns the version's path."""
        version = self.path(asset, partition, run_id)
        with atomic_path(version) as temporary:
            pq.write_table(table, temporary, compression="zstd")
        if make_current:
            self.make_current(asset, partition, run_id)
        return version

    def draft(
        self,
        asset: str,
        partition: str | None,
        run_id: str,
        schema: pa.Schema,
        *,
        work: str = "",
        resumed: Sequence[str] = (),
    ) -> Draft:
        """The version of this run, to be written in parts. Call ``make_current`` when it is finished.

        Args:
            work: a key of everything that the rows depend on.
            resumed: runs that this run resumes; their unfinished parts are reused.
        """
        folder = self._folder(asset, partition, run_id)
        for earlier in (self._folder(asset, partition, run) for run in resumed):
            if not folder.exists() and earlier.is_dir() and not is_partitioned(str(earlier)):
                os.replace(earlier, folder)
        return Draft(str(folder), schema, work)

    def make_current(self, asset: str, partition: str | None, run_id: str) -> None:
        """Make the table that this run wrote the current one."""
        pointer = self.path(asset, partition).with_suffix(".json")
        if is_partitioned(str(self._folder(asset, partition, run_id))):
            with atomic_path(pointer) as temporary:
                temporary.write_text(json.dumps({"run_id": run_id}))
            return
        self._link(self.path(asset, partition, run_id), self.path(asset, partition))
        pointer.unlink(missing_ok=True)

    def version(self, asset: str, partition: str | None, run_id: str, table: PartitionedTable) -> Path:
        """The path of this run's version of ``table``, which :meth:`parts` returned.

        A run that resumes another after the table was made has no version yet: it gets a hard link to the other's.
        """
        if found := self._version(asset, partition, run_id):
            return found
        if not is_partitioned(table.folder):
            self._link(Path(table.parts[0].path), self.path(asset, partition, run_id))
            return self.path(asset, partition, run_id)
        folder = self._linked_parts(table, asset, partition, run_id)
        self._link(Path(f"{table.folder}/{MANIFEST}"), folder / MANIFEST)
        return folder

    def adopt(
        self, table: PartitionedTable, asset: str, partition: str | None, run_id: str, about: Mapping[str, str]
    ) -> PartitionedTable:
        """This run's version of an asset that has the rows of another table in parts, and says more of itself.

        The parts are linked; ``make_current`` it afterwards.
        """
        folder = self._linked_parts(table, asset, partition, run_id)
        return write_manifest(str(folder), with_metadata(table.schema, about), [part.file for part in table.parts])

    def _linked_parts(self, table: PartitionedTable, asset: str, partition: str | None, run_id: str) -> Path:
        folder = self._folder(asset, partition, run_id)
        folder.mkdir(parents=True, exist_ok=True)
        for part in table.parts:
            self._link(Path(part.path), folder / Path(part.path).name)
        return folder

    def version_sha256(self, path: str) -> str:
        """SHA-256 (hex) of the version at a path relative to the store: of its file, or of the manifest of a table in
        parts, which holds the hashes of the parts.

        Raises:
            FileNotFoundError: there is no such version.
        """
        version = self.root / path
        return file_sha256(version / MANIFEST if version.is_dir() else version)

    def read(
        self,
        asset: str,
        partition: str | None = None,
        *run_ids: str,
        columns: Sequence[str] | None = None,
    ) -> pa.Table:
        """The table of the first of these runs that wrote one, or else the current table.

        Args:
            columns: columns to read, all by default; names that the table lacks are ignored.

        Raises:
            InvalidInput: there is no table.
        """
        found = self._found(asset, partition, run_ids)
        if found.is_dir():
            table = open_partitioned(str(found))
            return table.read(_existing(columns, table.schema.names))
        return pq.read_table(found, columns=_existing(columns, pq.read_schema(found).names), partitioning=None)

    def parts(self, asset: str, partition: str | None = None, *run_ids: str) -> PartitionedTable:
        """The same table as ``read``, without loading its rows; a single file is one part.

        Raises:
            InvalidInput: there is no table.
        """
        found = self._found(asset, partition, run_ids)
        return open_partitioned(str(found)) if found.is_dir() else single_file(found)

    def at(self, path: str) -> PartitionedTable:
        """The version at a path relative to the store, as ledgers record it; a single file is one part."""
        version = self.root / path
        return open_partitioned(str(version)) if version.is_dir() else single_file(version)

    def exists(self, asset: str, partition: str | None = None, run_id: str | None = None) -> bool:
        """Whether ``run_id`` wrote the table; without a run, whether there is a current table."""
        return (self._version(asset, partition, run_id) if run_id else self._current(asset, partition)) is not None

    def read_version(self, asset: str, partition: str | None, run_id: str) -> pa.Table:
        """The table that ``run_id`` wrote.

        Raises:
            InvalidInput: the run wrote no such table.
        """
        if not self.exists(asset, partition, run_id):
            folder = self.path(asset, partition, run_id).parent
            raise InvalidInput(f"run {run_id} made no {asset}", source=str(folder), remedy="Run it again.")
        return self.read(asset, partition, run_id)

    def keep_rows(self, asset: str, kept: Callable[[list[str]], np.ndarray]) -> int:
        """Delete the rows that ``kept`` does not select from all versions of an unpartitioned table.

        Args:
            kept: from N instruction ids to an (N,) bool array, True for the rows to keep.

        Returns:
            The number of rows that the current version lost.
        """
        current, removed = self.path(asset), 0
        versions = sorted((self.root / asset).glob("*.parquet"), key=lambda path: path == current)
        for path in versions:  # the current file last: it was rewritten already if it is a link to a version
            rows = kept(
                pq.read_table(path, columns=["instruction_id"], partitioning=None)["instruction_id"].to_pylist()
            )
            if rows.all():
                continue
            is_current = path == current or (current.exists() and path.samefile(current))
            removed += int((~rows).sum()) if is_current and self._current(asset, None) == current else 0
            with atomic_path(path) as temporary:
                pq.write_table(pq.read_table(path, partitioning=None).filter(rows), temporary, compression="zstd")
            if is_current and path != current:
                self._link(path, current)
        return removed + self._keep_rows_of_parts(asset, kept)

    def remove_unfinished(self, before: float) -> int:
        """Remove unfinished tables in parts that have not changed since ``before`` (Unix time, s); returns how many."""
        old = [notes.parent for notes in self.root.rglob(NOTES) if notes.stat().st_mtime < before]
        unfinished = [folder for folder in old if not is_partitioned(str(folder))]
        for folder in unfinished:
            shutil.rmtree(folder)
        return len(unfinished)

    def _keep_rows_of_parts(self, asset: str, kept: Callable[[list[str]], np.ndarray]) -> int:
        current, removed = self._current(asset, None), 0
        for manifest in sorted((self.root / asset).glob("*/manifest.json")):
            lost = keep_rows(open_partitioned(str(manifest.parent)), kept)
            removed += lost if manifest.parent == current else 0
        return removed

    def _link(self, version: Path, current: Path) -> None:
        link = current.with_name(f".{version.stem}{PARTIAL}")
        link.unlink(missing_ok=True)
        os.link(version, link)
        os.replace(link, current)

    def _folder(self, asset: str, partition: str | None, run_id: str) -> Path:
        return self.path(asset, partition).parent / run_id

    def _found(self, asset: str, partition: str | None, run_ids: Sequence[str]) -> Path:
        """File or folder of the first of these runs that wrote the table, or else of the current table."""
        for run_id in run_ids:
            if version := self._version(asset, partition, run_id):
                return version
        if current := self._current(asset, partition):
            return current
        of_batch = f" of batch '{partition}'" if partition else ""
        raise InvalidInput(f"there is no {asset}{of_batch} yet", source=str(self.root), remedy="Materialise it first.")

    def _version(self, asset: str, partition: str | None, run_id: str) -> Path | None:
        file, folder = self.path(asset, partition, run_id), self._folder(asset, partition, run_id)
        if file.exists():
            return file
        return folder if is_partitioned(str(folder)) else None

    def _current(self, asset: str, partition: str | None) -> Path | None:
        file = self.path(asset, partition)
        try:
            return self._folder(asset, partition, json.loads(file.with_suffix(".json").read_bytes())["run_id"])
        except FileNotFoundError:
            return file if file.exists() else None


def _existing(columns: Sequence[str] | None, known: Sequence[str]) -> list[str] | None:
    return columns if columns is None else [name for name in columns if name in known]
