"""MLflow's store of trained and registered routers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Registry:
    """MLflow's tracking and registry store under the ``root`` of an installation."""

    root: Path

    @property
    def uri(self) -> str:
        """The database."""
        return f"sqlite:///{self._database}"

    @property
    def exists(self) -> bool:
        """Whether anything has been logged."""
        return self._database.exists()

    @property
    def _database(self) -> Path:
        return self.root / "mlflow.db"

    @property
    def artifacts(self) -> Path:
        """The folder of logged models."""
        return self.root / "mlartifacts"
