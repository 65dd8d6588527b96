"""The nodes of a Ray cluster: their checks, their slots, and requests to an autoscaler."""

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

from sweeps.backends.cluster.node_checks import TRANSFER_SECONDS, WorkerSetup, check_this_node
from sweeps.backends.ledger_calls import LedgerCalls
from sweeps.backends.slots import Amounts, Slots
from sweeps.core.errors import SweepError
from sweeps.files.settings import Limits

ANSWER_SECONDS = 30.0
"""Time limit for the answers of all nodes. The first worker of a job starts within a few seconds."""
POLL_SECONDS = 2.0
"""Interval between two counts of the nodes."""
SETTLED_SECONDS = 30.0
"""Time without changes before more slots are requested. Running trials are placed by then."""
EXTRA_SLOTS = 1
"""Number of slots to request from an autoscaler if the file sets no limit."""


@dataclass(frozen=True, kw_only=True)
class Node:
    """An alive node."""

    id: str
    offers: Amounts
    name: str = ""
    """Address and host."""


def nodes() -> list[Node]:
    """Return the alive nodes of the cluster."""
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


def check_nodes(setup: WorkerSetup, *, address: str, seconds: float = TRANSFER_SECONDS) -> None:
    """Run the checks on all alive nodes with CPU cores, in parallel.

    Args:
        setup: The driver's requirements.
        address: Address of the cluster.
        seconds: Time limit for sending a mebibyte to a node.

    Raises:
        SweepError: A node cannot train or does not answer. The message names each such node.
    """
    # Larger than objects that Ray sends with a task. In a list, so that the task fetches it itself.
    stored = [ray.put(bytes(2**20))]
    task = ray.remote(num_cpus=0, max_retries=0)(check_this_node)
    pending = {
        node.id: task.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node_id=node.id, soft=False)).remote(
            setup, stored, seconds
        )
        for node in nodes()
        if node.offers.get("CPU", 0) > 0
    }
    deadline = time.monotonic() + ANSWER_SECONDS
    problems = {node: _answer(reference, deadline=deadline) for node, reference in pending.items()}
    # Nodes that have left the cluster since are ignored.
    failed = [f"{node.name} {problem}" for node in nodes() if (problem := problems.get(node.id))]
    if failed:
        raise SweepError(
            f"not every node of the Ray cluster at {address} can train this sweep: {'; '.join(failed)}. Nothing was "
            "trained. Fix this there, or remove the node from the cluster with `ray stop` on it."
        )


def _answer(reference: Any, *, deadline: float) -> str | None:
    try:
        problem: str | None = ray.get(reference, timeout=max(0.0, deadline - time.monotonic()))
    except GetTimeoutError:
        ray.cancel(reference, force=True)
        return f"did not answer within {ANSWER_SECONDS:.0f} s. Check `ray status` and Ray's logs there"
    except RayError as error:
        lines = str(error).strip().splitlines()
        return f"cannot run tasks: {lines[-1] if lines else type(error).__name__}"
    return problem


class ClusterSlots:
    """The slots of a cluster, recounted while a sweep runs, since nodes join and leave.

    If all slots are busy, more slots are requested from an autoscaler, up to `limits.max_concurrent_trials`. A pending
    trial would be such a request too, but its configuration would be proposed before the running trials have results,
    and it would be displayed and timed as a running one. Therefore the requests are unused placement groups, which Ray
    removes when the driver ends. A placement group that Ray has placed occupies the resources of a trial: it is removed
    at once, and no request is made while a trial may still be waiting for its placement.
    """

    def __init__(self, slots: Slots, limits: Limits, *, is_fixed: bool) -> None:
        """Create it with the slots at the start.

        Args:
            slots: Slots at the start.
            limits: Limits of concurrent trials.
            is_fixed: Whether nodes cannot join or leave, as on a single machine.
        """
        self.slots = slots
        self._limits = limits
        self._is_fixed = is_fixed
        self._polled = self._changed = time.monotonic()
        self._live = 0
        self._requests: list[PlacementGroup] = []

    def limit(self, limits: Limits) -> None:
        """Change the limits of concurrent trials."""
        self._limits = limits
        self.slots = self.slots.on([node.offers for node in nodes()], limits)

    def count(self, calls: LedgerCalls) -> int:
        """Return the current number of slots; recounts them every `POLL_SECONDS`."""
        if self._is_fixed:
            return self.slots.count
        now = time.monotonic()
        if now - self._polled > POLL_SECONDS:
            before, self.slots = self.slots, self.slots.on([node.offers for node in nodes()], self._limits)
            if (before.count, self._live) != (self.slots.count, calls.live):
                self._changed, self._live = now, calls.live
            is_settled = now - self._changed > SETTLED_SECONDS and not any(map(_is_created, self._requests))
            self._request_slots(self._extra_slots(calls) if is_settled else 0)
            self._polled = now
        if calls.live < self.slots.count:
            # Removed at once: a placed request occupies a slot.
            self._request_slots(0)
        return self.slots.count

    def _extra_slots(self, calls: LedgerCalls) -> int:
        """Return how many more slots would be used."""
        count, limit = self.slots.count, self._limits.max_concurrent_trials
        if calls.live != count:
            return 0  # a slot is free, or a pending trial is already a request to the autoscaler
        more = EXTRA_SLOTS if limit == "auto" else limit - count
        return max(0, more if calls.remaining is None else min(more, calls.remaining))

    def _request_slots(self, count: int) -> None:
        while len(self._requests) > count:
            remove_placement_group(self._requests.pop())
        while len(self._requests) < count:
            self._requests.append(placement_group([self.slots.demand]))

    @contextlib.contextmanager
    def requesting(self) -> Iterator[None]:
        """Remove all requests at the end of the block."""
        try:
            yield
        finally:
            if ray.is_initialized():
                with contextlib.suppress(RayError):
                    self._request_slots(0)
            self._requests.clear()


def _is_created(group: PlacementGroup) -> bool:
    return bool(placement_group_table(group).get("state") == "CREATED")
