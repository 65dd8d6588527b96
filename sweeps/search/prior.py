"""Priors of parameters: the user's guess where good values lie, which loses its weight if the results contradict it.

As in PriorBand (Mallik et al. 2023, https://arxiv.org/abs/2306.12370) a share of the proposals is drawn from the prior,
and the share follows how well the prior predicts the best results so far. The evidence is a rank-sum test (Mann and
Whitney 1947) of whether the prior is denser at the best quarter of the trials than at the others. As in πBO (Hvarfner
et al. 2022, https://arxiv.org/abs/2204.11051) the share also falls with the inverse of the number of trials.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweeps.files.parameter import Assignment, Confidence, Parameter, identity_of
from sweeps.files.space import SearchSpace
from sweeps.search.positions import Point, position_of, value_at_position
from sweeps.search.stored_trials import PAUSED
from sweeps.search.tpe import sort_key


@dataclass(frozen=True, kw_only=True)
class Strength:
    """What a confidence means."""

    deviation: float
    """Standard deviation around the prior, as a share of a range."""
    listed: float
    """Additional probability of a listed value."""
    share: float
    """Share of the first proposals that are drawn from the prior."""
    lasts: float
    """Number of trials after which the share has halved."""


STRENGTHS: dict[Confidence, Strength] = {
    "low": Strength(deviation=0.25, listed=0.3, share=0.25, lasts=8),
    "medium": Strength(deviation=0.15, listed=0.5, share=0.5, lasts=12),
    "high": Strength(deviation=0.075, listed=0.7, share=0.7, lasts=16),
}
"""Chosen by replays: `benchmarks/priors.py`."""
BEST_SHARE = 0.25
"""Share of the ended trials that count as the best."""
MIN_TRIALS = 2
"""Ended trials without which there is no evidence."""
STRICTNESS = 2
"""Power of the evidence. With 2 a wrong prior loses its weight after fewer draws than with 1."""
FORGOTTEN = 0.02
"""A smaller share counts as 0: long searches do not read all of their trials for it."""


class Prior:
    """The priors of a search space."""

    def __init__(self, space: SearchSpace) -> None:
        """Collect the priors; none is valid too, and draws uniformly."""
        self._space = space
        self._priors = {path: each for path, each in space.parameters.items() if each.has_prior}
        strengths = [STRENGTHS[each.confidence] for each in self._priors.values()]
        self._share = max((each.share for each in strengths), default=0.0)
        self._lasts = max((each.lasts for each in strengths), default=0.0)

    def __bool__(self) -> bool:
        return bool(self._priors)

    def draw(self, rng: np.random.Generator) -> Assignment:
        """Return draws for the parameters that have a prior, also for inactive ones."""
        return {path: self._drawn(path, parameter, rng) for path, parameter in self._priors.items()}

    def _drawn(self, path: str, parameter: Parameter, rng: np.random.Generator) -> Any:
        share = float(rng.uniform())
        if not parameter.is_range:
            ends = np.cumsum(_probabilities(parameter))
            return parameter.choices[min(int(np.searchsorted(ends, share, side="right")), len(ends) - 1)]
        normal, low, high = self._normal(path, parameter)
        position = min(max(normal.inv_cdf(low + share * (high - low)), 0.0), 1.0)
        return self._space.decode(path, value_at_position(position, self._space.distributions[path]))

    def _normal(self, path: str, parameter: Parameter) -> tuple[NormalDist, float, float]:
        """Return the normal distribution around a prior on its axis, and its shares below 0 and below 1."""
        encoded = self._space.encode({path: parameter.prior})
        centre = position_of(encoded, path, self._space.distributions[path])
        normal = NormalDist(centre, STRENGTHS[parameter.confidence].deviation)
        return normal, normal.cdf(0.0), normal.cdf(1.0)

    def log_density(self, point: Point) -> float:
        """Return the logarithm of the prior's density at a point, divided by the density without a prior.

        Inactive parameters do not count.
        """
        return math.fsum(
            self._log_ratio(path, parameter, point) for path, parameter in self._priors.items() if path in point
        )

    def _log_ratio(self, path: str, parameter: Parameter, point: Point) -> float:
        if not parameter.is_range:
            index = list(map(identity_of, parameter.choices)).index(identity_of(self._space.decode(path, point[path])))
            return math.log(_probabilities(parameter)[index] / _without_prior(parameter)[index])
        normal, low, high = self._normal(path, parameter)
        position = position_of(point, path, self._space.distributions[path])
        # Not NormalDist.pdf, whose logarithm is that of 0 far from the prior.
        deviations = (position - normal.mean) / normal.stdev
        return -(deviations**2) / 2 - math.log(normal.stdev * math.sqrt(2 * math.pi) * (high - low))

    def weight(self, trials: Sequence[FrozenTrial], *, direction: StudyDirection) -> float:
        """Return the share of the next proposals to draw from the prior, from 0 to 1.

        Args:
            trials: All trials of the study, also running ones.
            direction: Direction of the study.
        """
        if not self._priors:
            return 0.0
        share = self._share * self._lasts / (self._lasts + len(trials))
        return 0.0 if share < FORGOTTEN else share * self._evidence(trials, direction)

    def _evidence(self, trials: Sequence[FrozenTrial], direction: StudyDirection) -> float:
        """Return 1 if the prior is denser at the best trials than at the others, and nearly 0 if it is sparser."""
        ended = [
            trial
            for trial in trials
            if trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or trial.user_attrs.get(PAUSED)
        ]
        if len(ended) < MIN_TRIALS:
            return 1.0
        ended.sort(key=lambda trial: (sort_key(trial, direction), trial.number))
        densities = np.array([self.log_density(trial.params) for trial in ended])
        share = _share_of_greater(densities, first=math.ceil(BEST_SHARE * len(ended)))
        return float(min(1.0, 2 * share) ** STRICTNESS)


def _share_of_greater(values: NDArray[np.float64], *, first: int) -> float:
    """Return the normal approximation of the rank-sum test: small if the first values are smaller than the others."""
    others = len(values) - first
    above = (values[:first, None] > values[None, first:]).sum() + (
        values[:first, None] == values[None, first:]
    ).sum() / 2
    deviation = math.sqrt(first * others * (len(values) + 1) / 12)
    return NormalDist().cdf((float(above) - first * others / 2) / deviation)


def _without_prior(parameter: Parameter) -> Sequence[float]:
    return parameter.probabilities or [1 / len(parameter.choices)] * len(parameter.choices)


def _probabilities(parameter: Parameter) -> list[float]:
    """Return the probability of each listed value under the prior."""
    added = STRENGTHS[parameter.confidence].listed
    return [
        (1 - added) * probability + added * (identity_of(choice) == identity_of(parameter.prior))
        for choice, probability in zip(parameter.choices, _without_prior(parameter), strict=True)
    ]


def draw_from_prior(space: SearchSpace, rng: np.random.Generator) -> Assignment:
    """Return a configuration's values: from the prior where a parameter has one, else without a preference.

    Only active parameters are drawn. The combination may be invalid (`SearchSpace.allows`).
    """
    return _completed(space, Prior(space).draw(rng), rng)


def draw_uniformly(space: SearchSpace, rng: np.random.Generator) -> Assignment:
    """Return a configuration's values, drawn without the priors; see `draw_from_prior`."""
    return _completed(space, {}, rng)


def _completed(space: SearchSpace, drawn: Assignment, rng: np.random.Generator) -> Assignment:
    assignment: Assignment = {}
    for path, parameter in space.parameters.items():
        value = drawn[path] if path in drawn else _uniform(space, path, parameter, rng)
        if space.is_active(path, assignment):
            assignment[path] = value
    return assignment


def _uniform(space: SearchSpace, path: str, parameter: Parameter, rng: np.random.Generator) -> Any:
    if not parameter.is_range:
        return parameter.choices[int(rng.choice(len(parameter.choices), p=_without_prior(parameter)))]
    return space.decode(path, value_at_position(float(rng.uniform()), space.distributions[path]))
