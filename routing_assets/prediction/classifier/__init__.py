"""The success classifier: which LLM probably answers which instruction well.

Models that were logged in MLflow by earlier versions import ``SuccessClassifier`` from here.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from routing_assets.prediction.classifier.classifier import SuccessClassifier

__all__ = ["SuccessClassifier"]


def __getattr__(name: str) -> Any:
    if name == "SuccessClassifier":  # torch loads with the class, not with its neighbours
        from routing_assets.prediction.classifier.classifier import SuccessClassifier

        return SuccessClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
