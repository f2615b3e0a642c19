"""Graders say which answers are right, however they are written, and call no answer wrong that they cannot judge."""

from __future__ import annotations

import os
import time
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from routing_assets.answers.collect import SCHEMA
from routing_assets.answers.graders.choice import Choice
from routing_assets.answers.graders.grade import Gradable, Grade
from routing_assets.answers.graders.grading import Asked, grade_answers
from routing_assets.answers.graders.number import NumberGrader, numbers_in
from routing_assets.answers.graders.table import GraderChoice
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.schema import read_values


def graded(choice: Any, text: str, reference: str | None = None) -> Grade:
    (grade,) = read_values(GraderChoice, choice, source="policy.yaml").grader.grades(
        [Gradable("q", "m", text, reference)]
    )
    return grade


@pytest.mark.parametrize(
    ("grader", "text", "reference", "value"),
    [
        ("exact", " Lima\n", "Lima", 1.0),
        ("exact", "lima", "Lima", 0.0),
        ("exact", "Ciudad de Lima", '["Lima", "Ciudad de Lima"]', 1.0),
        ("normalised", "The city of  LIMA!", "city of Lima", 1.0),
        ("normalised", "¿Lima?", "lima", 1.0),
        ("normalised", "Cusco", "Lima", 0.0),
        ("normalised", "The", "a", 0.0),
        ("number", "so it is 1,234.50 USD.", "1234.5", 1.0),
        ("number", "3, then 4", "3", 0.0),
        ({"number": {"pick": "first"}}, "3, then 4", "3", 1.0),
        ({"number": 0.01}, "about 3.14", "3.1415", 1.0),
        ({"number": 0.3}, "1.3", "1", 1.0),
        ({"number": {"relative_tolerance": 0.1}}, "109", "100", 1.0),
        ("number", "12%", "0.12", 1.0),
        ("number", "12 %", "12", 1.0),
        ("number", "0.12", "12%", 1.0),
        ("number", "0.12%", "12%", 0.0),
        ("number", "I do not know", "4", 0.0),
        ("number", "4", "four", None),
        ("choice", "The answer is (C).", "C", 1.0),
        ("choice", "B", "c", 0.0),
        ("choice", "B", "Lima", None),
        ({"choice": "AB"}, "Option C", "A", 0.0),
        ({"regex": "(?i)lima"}, "In LIMA.", None, 1.0),
        ({"regex": {"pattern": "lima", "whole": True}}, "in lima", None, 0.0),
        ({"regex": "^(a|a)+$"}, "a" * 60 + "b", None, None),
    ],
)
def test_grades_of_texts(grader: Any, text: str, reference: str | None, value: float | None) -> None:
    assert graded(grader, text, reference).value == value


@pytest.mark.parametrize(
    ("text", "letter"),
    [
        *[(text, "B") for text in ("B", "b", "(B)", "B.", "**B**", "B) Lima", "**B) Lima**", "B: Lima", "`B`", "$B$")],
        *[(f"{said}B", "B") for said in ("Answer: ", "Answer - ", "ANSWER:", "answer is ", "Answer:\n\n", "答案：")],
        *[(f"The {said} (B).", "B") for said in ("answer is", "correct option is", "best choice would be")],
        ("The correct answer is b.", "B"),
        ("Answer: **B**", "B"),
        ("**Answer:** B", "B"),
        ("**Answer: B) Lima**", "B"),
        ("**Final Answer**: (B)", "B"),
        ("The answer is 'B'", "B"),
        ("The answer is $\\boxed{B}$", "B"),
        ("So \\boxed{\\text{B}}, though A was close", "B"),
        ("<answer>B</answer>", "B"),
        ('{"answer": "B"}', "B"),
        ("A. London is wrong.\nB. Lima is right.\nSo the answer is B", "B"),
        ("Let me think. Option A is wrong. Option C is odd.\n\nFinal answer: B", "B"),
        ("A) no\nC) perhaps\n\n**B) yes**", "B"),
        ("The answer is not A. It is B.", "B"),
        ("The answer is (B), and C is wrong because it is cold", "B"),
        ("I think it is B", "B"),
        ("It's (b).", "B"),
        ("A city in Peru, so answer is option (b)", "B"),
        ("A is wrong, so it must be B", "B"),
        ("So, the answer would be: B. Lima", "B"),
        ("The best option is A because of that", "A"),
        ("I would choose A.", "A"),
        ("A", "A"),
        ("The answer is a city", None),
        ("I don't know", None),
        ("None of them", None),
        ("Answer: A or B", None),
        ("Answer: A, B", None),
        ("", None),
    ],
)
def test_the_letter_that_a_reply_chooses(text: str, letter: str | None) -> None:
    assert Choice().chosen(text) == letter


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("The answer is 42.", 42),
        ("1,234.5 km", 1234.5),
        ("1\u202f234", 1234),
        ("1{,}234", 1234),
        ("1,2,3", 3),
        ("x = -4", -4),
        ("10-4", 4),
        ("10 - 4", 4),
        ("- 42", 42),
        ("x = - 4", -4),
        ("12 per cent", Fraction(12, 100)),
        ("2\\frac{1}{2}", Fraction(5, 2)),
        ("\u22125", -5),
        ("-$5", -5),
        ("3/4", Fraction(3, 4)),
        ("1 1/2 cups", Fraction(3, 2)),
        ("1½", Fraction(3, 2)),
        ("\\frac{3}{4}", Fraction(3, 4)),
        ("-\\dfrac12", Fraction(-1, 2)),
        ("12\\%", Fraction(12, 100)),
        ("1.2e3", 1200),
        ("1.2 \\times 10^{3}", 1200),
        (".5", Fraction(1, 2)),
        ("\\boxed{7}, as 3 + 4 = 7 and 8 > 7", 7),
        ("so\n#### 72\nin 3 steps", 72),
        ("**42**", 42),
    ],
)
def test_the_number_that_an_answer_ends_with(text: str, number: Any) -> None:
    assert graded("number", text, f"{float(number):.12g}").value == 1.0


@pytest.mark.parametrize("text", ["H2O", "no", "1/0", "", "v.", "--", "%"])
def test_what_is_no_number(text: str) -> None:
    assert list(numbers_in(text)) == []


@given(st.decimals(-(10**12), 10**12, places=3))
def test_a_number_is_read_as_python_writes_it(value: Decimal) -> None:
    for text in (f"so it is {value:,}.", f"\\boxed{{{value}}}, not 7", f"${value:f}$"):
        assert NumberGrader().grade(text, str(value)).value == 1.0
        assert NumberGrader().grade(text, str(value + Decimal("0.001"))).value == (
            abs(value + Decimal("0.001")) >= 10**6
        )


@given(st.text(max_size=300), st.text(min_size=1, max_size=20))
def test_no_text_breaks_a_grader(text: str, reference: str) -> None:
    for grader in ("exact", "normalised", "number", "choice", {"regex": "a+b"}, {"json_schema": {"schema": {}}}):
        assert graded(grader, text, reference).reason


@pytest.mark.parametrize(
    "loop", ["answer is ", "option ", "is ", "**", "\\boxed{", "1 ", "1/", "[", "{", "```\n", " ", "\n"]
)
def test_an_answer_that_repeats_itself_costs_no_time(loop: str) -> None:
    text, began = "answer " + loop * 30_000, time.process_time()
    for grader in ("exact", "normalised", "number", "choice", {"json_schema": {"schema": {}}}):
        assert graded(grader, text, "A 1").reason
    assert time.process_time() - began < 5


PERSON = {"schema": {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"name": "Ada"}', 1.0),
        ('Here it is:\n```json\n{"name": "Ada"}\n```\nBye {not} [json', 1.0),
        ('Sure! {"name": "Ada"} as asked', 1.0),
        ('{"name": 1}', 0.0),
        ('{"name": NaN}', 0.0),
        ("[" * 100_000, 0.0),
        ("no JSON", 0.0),
    ],
)
def test_json_is_found_and_held_against_its_schema(text: str, value: float) -> None:
    assert graded({"json_schema": PERSON}, text).value == value


def test_a_schema_elsewhere_is_not_fetched() -> None:
    grade = graded({"json_schema": {"schema": {"$ref": "http://127.0.0.1:9/schema"}}}, "{}")
    assert grade.value is None
    assert "refers to what is not in it" in grade.reason


def test_what_has_no_reference_is_not_graded_and_named() -> None:
    for grader in ("exact", "normalised", "number", "choice"):
        assert graded(grader, "Lima") == Grade(None, "instruction 'q' has no reference")


@pytest.mark.parametrize(
    ("choice", "said"),
    [
        ("exakt", "Did you mean 'exact'?"),
        ({"exact": {}, "choice": {}}, "there are 2 graders, not one"),
        ({}, "there are 0 graders"),
        ({"regex": "("}, "regex: this is no regular expression: missing )"),
        ({"json_schema": {"schema": {"type": "nope"}}}, "json_schema.schema: this is no JSON schema"),
        ({"python": "nothing"}, "'nothing' names no function"),
        ({"number": -1}, "number is -1. It must be at least 0"),
    ],
)
def test_a_wrong_choice_is_refused_with_its_place(choice: Any, said: str) -> None:
    with pytest.raises(InvalidInput) as refused:
        read_values(GraderChoice, choice, source="policy.yaml")
    assert said in str(refused.value)


def test_the_version_is_that_of_name_and_settings() -> None:
    versions = [
        read_values(GraderChoice, choice, source="x").grader.version
        for choice in ("exact", {"exact": {}}, "normalised", "number", {"number": 0.1}, {"number": {"tolerance": 0.1}})
    ]
    assert versions[0] == versions[1]
    assert versions[4] == versions[5]
    assert len(set(versions)) == 4


def answers(**columns: Any) -> pa.Table:
    rows = len(columns["text"])
    known: dict[str, Any] = {
        "instruction_id": [f"q{n}" for n in range(rows)],
        "model": ["m"] * rows,
        "newest": [True] * rows,
    }
    return pa.table({f.name: pa.array((known | columns).get(f.name, [None] * rows), f.type) for f in SCHEMA})


def test_only_the_newest_answer_is_graded_and_no_failed_call() -> None:
    table = answers(
        text=["Lima", "Cusco", None, "Lima"],
        error=[None, None, "expired", None],
        instruction_id=["q", "q", "r", "nobody's"],
        newest=[True, False, True, True],
    )
    asked = {name: Asked("Capital of Peru?", "Lima") for name in ("q", "r")}
    grades = grade_answers(table, asked, read_values(GraderChoice, "exact", source="x").grader)
    assert grades.select(["instruction_id", "success"]).to_pylist() == [{"instruction_id": "q", "success": 1.0}]


def test_of_several_answers_to_one_request_the_mean_counts() -> None:
    table = answers(text=["Lima"], other_texts=[["Cusco", "Lima", ""]])
    grades = grade_answers(table, {"q0": Asked("?", "Lima")}, read_values(GraderChoice, "exact", source="x").grader)
    assert grades["success"].to_pylist() == [0.5]


MODULE = """
import os, sys, time
def grade(answer, reference, about):
    if answer == "sleep":
        time.sleep(60)
    if answer == "die":
        os._exit(3)
    if answer == "raise":
        raise ValueError("no luck")
    if answer == "hog":
        return bool(bytearray(10**10))
    if answer == "print":
        print("to nobody")
    if answer == "two":
        return 2
    if answer == "none":
        return None
    return (answer == reference, f"of {about['instruction_id']} by {about['model']}: {os.getpid()}")
"""


@pytest.fixture
def my_graders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "my_graders.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "my_graders.py"


def test_a_function_of_the_users_own_grades_and_what_it_cannot_grade_is_named(my_graders: Path) -> None:
    texts = ["a", "b", "sleep", "die", "raise", "hog", "print", "two", "none", "a"]
    settings = {"python": {"function": "my_graders:grade", "timeout_s": 1.0}}
    grader = read_values(GraderChoice, settings, source="x").grader
    grades = list(grader.grades(Gradable(f"q{n}", "m", text, "a") for n, text in enumerate(texts)))
    assert [grade.value for grade in grades] == [1.0, 0.0, None, None, None, None, 0.0, None, None, 1.0]
    said = [grade.reason for grade in grades]
    assert "instruction 'q2': it took longer than 1 s" in said[2]
    assert "instruction 'q3': its process ended with code 3" in said[3]
    assert "instruction 'q4': ValueError: no luck" in said[4]
    assert "MemoryError" in said[5]
    assert "it returned 2, which is not between 0 and 1" in said[7]
    assert said[0].startswith("of q0 by m: ")
    assert len({said[n].rpartition(" ")[2] for n in (0, 1)} - {str(os.getpid())}) == 1


def test_after_ten_failures_the_rest_is_not_tried(my_graders: Path) -> None:
    grader = read_values(GraderChoice, {"python": "my_graders:grade"}, source="x").grader
    grades = list(grader.grades(Gradable("q", "m", "die") for _ in range(13)))
    assert [grade.value for grade in grades] == [None] * 13
    assert "not tried" in grades[-1].reason


def test_a_function_that_cannot_be_loaded_is_an_error(my_graders: Path) -> None:
    for function in ("my_graders:nothing", "nowhere:grade"):
        with pytest.raises(InvalidInput, match=f"{function} cannot be loaded"):
            graded({"python": function}, "a")


def test_changed_code_is_another_version(my_graders: Path) -> None:
    grader = read_values(GraderChoice, {"python": "my_graders:grade"}, source="x").grader
    before = grader.version
    my_graders.write_text(MODULE + "\n# changed\n")
    assert grader.version != before
