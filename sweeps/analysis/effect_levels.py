"""Of each searched parameter, its values or ranges of values as levels, and which trial has which."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from sweeps.search.recorded_search import RecordedSearch, SearchedParameter
from sweeps.tasks.values import value_text

MOST_VALUES = 5
"""Different values that trials have of a range, above which they are put together."""
RANGES, RANGES_OF_MANY, MANY = 3, 4, 60
"""Ranges of about as many trials each, and as many from this number of trials on."""

_SCHEDULE = "schedule."


@dataclass(frozen=True, kw_only=True)
class Factor:
    """One parameter as levels."""

    parameter: SearchedParameter
    labels: tuple[str, ...]
    member_N: np.ndarray
    """The level that each trial has, counted from 0; -1 where the parameter is not active."""
    has_acted: bool = True
    """False where it cannot have changed anything at the epochs that are compared."""

    @property
    def counts(self) -> np.ndarray:
        """Trials of each level."""
        return np.bincount(self.member_N[self.member_N >= 0], minlength=len(self.labels))

    @property
    def tried(self) -> np.ndarray:
        """The levels that a trial has, in order."""
        return np.flatnonzero(self.counts)


def factors_of(searched: RecordedSearch, numbers: Sequence[int], *, schedule_acted: bool) -> list[Factor]:
    """Return every searched parameter as levels.

    Args:
        searched: what the sweep searched.
        numbers: of the trials that are compared, in their study.
        schedule_acted: whether any of them had another learning rate than the first, by the epoch that is looked at.
    """
    values = [searched.values.get(number, {}) for number in numbers]
    factors = [_factor(parameter, values) for parameter in searched.parameters]
    if schedule_acted:
        return factors
    return [replace(factor, has_acted=not factor.parameter.path.startswith(_SCHEDULE)) for factor in factors]


def _factor(parameter: SearchedParameter, values: Sequence[Mapping[str, Any]]) -> Factor:
    path = parameter.path
    # Optuna tells true from 1 as the file does: by the type.
    found = [(type(entry[path]).__name__, entry[path]) if path in entry else None for entry in values]
    if parameter.choices is not None:
        known = dict.fromkeys(
            [*((type(choice).__name__, choice) for choice in parameter.choices), *filter(None, found)]
        )
        return _listed(parameter, list(known), found)
    different = sorted({entry for entry in found if entry is not None}, key=lambda entry: float(entry[1]))
    if len(different) <= MOST_VALUES:
        return _listed(parameter, different, found)
    return _ranges(parameter, np.array([np.nan if entry is None else float(entry[1]) for entry in found]))


def _listed(parameter: SearchedParameter, known: list[Any], found: Sequence[Any]) -> Factor:
    indices = {entry: index for index, entry in enumerate(known)}
    return Factor(
        parameter=parameter,
        labels=tuple(value_text(value) or "null" for _, value in known),
        member_N=np.array([-1 if entry is None else indices[entry] for entry in found], dtype=int),
    )


def _ranges(parameter: SearchedParameter, values: np.ndarray) -> Factor:
    active = np.isfinite(values)
    count = RANGES if active.sum() < MANY else RANGES_OF_MANY
    inner = np.quantile(values[active], np.arange(1, count) / count)
    # Ties stay together, so that a range may hold nothing.
    _, member = np.unique(np.searchsorted(inner, values[active]), return_inverse=True)
    member_N = np.full(len(values), -1)
    member_N[active] = member
    ends = [(values[member_N == level].min(), values[member_N == level].max()) for level in range(member.max() + 1)]
    return Factor(
        parameter=parameter,
        labels=tuple(f"{low:.3g}" if low == high else f"{low:.3g} to {high:.3g}" for low, high in ends),
        member_N=member_N,
    )
