"""Run the parts on this machine: one after another, or in several processes of one thread each."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from typing import Any

from routing_assets.engine.attempt import WorkerLost, attempt
from routing_assets.engine.engine import Result
from routing_assets.foundation.progress import progress_bar


@dataclass(frozen=True)
class LocalEngine:
    """Runs the parts on this machine.

    Attributes:
        workers: number of processes that share the parts, each with one thread: two of them score more texts than one
            process with two threads. With 1, this process works on one part after another.
    """

    workers: int = 1

    def map(self, function: Callable[..., Result], parts: Sequence[Any], *arguments: Any) -> Iterator[Result]:
        """Yield ``function(part, *arguments)`` for each part in order, with a progress bar in a terminal.

        Raises:
            WorkerLost: a process died.
        """
        alone = min(self.workers, len(parts)) < 2
        results = self._shared(function, parts, arguments) if not alone else (function(p, *arguments) for p in parts)
        with progress_bar(label_of(function), len(parts), "parts", shown=len(parts) > 1) as advance:
            for result in results:
                advance()
                yield result

    def _shared(
        self, function: Callable[..., Result], parts: Sequence[Any], arguments: Sequence[Any]
    ) -> Iterator[Result]:
        import joblib

        with joblib.parallel_config("loky", inner_max_num_threads=1):
            share = joblib.Parallel(self.workers, return_as="generator", batch_size=1)
        outcomes = share(joblib.delayed(attempt)(function, part, arguments) for part in parts)
        try:
            for outcome in outcomes:
                yield outcome.result()
        except BrokenProcessPool as error:
            raise WorkerLost(
                f"A process that worked on one of {len(parts)} parts died, probably because memory ran out. "
                "Use fewer workers and run again."
            ) from error
        finally:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # joblib warns of dropped work; here it is dropped on purpose
                outcomes.close()


def label_of(function: Callable[..., Any]) -> str:
    """The label of a progress bar: the function's name in words."""
    return getattr(function, "__name__", "work").strip("_").replace("_", " ")
