"""The nodes of a Ray cluster while a sweep runs: how many slots they are, and what is asked of an autoscaler."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import ray
from ray.exceptions import RayError
from ray.util.placement_group import (
    PlacementGroup,
    placement_group,
    placement_group_table,
    remove_placement_group,
)

from sweeps.execution.ray_tune import LedgerCalls
from sweeps.execution.slots import Amounts, Slots
from sweeps.spec import Limits

LOOK_SECONDS = 2.0
"""Between two looks at which nodes there are."""
SETTLED_SECONDS = 30.0
"""For which nothing has changed before more slots are asked for: a trial is in its room by then."""
SOME_MORE = 1
"""Slots that an autoscaler is asked for beyond those of now, where the file does not say how many there may be."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """A node that lives."""

    id: str
    offers: Amounts


def nodes() -> list[Node]:
    """Return the cluster's nodes that live now."""
    found = ray.nodes()  # type: ignore[no-untyped-call]
    return [Node(id=node["NodeID"], offers=node["Resources"]) for node in found if node["Alive"]]


class ClusterSlots:
    """The slots of a cluster, counted again while a sweep runs: nodes join, and nodes die.

    Where every slot is busy it lets an autoscaler know that more would be used, up to `limits.max_concurrent_trials`.
    A trial that waits for its node would say so too, but its configuration would have been proposed before the results
    of the trials that run: on a cluster that does not grow, the search would be one trial behind all the time, and the
    trial would be shown, and timed, as one that trains. So placement groups ask that nobody uses, which end with the
    driver however it ends. One that Ray places has taken the room of a trial: it goes at once, and nothing is asked for
    while a trial may still be on its way to its room.
    """

    def __init__(
        self,
        slots: Slots,
        limits: Limits,
        *,
        is_fixed: bool,
        on_look: Callable[[list[str]], None] = lambda living: None,
    ) -> None:
        """Take the count of now.

        Args:
            slots: as counted at the start.
            limits: how many trials may run at once.
            is_fixed: whether no node will join or leave, as on this machine alone.
            on_look: is told, at each look, the ids of the nodes that live.
        """
        self.slots = slots
        self._limits = limits
        self._is_fixed = is_fixed
        self._on_look = on_look
        self._looked = self._changed = time.monotonic()
        self._live = 0
        self._asked: list[PlacementGroup] = []

    def count(self, calls: LedgerCalls) -> int:
        """Return how many trials may run at once now; looks at the cluster where the last look is some time ago."""
        if self._is_fixed:
            return self.slots.count
        now = time.monotonic()
        if now - self._looked > LOOK_SECONDS:
            living = nodes()
            self._on_look([node.id for node in living])
            before, self.slots = self.slots, self.slots.on([node.offers for node in living], self._limits)
            if (before.count, self._live) != (self.slots.count, calls.live):
                self._changed, self._live = now, calls.live
            is_settled = now - self._changed > SETTLED_SECONDS and not any(map(_is_placed, self._asked))
            self._ask_for(self._wanted(calls) if is_settled else 0)
            self._looked = now
        if calls.live < self.slots.count:
            # At once: what was asked for takes a slot as soon as there is one.
            self._ask_for(0)
        return self.slots.count

    def _wanted(self, calls: LedgerCalls) -> int:
        """Return how many slots more would be used."""
        count, limit = self.slots.count, self._limits.max_concurrent_trials
        if calls.live != count:
            return 0  # there is room; or a trial waits for room, which the autoscaler sees
        more = SOME_MORE if limit == "auto" else limit - count
        return max(0, more if calls.to_come is None else min(more, calls.to_come))

    def _ask_for(self, count: int) -> None:
        while len(self._asked) > count:
            remove_placement_group(self._asked.pop())
        while len(self._asked) < count:
            self._asked.append(placement_group([self.slots.holds]))

    @contextlib.contextmanager
    def asking(self) -> Iterator[None]:
        """Ask for nothing any more when the block ends."""
        try:
            yield
        finally:
            if ray.is_initialized():
                with contextlib.suppress(RayError):
                    self._ask_for(0)
            self._asked.clear()


def _is_placed(asked: PlacementGroup) -> bool:
    return bool(placement_group_table(asked).get("state") == "CREATED")
