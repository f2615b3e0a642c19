"""Outcomes, labels, catalogs and policies that cannot be used, each with what must be said of it."""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
from hostile_batches import Case, lines, parquet
from payload import MARK, Payload

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 10)
)
TAG = f'!!python/object/apply:os.system ["echo yaml > ${MARK}"]'
OUTCOME = b"instruction_id,model,success,cost\n"

OUTCOMES: dict[str, Case] = {
    "success above one": ("o.csv", OUTCOME + b"1,m,1,0\n2,m,1.5,0\n", r"row 3, column 'success': success is 1.5"),
    "negative success": ("o.csv", OUTCOME + b"1,m,-0.1,0\n", "row 2, column 'success': success is -0.1"),
    "success in words": ("o.csv", OUTCOME + b"1,m,nearly,0\n", "row 2, column 'success': 'nearly' is not a number"),
    "negative cost": ("o.csv", OUTCOME + b"1,m,1,-0.01\n", "row 2, column 'cost': .*-0.01"),
    "infinite cost": ("o.csv", OUTCOME + b"1,m,1,inf\n", "row 2, column 'cost': .*inf"),
    "cost with a currency": ("o.csv", OUTCOME + b"1,m,1,$3\n", r"row 2, column 'cost': '\$3' is not a number"),
    "formula for a cost": ("o.csv", OUTCOME + b"1,m,1,=1+1\n", "row 2, column 'cost': '=1\\+1' is not a number"),
    "negative latency": ("o.csv", b"instruction_id,model,success,latency_s\n1,m,1,-2\n", "column 'latency_s'"),
    "tokens in words": ("o.csv", b"instruction_id,model,success,tokens\n1,m,1,few\n", "'few' is not a number"),
    "no model": ("o.csv", b"instruction_id,success\n1,1\n", "column 'model': the required column is missing"),
    "blank model": ("o.csv", OUTCOME + b"1, ,1,0\n", "row 2, column 'model': the text is empty"),
    "neither success nor cost": ("o.csv", b"instruction_id,model,latency_s\n1,m,2\n", "column 'success'"),
    "columns twice": ("o.csv", b"instruction_id,model,success,success\n1,m,1,0\n", "column name occurs twice"),
    "object for success": (
        "o.jsonl",
        lines({"instruction_id": "1", "model": "m", "success": {"value": 1}}),
        "column 'success'.*not a number",
    ),
    "date for a cost": (
        "o.parquet",
        parquet({"instruction_id": ["1"], "model": ["m"], "cost": pa.array([0], pa.date32())}),
        "column 'cost'.*not a number",
    ),
    "cut off": ("o.parquet", parquet({"instruction_id": ["1"]})[:50], "not a readable Parquet"),
    "pickle": ("o.pkl", pickle.dumps(Payload("outcomes")), "file type '.pkl' is not supported"),
}

WIDE = b"instruction_id,instruction,m\n"
LABELS: dict[str, Case] = {
    "success above one": ("l.csv", WIDE + b"1,a,2\n", "row 2, column 'm': success is 2"),
    "percentages": ("l.csv", WIDE + b"1,a,87\n", "row 2, column 'm': success is 87, outside .*--success-scale 100"),
    "success missing": ("l.csv", WIDE + b"1,a,1\n2,b,\n", "row 3, column 'm': success is missing"),
    "NaN for success": ("l.csv", WIDE + b"1,a,nan\n", "row 2, column 'm': success is missing"),
    "infinite success": ("l.csv", WIDE + b"1,a,inf\n", "row 2, column 'm': success is inf"),
    "no model": ("l.csv", b"instruction_id,instruction\n1,a\n", "there is no model column"),
    "text for a model": ("l.csv", b"instruction_id,instruction,m,note\n1,a,1,fine\n", "column 'note': 'fine' is not"),
    "cost of nobody": (
        "l.csv",
        b"instruction_id,instruction,m,n|cost\n1,a,1,2\n",
        "no success column for the model 'n'",
    ),
    "negative cost": ("l.csv", b"instruction_id,instruction,m,m|cost\n1,a,1,-2\n", r"column 'm\|cost': .*-2"),
    "infinite cost": ("l.csv", b"instruction_id,instruction,m,m|cost\n1,a,1,inf\n", r"column 'm\|cost': .*inf"),
    "cost twice": (
        "l.csv",
        b"instruction_id,instruction,m,m|cost,m|total_cost\n1,a,1,1,1\n",
        "already given by",
    ),
    "id twice": ("l.csv", WIDE + b"1,a,1\n1,b,1\n", "row 3, column 'instruction_id': '1' is already"),
    "id of two texts": (
        "l.csv",
        b"instruction_id,instruction,model,success\n1,a,m,1\n1,b,n,0\n",
        "row 3, column 'instruction'",
    ),
    "unknown column in a long table": (
        "l.csv",
        b"instruction_id,instruction,model,success,note\n1,a,m,1,x\n",
        "column 'note': the column is not part of a long label table",
    ),
    "forged description": (
        "l.parquet",
        parquet(pa.table({"a": [1]}).replace_schema_metadata({b"routing_assets.labelled_instructions": b"{"})),
        "description",
    ),
    "forged description of other columns": (
        "l.parquet",
        parquet(
            pa.table({"a": [1]}).replace_schema_metadata(
                {b"routing_assets.labelled_instructions": b'{"models": ["m"], "name": "x", "simulated": false}'}
            )
        ),
        "description|column",
    ),
    "RouterBench with a score of 3": (
        "l.csv",
        b"sample_id,prompt,eval_name,m,m|total_cost\n1,a,t,3,0\n",
        "row 2, column 'm': success is 3",
    ),
    "RouterBench with a strange column": (
        "l.csv",
        b"sample_id,prompt,eval_name,m,m|total_cost,x\n1,a,t,1,0,5\n",
        "column 'x': the column is not part of RouterBench",
    ),
}

QUESTION = {"id": 0, "context": "c", "question": "q", "choices": {"A": "Yes", "B": "No"}, "answer": "A", "source": "s"}
GOOD_LOGITS = pickle.dumps([{"id": 0, "logits_options": np.zeros(6, np.float32)}])


def bench(questions: bytes, outputs: bytes = GOOD_LOGITS) -> Callable[[Path], Path]:
    """Writes a folder in LLM-Uncertainty-Bench's layout."""

    def write(folder: Path) -> Path:
        for name, content in (("data/quiz.json", questions), ("outputs_base/m_quiz_task_icl1.pkl", outputs)):
            (folder / "bench" / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / "bench" / name).write_bytes(content)
        return folder / "bench"

    return write


GOOD_QUESTIONS = json.dumps([QUESTION]).encode()
BENCHES: dict[str, tuple[Callable[[Path], Path], str]] = {
    "pickle that runs code": (bench(GOOD_QUESTIONS, pickle.dumps([Payload("bench")])), "refused: it wants to load"),
    "pickle that calls eval": (
        bench(GOOD_QUESTIONS, b"cbuiltins\neval\n(S'1'\ntR."),
        "refused: it wants to load builtins.eval",
    ),
    "pickle cut off": (bench(GOOD_QUESTIONS, GOOD_LOGITS[:20]), "refused"),
    "pickle of a bomb": (bench(GOOD_QUESTIONS, b"\x80\x04" + b"\x8e" + (1 << 62).to_bytes(8, "little")), "refused"),
    "pickle of something else": (bench(GOOD_QUESTIONS, pickle.dumps({"a": 1})), "not hold a list of records"),
    "option without logits": (bench(GOOD_QUESTIONS, pickle.dumps([{"id": 0}])), "row 1: the record is not"),
    "questions cut off": (bench(GOOD_QUESTIONS[:20]), "not valid JSON"),
    "questions nested too deeply": (bench(b"[" * 200_000), "nested too deeply|not valid JSON"),
    "questions without answers": (bench(json.dumps([{"id": 0}]).encode()), "row 1: a question needs id"),
    "an answer that is no option": (bench(json.dumps([{**QUESTION, "answer": "Z"}]).encode()), "row 1: the answer 'Z'"),
    "a text for a number": (bench(json.dumps([{**QUESTION, "context": 7}]).encode()), "row 1: .*context"),
    "a folder of something else": (lambda folder: folder, "the folder has no part files"),
}

CATALOGS: dict[str, tuple[str, str]] = {
    "empty": ("", "models is missing"),
    "list": ("- m\n", r"this is \['m'\]. It must be a mapping"),
    "no model": ("models: {}\n", "row 1: models is {}. It must be non-empty"),
    "prices per token": ("models: {m: {price: 0.0000025}}\n", "no model is known to be sold .*'m' at 2.5e-06"),
    "one price per token": ("models: {a: {price: 2}, m: {price: 0.0000025}}\n", "tokens: 'm' at 2.5e-06"),
    "prices per 1K tokens": ("models: {m: {price: 0.0025}}\n", "'m' at 0.0025"),
    "prices per billion tokens": ("models: {m: {price: 2500}}\n", "'m' at 2500"),
    "output per 1K tokens": ("models: {m: {input_price: 2.5, output_price: 0.01}}\n", "'m' at 2.5 / 0.01"),
    "negative price": ("models: {m: {price: -1}}\n", "models.m.price is -1. It must be at least 0"),
    "price that is no number": ("models: {m: {price: .nan}}\n", "models.m.price is nan. It must be a finite"),
    "infinite price": ("models: {m: {price: .inf}}\n", "models.m.price is inf. It must be a finite"),
    "price in words": ("models: {m: {price: cheap}}\n", "models.m.price is 'cheap'. It must be a number"),
    "price as truth": ("models: {m: {price: yes}}\n", "models.m.price is True. It must be a number"),
    "no price": ("models: {m: {latency_s: 1}}\n", "models.m: price is missing"),
    "prices of two kinds": ("models: {m: {price: 1, input_price: 2}}\n", "flat price as well as"),
    "unknown field": ("models: {m: {prise: 1}}\n", "'prise' is unknown in models.m. Did you mean 'price'"),
    "shares crossed": (
        "models: {m: {price: 1, min_share: 0.5, max_share: 0.1}}\n",
        "min_share is greater than max_share",
    ),
    "share above one": ("models: {m: {price: 1, max_share: 1.5}}\n", "models.m.max_share is 1.5. It must be at most 1"),
    "price of endless digits": ("models: {m: {price: 1%s}}\n" % ("0" * 4000), "models.m.price is 10"),
    "endless text for a price": (f"models: {{m: {{price: {'x' * 100_000}}}}}\n", "models.m.price is 'xxx"),
    "endless name": (f"models: {{{'x' * 1000}: {{prise: 1}}}}\n", "'prise' is unknown"),
    "half a call": ("models: {m: {price: 1, capacity: 1.5}}\n", "models.m.capacity is 1.5. It must be a whole number"),
    "tags as text": ("models: {m: {price: 1, tags: eu}}\n", "models.m.tags is 'eu'. It must be a list"),
    "number for a name": ("models: {7: {price: 1}}\n", "models.7 is 7. It must be a text"),
    "name twice": ("models:\n  m: {price: 1}\n  m: {price: 2}\n", "row 3: .*'m' is given twice"),
    "list for a key": ("models:\n  ? [a]\n  : {price: 1}\n", "row 2: .*key"),
    "no YAML": ("models: {m: {price: 1}\n", "not valid YAML"),
    "tag that runs code": (f"models: {TAG}\n", "row 1: .*not valid YAML.*python/object"),
    "alias bomb": (f"{BOMB}models: *a9\n", "aliases expanded it has more than"),
    "value within itself": ("models: &m {m: *m}\n", "contains itself"),
    "nested too deeply": (f"models: {'[' * 5_000}", "nested too deeply"),
    "two documents": ("models: {m: {price: 1}}\n---\nmodels: {}\n", "not valid YAML"),
}

POLICIES: dict[str, tuple[str, str]] = {
    "list": ("- mip\n", r"this is \['mip'\]. It must be a mapping"),
    "text": ("mip\n", "this is 'mip'. It must be a mapping"),
    "unknown policy": ("policy: best\n", "row 1: policy is 'best'. It must be 'threshold', 'ndch', 'ndch_p' or 'mip'"),
    "list for a policy": ("policy: [mip]\n", r"policy is \['mip'\]. It must be 'threshold'"),
    "unknown setting": ("polcy: mip\n", "row 1: 'polcy' is unknown. Did you mean 'policy'"),
    "number for a name": ("7: mip\n", "row 1: 7 is unknown. Choose from policy"),
    "duplicates in a word of one's own": ("duplicates: maybe\n", "duplicates is 'maybe'"),
    "duplicates as truth": ("duplicates: yes\n", "duplicates is True"),
    "duplicates as a list": ("duplicates: [hold]\n", r"duplicates is \['hold'\]"),
    "negative budget": ("budget_usd: -1\n", "budget_usd is -1. It must be at least 0"),
    "budget that is no number": ("budget_usd: .nan\n", "budget_usd is nan. It must be a finite number"),
    "infinite budget": ("budget_usd: .inf\n", "budget_usd is inf. It must be a finite number"),
    "budget in words": ("budget_usd: much\n", "budget_usd is 'much'. It must be a number"),
    "budget as truth": ("budget_usd: true\n", "budget_usd is True. It must be a number"),
    "budget as a date": ("budget_usd: 2026-01-01\n", r"budget_usd is datetime.date\(2026, 1, 1\). It must be a number"),
    "negative fraction": ("budget_fraction: -0.1\n", "budget_fraction is -0.1. It must be at least 0"),
    "certainty": ("confidence: 1\n", "confidence is 1. It must be less than 1"),
    "target above one": ("target: 1.1\n", "target is 1.1. It must be at most 1"),
    "negative seed": ("seed: -1\n", "seed is -1. It must be at least 0"),
    "word for a truth": ("urgent: maybe\n", "urgent is 'maybe'. It must be true or false"),
    "list of constraints": ("constraints: [max_share]\n", r"constraints is \['max_share'\]. It must be a mapping"),
    "unknown constraint": (
        "constraints: {max_shares: {m: 0.1}}\n",
        "'max_shares' is unknown in constraints",
    ),
    "share in words": (
        "constraints: {max_share: {m: half}}\n",
        "max_share.m is 'half'. It must be a number",
    ),
    "share of no model": ("constraints: {max_share: 0.5}\n", "constraints.max_share is 0.5. It must be a mapping"),
    "negative latency": ("constraints: {mean_latency: -1}\n", "constraints.mean_latency is -1. It must be at least 0"),
    "tags as text": ("constraints: {required_tags: eu}\n", "constraints.required_tags is 'eu'. It must be a list"),
    "period as a number": ("period: 1000\n", "period is 1000. It must be a mapping"),
    "waiting for nothing": ("coalesce: {below: 0}\n", "coalesce.below is 0. It must be at least 1"),
    "period without money": ("period: {reserve: 0.1}\n", "row 1: period.budget_usd is missing. Add it. USD"),
    "misspelt period": ("period:\n  budget: 3\n", "row 2: 'budget' is unknown in period. Did you mean 'budget_usd'"),
    "reserve in words": ("period: {budget_usd: 3, reserve: 10 %}\n", "period.reserve is '10 %'. It must be a number"),
    "cap below the budget": ("period: {budget_usd: 3, hard_cap_usd: 2}\n", "period: the hard cap of 2 USD is below"),
    "share above one": ("constraints: {max_share: {m: 40}}\n", "constraints.max_share.m is 40. It must be at most 1"),
    "no limit at all": ("constraints: {max_latency: }\n", "constraints.max_latency is None. It must be a number"),
    "floor of a number": ("constraints: {group_floor: {1: 0.5}}\n", "group_floor.1 is 1. It must be a text"),
    "floor in words": ("constraints: {group_floor: {a: half}}\n", "constraints.group_floor.a is 'half'. It must be"),
    "number for a truth": ("strict: 1\n", "strict is 1. It must be true or false"),
    "whole number with a point": ("seed: 1.5\n", "seed is 1.5. It must be a whole number"),
    "budget of endless digits": (f"budget_usd: 1{'0' * 4000}\n", "budget_usd is 10"),
    "days without end": ("retention_days: 1.0e+9\n", "retention_days is 1000000000.0. It must be at most 36500"),
    "labels in words": ("keep_outcomes_as_labels: maybe\n", "keep_outcomes_as_labels is 'maybe'"),
    "waiting in words": ("coalesce: {below: 5, wait_minutes: long}\n", "coalesce.wait_minutes is 'long'"),
    "waiting for a misspelt number": ("coalesce: {belo: 5}\n", "'belo' is unknown in coalesce. Did you mean 'below'"),
    "value of another line": ("policy: mip\n\nconstraints:\n  max_share:\n    m: half\n", "row 5: constraints"),
    "setting twice": ("policy: mip\npolicy: ndch\n", "row 2: .*'policy' is given twice"),
    "tag that runs code": (f"policy: {TAG}\n", "not valid YAML"),
    "alias bomb": (f"{BOMB}", "aliases expanded it has more than"),
}
