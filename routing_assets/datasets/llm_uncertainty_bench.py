"""LLM-Uncertainty-Bench's own layout: questions in ``data/``, each model's option logits in ``outputs_base/``.

``data/<name>.json`` is a list of multiple-choice questions; ``outputs_base/<model>_<name>_<prompt>_icl1.pkl`` holds a
model's logits of the six option letters. Success is upstream's accuracy: the largest logit is the answer's.
Source: https://github.com/smartyfh/LLM-Uncertainty-Bench (Ye et al., 2024, arXiv:2401.12794).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from routing_assets.datasets.labels import LabelledInstructions
from routing_assets.datasets.option_logits import OPTIONS, read_option_logits
from routing_assets.datasets.reading import read_text
from routing_assets.datasets.validation import default_name
from routing_assets.foundation.errors import InvalidInput

Prompt = Literal["base", "shared", "task"]

# The few-shot demonstrations. Upstream leaves these rows out of every task, also where a task uses only some of them
# (Halu-OpenDialKG 5, 7, 9; Halu-CNN/DailyMail 9).
FEW_SHOT_IDS = (1, 3, 5, 7, 9)


def is_llm_uncertainty_bench(path: Path) -> bool:
    """Whether the folder has the benchmark's two subfolders."""
    return (path / "data").is_dir() and (path / "outputs_base").is_dir()


def load_llm_uncertainty_bench(
    path: str | Path,
    *,
    prompt: Prompt = "task",
    tasks: Sequence[str] | None = None,
    name: str | None = None,
    allow_missing: bool = False,
    signals: bool = False,
) -> LabelledInstructions:
    """Pools the tasks of a benchmark folder into one label table; a task is called like its file in ``data/``.

    The instruction is context, question and choices; what is the same in every row of a task is left out, as it says
    nothing about the row. Output files of another prompt, or of a task without questions in ``data/``, are not read.

    Args:
        path: The folder that holds ``data/`` and ``outputs_base/``.
        prompt: Whose outputs to read: upstream's base, shared-instruction or task-specific prompt.
        tasks: Names of the files in ``data/`` to pool; all that have outputs by default.
        name: The dataset's name; the folder's by default.
        allow_missing: Leave a model unlabelled on a task without its file instead of refusing the folder.
        signals: Keep what is known about the answers: the log-probability that a model gives to each option, as
            ``option_A`` to ``option_F``, and that of the one it chose, as ``confidence``.

    Raises:
        InvalidInput: naming the file (and row) that is missing, refused or does not fit the questions.
    """
    root = Path(path)
    if not is_llm_uncertainty_bench(root):
        raise InvalidInput(
            "there are no folders data/ and outputs_base/",
            source=str(root),
            remedy="Give the benchmark's top folder, or one file",
        )
    outputs = _output_files(root, prompt, tasks)
    models = tuple(dict.fromkeys(model for files in outputs.values() for model in sorted(files)))
    parts = [_task_labels(root, task, files, models, allow_missing) for task, files in outputs.items()]
    ids, texts, success, logits = zip(*parts, strict=True)
    return LabelledInstructions(
        name=default_name(path, name),
        models=models,
        instruction_id=np.concatenate(ids),
        instruction=np.concatenate(texts),
        success=np.concatenate(success),
        task=np.repeat(np.array(list(outputs), dtype=object), [len(part) for part in ids]),
        signals=_signals(np.concatenate(logits)) if signals else {},
    )


def _signals(logits: np.ndarray) -> dict[str, np.ndarray]:
    """What (N, K, 6) option logits tell about the answers, NaN or None where a model has none."""
    from scipy.special import log_softmax  # takes longer to load than most commands run

    probability = log_softmax(logits, axis=2)
    known = np.isfinite(logits).all(axis=2)
    answer = np.where(known, np.array(list(OPTIONS), dtype=object)[np.nan_to_num(logits).argmax(axis=2)], None)
    options = {f"option_{letter}": probability[:, :, place] for place, letter in enumerate(OPTIONS)}
    return {"answer": answer, "confidence": np.exp(probability.max(axis=2)), **options}


def _output_files(root: Path, prompt: str, tasks: Sequence[str] | None) -> dict[str, dict[str, Path]]:
    """For each task, in order of name, the output file of each model."""
    known = sorted(file.stem for file in (root / "data").glob("*.json"))
    for task in tasks or ():
        if task not in known:
            source = str(root / "data" / f"{task}.json")
            raise InvalidInput("there is no such file", source=source, remedy=f"Known tasks: {', '.join(known)}")
    outputs: dict[str, dict[str, Path]] = {}
    for file in sorted((root / "outputs_base").glob(f"*_{prompt}_icl1.pkl")):
        stem = file.name.removesuffix(f"_{prompt}_icl1.pkl")
        owner = max((task for task in known if stem.endswith(f"_{task}")), key=len, default=None)
        if owner is not None and (tasks is None or owner in tasks):
            outputs.setdefault(owner, {})[stem.removesuffix(f"_{owner}")] = file
    if missing := [task for task in tasks or () if task not in outputs] or ([] if outputs else ["any task"]):
        raise InvalidInput(
            f"there are no outputs of prompt '{prompt}' for {missing[0]}",
            source=str(root / "outputs_base"),
            remedy="Choose another prompt (base, shared or task), or add <model>_<task>_<prompt>_icl1.pkl",
        )
    return dict(sorted(outputs.items()))


def _task_labels(
    root: Path, task: str, files: dict[str, Path], models: tuple[str, ...], allow_missing: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Ids, texts, successes (n, K) and option logits (n, K, 6) of a task, without the few-shot demonstrations."""
    source = root / "data" / f"{task}.json"
    questions = _read_questions(source)
    ids = np.array([question["id"] for question in questions])
    answer = np.array([OPTIONS.index(question["answer"]) for question in questions])
    success = np.full((len(questions), len(models)), np.nan, dtype=np.float32)
    options = np.full((*success.shape, len(OPTIONS)), np.nan)
    for k, model in enumerate(models):
        if model in files:
            logit_ids, logits = read_option_logits(files[model])
            if not np.array_equal(logit_ids, ids):
                raise InvalidInput(
                    f"its ids are not those of {source}", source=str(files[model]), remedy="Use files of one release"
                )
            success[:, k] = logits.argmax(axis=1) == answer
            options[:, k] = logits
        elif not allow_missing:
            raise InvalidInput(
                f"model {model!r} has no outputs for task {task!r}",
                source=str(root / "outputs_base"),
                remedy="Add the file, choose fewer tasks, or pass allow_missing=True (--allow-missing)",
            )
    kept = np.flatnonzero(~np.isin(ids, FEW_SHOT_IDS))
    texts = _instructions(questions)
    row_ids = np.array([f"{task}/{row_id}" for row_id in ids], dtype=object)
    return row_ids[kept], texts[kept], success[kept], options[kept]


def _read_questions(source: Path) -> list[dict[str, Any]]:
    try:
        questions = json.loads(read_text(source))
    except (ValueError, RecursionError) as error:
        if isinstance(error, InvalidInput):
            raise
        raise InvalidInput(f"this is not valid JSON ({error})", source=str(source), remedy="Copy it again") from error
    if not isinstance(questions, list) or not questions:
        raise InvalidInput("the file holds no list of questions", source=str(source))
    seen: set[int] = set()
    for row, question in enumerate(questions, start=1):
        problem = _problem(question) or ("the id occurs twice" if question["id"] in seen else None)
        if problem:
            raise InvalidInput(problem, source=str(source), row=row, remedy="Copy the file again from its origin")
        seen.add(question["id"])
    return questions


def _problem(question: Any) -> str | None:
    if not isinstance(question, dict) or not {"id", "context", "question", "choices", "answer"} <= question.keys():
        return "a question needs id, context, question, choices and answer"
    if not isinstance(question["id"], int):
        return "the id is not an integer"
    if question["answer"] not in tuple(OPTIONS):
        return f"the answer {question['answer']!r} is not one of {', '.join(OPTIONS)}"
    for name in ("context", "question"):
        if not isinstance(question[name], str | None):
            return f"the {name} is not text"
    if not isinstance(question["choices"], dict):
        return "the choices do not map letters to texts"
    return None


def _instructions(questions: list[dict[str, Any]]) -> np.ndarray:
    """(N,) texts of context, question and choices without the parts that never change."""
    parts = [
        [(question["context"] or "").strip() for question in questions],
        [(question["question"] or "").strip() for question in questions],
        ["\n".join(f"{letter}. {text}" for letter, text in question["choices"].items()) for question in questions],
    ]
    telling = [part for part in parts if len(set(part)) > 1] or parts
    return np.array(["\n".join(filter(None, texts)) for texts in zip(*telling, strict=True)], dtype=object)
