"""Everything Dagster knows about this project: what ``defs/`` defines, with the policies that hold for all of it."""

import warnings
from datetime import timedelta
from pathlib import Path

import dagster as dg

warnings.filterwarnings("ignore", message=".*map_resolved_asset_specs", category=dg.PreviewWarning)
warnings.filterwarnings("ignore", message=".*partitions_def on an AssetCheckSpec", category=dg.PreviewWarning)
ROUTER_MAY_AGE = dg.FreshnessPolicy.time_window(warn_window=timedelta(days=14), fail_window=timedelta(days=30))

defs = dg.load_from_defs_folder(path_within_project=Path(__file__).parent).map_resolved_asset_specs(
    func=lambda spec: dg.apply_freshness_policy(spec, ROUTER_MAY_AGE),
    selection=dg.AssetSelection.groups("labels", "prices", "router"),
)
