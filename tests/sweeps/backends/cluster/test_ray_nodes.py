"""Requests for more slots to an autoscaler. Ray is faked here; other tests use a real cluster."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from sweeps.backends.cluster import nodes as ray_nodes
from sweeps.backends.cluster.nodes import POLL_SECONDS, SETTLED_SECONDS, ClusterSlots, Node
from sweeps.backends.slots import Slots
from sweeps.files.settings import Limits


class Cluster:
    """Nodes with one core each, the time, and the current requests."""

    def __init__(self, count: int) -> None:
        self.count, self.now = count, 1000.0
        self.asked: list[object] = []
        self.has_room = False

    def after(self, slots: ClusterSlots, seconds: float, *, live: int) -> int:
        """Let time pass in steps like Ray Tune; return the number of requested slots."""
        calls = SimpleNamespace(live=live, remaining=100)
        ends = self.now + seconds
        while self.now < ends:
            self.now += 1.0
            slots.count(calls)  # type: ignore[arg-type]
        return len(self.asked)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    made = Cluster(3)
    monkeypatch.setattr(ray_nodes, "time", SimpleNamespace(monotonic=lambda: made.now))
    monkeypatch.setattr(ray_nodes, "nodes", lambda: [Node(id=str(n), offers={"CPU": 1.0}) for n in range(made.count)])
    monkeypatch.setattr(ray_nodes, "placement_group", lambda bundles: made.asked.append(object()) or made.asked[-1])
    monkeypatch.setattr(ray_nodes, "remove_placement_group", made.asked.remove)
    state = lambda asked: {"state": "CREATED" if made.has_room else "PENDING"}  # noqa: E731
    monkeypatch.setattr(ray_nodes, "placement_group_table", state)
    return made


def slots(limit: int | str = "auto") -> ClusterSlots:
    limits = Limits.model_validate({"max_concurrent_trials": limit})
    return ClusterSlots(Slots(count=3, cpus=1, gpus=0.0), limits, is_fixed=False)


def test_one_more_slot_is_requested_while_all_are_busy(cluster: Cluster) -> None:
    made = slots()

    assert cluster.after(made, SETTLED_SECONDS + 10, live=3) == 1
    assert cluster.after(made, 1, live=2) == 0


def test_as_many_slots_are_requested_as_the_file_allows(cluster: Cluster) -> None:
    assert cluster.after(slots(limit=5), SETTLED_SECONDS + 10, live=3) == 2


def test_none_is_requested_while_the_trial_of_a_failed_node_waits(
    cluster: Cluster,
) -> None:
    made = slots()
    assert cluster.after(made, SETTLED_SECONDS + 10, live=3) == 1
    cluster.count = 2

    assert cluster.after(made, 5, live=3) == 0
    assert cluster.after(made, SETTLED_SECONDS + 10, live=3) == 0  # it waits: the autoscaler sees that by itself
    cluster.count = 3
    assert cluster.after(made, SETTLED_SECONDS - 5, live=3) == 0
    assert cluster.after(made, 10, live=3) == 1


def test_a_placed_request_is_removed_within_seconds(cluster: Cluster) -> None:
    made = slots()
    assert cluster.after(made, SETTLED_SECONDS + 10, live=3) == 1
    cluster.has_room = True

    assert cluster.after(made, POLL_SECONDS + 2, live=3) == 0
