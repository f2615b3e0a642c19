"""Splits, metrics, and the evaluation that runs production code against honest controls. No Dagster.

``evaluate(labels, catalog, seeds)`` gives an :class:`Evaluation`; ``write_evaluation`` writes its files. Both live in
modules of their own (``protocol``, ``writing``) because they bring torch and matplotlib with them.
"""

from routing_assets.datasets.splits import Split, SplitFractions, leaks, split_instructions

__all__ = ["Split", "SplitFractions", "leaks", "split_instructions"]
