"""The folder of one installation, ``ROUTING_HOME``, and what it holds. Only ``cli`` and ``defs`` know all of it."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from routing_assets.batches.folders import BatchFolders
from routing_assets.foundation.packaged import PACKAGE
from routing_assets.routers.registry import Registry
from routing_assets.routers.release_ledger import ReleaseLedger
from routing_assets.routers.shelf import Shelf
from routing_assets.storage.parquet_store import Store
from routing_assets.storage.warehouse import Warehouse

DAGSTER_YAML = PACKAGE / "dagster_instance" / "dagster.yaml"


@dataclass(frozen=True)
class Home:
    """The folder that holds all state of one installation."""

    root: Path

    @classmethod
    def from_env(cls) -> Home:
        """``ROUTING_HOME``, or ``.routing`` in the current directory."""
        # Queries compare paths as text, so a path must not contain "..".
        return cls(Path(os.path.normpath(Path(os.environ.get("ROUTING_HOME") or ".routing").absolute())))

    @property
    def dagster(self) -> Path:
        """Dagster's instance: runs, events, schedules (``DAGSTER_HOME``)."""
        return self.root / "dagster"

    @property
    def warehouse(self) -> Warehouse:
        """Calibration tables and ledgers."""
        return Warehouse(self.root / "warehouse.duckdb")

    @property
    def store(self) -> Store:
        """The tables that Dagster's assets make."""
        return Store(self.root / "store")

    @property
    def folders(self) -> BatchFolders:
        """The folders of batch files: inbox, outbox and those between."""
        return BatchFolders(self.root)

    @property
    def shelf(self) -> Shelf:
        """Trained routers, and sentence embeddings by content hash."""
        return Shelf(self.root / "routers", self.root / "embeddings")

    @property
    def registry(self) -> Registry:
        """MLflow's tracking and registry store."""
        return Registry(self.root)

    @property
    def releases(self) -> ReleaseLedger:
        """Which router and which prices are in force."""
        return ReleaseLedger(self.warehouse, self.store, self.registry, self.locks)

    @property
    def checkpoints(self) -> Path:
        """Interrupted trainings, to be resumed."""
        return self.root / "checkpoints"

    @property
    def evaluations(self) -> Path:
        """Curves, summaries and figures of ``budget_curves``."""
        return self.root / "evaluations"

    @property
    def locks(self) -> Path:
        """Locks of runs and batches in progress; the operating system frees those of a process that died."""
        return self.root / "locks"

    @property
    def failures(self) -> Path:
        """One JSON line for every failed run."""
        return self.root / "failures.jsonl"

    @property
    def reports(self) -> Path:
        """Daily reports: a page and a JSON file for each day."""
        return self.root / "reports"

    @property
    def policy_file(self) -> Path:
        """The standing routing policy (YAML); batches without their own settings follow it."""
        return self.root / "policy.yaml"

    def create(self) -> Home:
        """Make the folders and Dagster's instance file where they are missing; safe to repeat."""
        batch = self.folders
        arriving = (batch.inbox, batch.rejected, batch.received, batch.outcomes, batch.outbox)
        for folder in (self.dagster, self.store.root, *arriving):
            folder.mkdir(parents=True, exist_ok=True)
        instance_file = self.dagster / "dagster.yaml"
        if not instance_file.exists():
            shutil.copyfile(DAGSTER_YAML, instance_file)
        return self

    def ready(self) -> Home:
        """Make what is missing, and bring the warehouse up to date; safe to repeat."""
        self.create().warehouse.create()
        return self
