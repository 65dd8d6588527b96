"""The front of several objectives: the points that no other point dominates, and the volume that they dominate.

Points are sequences of values of which smaller is better; the caller negates those to maximise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Point = Sequence[float]
MARGIN = 0.1
"""Distance of the reference point of a hypervolume from the worst values, as a share of the range."""


@dataclass(frozen=True, kw_only=True)
class KnownValue:
    """An objective that is known before the training, with its value for one configuration."""

    name: str
    goal: Literal["maximize", "minimize"]
    value: float

    @property
    def cost(self) -> float:
        """The value, negated if it is maximised."""
        return -self.value if self.goal == "maximize" else self.value


def dominates(one: Point, other: Point) -> bool:
    """Return whether one point is at least as good everywhere, and better somewhere."""
    return all(a <= b for a, b in zip(one, other, strict=True)) and tuple(one) != tuple(other)


def front(points: Sequence[Point]) -> list[int]:
    """Return the indices of the points that no other dominates, in their order. Equal points are all included."""
    kept: list[int] = []
    for index in sorted(range(len(points)), key=lambda index: tuple(points[index])):
        # A dominating point comes earlier in this order, and a dominated one need not be compared with.
        if not any(dominates(points[other], points[index]) for other in kept):
            kept.append(index)
    return sorted(kept)


def relative_hypervolume(points: Sequence[Point], *, among: Sequence[Point]) -> float:
    """Return the hypervolume as a share of that of the front of `among`, a superset; 1 for the same front.

    Each objective is scaled to the range in `among`. The reference is a tenth of the range beyond the worst values, so
    that the ends of the front count.
    """
    if not among:
        return 0.0
    ends = [(min(column), max(column)) for column in zip(*among, strict=True)]

    def scaled(point: Point) -> list[float]:
        return [(value - low) / (high - low or 1.0) for value, (low, high) in zip(point, ends, strict=True)]

    reference = [1.0 + MARGIN] * len(ends)
    volumes = [
        hypervolume([scaled(each[index]) for index in front(each)], reference=reference) for each in (points, among)
    ]
    return volumes[0] / volumes[1]


def hypervolume(points: Sequence[Point], *, reference: Point) -> float:
    """Return the volume between a reference point and the points that dominate it; 0 without any.

    It is computed by slices along the first objective, in up to n^(objectives - 1) steps.
    Source of the measure: Zitzler and Thiele, Multiobjective Optimization Using Evolutionary Algorithms (PPSN 1998).
    """
    inside = sorted(tuple(point) for point in points if all(a < b for a, b in zip(point, reference, strict=True)))
    if not inside:
        return 0.0
    if len(reference) == 1:
        return reference[0] - inside[0][0]
    ends = [*(point[0] for point in inside[1:]), reference[0]]
    return sum(
        (end - point[0]) * hypervolume([each[1:] for each in inside[: index + 1]], reference=reference[1:])
        for index, (point, end) in enumerate(zip(inside, ends, strict=True))
        if end > point[0]
    )
