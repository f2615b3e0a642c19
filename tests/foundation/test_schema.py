"""The error of a wrong value in a file names file, line, field and remedy; correct values are kept as written."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import Field
from pydantic.dataclasses import dataclass

from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.schema import FORM, Amount, AmountAsWritten, AsWritten, Text, YesNo, read_file


@dataclass(frozen=True, config=FORM)
class Wheel:
    size: Amount = Field(description="Inches.")
    spare: YesNo = False


@dataclass(frozen=True, config=FORM)
class Car:
    wheels: tuple[Wheel, ...] = ()
    usd: AmountAsWritten | None = None
    owner: Text = "nobody"
    load: AmountAsWritten | Mapping[str, AmountAsWritten] = 0
    first: Annotated[Mapping[str, Any], AsWritten(Wheel)] | None = None


def read(tmp_path: Path, text: str) -> Car:
    path = tmp_path / "car.yaml"
    path.write_text(text)
    return read_file(Car, path)


WRONG = {
    "wheels:\n  - size: 1\n  - size: -2\n": "car.yaml, row 3: wheels.1.size is -2. It must be at least 0.",
    "wheels:\n- &w {size: 1, spare: 1}\n": "row 2: wheels.0.spare is 1. It must be true or false.",
    "owner: x\nwheels:\n- {size: 1}\n- spare: true\n": "row 4: wheels.1.size is missing. Add it. Inches.",
    "wheels: [{size: 1, spair: true}]\n": "row 1: 'spair' is unknown in wheels.0. Did you mean 'spare'?",
    "usd: '5'\n": "row 1: usd is '5'. It must be a number, such as 0.9.",
    "load: {\n front: 1,\n back: x}\n": "row 3: load.back is 'x'. It must be a number, such as 0.9.",
    "owner: 7\n": "row 1: owner is 7. It must be a text; put it in quotes.",
    "owner: !!binary aGk=\n": "row 1: owner is b'hi'. It must be a text",
    "first: {size: big}\n": "row 1: first.size is 'big'. It must be a number",
    "yes: 1\n": "is unknown. Choose from wheels, usd, owner, load, first.",
    "base: &b {size: -1}\n": "row 1: 'base' is unknown.",
    "[1, 2]\n": "this is [1, 2]. It must be a mapping",
    "usd: -1\npurchase: 3\n": "row 2: 'purchase' is unknown.",
}


@pytest.mark.parametrize("text", WRONG)
def test_the_error_of_a_wrong_value_names_line_field_and_remedy(tmp_path: Path, text: str) -> None:
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path, text)
    assert WRONG[text] in str(caught.value)


def test_a_correct_value_is_kept_as_written(tmp_path: Path) -> None:
    car = read(tmp_path, "usd: 5\nload: {a: 1, b: 2.0}\nwheels: [{size: 3}]\nfirst: {size: 4}\n")
    assert repr((car.usd, car.load)) == "(5, {'a': 1, 'b': 2.0})"
    assert car.first == {"size": 4}  # and not the spare that it would have by default
    assert repr(car.wheels[0].size) == "3.0"


def test_an_empty_file_sets_no_field(tmp_path: Path) -> None:
    assert read(tmp_path, "") == Car()
