"""Recorded learning curves, from which a replayed search takes the nearest untried one to each proposal."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from optuna.distributions import CategoricalDistribution

from sweeps.core.front import KnownValue, relative_hypervolume
from sweeps.core.results import EpochResult
from sweeps.core.task import TaskConfig
from sweeps.core.trial import Outcome
from sweeps.files.settings import Metric
from sweeps.files.space import SearchSpace
from sweeps.search.positions import Point, position_of


@dataclass(frozen=True, kw_only=True)
class Curve:
    """The recorded training of one configuration."""

    config: TaskConfig
    point: Point
    epochs: tuple[EpochResult, ...]
    """At least one."""
    outcome: Outcome
    """`complete`, or why the recording ends before the last epoch."""
    true_value: float
    """The metric of the configuration after its last epoch, as the mean over seeds that no search used. NaN if it was
    never trained to the end, or violates a condition of its search."""
    known: tuple[KnownValue, ...] = ()
    """Its objectives that are known before its training; empty for a search with one objective."""

    def point_of(self, *, maximize: bool) -> tuple[float, ...]:
        """Return its objectives as costs, the metric first."""
        return (-self.true_value if maximize else self.true_value, *(each.cost for each in self.known))


class Curves:
    """The curves of one search space."""

    def __init__(self, curves: Sequence[Curve], *, space: SearchSpace, metric: str, maximize: bool) -> None:
        """Index the curves.

        Args:
            curves: One per configuration.
            space: The space that contains all of their points.
            metric: The metric of the search.
            maximize: Whether a larger value of the metric is better.
        """
        self.space = space
        self.metric, self.maximize = metric, maximize
        self._curves = list(curves)
        self._columns = {
            path: np.array([position_of(curve.point, path, distribution) for curve in curves])
            for path, distribution in space.distributions.items()
        }

    def __len__(self) -> int:
        return len(self._curves)

    def __getitem__(self, index: int) -> Curve:
        return self._curves[index]

    @property
    def complete(self) -> int:
        """Number of curves up to the last epoch."""
        return sum(curve.outcome is Outcome.COMPLETE for curve in self._curves)

    @property
    def best(self) -> float:
        """The best true value."""
        values = [curve.true_value for curve in self._curves if math.isfinite(curve.true_value)]
        return max(values) if self.maximize else min(values)

    @property
    def objectives(self) -> list[Metric]:
        """The objectives of the search that are known before a training; none for a search with one objective."""
        known = next((curve.known for curve in self._curves if curve.known), ())
        return [Metric(name=each.name, goal=each.goal) for each in known]

    def front_share(self, found: Sequence[Curve]) -> float | None:
        """Return the relative hypervolume of some complete curves among all; None for a search with one objective."""

        def points(curves: Sequence[Curve]) -> list[tuple[float, ...]]:
            usable = (curve for curve in curves if curve.known and math.isfinite(curve.true_value))
            return [curve.point_of(maximize=self.maximize) for curve in usable]

        among, of_found = points(self._curves), points(found)
        return relative_hypervolume(of_found, among=among) if among else None

    def nearest(self, point: Point, *, among: NDArray[np.bool_]) -> int:
        """Return the index of the curve that is nearest to a point.

        The distance is the sum over the parameters: on a range the difference as a share of its length, on a
        logarithmic scale if the range has one; 1 for another listed value, and if only one of both is active.

        Args:
            point: Any point of the space.
            among: Whether each curve may be returned. At least one may.
        """
        distance = np.zeros(len(self._curves))
        for path, distribution in self.space.distributions.items():
            position = position_of(point, path, distribution)
            if math.isnan(position):
                distance += ~np.isnan(self._columns[path])
                continue
            apart = np.abs(self._columns[path] - position)
            if isinstance(distribution, CategoricalDistribution):
                apart = np.minimum(apart, 1.0)
            distance += np.nan_to_num(apart, nan=1.0)
        distance[~among] = np.inf
        return int(np.argmin(distance))
