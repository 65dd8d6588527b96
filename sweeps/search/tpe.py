"""TPE with bounded cost: in a long search it reads only the best and the newest trials."""

from __future__ import annotations

import bisect
import copy
import itertools
import math
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, TrialState

from sweeps.search.staircase import Staircase
from sweeps.search.stored_trials import PAUSED
from sweeps.system.compat import part_of_study

BEST, NEWEST = 100, 900
"""Maximum numbers of ended trials that TPE reads. TPE takes at most 25 trials as good ones and gives old trials less
weight. `benchmarks/tpe_window.py` measures the cost: docs/explanation/cluster-scale.md."""


class Window:
    """The trials of a study that TPE reads: the running ones, and the best and the newest of the ended ones.

    The window depends only on the study's trials, so that a resumed search proposes the same as an uninterrupted one.
    Each trial is processed once after its end: the cost per proposal does not grow with the study.
    """

    def __init__(self, *, best: int = BEST, newest: int = NEWEST) -> None:
        """Create an empty window.

        Args:
            best: Number of trials with the best values.
            newest: Number of the newest trials among the others.
        """
        self._most_best, self._most_newest = best, newest
        self._known = 0
        self._open: list[int] = []
        self._ended: list[int] = []
        """Sorted numbers of the ended trials that TPE can use."""
        self._best: list[tuple[tuple[float, float], int]] = []
        """Sorted pairs of sort key and number."""

    def of(self, trials: Sequence[FrozenTrial], *, direction: StudyDirection) -> Sequence[FrozenTrial]:
        """Return the trials that TPE reads, ordered by number; all trials while they fit into the window.

        Paused trials are returned as pruned: TPE takes running ones for bad ones, and does not count them as begun.

        Args:
            trials: All trials of the study, each at the index of its number; the same study at every call.
            direction: Direction of the study.
        """
        self._open += range(self._known, len(trials))
        self._known = len(trials)
        still_open, paused = [], []
        for number in self._open:
            if trials[number].state.is_finished():
                self._add(trials[number], direction)
                continue
            still_open.append(number)
            if trials[number].user_attrs.get(PAUSED):
                paused.append(number)
        self._open = still_open
        if paused:
            trials = list(trials)
            for number in paused:
                trials[number] = _as_pruned(trials[number])
        if len(self._ended) + len(paused) <= self._most_best + self._most_newest:
            return trials
        kept = {number for _, number in self._best}
        left_out = set(paused[: -self._most_newest])
        others = (number for number in reversed(self._ended) if number not in kept)
        newest = list(itertools.islice(others, self._most_newest))
        return [trials[number] for number in sorted([*kept, *newest, *self._open]) if number not in left_out]

    def _add(self, trial: FrozenTrial, direction: StudyDirection) -> None:
        if trial.state is TrialState.FAIL:
            return
        bisect.insort(self._ended, trial.number)
        bisect.insort(self._best, (sort_key(trial, direction), trial.number))
        del self._best[self._most_best :]


def _as_pruned(trial: FrozenTrial) -> FrozenTrial:
    pruned = copy.copy(trial)
    pruned.state = TrialState.PRUNED
    return pruned


def sort_key(trial: FrozenTrial, direction: StudyDirection) -> tuple[float, float]:
    """Return the sort key that TPE uses: complete trials by value, other ones, the longest first, infeasible ones."""
    if (excess := sum(each for each in trial.constraints.values() if each > 0)) > 0:
        return (math.inf, excess)
    sign = -1.0 if direction is StudyDirection.MAXIMIZE else 1.0
    if trial.state is TrialState.COMPLETE:
        assert trial.value is not None
        return (-math.inf, sign * trial.value)
    if not trial.intermediate_values:
        return (1.0, 0.0)
    step, value = max(trial.intermediate_values.items())
    return (-float(step), math.inf if math.isnan(value) else sign * value)


class WindowedTPESampler(optuna.samplers.TPESampler):
    """Optuna's TPE sampler, restricted to a window of the study's trials."""

    def __init__(self, window: Window, *, staircase: Staircase | None = None, **options: Any) -> None:
        """Create a sampler.

        Args:
            window: Shared by all samplers of one search.
            staircase: Limits on further objectives; None for a search with one objective.
            options: Options of `TPESampler`.
        """
        super().__init__(**options)
        self._window, self._staircase = window, staircase
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
        """Return a study with only the window's trials; the same one for all parameters of a trial."""
        if self._shown is None or self._shown[0] != trial.number:
            trials = study.get_trials(deepcopy=False)
            # Optuna's Hyperband shows the sampler only the trials of one bracket: a window would mix the brackets.
            is_whole = trials[-1].number == len(trials) - 1
            shown = self._window.of(trials, direction=study.direction) if is_whole else trials
            if self._staircase:
                shown = self._staircase.constrain(shown, number=trial.number)
            self._shown = (trial.number, study if shown is trials else part_of_study(study, shown))
        return self._shown[1]
