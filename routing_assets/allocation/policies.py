"""The table of policies. A policy added here appears in the assets, the command line and the evaluation."""

from __future__ import annotations

from types import MappingProxyType

from routing_assets.allocation.mip import MIP
from routing_assets.allocation.ndch import NDCH, NDCH_P
from routing_assets.allocation.threshold import THRESHOLD

POLICIES = MappingProxyType({policy.name: policy for policy in (THRESHOLD, NDCH, NDCH_P, MIP)})
"""By name, in the order in which they are shown."""
DEFAULT_POLICY = MIP.name
