"""When the slots have completed and confirmed the best configurations of a sweep with a time budget."""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Reserve:
    """What is kept free: complete this many of the best configurations, and train each under so many new seeds."""

    top: int
    seeds: int


@dataclass(frozen=True)
class Runs:
    """Runs of a configuration under new seeds."""

    seconds: float
    """Duration of each."""
    done: int
    """Number that are complete or running."""


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """The slots, and what the best configurations need. All times are seconds from now."""

    left: float
    wanted: Reserve
    busy: Sequence[float]
    """When each slot is free."""
    kept_until: float
    """When the last running trial ends that is needed."""
    open_until: float
    """When the last running trial ends that may still become one of the best."""
    epoch: float
    """Until a replicate that is not needed any more frees its slot, at the end of an epoch."""
    rests: Sequence[float]
    """Until each of the best configurations is complete; 0 if it is, or if it runs."""
    runs: Sequence[Runs]
    """The replicates of each."""

    def affordable(self, *, unconfirmed: bool = False) -> Reserve | None:
        """Return what can be completed and confirmed in time; None if nothing can. See `end` for `unconfirmed`."""
        for top in range(self.wanted.top, 0, -1):
            for seeds in range(self.wanted.seeds, 0, -1):
                if self.end(reserve := Reserve(top, seeds), unconfirmed=unconfirmed) <= self.left:
                    return reserve
        return least if self.end(least := Reserve(1, 0)) <= self.left else None

    def end(self, reserve: Reserve, *, first: float | None = None, unconfirmed: bool = False) -> float:
        """Return when everything has ended if each run starts on the first free slot, in the order of the reserve.

        It is not known what to confirm while a trial runs that may become one of the best. What is begun until then
        may be of no use.

        Args:
            reserve: What to complete and confirm.
            first: Seconds of another run, which starts now.
            unconfirmed: Whether the replicates so far do not count, as those of another configuration will be needed.
        """
        tasks = [seconds for seconds in self.rests[: reserve.top] if seconds]
        for seed in range(reserve.seeds):
            tasks += [runs.seconds for runs in self.runs[: reserve.top] if unconfirmed or runs.done <= seed]
        free, end, known = sorted(self.busy), self.kept_until, self.open_until
        if first is not None:
            free[0] += first
            known = max(known, free[0])
        if known and tasks:
            free = [max(each, known + self.epoch) for each in free]
        end = max(end, known)
        heapq.heapify(free)
        for seconds in tasks:
            ends = free[0] + seconds
            heapq.heapreplace(free, ends)
            end = max(end, ends)
        return end
