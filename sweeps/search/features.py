"""Points of a search space as vectors, for models of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import BaseDistribution, CategoricalDistribution

from sweeps.files.space import SearchSpace
from sweeps.search.positions import Point, position_of


class Features:
    """One column for each range and each list of numbers, and one for each value of another list.

    A range goes from 0 to 1, and so do the ranks of listed numbers. Two values of another list are 1 apart. An inactive
    parameter has the middle of its range, and none of its listed values.
    """

    def __init__(self, space: SearchSpace) -> None:
        self._axes = [(path, distribution, _ranks(distribution)) for path, distribution in space.distributions.items()]
        self.groups: Sequence[int] = [
            index
            for index, (_, distribution, ranks) in enumerate(self._axes)
            for _ in range(_columns(distribution, ranks))
        ]
        """For each column the index of its parameter."""

    def of(self, point: Point) -> NDArray[np.float64]:
        """Return the vector of a point, one number for each entry of `groups`."""
        columns: list[float] = []
        for path, distribution, ranks in self._axes:
            position = position_of(point, path, distribution)
            if ranks is not None:
                columns.append(0.5 if math.isnan(position) else ranks[int(position)])
            elif isinstance(distribution, CategoricalDistribution):
                listed = [0.0] * len(distribution.choices)
                if not math.isnan(position):
                    listed[int(position)] = math.sqrt(0.5)
                columns += listed
            else:
                columns.append(0.5 if math.isnan(position) else position)
        return np.array(columns)


def _columns(distribution: BaseDistribution, ranks: Sequence[float] | None) -> int:
    return len(distribution.choices) if isinstance(distribution, CategoricalDistribution) and ranks is None else 1


def _ranks(distribution: BaseDistribution) -> Sequence[float] | None:
    """Return the rank of each listed number, from 0 to 1; None unless at least two numbers are listed."""
    if not isinstance(distribution, CategoricalDistribution):
        return None
    numbers: list[Any] = [each for each in distribution.choices if type(each) in (int, float)]
    if len(numbers) != len(distribution.choices) or len(numbers) < 2:
        return None
    order = sorted(numbers)
    return [order.index(each) / (len(numbers) - 1) for each in numbers]
