"""Where everything lives: ``ROUTING_HOME`` and the paths under it. No other module knows a path."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from routing_assets.foundation.packaged import PACKAGE

DAGSTER_YAML = PACKAGE / "dagster_instance" / "dagster.yaml"


@dataclass(frozen=True)
class Home:
    """The folder that holds all state of one installation."""

    root: Path

    @classmethod
    def from_env(cls) -> Home:
        """``ROUTING_HOME``, or ``.routing`` in the current directory."""
        # Queries compare paths as text, so ".." must not stand in one.
        return cls(Path(os.path.normpath(Path(os.environ.get("ROUTING_HOME") or ".routing").absolute())))

    @property
    def dagster(self) -> Path:
        """Dagster's instance: runs, events, schedules (``DAGSTER_HOME``)."""
        return self.root / "dagster"

    @property
    def warehouse(self) -> Path:
        """The DuckDB file with calibration tables and ledgers."""
        return self.root / "warehouse.duckdb"

    @property
    def store(self) -> Path:
        """Immutable Parquet files, one folder per asset and partition."""
        return self.root / "store"

    @property
    def routers(self) -> Path:
        """Trained routers, one folder per version: safetensors and JSON."""
        return self.root / "routers"

    @property
    def embeddings(self) -> Path:
        """Sentence embeddings by content hash."""
        return self.root / "embeddings"

    @property
    def checkpoints(self) -> Path:
        """Interrupted trainings, to be resumed."""
        return self.root / "checkpoints"

    @property
    def evaluations(self) -> Path:
        """Curves, summaries and figures of ``budget_curves``."""
        return self.root / "evaluations"

    @property
    def inbox(self) -> Path:
        """Batch files dropped here are routed."""
        return self.root / "inbox"

    @property
    def claimed(self) -> Path:
        """Files out of the inbox that are not in the ledger yet: what an interrupted intake goes on with."""
        return self.inbox / ".claimed"

    @property
    def received(self) -> Path:
        """Batch files as they arrived, by content hash."""
        return self.root / "received"

    @property
    def rejected(self) -> Path:
        """Batch files that could not be used, each with its reason beside it."""
        return self.inbox / "rejected"

    @property
    def outcomes(self) -> Path:
        """Outcome files dropped into a folder named like their batch are set against its decision."""
        return self.root / "outcomes"

    @property
    def outbox(self) -> Path:
        """Routed batches, ready for the LLM runners."""
        return self.root / "outbox"

    @property
    def staged(self) -> Path:
        """Routed batches while they are written, before they are seen in the outbox."""
        return self.root / "staged"

    @property
    def held(self) -> Path:
        """Files that hold what another batch holds already, each with its reason beside it."""
        return self.inbox / "held"

    @property
    def locks(self) -> Path:
        """Locks of runs and batches that are under way; the system frees those of a process that died."""
        return self.root / "locks"

    @property
    def failures(self) -> Path:
        """One JSON line for every failed run."""
        return self.root / "failures.jsonl"

    @property
    def reports(self) -> Path:
        """One page and one JSON file for every day."""
        return self.root / "reports"

    @property
    def policy_file(self) -> Path:
        """The standing routing policy (YAML); batches without their own settings follow it."""
        return self.root / "policy.yaml"

    @property
    def mlflow_uri(self) -> str:
        """MLflow's tracking and registry store."""
        return f"sqlite:///{self.root / 'mlflow.db'}"

    @property
    def mlflow_artifacts(self) -> Path:
        """MLflow's artifacts."""
        return self.root / "mlartifacts"

    def create(self) -> Home:
        """Make the folders and Dagster's instance file where they are missing; safe to repeat."""
        for folder in (self.dagster, self.store, self.inbox, self.rejected, self.received, self.outcomes, self.outbox):
            folder.mkdir(parents=True, exist_ok=True)
        instance_file = self.dagster / "dagster.yaml"
        if not instance_file.exists():
            shutil.copyfile(DAGSTER_YAML, instance_file)
        return self
