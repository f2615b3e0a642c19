"""The resources every asset may ask for. Alone in this file: @dg.definitions hides its neighbours."""

import dagster as dg

from routing_assets.defs.home import RoutingHome
from routing_assets.defs.io import ParquetStoreIOManager
from routing_assets.defs.requests import RoutingRequest


@dg.definitions
def resources() -> dg.Definitions:
    """Resources by the names that assets use."""
    return dg.Definitions(
        resources={
            "home": RoutingHome(),
            "io_manager": ParquetStoreIOManager(),
            "routing_request": RoutingRequest(),
        },
        executor=dg.in_process_executor,
    )
