"""The nodes of a Ray cluster: whether they can train, how many slots they are, what is asked of an autoscaler."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import ray
from ray.exceptions import GetTimeoutError, RayError
from ray.util.placement_group import (
    PlacementGroup,
    placement_group,
    placement_group_table,
    remove_placement_group,
)
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from sweeps.backends.cluster.fitness import TRANSFER_SECONDS, WorkerSetup, fault_of_this_node
from sweeps.backends.ledger_calls import LedgerCalls
from sweeps.backends.slots import Amounts, Slots
from sweeps.core.errors import SweepError
from sweeps.files.settings import Limits

ANSWER_SECONDS = 30.0
"""For all nodes together: a first worker of a job starts in a few."""
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
    name: str = ""
    """Address and host, as a person knows it."""


def nodes() -> list[Node]:
    """Return the cluster's nodes that live now."""
    found = ray.nodes()  # type: ignore[no-untyped-call]
    return [
        Node(
            id=node["NodeID"],
            name=f"{node['NodeManagerAddress']} ({node['NodeManagerHostname']})",
            offers=node["Resources"],
        )
        for node in found
        if node["Alive"]
    ]


def require_fit_nodes(setup: WorkerSetup, *, address: str, seconds: float = TRANSFER_SECONDS) -> None:
    """Ask every node that lives and lends a core, all at once.

    Args:
        setup: what each is told of this driver.
        address: of the cluster.
        seconds: for a mebibyte to reach a node.

    Raises:
        SweepError: one cannot train, or does not answer; the message names each such node and what to do.
    """
    # More than what Ray sends along with a task. In a list it is fetched by the question, not before it.
    stored = [ray.put(bytes(2**20))]
    task = ray.remote(num_cpus=0, max_retries=0)(fault_of_this_node)
    asked = {
        node.id: task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node.id, soft=False)).remote(
            setup, stored, seconds
        )
        for node in nodes()
        if node.offers.get("CPU", 0) > 0
    }
    deadline = time.monotonic() + ANSWER_SECONDS
    faults = {node: _answer(reference, deadline=deadline) for node, reference in asked.items()}
    # One that went away meanwhile is no concern of this sweep.
    wrong = [f"{node.name} {fault}" for node in nodes() if (fault := faults.get(node.id))]
    if wrong:
        raise SweepError(
            f"not every node of the Ray cluster at {address} can train this sweep: {'; '.join(wrong)}. Nothing was "
            "trained: mend it there, or take the node out of the cluster with `ray stop` on it"
        )


def _answer(reference: Any, *, deadline: float) -> str | None:
    try:
        fault: str | None = ray.get(reference, timeout=max(0.0, deadline - time.monotonic()))
    except GetTimeoutError:
        ray.cancel(reference, force=True)
        return f"gives no answer ({ANSWER_SECONDS:.0f} s): look at `ray status` and at the logs of its Ray"
    except RayError as error:
        lines = str(error).strip().splitlines()
        return f"cannot run anything: {lines[-1] if lines else type(error).__name__}"
    return fault


class ClusterSlots:
    """The slots of a cluster, counted again while a sweep runs: nodes join, and nodes die.

    Where every slot is busy it lets an autoscaler know that more would be used, up to `limits.max_concurrent_trials`.
    A trial that waits for its node would say so too, but its configuration would have been proposed before the results
    of the trials that run: on a cluster that does not grow, the search would be one trial behind all the time, and the
    trial would be shown, and timed, as one that trains. So placement groups ask that nobody uses, which end with the
    driver however it ends. One that Ray places has taken the room of a trial: it goes at once, and nothing is asked for
    while a trial may still be on its way to its room.
    """

    def __init__(self, slots: Slots, limits: Limits, *, is_fixed: bool) -> None:
        """Take the count of now.

        Args:
            slots: as counted at the start.
            limits: how many trials may run at once.
            is_fixed: whether no node will join or leave, as on this machine alone.
        """
        self.slots = slots
        self._limits = limits
        self._is_fixed = is_fixed
        self._looked = self._changed = time.monotonic()
        self._live = 0
        self._asked: list[PlacementGroup] = []

    def count(self, calls: LedgerCalls) -> int:
        """Return how many trials may run at once now; looks at the cluster where the last look is some time ago."""
        if self._is_fixed:
            return self.slots.count
        now = time.monotonic()
        if now - self._looked > LOOK_SECONDS:
            before, self.slots = self.slots, self.slots.on([node.offers for node in nodes()], self._limits)
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
        return max(0, more if calls.remaining is None else min(more, calls.remaining))

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
