"""``submit`` in the policy file: which providers are sent what by this program itself."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field
from pydantic.dataclasses import dataclass

from routing_assets.foundation.schema import FORM, Amount

Name = Literal["openai", "anthropic", "gemini"]
Times = Annotated[int, Field(strict=True, ge=0, le=10)]


@dataclass(frozen=True, config=FORM)
class SubmitSettings:
    """``submit`` in the policy file. Keys come from the environment alone."""

    providers: Annotated[tuple[Name, ...], Field(min_length=1)] = Field(
        description="Providers that requests are sent to."
    )
    most_usd: Amount = Field(
        description="Most USD that are sent in a calendar month (UTC), estimated, and billed once results came."
    )
    when: Literal["dispatched", "routed"] = Field(
        default="dispatched",
        description="Send what was dispatched by hand, or dispatch and send every batch as soon as it is routed.",
    )
    resends: Times = Field(
        default=2, description="How often requests that failed are sent again, within the batch's budget."
    )
