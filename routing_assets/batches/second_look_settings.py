"""Whether first answers are looked at, which of them, and how long they are waited for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field, with_config
from typing_extensions import TypedDict

from routing_assets.foundation.schema import FORM, AmountAsWritten, AsWritten, Text

AUTO = "auto"
WAIT_HOURS = 24.0


@with_config(FORM)
class SecondLookForm(TypedDict, total=False):
    """First answers are looked at, and some instructions go on to another model."""

    signals: Annotated[Sequence[Text], Field(description="What the answers will tell, such as check or agreement.")]
    after: Annotated[Sequence[Text], Field(description="Models whose answers are looked at; by default all that tell.")]
    wait_hours: Annotated[
        AmountAsWritten, Field(description="Hours after dispatch, 24 by default: then the answers that came decide.")
    ]
    when: Annotated[
        Literal["auto", "always"],
        Field(description="auto: only at budgets where it paid on held-out labels. By default always."),
    ]


Written = Annotated[Mapping[str, Any] | str, AsWritten(Literal["auto"] | SecondLookForm)]
"""``auto``, or a mapping."""


@dataclass(frozen=True)
class SecondLookSettings:
    """What was written, with the defaults.

    Attributes:
        signals: what the answers will tell; None: all that the router can read.
        after: models whose answers are looked at; None: all that tell something.
        wait_hours: after dispatch; then the answers that came decide.
        only_where_it_pays: plan two rounds only at budgets where they gained on held-out labels.
    """

    signals: tuple[str, ...] | None = None
    after: tuple[str, ...] | None = None
    wait_hours: float = WAIT_HOURS
    only_where_it_pays: bool = False

    @classmethod
    def of(cls, written: Mapping[str, Any] | str) -> SecondLookSettings:
        """The settings of a policy or a batch."""
        if isinstance(written, str):
            return cls(only_where_it_pays=True)
        named = {name: tuple(written[name]) for name in ("signals", "after") if name in written}
        hours = float(written.get("wait_hours", WAIT_HOURS))
        return cls(**named, wait_hours=hours, only_where_it_pays=written.get("when") == AUTO)


def confidence_of_round(confidence: float) -> float:
    """The confidence of each of two rounds, so that together they keep the budget with ``confidence``."""
    return (1.0 + confidence) / 2.0
