"""TPE whose cost has a bound: of a long history it looks at the best trials and the newest ones."""

from __future__ import annotations

import bisect
import itertools
import math
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweeps.system.compat import part_of_study

BEST, NEWEST = 100, 900
"""Ended trials that TPE looks at once there are more. TPE calls 25 good, however many there are, and weighs the others
the less the older they are. `benchmarks/tpe_window.py` measures its cost: docs/explanation/cluster-scale.md."""


class Window:
    """What TPE learns from in a study: the trials that run, the best and the newest of those that ended.

    It depends on nothing but the study's trials: a search that was interrupted goes on as it would have gone. Each
    trial is looked at once after its end, so that this takes no longer in a long search.
    """

    def __init__(self, *, best: int = BEST, newest: int = NEWEST) -> None:
        """Look at nothing yet.

        Args:
            best: so many trials are there for their value.
            newest: so many of the others, by number, are there for their age.
        """
        self._most_best, self._most_newest = best, newest
        self._known = 0
        self._open: list[int] = []
        self._ended: list[int] = []
        """Numbers of those that ended and that TPE reads, in order."""
        self._best: list[tuple[tuple[float, float], int]] = []
        """Sort key and number, in order."""

    def of(self, trials: Sequence[FrozenTrial], *, direction: StudyDirection) -> Sequence[FrozenTrial]:
        """Return the part of a study's trials that TPE is shown, in their order; all of them while they are few.

        Args:
            trials: all of the study, each at the index of its number; the same study at every call.
            direction: of the study.
        """
        self._open += range(self._known, len(trials))
        self._known = len(trials)
        still_open = []
        for number in self._open:
            if trials[number].state.is_finished():
                self._enter(trials[number], direction)
            else:
                still_open.append(number)
        self._open = still_open
        if len(self._ended) <= self._most_best + self._most_newest:
            return trials
        kept = {number for _, number in self._best}
        others = (number for number in reversed(self._ended) if number not in kept)
        newest = list(itertools.islice(others, self._most_newest))
        return [trials[number] for number in sorted([*kept, *newest, *self._open])]

    def _enter(self, trial: FrozenTrial, direction: StudyDirection) -> None:
        if trial.state is TrialState.FAIL:
            return
        bisect.insort(self._ended, trial.number)
        bisect.insort(self._best, (_sort_key(trial, direction), trial.number))
        del self._best[self._most_best :]


def _sort_key(trial: FrozenTrial, direction: StudyDirection) -> tuple[float, float]:
    """Return what TPE orders trials by: complete ones by value, behind them the others, the longest first."""
    sign = -1.0 if direction is StudyDirection.MAXIMIZE else 1.0
    if trial.state is TrialState.COMPLETE:
        assert trial.value is not None
        return (-math.inf, sign * trial.value)
    if not trial.intermediate_values:
        return (1.0, 0.0)
    step, value = max(trial.intermediate_values.items())
    return (-float(step), math.inf if math.isnan(value) else sign * value)


class WindowedTPESampler(optuna.samplers.TPESampler):
    """Optuna's TPE, which is shown a window of the study's trials."""

    def __init__(self, window: Window, **options: Any) -> None:
        """Take the options of `TPESampler`, and the window that all samplers of one search share."""
        super().__init__(**options)
        self._window = window
        self._shown: tuple[int, optuna.Study] | None = None

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        return super().infer_relative_search_space(self._part_of(study, trial), trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return super().sample_relative(self._part_of(study, trial), trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:
        return super().sample_independent(self._part_of(study, trial), trial, param_name, param_distribution)

    def _part_of(self, study: optuna.Study, trial: FrozenTrial) -> optuna.Study:
        """Return what is shown of a study while one trial is proposed."""
        if self._shown is None or self._shown[0] != trial.number:
            trials = study.get_trials(deepcopy=False)
            shown = self._window.of(trials, direction=study.direction)
            self._shown = (trial.number, study if len(shown) == len(trials) else part_of_study(study, shown))
        return self._shown[1]
