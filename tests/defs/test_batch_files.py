"""What becomes of a batch's file by the command line: another name, a second time, several endpoints."""

from __future__ import annotations

import json
import shutil
from datetime import UTC, datetime
from pathlib import Path

from click.testing import CliRunner

from routing_assets.audit.daily_report import day_report
from routing_assets.batches.handoff import read_manifest
from routing_assets.batches.inbox import take_in
from routing_assets.batches.known import latest_revision
from routing_assets.cli import batches as batch_commands
from routing_assets.cli.main import main
from routing_assets.home import Home


def said_by(*arguments: str) -> tuple[int, str]:
    """Exit code and output of the command line."""
    result = CliRunner().invoke(main, list(arguments))
    return result.exit_code, result.output


def test_a_file_that_is_a_batch_already_is_refused_until_that_is_meant(
    routed: Home, batch_file: Path, tmp_path: Path
) -> None:
    copy = shutil.copy(batch_file, tmp_path / "my file (2).parquet")
    before = routed.warehouse.fetch("ledger_entries")
    code, said = said_by("route", str(copy), "--budget-fraction", "0.4")
    assert code == 2
    assert "this is batch 'weekly', byte for byte" in said
    assert "routing-assets route --duplicate" in said
    assert routed.warehouse.fetch("ledger_entries") == before
    code, said = said_by("route", str(copy), "--budget-fraction", "0.4", "--duplicate")
    assert code == 0, said
    (decided,) = routed.warehouse.fetch("ledger_entries")[len(before) :]
    assert f"my file (2).parquet becomes batch '{decided['batch_id']}'" in said
    assert "has the same bytes as batch 'weekly', and is paid for again" in said
    for _ in range(2):
        code, said = said_by("dispatch", "my file (2)")
        assert code == 0
        assert f"batch {decided['batch_id']} is dispatched" in said
    code, said = said_by("withdraw", "my file (2)")
    assert (code, f"'{decided['batch_id']}' is dispatched and frozen" in said) == (2, True)


def test_a_file_that_is_held_is_confirmed_by_routing_it(routed: Home, batch_file: Path) -> None:
    shutil.copy(batch_file, routed.folders.inbox / "again.parquet")
    take_in(routed.warehouse, routed.folders, take_in(routed.warehouse, routed.folders, {}).seen)
    assert said_by("route", str(routed.folders.held / "again.parquet"))[0] == 2
    assert (routed.folders.held / "again.parquet").exists()
    (row,) = day_report(routed.warehouse, routed.folders, routed.policy_file, datetime.now(UTC).date(), [])["held"]
    assert "'again.parquet' is held: this is batch 'weekly', byte for byte" in row["reason"]
    code, said = said_by("route", str(routed.folders.held / "again.parquet"), "--budget-fraction", "0.4", "--duplicate")
    assert code == 0, said
    assert list(routed.folders.held.iterdir()) == []
    assert latest_revision(routed.warehouse, routed.folders, "again").path.read_bytes() == batch_file.read_bytes()


def test_requests_to_several_endpoints_go_into_files_of_their_own(trained: Home, tmp_path: Path) -> None:
    chat = {"messages": [{"role": "user", "content": "What is 2 + 2?"}]}
    lines = [
        {"custom_id": f"{url}-{i}", "method": "POST", "url": url, "body": body}
        for url, body in (("/v1/chat/completions", chat), ("/v1/responses", {"input": "What is 2 + 2?"}))
        for i in range(3)
    ]
    path = tmp_path / "mixed.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    batch_commands.route(trained, path, {})
    manifest = read_manifest(trained.folders.outbox / "mixed")
    requests = [file for file in manifest.files if file.model]
    sent = {file: (trained.folders.outbox / "mixed" / file.name).read_text().splitlines() for file in requests}
    assert {file.endpoint for file in sent} == {"/v1/chat/completions", "/v1/responses"}
    assert all(json.loads(line)["url"] == file.endpoint for file, handed in sent.items() for line in handed)
    assert sorted(json.loads(line)["custom_id"] for handed in sent.values() for line in handed) == sorted(
        str(line["custom_id"]) for line in lines
    )
