"""The project's Dagster definitions: all of ``defs/``, with resources, executor and freshness policy."""

import warnings
from datetime import timedelta

import dagster as dg

from routing_assets import defs as features
from routing_assets.defs.batches.requests import RoutingRequest
from routing_assets.defs.engine import BatchEngine
from routing_assets.defs.home import RoutingHome
from routing_assets.defs.io import ParquetStoreIOManager

warnings.filterwarnings("ignore", message=".*partitions_def on an AssetCheckSpec", category=dg.PreviewWarning)
ROUTER_FRESHNESS = dg.FreshnessPolicy.time_window(warn_window=timedelta(days=14), fail_window=timedelta(days=30))


def definitions(
    root: str | None = None, *, home: RoutingHome | None = None, engine: BatchEngine | None = None
) -> dg.Definitions:
    """The definitions of one installation, to be merged with those of other code.

    Args:
        root: its folder. None: ROUTING_HOME, as set in the process that runs them.
        home: the resource that says where the installation is, instead of ``root``.
        engine: the resource that works on batches in parts; by default as the policy file of ``home`` says.
    """
    home = home or RoutingHome(root=root)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        loaded = dg.load_definitions_from_package_module(
            features,
            resources={
                "home": home,
                "engine": engine or BatchEngine(home=home),
                "io_manager": ParquetStoreIOManager(home=home),
                "routing_request": RoutingRequest(home=home),
            },
            executor=dg.in_process_executor,
        )
        return loaded.map_resolved_asset_specs(
            func=lambda spec: dg.apply_freshness_policy(spec, ROUTER_FRESHNESS),
            selection=dg.AssetSelection.groups("labels", "router"),
        )


defs = definitions()
