"""The files of docs/deploy fit each other and the project, and what they start routes a batch on a real Postgres."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
import tomllib
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers import SMALL_TRAINING, drop

from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.home import Home

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "docs" / "deploy"
INSTANCE = "routing_assets/dagster_instance/dagster_production.yaml"
WAIT_S = 900


def services() -> dict[str, dict[str, Any]]:
    """By name, as compose reads them; those of the image have its ``build``."""
    found: dict[str, dict[str, Any]] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    return found


def instructions() -> list[tuple[str, str]]:
    """Each instruction of the Containerfile with its arguments, continued lines joined."""
    text = re.sub(r"^#.*\n", "", (DEPLOY / "Containerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    return [(name, rest.strip()) for name, rest in (line.split(maxsplit=1) for line in text.splitlines() if line)]


def settings() -> dict[str, str]:
    """What ENV sets."""
    return dict(part.split("=", 1) for name, rest in instructions() if name == "ENV" for part in shlex.split(rest))


def ours() -> dict[str, dict[str, Any]]:
    return {name: service for name, service in services().items() if "build" in service}


def test_everything_copied_into_the_image_is_in_the_repository_and_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = [shlex.split(rest) for name, rest in instructions() if name == "COPY" and "--from" not in rest]
    sources = [part for copy in copies for part in copy[:-1] if not part.startswith("--")]
    assert INSTANCE in sources
    for source in sources:
        assert (ROOT / source).exists(), source
        assert any(source == path or source.startswith(path + "/") for path in kept), source


def test_the_image_has_what_the_wheel_needs_and_extras_that_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (install,) = [rest for name, rest in instructions() if name == "RUN" and "pip install" in rest]
    extras = re.findall(r"\[([\w,]+)\]", install)[0].split(",")
    assert "production" in extras
    assert set(extras) <= set(project["project"]["optional-dependencies"])
    into_wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    copied = " ".join(rest for name, rest in instructions() if name == "COPY")
    assert all(path in copied for path in (*into_wheel, "pyproject.toml", project["project"]["readme"]))
    assert {rest.split()[0] for name, rest in instructions() if name == "FROM"} == {
        "docker.io/library/python:3.11-slim"
    }


def test_the_programs_run_as_a_user_who_owns_the_home_alone() -> None:
    order = [name for name, _ in instructions()]
    (user,) = [rest for name, rest in instructions() if name == "USER"]
    (made,) = [rest for name, rest in instructions() if name == "RUN" and "useradd" in rest]
    assert re.search(rf"useradd .*--create-home {user}\b.*--owner {user} .*{settings()['ROUTING_HOME']}", made)
    assert "RUN" not in order[order.index("USER") :]
    assert Path(settings()["DAGSTER_HOME"]) == Home(Path(settings()["ROUTING_HOME"])).dagster


def test_the_services_start_what_the_image_holds_and_read_its_files() -> None:
    found = ours()
    assert set(found) == {"code", "daemon", "webserver"}
    (default,) = [json.loads(rest) for name, rest in instructions() if name == "CMD"]
    assert found["code"]["command"] == default
    copied = [rest for name, rest in instructions() if name == "COPY"]
    assert any(rest.endswith(f"docs/deploy/workspace.yaml {found['daemon']['command'][-1]}") for rest in copied)
    assert found["webserver"]["command"][-1] == found["daemon"]["command"][-1]
    for service in found.values():
        home, instance = service["volumes"]
        assert home.endswith(f":{settings()['ROUTING_HOME']}")
        source, target, mode = instance.split(":")
        assert (DEPLOY / source).resolve() == (ROOT / INSTANCE).resolve()
        assert (target, mode) == (f"{settings()['DAGSTER_HOME']}/dagster.yaml", "ro")


def test_every_variable_that_dagster_asks_for_is_set_and_no_secret_is_written_down() -> None:
    asked = {
        name
        for file in (ROOT / INSTANCE, DEPLOY / "workspace.yaml")
        for name in re.findall(r"env: (\w+)", file.read_text())
    }
    for service in ours().values():
        assert asked <= {*service["environment"], *settings()}
    secrets = {
        name: value for service in services().values() for name, value in service["environment"].items()
        if re.search("PASSWORD|KEY", name)
    }  # fmt: skip
    assert all(value is None or value.startswith("${") for value in secrets.values())
    assert [port for service in services().values() for port in service.get("ports", [])] == ["127.0.0.1:3000:3000"]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def on_loopback(command: list[str], ports: dict[str, str]) -> list[str]:
    """A service's command as this environment runs it: loopback, ports of the test, the repository's workspace."""
    here = {"0.0.0.0": "127.0.0.1", "/etc/routing/workspace.yaml": str(DEPLOY / "workspace.yaml"), **ports}
    return [str(Path(sys.executable).with_name(command[0])), *(here.get(part, part) for part in command[1:])]


@contextmanager
def running(command: list[str], log: Path) -> Iterator[None]:
    with log.open("w") as file, subprocess.Popen(command, stdout=file, stderr=file, cwd=log.parent) as process:
        try:
            yield
        finally:
            process.terminate()
            process.wait(60)


def wait_for(done: Callable[[], Any], logs: Path) -> Any:
    until = time.monotonic() + WAIT_S
    while time.monotonic() < until:
        with suppress(OSError):
            if found := done():
                return found
        time.sleep(1)
    raise AssertionError("\n".join(file.read_text()[-3000:] for file in logs.glob("*.log")))


def asked(port: int, query: str) -> dict[str, Any]:
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql", json.dumps({"query": query}).encode(), {"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        data: dict[str, Any] = json.load(answer)["data"]
    return data


@pytest.mark.slow
@pytest.mark.timeout(3000)
def test_the_three_services_route_a_file_from_the_inbox(
    postgres: int, home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home.dagster.mkdir(parents=True)
    shutil.copy(ROOT / INSTANCE, home.dagster / "dagster.yaml")
    ports = {"4000": str(free_port()), "3000": str(free_port())}
    for name, value in {
        "DAGSTER_COMPUTE_LOGS": str(tmp_path / "logs"),
        "ROUTING_CODE_HOST": "127.0.0.1",
        "ROUTING_CODE_PORT": ports["4000"],
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }.items():
        monkeypatch.setenv(name, value)
    with instance_of(home) as instance:
        run_job(instance, "train_router", ops=SMALL_TRAINING)
    home.policy_file.write_text("budget_fraction: 0.5\n")
    drop(home.folders.inbox / "monday.jsonl", "Add 2 and 3.", "What is 17 times 23?", "Find the derivative of x^2.")
    with ExitStack() as started:
        for name in ("code", "daemon", "webserver"):
            started.enter_context(running(on_loopback(ours()[name]["command"], ports), tmp_path / f"{name}.log"))
        web = int(ports["3000"])
        locations = "{ workspaceOrError { ... on Workspace { locationEntries { name loadStatus } } } }"
        loaded = [{"name": "routing_assets", "loadStatus": "LOADED"}]
        wait_for(lambda: asked(web, locations)["workspaceOrError"]["locationEntries"] == loaded, tmp_path)
        runs = '{ runsOrError(filter: {pipelineName: "route_batch"}) { ... on Runs { results { status } } } }'
        succeeded = [{"status": "SUCCESS"}]
        wait_for(lambda: asked(web, runs)["runsOrError"]["results"] == succeeded, tmp_path)
    assert list(home.folders.outbox.glob("monday/*.jsonl"))
