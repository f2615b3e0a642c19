"""What was published about the two experiments that the twins imitate: success rates, accuracies per task, prices."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class PublishedModel:
    """One row of a published table.

    Attributes:
        name: The model's name.
        success: Success rate over the whole experiment, in [0, 1].
        price: USD per 1M tokens, input and output alike.
        task_accuracy: Accuracy per task, in the experiment's order; its mean differs a little from ``success``.
    """

    name: str
    success: float
    price: float
    task_accuracy: tuple[float, ...]


@dataclass(frozen=True)
class PublishedExperiment:
    """A published experiment: its tasks (all of equal size), its number of samples and its models, best first."""

    tasks: tuple[str, ...]
    size: int
    models: tuple[PublishedModel, ...]

    def task_success(self) -> np.ndarray:
        """(K, T) success per model and task: the task accuracies, shifted per model on the logit scale so that their
        mean equals the published success rate."""
        return np.array([_moved_to_mean(np.array(model.task_accuracy), model.success) for model in self.models])


def _moved_to_mean(accuracy: np.ndarray, mean: float) -> np.ndarray:
    logit = np.log(accuracy / (1 - accuracy))
    low, high = -10.0, 10.0
    while high - low > 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if np.mean(1 / (1 + np.exp(-logit - middle))) < mean else (low, middle)
    return 1 / (1 + np.exp(-logit - low))


def _benchmark_model(name: str, success: float, price: float, *percent: float) -> PublishedModel:
    return PublishedModel(name, success, price, tuple(value / 100 for value in percent))


def _math_model(name: str, success: float, price: float) -> PublishedModel:
    return PublishedModel(name, success, price, (success,))


PUBLISHED = {
    # Tasks: question answering (MMLU), reading comprehension (CosmosQA), commonsense inference (HellaSwag), dialogue
    # response selection and document summarisation (HaluEval). Ye et al., 2024, arXiv:2401.12794, base models.
    "llm_uncertainty_bench": PublishedExperiment(
        tasks=("QA", "RC", "CI", "DRS", "DS"),
        size=50_000,
        models=(
            _benchmark_model("Yi-34B", 0.824, 2.20, 71.24, 94.48, 93.98, 76.12, 71.47),
            _benchmark_model("Qwen-72B", 0.785, 2.19, 72.53, 91.86, 88.09, 77.13, 60.63),
            _benchmark_model("Qwen-14B", 0.740, 0.90, 64.25, 91.52, 91.00, 73.90, 49.33),
            _benchmark_model("Llama-2-70b-hf", 0.730, 2.16, 65.86, 89.30, 81.62, 67.03, 57.41),
            _benchmark_model("deepseek-llm-67b-base", 0.728, 2.00, 67.97, 88.66, 70.82, 74.67, 56.20),
            _benchmark_model("Yi-6B", 0.694, 0.60, 57.57, 85.99, 76.50, 58.72, 66.06),
            _benchmark_model("Mistral-7B-v0.1", 0.643, 0.69, 60.44, 81.94, 62.93, 53.21, 62.16),
            _benchmark_model("Llama-2-13b-hf", 0.606, 0.90, 52.52, 77.23, 59.66, 52.65, 60.05),
            _benchmark_model("Qwen-7B", 0.603, 0.69, 55.21, 83.89, 63.70, 64.04, 32.53),
            _benchmark_model("internlm-7b", 0.485, 0.69, 48.37, 73.86, 46.21, 43.72, 34.38),
            _benchmark_model("Llama-2-7b-hf", 0.463, 0.69, 45.60, 65.79, 43.05, 32.61, 45.60),
            _benchmark_model("deepseek-llm-7b-base", 0.440, 0.69, 45.65, 65.39, 42.66, 33.50, 42.15),
            _benchmark_model("Qwen-1_8B", 0.418, 0.18, 44.78, 64.14, 36.53, 35.48, 30.77),
            _benchmark_model("falcon-40b", 0.345, 1.24, 40.16, 48.11, 25.98, 27.25, 31.01),
            _benchmark_model("mpt-7b", 0.263, 0.69, 29.49, 31.69, 25.50, 24.38, 24.86),
            _benchmark_model("falcon-7b", 0.250, 0.69, 23.75, 24.98, 24.91, 25.86, 24.69),
        ),
    ),
    "r1_math": PublishedExperiment(
        tasks=("math",),
        size=3_234,
        models=(
            _math_model("R1", 0.951, 2.19),
            _math_model("R1-32B", 0.936, 1.18),
            _math_model("R1-14B", 0.915, 0.90),
            _math_model("R1-7B", 0.900, 0.69),
            _math_model("R1-1.5B", 0.819, 0.18),
        ),
    ),
}
