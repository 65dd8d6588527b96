"""The preferred node of a trial. No Ray is started; `test_slots_on_a_cluster.py` tests that Ray uses it."""

from __future__ import annotations

import pickle
from collections import Counter

import pytest
from ray.tune import PlacementGroupFactory

from sweeps.backends.cluster.nodes import Node
from sweeps.backends.ray.placement import Placement, choose_node, request_of
from sweeps.backends.slots import Slots

NODES = [Node(id="small", offers={"CPU": 1}), Node(id="large", offers={"CPU": 4}), Node(id="middle", offers={"CPU": 2})]


def placed(count: int, placement: Placement, nodes: list[Node] = NODES) -> list[str | None]:
    """Return the preferred nodes of trials with one core, one after the other."""
    taken: Counter[str] = Counter()
    found = []
    for _ in range(count):
        node = choose_node(nodes, demand={"CPU": 1}, taken=taken, placement=placement)
        taken.update([node] if node else [])
        found.append(node)
    return found


def test_spread_takes_the_node_with_fewest_trials_then_most_free_slots() -> None:
    assert placed(7, "spread") == ["large", "middle", "small", "large", "middle", "large", "large"]


def test_pack_fills_a_node_before_the_next_and_takes_few() -> None:
    assert placed(7, "pack") == ["large"] * 4 + ["middle"] * 2 + ["small"]


@pytest.mark.parametrize("placement", ["spread", "pack"])
def test_without_free_resources_no_node_is_preferred(placement: Placement) -> None:
    assert placed(8, placement)[7] is None
    assert placed(1, placement, []) == [None]


def test_a_node_without_a_demanded_resource_is_never_preferred() -> None:
    nodes = [Node(id="many cores", offers={"CPU": 64}), Node(id="a GPU", offers={"CPU": 1, "GPU": 1})]

    assert choose_node(nodes, demand={"CPU": 1, "GPU": 0.5}, taken={}, placement="spread") == "a GPU"


def test_a_request_contains_the_whole_demand_of_a_trial() -> None:
    slots = Slots(count=4, cpus=2, gpus=0.5, custom={"fast": 1})

    for placement in ("auto", "spread", "pack"):
        request = request_of(slots, placement)  # type: ignore[arg-type]
        assert request.bundles == [{"CPU": 2, "GPU": 0.5, "fast": 1}]


def test_copies_of_a_request_are_equal_to_tune() -> None:
    request = request_of(Slots(count=4, cpus=2, gpus=0), "spread")

    copy = pickle.loads(pickle.dumps(request))

    assert (copy, hash(copy)) == (request, hash(request))
    assert type(copy) is not PlacementGroupFactory
