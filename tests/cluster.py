"""A Ray cluster on this machine, for programs that tests run in a network namespace that has nothing but the loopback.

It has a head without cores and two nodes of one core each.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ray.cluster_utils import Cluster

NAMESPACE = ("unshare", "--map-root-user", "--net")


def found_by(program: Path, folder: Path, *arguments: object) -> dict[str, Any]:
    """What ``program FOLDER ARGUMENTS`` found out, by :func:`tell`. Skips without Ray or network namespaces."""
    pytest.importorskip("ray", reason="needs pip install 'routing_assets[ray]'")
    if not shutil.which("unshare") or subprocess.run([*NAMESPACE, "true"], capture_output=True).returncode:
        pytest.skip("this machine gives no network namespace")
    with tempfile.TemporaryDirectory(prefix="ray-") as short:  # the paths of Ray's sockets must be short
        environment = {
            **os.environ,
            "HOME": str(folder),
            "RAY_TMPDIR": short,
            "RAY_AUTH_MODE": "disabled",
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
        }
        lone = [*NAMESPACE, "sh", "-c", 'ip link set lo up && exec "$@"', "sh"]
        command = [*lone, sys.executable, program, folder, *map(str, arguments)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=280)
    assert done.returncode == 0, done.stderr[-4000:]
    return json.loads((folder / "found.json").read_text())


def tell(folder: Path, found: dict[str, Any]) -> None:
    """What a program found out, for :func:`found_by`."""
    (folder / "found.json").write_text(json.dumps(found))


@contextmanager
def started() -> Iterator[tuple[Cluster, list[Any]]]:
    """The cluster and its two nodes."""
    import ray
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "include_dashboard": False})
    yield cluster, [cluster.add_node(num_cpus=1) for _ in range(2)]
    ray.shutdown()
    cluster.shutdown()


def wait_for(ready: Callable[[], bool]) -> None:
    """Raises TimeoutError where it is not so within a minute."""
    for _ in range(600):
        if ready():
            return
        time.sleep(0.1)
    raise TimeoutError


def note(log: Path, part: int) -> None:
    """Append the number of a part that is worked on."""
    with log.open("a") as file:
        file.write(f"{part}\n")


def noted(log: Path) -> list[int]:
    """All numbers, in their order."""
    return [int(line) for line in log.read_text().split()] if log.exists() else []
