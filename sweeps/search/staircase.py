"""A search of a whole front with a sampler for one objective: each proposal has a limit on the others.

This is the ε-constraint method (Haimes, Lasdon and Wismer 1971). What is known before a training is not learnt: TPE
takes trials above the limit of a proposal for infeasible, and maximises the metric below it.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from functools import cached_property

import numpy as np
from optuna.trial import FrozenTrial

from sweeps.files.constraint import SMALLEST
from sweeps.files.settings import Metric
from sweeps.files.space import SearchSpace
from sweeps.search.draws import random_configs
from sweeps.search.front import known_values
from sweeps.search.stored_trials import KNOWN

STEPS = 4
"""Steps of the staircase: the quartiles of random configurations, and no limit."""
DRAWS = 64
"""Random configurations for the quartiles."""
_LIMIT = "limit:"


class Staircase:
    """The limits of the proposals of one search. They depend only on its space, its seed and the trial's number."""

    def __init__(self, space: SearchSpace, objectives: Sequence[Metric], *, seed: int) -> None:
        """Create it without drawing configurations.

        Args:
            space: the space of the search.
            objectives: the objectives that are known before a training.
            seed: of the search.
        """
        self._space, self._objectives, self._seed = space, list(objectives), seed

    def __bool__(self) -> bool:
        return bool(self._objectives)

    @cached_property
    def steps(self) -> list[list[float]]:
        """Limits of each objective, the strictest first, as costs (`KnownValue.cost`); the last one is infinite."""
        conditions = self._space.conditions
        drawn = random_configs(self._space, count=DRAWS, seed=self._seed)
        allowed = [config for config in drawn if not conditions.refusals(config)]
        points = [[each.cost for each in known_values(self._space, self._objectives, config)] for config in allowed]
        columns: list[Sequence[float]] = list(zip(*filter(None, points), strict=True))
        shares = [step / STEPS for step in range(1, STEPS)]
        return [
            [*map(float, np.quantile(column, shares, method="lower")), float("inf")]
            for column in columns or [(float("inf"),)] * len(self._objectives)
        ]

    def limits(self, number: int) -> dict[str, float]:
        """Return the limit of each objective for a trial's number: all combinations of steps in turn."""
        found = {}
        for objective, steps in zip(self._objectives, self.steps, strict=True):
            number, step = divmod(number, STEPS)
            found[objective.name] = steps[step]
        return found

    def constrain(self, trials: Sequence[FrozenTrial], *, number: int) -> Sequence[FrozenTrial]:
        """Return trials as the sampler sees them for the proposal of a number: infeasible where above its limits."""
        limits = self.limits(number)
        return [_constrained(trial, limits) for trial in trials]


def _constrained(trial: FrozenTrial, limits: dict[str, float]) -> FrozenTrial:
    excesses = {
        name: (cost - limits[name]) / max(abs(cost), abs(limits[name]), SMALLEST)
        for name, goal, value in trial.user_attrs.get(KNOWN, ())
        if name in limits and (cost := -value if goal == "maximize" else value) > limits[name]
    }
    if not excesses:
        return trial
    seen = copy.copy(trial)
    seen.system_attrs = dict(trial.system_attrs)
    for name, excess in excesses.items():
        seen.set_constraint(f"{_LIMIT}{name}", excess)
    return seen
