"""Route batches of instructions to LLMs under a hard budget in estimated cost, as audited Dagster assets."""

import os
from typing import TYPE_CHECKING, Any

# Threads of torch that find no free core must sleep, not spin: a training beside other work would take twice as long.
# OpenMP reads this once, when torch is imported.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

__all__ = ["Plan", "Router"]

if TYPE_CHECKING:
    from routing_assets.batches.plan import Plan
    from routing_assets.facade import Router
else:

    def __getattr__(name: str) -> Any:
        """Router and Plan, whose libraries take seconds to load, on first use."""
        if name not in __all__:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        from routing_assets import facade

        return getattr(facade, name)
