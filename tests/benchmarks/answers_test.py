"""50,000 answers read, priced and graded, and what the same costs when it is done with nothing but json.loads.

``pytest -m benchmark -s tests/benchmarks/answers_test.py`` prints seconds of processor time, peak memory and the ratio.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from provider_lines import chat

ANSWERS = 50_000
MOST_SECONDS, MOST_MB = 20.0, 500.0
PARSED = """
import json, resource, sys, time
began = time.process_time()
with open(sys.argv[1], encoding="utf-8") as lines:
    for line in lines:
        json.loads(line)
print(json.dumps({"seconds": time.process_time() - began}))
"""
GRADED = """
import json, resource, sys, time
from pathlib import Path
import pyarrow as pa
from routing_assets.answers.collect import collect
from routing_assets.answers.costs import token_prices
from routing_assets.answers.graders.grading import Asked, grade_answers
from routing_assets.answers.graders.table import GraderChoice
from routing_assets.answers.models import ModelNames
from routing_assets.answers.outcomes import outcomes_of
from routing_assets.answers.reading import read_answers
from routing_assets.foundation.schema import read_values
from routing_assets.pricing.catalog import ModelCatalog, ModelEntry

began = time.process_time()
catalog = ModelCatalog((ModelEntry("large", 2.5, 10.0),))
routed = {f"q{n}": "large" for n in range(int(sys.argv[2]))}
asked = {name: Asked("What is it?", f"answer {name[1:]}") for name in routed}
found = collect(read_answers(Path(sys.argv[1])).answers, routed, ModelNames(catalog.names), token_prices(catalog))
table = found.to_arrow()
grades = grade_answers(table, asked, read_values(GraderChoice, "exact", source="x").grader)
outcomes = outcomes_of(table, grades)
assert outcomes.success.sum() == len(routed) / 2, outcomes.success.sum()
print(json.dumps({
    "seconds": time.process_time() - began,
    "megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000,
    "spent_usd": float(found.spent),
}))
"""


@pytest.mark.benchmark
def test_fifty_thousand_answers_are_read_priced_and_graded(tmp_path: Path) -> None:
    path = tmp_path / "output.jsonl"
    with path.open("w", encoding="utf-8") as file:
        for n in range(ANSWERS):
            file.write(json.dumps(chat(f"q{n}", f"answer {n if n % 2 else 'unknown'}")) + "\n")

    def run(code: str) -> dict[str, float]:
        command = [sys.executable, "-c", code, str(path), str(ANSWERS)]
        said: dict[str, float] = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
        return said

    parsed, graded = run(PARSED), run(GRADED)
    print(
        f"\n{ANSWERS:,} answers read, priced and graded: {graded['seconds']:.1f} s, {graded['megabytes']:.0f} MB, "
        f"{graded['seconds'] / parsed['seconds']:.1f} times json.loads alone ({parsed['seconds']:.1f} s)"
    )
    assert graded["seconds"] <= MOST_SECONDS
    assert graded["megabytes"] <= MOST_MB
