"""Run the parts as tasks on a Ray cluster: a bounded number at a time, with results in the order of the parts."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from routing_assets.engine.attempt import WorkerLost, attempt
from routing_assets.engine.engine import Result
from routing_assets.engine.local import label_of
from routing_assets.foundation.errors import InvalidInput
from routing_assets.foundation.progress import progress_bar


@dataclass(frozen=True)
class RayEngine:
    """Runs the parts on the nodes of a Ray cluster. This process is a driver of the cluster and runs inside it.

    Attributes:
        address: ``host:port`` of the cluster's head; ``auto``: the cluster that this machine is a node of;
            ``local``: start Ray on this machine.
        in_flight: most tasks that run or wait in Ray at a time. None: two for each core that the cluster has then.
        retries: how often a part is tried again after its process or its node died.
    """

    address: str = "auto"
    in_flight: int | None = None
    retries: int = 3

    def __post_init__(self) -> None:
        refuse_client(self.address)

    def map(self, function: Callable[..., Result], parts: Sequence[Any], *arguments: Any) -> Iterator[Result]:
        """Yield ``function(part, *arguments)`` for each part in order. A task has one core and one thread.

        Raises:
            InvalidInput: Ray is not installed, no cluster answers at the address, or it is an address of Ray's client.
            WorkerLost: the process that worked on a part died once more than ``retries`` times.
        """
        ray = self._connected()
        task = ray.remote(num_cpus=1, max_retries=self.retries)(attempt).options(name=label_of(function))
        shared = ray.put(function), ray.put(arguments)
        running: dict[Any, int] = {}
        finished: dict[int, Any] = {}
        waiting = iter(range(len(parts)))
        try:
            with progress_bar(label_of(function), len(parts), "parts") as advance:
                for turn in range(len(parts)):
                    while turn not in finished:
                        for number in islice(waiting, max(0, self._free(ray, running))):
                            running[task.remote(shared[0], parts[number], shared[1])] = number
                        for reference in ray.wait(list(running))[0]:
                            finished[running.pop(reference)] = reference
                            advance()
                    yield self._result(ray, finished.pop(turn), f"part {turn} of {len(parts)}")
        finally:
            for reference in running:
                ray.cancel(reference)

    def _connected(self) -> Any:
        address = os.environ.get("RAY_ADDRESS", "auto") if self.address == "auto" else self.address
        refuse_client(address)
        try:
            import ray
        except ModuleNotFoundError as error:
            raise InvalidInput(
                "the engine 'ray' needs Ray, which is not installed here",
                remedy="Install it: pip install 'routing_assets[ray]'",
            ) from error
        if not ray.is_initialized():
            os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
            try:
                ray.init(address=address, include_dashboard=False, logging_level="WARNING")
            except ConnectionError as error:
                raise InvalidInput(
                    f"no Ray cluster answers at '{address}': {error}", remedy="Start it, or correct the address."
                ) from error
        return ray

    def _free(self, ray: Any, running: dict[Any, int]) -> int:
        return (self.in_flight or 2 * max(1, int(ray.cluster_resources().get("CPU", 1)))) - len(running)

    def _result(self, ray: Any, reference: Any, name: str) -> Any:
        try:
            return ray.get(reference).result()
        except ray.exceptions.RayTaskError:  # Ray could not pickle the part or its result
            raise
        except ray.exceptions.RayError as error:
            raise WorkerLost(f"The work on {name} was given up after {self.retries} retries: {error}") from error


def refuse_client(address: str) -> None:
    """Raise InvalidInput for an address such as ``ray://head:10001``."""
    if "://" in address:
        raise InvalidInput(
            f"'{address}' is an address of Ray's client: every result would pass through one connection, and the run "
            "would fail when it breaks",
            remedy="Start the run inside the cluster and give 'auto', or the head's host:port; see docs/scale.md.",
        )
