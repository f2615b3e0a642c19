"""From logits to probabilities that can be trusted.

Models that were logged in MLflow by earlier versions import ``sigmoid`` from here.
"""

from routing_assets.prediction.calibration.temperatures import sigmoid

__all__ = ["sigmoid"]
