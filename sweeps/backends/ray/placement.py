"""On which node of a Ray cluster a trial is placed.

Tune asks for a placement group for each trial, of one bundle, and Ray chooses its node: the strategies of placement
groups (`PACK`, `SPREAD`) are about the bundles of one group, and say nothing of several trials. So the node is chosen
here and named as a wish: where it has no room any more, or died meanwhile, Ray takes another one, and nothing waits.
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
    """Return how Tune asks for the room of a trial."""
    if placement == "auto":
        return PlacementGroupFactory([slots.holds])
    return _OnChosenNode(slots.holds, placement)


def choose_node(nodes: Sequence[Node], *, holds: Amounts, taken: Mapping[str, int], placement: Placement) -> str | None:
    """Return the node that a trial is wished onto, None where none has room.

    Args:
        nodes: that there are.
        holds: what a trial holds.
        taken: node to trials on it.
        placement: spread: where the fewest trials are; pack: where the most are. Of equal ones it is the one with the
            most room, so that pack takes few nodes.
    """
    room = {node.id: fitting(holds, node.offers) - taken.get(node.id, 0) for node in nodes}
    free = [name for name in room if room[name] > 0]
    if placement == "spread":
        return min(free, key=lambda name: (taken.get(name, 0), -room[name]), default=None)
    return max(free, key=lambda name: (taken.get(name, 0), room[name]), default=None)


class _OnChosenNode(PlacementGroupFactory):
    """Chooses a node at the moment when Tune asks Ray for a trial's room.

    Tune keeps a copy for each trial, so nothing is remembered here: what is placed, and wished, Ray itself knows.
    """

    def __init__(self, holds: Amounts, placement: Placement) -> None:
        # Ray heeds the wish for this strategy alone, which for a single bundle means no more than the others do.
        super().__init__([dict(holds)], strategy="STRICT_PACK")
        self._placement = placement

    def to_placement_group(self) -> PlacementGroup:
        (holds,) = self.bundles
        wished = choose_node(nodes(), holds=holds, taken=_taken(), placement=self._placement)
        name = "" if wished is None else f"{_NAME}{wished}-{secrets.token_hex(4)}"
        group: PlacementGroup = placement_group([holds], strategy="STRICT_PACK", name=name, _soft_target_node_id=wished)
        return group


def _taken() -> Counter[str]:
    """Return node to the bundles that are on it, or are wished onto it and not placed yet; those of others too."""
    taken: Counter[str] = Counter()
    for group in placement_group_table().values():
        if group["state"] == "REMOVED":
            continue
        placed = [node for node in group["bundles_to_node_id"].values() if node]
        if not placed and group["name"].startswith(_NAME):
            placed = [group["name"].removeprefix(_NAME).rpartition("-")[0]]
        taken.update(placed)
    return taken
