"""How one batch is to be routed: the run's own settings over the standing policy."""

from typing import Any

import dagster as dg
from pydantic import Field

from routing_assets.allocation import POLICIES
from routing_assets.batches.policy import RoutingSettings, settings_of_request, standing_policy
from routing_assets.defs.common import failure
from routing_assets.defs.home import RoutingHome
from routing_assets.foundation.errors import InvalidInput


class RoutingRequest(dg.ConfigurableResource):
    """Settings of this run. Empty fields are taken from ``policy.yaml``, then from the defaults."""

    home: dg.ResourceDependency[RoutingHome]
    policy: str | None = Field(default=None, description=f"One of {', '.join(POLICIES)}.")
    budget_usd: float | None = Field(default=None, description="Hard budget for the batch in USD.")
    budget_fraction: float | None = Field(
        default=None, description="Budget as a fraction of sending everything to the dearest model."
    )
    urgent: bool | None = Field(default=None, description="May use the period's reserve.")
    confidence: float | None = Field(
        default=None, description="Probability that the true spend stays within the budget; holds back a margin."
    )
    target: float | None = Field(default=None, description="Success probability that the threshold policy requires.")
    seed: int | None = Field(default=None, description="Seed of every random choice.")
    exact: bool | None = Field(default=None, description="Prove the MIP optimal, not only to a gap of 1e-6.")
    strict: bool | None = Field(
        default=None, description="Refuse the batch where a record cannot be routed, instead of setting it aside."
    )
    constraints: dict[str, Any] | None = Field(default=None, description="Further constraints of the allocation.")
    second_look: dict[str, Any] | None = Field(
        default=None, description="Whether first answers are looked at, as in the policy file; {when: auto} for auto."
    )
    id_column: str | None = Field(default=None, description="Column of the file that holds the ids.")
    text_column: str | None = Field(default=None, description="Column of the file that holds the texts.")
    task_column: str | None = Field(default=None, description="Column of the file that holds the tasks.")
    group_column: str | None = Field(default=None, description="Column of the file that holds the groups.")
    tokens_column: str | None = Field(default=None, description="Column of the file that holds input tokens.")
    reference_column: str | None = Field(default=None, description="Column of the file that holds the right answers.")
    make_ids: str | None = Field(default=None, description="position or content: what ids are made from.")

    grader: dict[str, Any] | None = Field(
        default=None, description="How the answers to the batch will be graded, as in the policy file."
    )

    def settings(self) -> RoutingSettings:
        """The settings in force for this run. Raises dagster.Failure where they, or the policy file, are wrong."""
        own = {name: value for name, value in self.model_dump(exclude={"home"}).items() if value is not None}
        try:
            return settings_of_request(own, standing_policy(self.home.paths().policy_file), source="the run's settings")
        except InvalidInput as error:
            raise failure(error) from error
