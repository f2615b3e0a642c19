"""From an empty home to a graded batch, by the commands of one page, against a server like three batch APIs."""

from __future__ import annotations

import json
import re
import shlex
from datetime import UTC, datetime
from fractions import Fraction
from glob import glob
from pathlib import Path

import dagster as dg
import pytest
from batch_apis import BatchApis
from click.testing import CliRunner

from routing_assets.cli.main import main
from routing_assets.cli.run_job import instance_of, run_job
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.submission.sensor import submission_sensor
from routing_assets.home import Home

PAGE = (Path(__file__).parents[2] / "docs" / "from-nothing.md").read_text()
COMMANDS = re.findall(r"^```sh\n(routing-assets labels plan .*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0].splitlines()
PRICES = re.findall(r"^```yaml\n(models:.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0]
SERVED = {"gpt-4o": "gpt", "claude-haiku-4-5": "claude-sonnet-4"}
"""By the name of a model on the page, what the server calls itself."""
POLICY = re.findall(r"^```yaml\n(submit:.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)[0]


def run(command: str) -> str:
    """The output of a command of the page, its patterns expanded as a shell does."""
    words = [found for word in shlex.split(command) for found in (sorted(glob(word)) if "*" in word else [word])]
    result = CliRunner().invoke(main, words[1:])
    assert result.exit_code == 0, f"{command}\n{result.output}{result.exception!r}"
    return result.output


def sensors(home: Home, apis: BatchApis) -> None:
    """What happens while ``ui`` runs, until nothing is left to do."""
    cursor: str | None = None
    with instance_of(home) as instance:
        while True:
            context = dg.build_sensor_context(instance=instance, cursor=cursor, resources={"home": RoutingHome()})
            asked = submission_sensor(context)
            assert isinstance(asked, dg.SensorResult)
            cursor = asked.cursor
            for request in asked.run_requests or []:
                run_job(instance, str(request.job_name), batch_id=str(request.partition_key))
            if not asked.run_requests and not any(apis.state_of(job) == "open" for job in apis.jobs):
                return
            apis.pass_time(31)


def write(path: Path, prefix: str, size: int) -> None:
    """Questions, of which the server answers those of one kind, two of three, as their reference says."""
    kinds = ("Prove the theorem", "What is the capital of country", "What is the capital of country")
    texts = [f"{path.stem}: {kinds[n % 3]} {n}." for n in range(1, size + 1)]
    rows = [
        {"instruction_id": f"{prefix}{n}", "instruction": text, "reference": f"answer to {text}" if n % 3 else "none"}
        for n, text in enumerate(texts, start=1)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))


@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "size", [pytest.param(200, marks=pytest.mark.slow), pytest.param(2000, marks=pytest.mark.faults)]
)
def test_from_an_empty_home_to_a_graded_batch(
    home: Home, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    for sdk in ("openai", "anthropic", "google.genai"):
        pytest.importorskip(sdk, reason="the extra [providers] is not installed")
    monkeypatch.chdir(tmp_path)
    write(Path("questions.jsonl"), "q", size)
    write(Path("batch.jsonl"), "b", 30)
    Path("prices.yaml").write_text(re.sub("|".join(SERVED), lambda name: SERVED[name[0]], PRICES))
    with BatchApis(datetime.now(UTC)) as apis:
        for name, value in apis.environment.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setattr("time.sleep", lambda seconds: apis.pass_time(31))
        run(COMMANDS[0])
        refused = CliRunner().invoke(main, ["labels", "send", "first"])
        assert "nothing is sent to providers. Add submit to the policy" in refused.output
        assert apis.calls == []
        home.policy_file.write_text(POLICY)
        for command in COMMANDS[1:6]:
            assert "warning" not in run(command) or "labels send" not in command
        assert COMMANDS[6] == "routing-assets ui"
        sensors(home, apis)
        states = run(COMMANDS[7])
        assert "fetched" in states
        assert "submitted" not in states
        explained = run(COMMANDS[8])
        assert "answer to batch: What is the capital of country 1." in explained
        sent = run("routing-assets submissions --json")
        assert {times for text, times in apis.paid.items() if text.startswith("questions")} == {3}  # each model once
        assert {times for text, times in apis.paid.items() if text.startswith("batch")} == {1}
    outcomes = home.store.read("batch_outcomes", "batch")["success"].to_pylist()
    assert sum(outcomes) == 20
    assert len(outcomes) == 30
    assert sum(Fraction(str(row["usd"])) for row in json.loads(sent)) <= 25
