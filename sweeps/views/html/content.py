"""Data of a report: the trials of a sweep, prepared for all sections."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from cifar_core.common.user_modules import NETWORK
from sweeps.analysis.comparison import RungComparison
from sweeps.analysis.rungs import RungRuns
from sweeps.core.formatting import is_accuracy, metric_heading, metric_text, short_names
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.files.difference import Differences
from sweeps.search.state import SweepState
from sweeps.tasks.registry import describe, task_of
from sweeps.tasks.values import value_text

if TYPE_CHECKING:
    from sweeps.analysis.effects import Effects

MANY = 300
"""More trials than this get short tooltips, to limit the size of the page."""
FEW_VALUES = 6
"""Up to this many distinct numbers, an axis is categorical."""
LOG_RATIO = 8.0
"""From this ratio of the largest to the smallest positive number, an axis is logarithmic."""
MIN_AXIS_POINTS, MIN_AXIS_NATS = 4.0, 0.1
"""Minimum range of an axis of an accuracy and of a loss, so that small differences look small."""
SHARED = 2 / 3
"""Share of the trials that must have reached the epoch at which all are compared."""


@dataclass(frozen=True, kw_only=True)
class VaryingParameter:
    """A parameter that differs between the trials."""

    path: str
    name: str
    """Short name, as in tables."""
    values: Mapping[int, Any]
    """Trial number → value, for trials that have the parameter."""
    is_numeric: bool
    max_levels: int = FEW_VALUES

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """Distinct values as text, in order."""
        ordered = sorted(set(map(float, self.values.values()))) if self.is_numeric else sorted(self._words())
        return tuple(dict.fromkeys(format_number(value) if isinstance(value, float) else value for value in ordered))

    @cached_property
    def is_categorical(self) -> bool:
        """Whether its axis is categorical."""
        return not self.is_numeric or len(self.levels) <= self.max_levels

    @cached_property
    def is_log(self) -> bool:
        """Whether its axis is logarithmic."""
        return self.is_numeric and is_logarithmic(map(float, self.values.values()))

    @property
    def label(self) -> str:
        """Title of its axis."""
        return self.name + (" (logarithmic)" if self.is_log and not self.is_categorical else "")

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Positions and labels of the ticks, 0 to 1: all levels, or the ends and the middle."""
        if self.is_categorical:
            return [(index / max(len(self.levels) - 1, 1), level) for index, level in enumerate(self.levels)]
        return [(share, format_number(self.at(share))) for share in (0.0, 0.5, 1.0)]

    def position(self, number: int) -> float | None:
        """Return the position of a trial's value on the axis, 0 to 1; None if the trial does not have the parameter."""
        if number not in self.values:
            return None
        if self.is_categorical:
            return self.levels.index(self.text(number)) / max(len(self.levels) - 1, 1)
        return self.share(float(self.values[number]))

    def share(self, value: float) -> float:
        """Return the position of a number on the axis, 0 for the lowest value to 1 for the highest."""
        low, high, scaled = (self._scaled(x) for x in (*self.ends, value))
        return (scaled - low) / (high - low) if high > low else 0.5

    def at(self, share: float) -> float:
        """Return the number at a position of the axis; the inverse of `share`."""
        low, high = (self._scaled(x) for x in self.ends)
        scaled = low + share * (high - low)
        return math.exp(scaled) if self.is_log else scaled

    @cached_property
    def ends(self) -> tuple[float, float]:
        """Lowest and highest value."""
        return min(map(float, self.values.values())), max(map(float, self.values.values()))

    def text(self, number: int) -> str:
        """Return a trial's value as short text."""
        value = self.values[number]
        return format_number(value) if self.is_numeric else value_text(value)

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.is_log else value

    def _words(self) -> set[str]:
        return {value_text(value) for value in self.values.values()}


@dataclass(frozen=True, kw_only=True)
class Content:
    """Data of a sweep at one moment."""

    state: SweepState
    rows: Sequence[Mapping[str, Any]] | None
    """Ranked rows of the leaderboard; None if the record cannot be read."""
    rows_error: str = ""
    effects: Effects | None = None
    effects_error: str = ""
    comparisons: Sequence[RungComparison] = ()
    """Comparisons of the rungs of a ladder."""
    rungs: Sequence[RungRuns] = ()
    environment: Mapping[str, str]
    """Machine and versions with which the page is written."""
    now: float
    """Unix time in seconds."""

    @property
    def is_ladder(self) -> bool:
        return any(record.rung is not None for record in self.state.records)

    @property
    def is_of_images(self) -> bool:
        """Whether networks are trained, and not a function or a program of the user's own."""
        return all(task_of(record.config).code_kind is NETWORK for record in self.state.records[:1])

    @property
    def is_running(self) -> bool:
        return self.state.driver is not None

    @cached_property
    def trials(self) -> list[TrialRecord]:
        """Trials of the search, or runs of the ladder."""
        return self.state.records

    @property
    def replicates(self) -> Sequence[TrialRecord]:
        return self.state.replicates

    @cached_property
    def all_records(self) -> list[TrialRecord]:
        return self.state.records_and_replicates

    @cached_property
    def metric(self) -> str:
        """Metric of the search, or the training accuracy if no trial has a value of it."""
        has = any(_finite(epoch.value(self.state.metric)) for r in self.trials for epoch in r.epochs)
        return self.state.metric if has or not any(r.epochs for r in self.trials) else "train_accuracy"

    @property
    def metric_label(self) -> str:
        return metric_heading(self.metric)

    @property
    def maximize(self) -> bool:
        return self.state.maximize if self.metric == self.state.metric else True

    def at_epoch(self, record: TrialRecord, epoch: int) -> float | None:
        """Return the metric of a trial after an epoch, accuracies in percent; None without a finite value."""
        if not 0 < epoch <= len(record.epochs):
            return None
        value = record.epochs[epoch - 1].value(self.metric)
        if value is None or not _finite(value):
            return None
        return 100 * float(value) if is_accuracy(self.metric) else float(value)

    def value(self, record: TrialRecord) -> float | None:
        """Return the metric of a trial after its last epoch, like `at_epoch`."""
        return self.at_epoch(record, len(record.epochs))

    def format_value(self, value: float) -> str:
        """Return a result of `value` as text with its unit."""
        return metric_text(self.metric, value / 100 if is_accuracy(self.metric) else value)

    def domain(self, values: Iterable[float]) -> tuple[float, float]:
        """Return the range of an axis for results of `value`, with a minimum width."""
        least = MIN_AXIS_NATS if self.is_of_images else 0.0
        return axis_range(values, least=MIN_AXIS_POINTS if is_accuracy(self.metric) else least)

    def is_better(self, value: float, other: float) -> bool:
        return value > other if self.maximize else value < other

    @cached_property
    def shared_epoch(self) -> int:
        """Last epoch that at least two thirds of the trials with an epoch reached; 0 without any."""
        lengths = sorted((len(record.epochs) for record in self.trials if record.epochs), reverse=True)
        return lengths[math.ceil(SHARED * len(lengths)) - 1] if lengths else 0

    @cached_property
    def shared_values(self) -> dict[int, float]:
        """Trial number → metric at the shared epoch, for the trials that reached it."""
        found = ((record.number, self.at_epoch(record, self.shared_epoch)) for record in self.trials)
        return {number: value for number, value in found if value is not None}

    @cached_property
    def worst_first(self) -> list[int]:
        """Numbers of these trials, from the worst to the best."""
        values = self.shared_values
        return sorted(values, key=lambda number: values[number], reverse=not self.maximize)

    @cached_property
    def varying(self) -> list[VaryingParameter]:
        """Parameters that differ between the trials, by importance if that is known."""
        found = _varying_parameters(self.trials)
        if self.effects is not None:
            order = {effect.name: index for index, effect in enumerate(self.effects.parameters)}
            found.sort(key=lambda parameter: order.get(parameter.path, len(order)))
        return found

    def tooltip(self, record: TrialRecord) -> str:
        """Return the tooltip of a trial."""
        value = self.value(record)
        result = f"{record.name}: {'no result' if value is None else self.format_value(value)}"
        if len(self.all_records) > MANY:
            return result
        epochs = f"{record.epochs_text} epochs"
        return f"{result}, {epochs}, {record.outcome}; {describe(record.config)}"


def mark_of(record: TrialRecord) -> str:
    """Return the key for highlighting: the trial number, which replicates share, or `r` and the index of the rung."""
    return str(record.trial) if record.rung is None else f"r{record.rung.index}"


def mark_of_row(row: Mapping[str, Any]) -> str:
    """Return the key for highlighting of a row of the leaderboard."""
    if row["rung_index"] is not None:
        return f"r{row['rung_index']}"
    return str(row["trial"] if row["replicate_of"] is None else row["replicate_of"])


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _varying_parameters(records: Sequence[TrialRecord]) -> list[VaryingParameter]:
    configs = {record.number: record.config.dotted() for record in records}
    differences = Differences()
    for config in configs.values():
        differences.add({path: value for path, value in config.items() if value is not None})
    paths = [path for path in differences.paths() if path != "seed"]
    values = {
        path: {number: config[path] for number, config in configs.items() if config.get(path) is not None}
        for path in paths
    }
    return [_varying_parameter(path, name, values[path]) for path, name in zip(paths, short_names(paths), strict=True)]


def _varying_parameter(path: str, name: str, values: Mapping[int, Any]) -> VaryingParameter:
    is_numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values.values())
    return VaryingParameter(path=path, name=name, values=values, is_numeric=is_numeric)


def is_logarithmic(values: Iterable[float]) -> bool:
    """Return whether an axis of these values is logarithmic."""
    found = list(values)
    return min(found, default=0.0) > 0 and max(found) / min(found) >= LOG_RATIO


def format_number(value: float) -> str:
    """Return a number with four digits, and without an exponent below a million: `0.0129`, `45,000`."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.4g}"


def axis_range(values: Iterable[float], *, least: float) -> tuple[float, float]:
    """Return the range of an axis with all values and a margin.

    Args:
        values: values on the axis.
        least: minimum width of the range.
    """
    found = list(values) or [0.0, 1.0]
    low, high = min(found), max(found)
    margin = 0.04 * (high - low)
    low, high = low - margin, high + margin
    if (missing := least - (high - low)) > 0:
        # Not below 0, because there are no negative values.
        low = min(low, max(low - missing / 2, 0.0))
        high = low + least
    return low, high


def with_outcome(records: Sequence[TrialRecord], outcome: Outcome) -> list[TrialRecord]:
    """Return the records with one outcome."""
    return [record for record in records if record.outcome is outcome]
