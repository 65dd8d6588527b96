"""TPE whose cost has a bound: of a long history it looks at the best trials and the newest ones."""

from __future__ import annotations

import heapq
import math
from collections.abc import Container, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

BEST, NEWEST = 100, 900
"""Ended trials that TPE looks at once there are more. TPE calls 25 good, however many there are, and weighs the others
the less the older they are. benchmarks/tpe_window.py measures what that costs a search: nothing that can be seen."""


class WindowedTPESampler(optuna.samplers.TPESampler):
    """Optuna's TPE as long as a study is short; of a longer one it is shown a part: see `window`."""

    _shown: tuple[int, optuna.Study] | None = None

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
            trials = study._get_trials(deepcopy=False)
            shown = window(trials, direction=study.direction)
            self._shown = (trial.number, study if len(shown) == len(trials) else _PartOfStudy(study, shown))
        return self._shown[1]


class _PartOfStudy(optuna.Study):
    """A study of which a sampler sees some trials only, as Optuna's own Hyperband shows a bracket."""

    def __init__(self, study: optuna.Study, trials: Sequence[FrozenTrial]) -> None:
        super().__init__(study.study_name, study._storage, sampler=study.sampler, pruner=study.pruner)
        self._trials = trials

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return [trial for trial in self._trials if states is None or trial.state in states]


def window(
    trials: Sequence[FrozenTrial], *, direction: StudyDirection, best: int = BEST, newest: int = NEWEST
) -> Sequence[FrozenTrial]:
    """Return the trials that TPE learns from, in their order: those that run, the best and the newest that ended.

    It depends on nothing but the trials: a search that was interrupted goes on as it would have gone.

    Args:
        trials: all of a study, in their order.
        direction: of the study.
        best: so many of those that ended are there for their value.
        newest: so many of the others are there for their age.
    """
    ended = [trial for trial in trials if trial.state in (TrialState.COMPLETE, TrialState.PRUNED)]
    if len(ended) <= best + newest:
        return trials
    sign = -1.0 if direction is StudyDirection.MAXIMIZE else 1.0
    kept = {trial.number for trial in heapq.nsmallest(best, ended, key=lambda trial: _place(trial, sign))}
    others = [trial.number for trial in ended if trial.number not in kept]
    kept.update(others[-newest:])
    return [trial for trial in trials if trial.state is TrialState.RUNNING or trial.number in kept]


def _place(trial: FrozenTrial, sign: float) -> tuple[float, float]:
    """Return what TPE orders trials by: complete ones by value, behind them the others, the longest first."""
    if trial.state is TrialState.COMPLETE:
        return (-math.inf, sign * float(trial.value or 0.0))
    if not trial.intermediate_values:
        return (1, 0.0)
    step, value = max(trial.intermediate_values.items())
    return (-step, math.inf if math.isnan(value) else sign * value)
