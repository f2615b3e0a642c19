"""The logits of all models on an instruction, corrected by each other."""

from routing_assets.prediction.panel_refit.refit import PanelRefit, RefitTrial, try_panel_refit

__all__ = ["PanelRefit", "RefitTrial", "try_panel_refit"]
