"""The success classifier as an MLflow model. MLflow runs this file; nothing is pickled."""

from __future__ import annotations

from typing import Any

import pandas as pd
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from routing_assets.prediction.calibration.temperatures import sigmoid
from routing_assets.prediction.classifier.classifier import SuccessClassifier


class SuccessClassifierModel(PythonModel):
    """Takes a frame with ``instruction`` (and optionally ``task``), returns P(success) with one column per model."""

    def load_context(self, context: Any) -> None:
        """Read safetensors and JSON from the logged artifacts."""
        self._classifier = SuccessClassifier.load(context.artifacts["classifier"])

    def predict(self, context: Any, model_input: pd.DataFrame, params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Uncalibrated probabilities, (N, K)."""
        task = model_input["task"].tolist() if "task" in model_input else None
        logits = self._classifier.logits(model_input["instruction"].tolist(), task)
        return pd.DataFrame(sigmoid(logits), columns=list(self._classifier.models))


set_model(SuccessClassifierModel())
