"""Positions of points on the axes of a search space: 0 to 1 on a range, logarithmic where the range is."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

Point = Mapping[str, Any]
"""Dotted path to value of each active parameter, as Optuna stores it."""


def position_of(point: Point, path: str, distribution: BaseDistribution) -> float:
    """Return the position of a value on its axis: 0 to 1 on a range, the index of a listed value; NaN if inactive."""
    if path not in point:
        return math.nan
    value = point[path]
    if isinstance(distribution, CategoricalDistribution):
        return float(distribution.to_internal_repr(value))
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = float(distribution.low), float(distribution.high)
    if high == low:
        return 0.0
    if distribution.log:
        return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
    return (float(value) - low) / (high - low)


def distance(point: Point, other: Point, distributions: Mapping[str, BaseDistribution]) -> float:
    """Return the distance of two points: the sum over the parameters of the distances of their positions.

    It is 1 for another listed value, and if only one of both is active.
    """
    total = 0.0
    for path, distribution in distributions.items():
        if path in point and path in other:
            apart = abs(position_of(point, path, distribution) - position_of(other, path, distribution))
            total += min(apart, 1.0)
        else:
            total += (path in point) != (path in other)
    return total


def value_at_position(position: float, distribution: BaseDistribution) -> float:
    """Return the value at a position from 0 to 1 of a range, on a step if the range has steps."""
    assert isinstance(distribution, FloatDistribution | IntDistribution)
    low, high = float(distribution.low), float(distribution.high)
    if distribution.log:
        value = math.exp(math.log(low) + position * (math.log(high) - math.log(low)))
    else:
        value = low + position * (high - low)
    if distribution.step is not None:
        steps = min(round((value - low) / distribution.step), math.floor((high - low) / distribution.step + 1e-9))
        value = low + steps * distribution.step
    value = min(max(value, low), high)
    return round(value) if isinstance(distribution, IntDistribution) else value
