"""The table of graders, and how one is chosen: by its name, or by its name and settings."""

from __future__ import annotations

from dataclasses import fields
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_validator
from pydantic.dataclasses import dataclass

from routing_assets.answers.graders.choice import Choice
from routing_assets.answers.graders.exact import Exact
from routing_assets.answers.graders.grade import Grader
from routing_assets.answers.graders.json_schema import JsonSchema
from routing_assets.answers.graders.judge import Judge
from routing_assets.answers.graders.normalised import Normalised
from routing_assets.answers.graders.number import NumberGrader
from routing_assets.answers.graders.python import PythonFunction
from routing_assets.answers.graders.regex import Regex
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.schema import FORM, did_you_mean


def _settings(main: str | None = None) -> BeforeValidator:
    """Lets a grader be written short: nothing for its defaults, a plain value for its main setting."""

    def whole(value: Any) -> Any:
        if value is None:
            return {}
        return value if main is None or not isinstance(value, str | int | float) else {main: value}

    return BeforeValidator(whole)


@dataclass(frozen=True, config=FORM)
class GraderChoice:
    """How answers are graded. Exactly one of these."""

    exact: Annotated[Exact, _settings()] | None = Field(default=None, description="The answer equals the reference.")
    normalised: Annotated[Normalised, _settings()] | None = Field(
        default=None, description="It equals the reference but for case, punctuation, articles and spacing."
    )
    number: Annotated[NumberGrader, _settings("tolerance")] | None = Field(
        default=None, description="Its last number equals that of the reference, within a tolerance."
    )
    choice: Annotated[Choice, _settings("letters")] | None = Field(
        default=None, description="It chooses the letter of the reference."
    )
    regex: Annotated[Regex, _settings("pattern")] | None = Field(
        default=None, description="It matches a regular expression."
    )
    json_schema: Annotated[JsonSchema, _settings()] | None = Field(
        default=None, description="It is JSON that keeps a schema."
    )
    python: Annotated[PythonFunction, _settings("function")] | None = Field(
        default=None, description="A function of your own, module:function, says how right it is."
    )
    judge: Judge | None = Field(default=None, description="Another LLM judges it, under a budget of its own.")

    @model_validator(mode="before")
    @classmethod
    def _of_name(cls, value: Any) -> Any:
        """``grader: exact`` stands for ``grader: {exact: }``."""
        if not isinstance(value, str):
            return value
        names = [field.name for field in fields(cls)]
        if value not in names:
            remedy = f"{did_you_mean(value, names)}Choose one of {', '.join(names)}."
            raise InvalidInput(f"there is no grader {value!r}", remedy=remedy)
        return {value: {}}

    def __post_init__(self) -> None:
        if len(self._chosen()) != 1:
            names = ", ".join(field.name for field in fields(self))
            raise InvalidInput(f"there are {len(self._chosen())} graders, not one", remedy=f"Choose one of {names}.")

    @property
    def grader(self) -> Grader:
        """The one that is chosen."""
        return self._chosen()[0]

    def _chosen(self) -> list[Grader]:
        return [grader for field in fields(self) if (grader := getattr(self, field.name)) is not None]
