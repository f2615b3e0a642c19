"""The launcher that production on Kubernetes is documented with is one that Dagster loads."""

from __future__ import annotations

import re
from pathlib import Path

import dagster as dg
import pytest

PAGE = Path(__file__).parents[2] / "docs" / "scale.md"


def test_the_documented_launcher_loads(tmp_path: Path) -> None:
    dagster_ray = pytest.importorskip("dagster_ray", reason="needs pip install 'routing_assets[ray]'")
    (block,) = re.findall(r"```yaml\n(run_launcher:.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    (tmp_path / "dagster.yaml").write_text(f"telemetry: {{enabled: false}}\n{block}", encoding="utf-8")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert isinstance(instance.run_launcher, dagster_ray.RayRunLauncher)
        assert instance.run_launcher.address == "http://raycluster-head-svc:8265"
