"""What a call costs: the model catalog, and costs learnt from recorded calls."""

from routing_assets.pricing.catalog import ModelCatalog, ModelEntry, load_catalog, twin_catalog

__all__ = ["ModelCatalog", "ModelEntry", "load_catalog", "twin_catalog"]
