"""Levels of each searched parameter, which are values or ranges of values, and the level of each trial."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sweeps.search.recorded_search import RecordedSearch, SearchedParameter
from sweeps.tasks.values import value_text

MAX_VALUES = 5
"""Distinct values of a range; more are grouped into ranges."""
RANGES, RANGES_IF_MANY, MANY_TRIALS = 3, 4, 60
"""Ranges with about the same number of trials each, and their number from `MANY_TRIALS` trials on."""

_SCHEDULE = "schedule."


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One parameter as a categorical factor."""

    parameter: SearchedParameter
    labels: tuple[str, ...]
    level_N: np.ndarray
    """Level index of each trial; -1 if the parameter is not active."""
    can_have_effect: bool = True
    """False if the parameter cannot have had an influence by the compared epochs."""

    @property
    def counts(self) -> np.ndarray:
        """Number of trials of each level."""
        return np.bincount(self.level_N[self.level_N >= 0], minlength=len(self.labels))

    @property
    def tried(self) -> np.ndarray:
        """Indices of the levels with at least one trial, ascending."""
        return np.flatnonzero(self.counts)


def factors_of(searched: RecordedSearch, numbers: Sequence[int], *, schedule_changed_lr: bool) -> list[Factor]:
    """Return one factor per searched parameter.

    Args:
        searched: parameters of the sweep and their values per trial.
        numbers: study numbers of the compared trials.
        schedule_changed_lr: whether the schedule changed a learning rate by the last compared epoch.
    """
    values = [searched.values.get(number, {}) for number in numbers]
    factors = [_factor(parameter, values) for parameter in searched.parameters]
    if schedule_changed_lr:
        return factors
    return [replace(factor, can_have_effect=not factor.parameter.path.startswith(_SCHEDULE)) for factor in factors]


def _factor(parameter: SearchedParameter, values: Sequence[Mapping[str, Any]]) -> Factor:
    path = parameter.path
    # With the type, because true and 1 are two values in Optuna and in the file.
    found = [(type(entry[path]).__name__, entry[path]) if path in entry else None for entry in values]
    if parameter.choices is not None:
        known = dict.fromkeys(
            [*((type(choice).__name__, choice) for choice in parameter.choices), *filter(None, found)]
        )
        return _categorical(parameter, list(known), found)
    different = sorted({entry for entry in found if entry is not None}, key=lambda entry: float(entry[1]))
    if len(different) <= MAX_VALUES:
        return _categorical(parameter, different, found)
    return _ranges(parameter, np.array([np.nan if entry is None else float(entry[1]) for entry in found]))


def _categorical(parameter: SearchedParameter, known: list[Any], found: Sequence[Any]) -> Factor:
    indices = {entry: index for index, entry in enumerate(known)}
    return Factor(
        parameter=parameter,
        labels=tuple(value_text(value) or "null" for _, value in known),
        level_N=np.array([-1 if entry is None else indices[entry] for entry in found], dtype=int),
    )


def _ranges(parameter: SearchedParameter, values: np.ndarray) -> Factor:
    active = np.isfinite(values)
    count = RANGES if active.sum() < MANY_TRIALS else RANGES_IF_MANY
    inner = np.quantile(values[active], np.arange(1, count) / count)
    # Equal values share a range, so a range may be empty.
    _, member = np.unique(np.searchsorted(inner, values[active]), return_inverse=True)
    level_N = np.full(len(values), -1)
    level_N[active] = member
    ends = [(values[level_N == level].min(), values[level_N == level].max()) for level in range(member.max() + 1)]
    return Factor(
        parameter=parameter,
        labels=tuple(f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}" for low, high in ends),
        level_N=level_N,
    )
