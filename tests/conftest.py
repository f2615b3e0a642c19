"""Shared by all tests: offline, single-threaded, and with a home of their own."""

from __future__ import annotations

import gc
import os
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest
from absl import logging as absl_logging
from alembic.config import Config
from alembic.script import ScriptDirectory
from filelock import FileLock
from helpers import MadeOnce
from hypothesis import HealthCheck, settings

from routing_assets.home import Home
from routing_assets.routers.shelf import Shelf

os.environ |= {"HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
os.environ["LOKY_MAX_CPU_COUNT"] = (
    "1"  # the parts of a batch get processes of their own only where a test asks for them
)
os.environ |= {"DAGSTER_DISABLE_TELEMETRY": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
# Dagster closes all log handlers, and that of absl (which ortools brings) closes the stream it was imported under:
# what pytest captures into, unless it is told of another.
absl_logging.get_absl_handler().python_handler.stream = sys.__stderr__

PROPERTIES = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("dev", PROPERTIES, max_examples=20)
settings.register_profile("ci", PROPERTIES, max_examples=100, derandomize=True)  # a failure is one for everybody
settings.register_profile("nightly", PROPERTIES, max_examples=2_000, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))


gc.disable()  # while all test modules are imported: what that makes stays


def pytest_collection_finish() -> None:
    gc.freeze()  # no later collection looks through the imported modules, which takes half a second
    gc.enable()


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    """An empty installation."""
    home = Home(tmp_path / "home")
    monkeypatch.setenv("ROUTING_HOME", str(home.root))
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster))
    return home


@pytest.fixture
def heeds_the_keyboard() -> Iterator[None]:
    """Python's own answer to SIGINT: a shell starts a suite in the background with SIGINT ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.fixture(scope="session", autouse=True)
def embedded_once(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """All installations share their embeddings, so that each text is embedded once in a session."""
    embeddings = _shared_by_all(tmp_path_factory.getbasetemp()) / "embeddings"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Home, "shelf", property(lambda home: Shelf(home.root / "routers", embeddings)))
        yield


@pytest.fixture(scope="session", autouse=True)
def schemas_read_once() -> Iterator[None]:
    """Dagster and MLflow look through all their migrations whenever they open a database: once a session is enough."""
    read, known = ScriptDirectory.from_config, {}

    def from_config(config: Config) -> ScriptDirectory:
        folder = config.get_main_option("script_location")
        if folder not in known:
            known[folder] = read(config)
        return known[folder]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptDirectory, "from_config", from_config)
        yield


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Makes an installation of a name, in one of the session's processes; returns its root, to be copied."""
    return partial(_made_once, _shared_by_all(tmp_path_factory.getbasetemp()))


@pytest.fixture(scope="session")
def created_once(made_once: MadeOnce) -> Path:
    """An installation that has its folders and an empty warehouse."""
    return made_once("created", lambda home: home.create().warehouse.create())


@pytest.fixture(scope="session")
def tracked_once(created_once: Path, made_once: MadeOnce) -> Path:
    """An installation that has an empty warehouse and an empty registry of models."""

    def track(home: Home) -> None:
        from routing_assets.routers.mlflow_registry import connect

        shutil.copytree(created_once, home.root)
        connect(home.registry)

    return made_once("tracked", track)


def _shared_by_all(base: Path) -> Path:
    """The folder that all processes of the session share."""
    return base.parent if "PYTEST_XDIST_WORKER" in os.environ else base


def _made_once(shared: Path, name: str, make: Callable[[Home], None]) -> Path:
    made, root = shared / f"{name}.made", shared / name / "home"
    with FileLock(shared / f"{name}.lock"):
        if not made.exists():
            shutil.rmtree(root.parent, ignore_errors=True)
            with pytest.MonkeyPatch.context() as environment:
                home = Home(root)
                environment.setenv("ROUTING_HOME", str(home.root))
                environment.setenv("DAGSTER_HOME", str(home.dagster))
                make(home)
            made.touch()
    return root
