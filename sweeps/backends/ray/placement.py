"""Placement of trials on the nodes of a Ray cluster.

Tune requests a placement group of one bundle for each trial, and Ray chooses its node. Ray's strategies (`PACK`,
`SPREAD`) apply to the bundles of one group, not to several trials. Therefore the node is chosen here and passed as a
preference: if it has no free resources or has failed, Ray takes another one.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Literal

from ray.tune import PlacementGroupFactory
from ray.util.placement_group import PlacementGroup, placement_group, placement_group_table

from sweeps.backends.cluster.nodes import Node, nodes
from sweeps.backends.slots import Amounts, Slots, fitting

Placement = Literal["auto", "spread", "pack"]

_NAME = "sweeps-trial-"


def request_of(slots: Slots, placement: Placement) -> PlacementGroupFactory:
    """Return the resource request of a trial for Tune."""
    if placement == "auto":
        return PlacementGroupFactory([slots.demand])
    return _PreferredNodeFactory(slots.demand, placement)


def choose_node(
    nodes: Sequence[Node], *, demand: Amounts, taken: Mapping[str, int], placement: Placement
) -> str | None:
    """Return the preferred node of a trial; None if no node has free resources.

    Args:
        nodes: Nodes of the cluster.
        demand: Resources of a trial.
        taken: Node → number of trials on it.
        placement: `spread`: the node with the fewest trials; `pack`: with the most. Ties are broken by the most free
            slots, so that `pack` uses few nodes.
    """
    free_slots = {node.id: fitting(demand, node.offers) - taken.get(node.id, 0) for node in nodes}
    free = [name for name in free_slots if free_slots[name] > 0]
    if placement == "spread":
        return min(free, key=lambda name: (taken.get(name, 0), -free_slots[name]), default=None)
    return max(free, key=lambda name: (taken.get(name, 0), free_slots[name]), default=None)


class _PreferredNodeFactory(PlacementGroupFactory):
    """Chooses a node when Tune requests the resources of a trial.

    It has no state, since Tune makes a copy for each trial. Placed and preferred nodes are read from Ray.
    """

    def __init__(self, demand: Amounts, placement: Placement) -> None:
        # Ray uses the preferred node only with this strategy, which for a single bundle has no other effect.
        super().__init__([dict(demand)], strategy="STRICT_PACK")
        self._placement = placement

    def to_placement_group(self) -> PlacementGroup:
        (demand,) = self.bundles
        node = choose_node(nodes(), demand=demand, taken=_trials_per_node(), placement=self._placement)
        name = "" if node is None else f"{_NAME}{node}-{secrets.token_hex(4)}"
        group: PlacementGroup = placement_group([demand], strategy="STRICT_PACK", name=name, _soft_target_node_id=node)
        return group


def _trials_per_node() -> Counter[str]:
    """Return node → number of bundles that are placed on it, or prefer it and are not placed yet; of all drivers."""
    taken: Counter[str] = Counter()
    for group in placement_group_table().values():
        if group["state"] == "REMOVED":
            continue
        placed = [node for node in group["bundles_to_node_id"].values() if node]
        if not placed and group["name"].startswith(_NAME):
            placed = [group["name"].removeprefix(_NAME).rpartition("-")[0]]
        taken.update(placed)
    return taken
