"""What a page is about: the trials of a sweep as every section needs them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sweeps.analysis.comparison import RungComparison
from sweeps.analysis.rungs import RungRuns
from sweeps.core.formatting import is_accuracy, metric_heading, metric_text, short_names
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.files.difference import Differences
from sweeps.search.state import SweepState
from sweeps.tasks.registry import describe
from sweeps.tasks.values import value_text

if TYPE_CHECKING:
    from sweeps.analysis.effects import Effects

MANY = 300
"""Trials from which on a tooltip says the name and the result only: a page stays small."""
FEW_VALUES = 6
"""Values up to which numbers stand side by side, each with its name, instead of on a line of numbers."""
LOG_RATIO = 8.0
"""Positive numbers whose largest is so many times their smallest stand on a logarithmic line."""
MIN_AXIS_POINTS, MIN_AXIS_NATS = 4.0, 0.1
"""Of an accuracy and of a loss that an axis spans: less is hardly a difference."""
SHARED = 2 / 3
"""Share of the trials that must have reached an epoch for it to be the one at which all are compared."""


@dataclass(frozen=True, kw_only=True)
class VaryingParameter:
    """A parameter that differs between the trials."""

    path: str
    name: str
    """As tables call it."""
    values: Mapping[int, Any]
    """By the trial's number; none for a trial that has no such parameter."""
    is_numeric: bool
    few: int = FEW_VALUES

    @cached_property
    def levels(self) -> tuple[str, ...]:
        """Its values in words, in order."""
        ordered = sorted(set(map(float, self.values.values()))) if self.is_numeric else sorted(self._words())
        return tuple(dict.fromkeys(format_number(value) if isinstance(value, float) else value for value in ordered))

    @cached_property
    def is_listed(self) -> bool:
        """Whether its values are few enough to stand side by side."""
        return not self.is_numeric or len(self.levels) <= self.few

    @cached_property
    def is_log(self) -> bool:
        """Whether its values are so far apart that a linear axis would press most of them together."""
        return self.is_numeric and is_logarithmic(map(float, self.values.values()))

    @property
    def label(self) -> str:
        """What its axis is called."""
        return self.name + (" (logarithmic)" if self.is_log and not self.is_listed else "")

    @property
    def ticks(self) -> list[tuple[float, str]]:
        """Where what is written along its axis lies, from 0 to 1: all values, or the ends and the middle."""
        if self.is_listed:
            return [(index / max(len(self.levels) - 1, 1), level) for index, level in enumerate(self.levels)]
        return [(share, format_number(self.at(share))) for share in (0.0, 0.5, 1.0)]

    def position(self, number: int) -> float | None:
        """Return where a trial's value lies between 0, the first or lowest of all, and 1; None where it has none."""
        if number not in self.values:
            return None
        if self.is_listed:
            return self.levels.index(self.text(number)) / max(len(self.levels) - 1, 1)
        return self.share(float(self.values[number]))

    def share(self, value: float) -> float:
        """Return where a number lies between the lowest, 0, and the highest, 1, as its axis has it."""
        low, high, at = (self._along(x) for x in (*self.ends, value))
        return (at - low) / (high - low) if high > low else 0.5

    def at(self, share: float) -> float:
        """Return the number that lies at a share of the way; the inverse of `share`."""
        low, high = (self._along(x) for x in self.ends)
        along = low + share * (high - low)
        return math.exp(along) if self.is_log else along

    @cached_property
    def ends(self) -> tuple[float, float]:
        """The lowest and the highest of its numbers."""
        return min(map(float, self.values.values())), max(map(float, self.values.values()))

    def text(self, number: int) -> str:
        """Return a trial's value in words, short."""
        value = self.values[number]
        return format_number(value) if self.is_numeric else value_text(value)

    def _along(self, value: float) -> float:
        return math.log(value) if self.is_log else value

    def _words(self) -> set[str]:
        return {value_text(value) for value in self.values.values()}


@dataclass(frozen=True, kw_only=True)
class Content:
    """A sweep at one moment."""

    state: SweepState
    rows: Sequence[Mapping[str, Any]] | None
    """Of the leaderboard, ranked; None where the record cannot be read."""
    rows_error: str = ""
    effects: Effects | None = None
    effects_error: str = ""
    comparisons: Sequence[RungComparison] = ()
    """Of a ladder: what each rung brought."""
    rungs: Sequence[RungRuns] = ()
    environment: Mapping[str, str]
    """Of the machine that writes the page."""
    now: float
    """Unix time in seconds."""

    @property
    def is_ladder(self) -> bool:
        return any(record.rung is not None for record in self.state.records)

    @property
    def is_running(self) -> bool:
        return self.state.driver is not None

    @cached_property
    def trials(self) -> list[TrialRecord]:
        """Those of the search, or of the ladder."""
        return self.state.records

    @property
    def replicates(self) -> Sequence[TrialRecord]:
        return self.state.replicates

    @cached_property
    def all_records(self) -> list[TrialRecord]:
        return self.state.records_and_replicates

    @cached_property
    def metric(self) -> str:
        """What the search looks at; where no image is set aside for validation, the training accuracy."""
        has = any(_finite(epoch.value(self.state.metric)) for r in self.trials for epoch in r.epochs)
        return self.state.metric if has or not any(r.epochs for r in self.trials) else "train_accuracy"

    @property
    def metric_label(self) -> str:
        return metric_heading(self.metric)

    @property
    def maximize(self) -> bool:
        return self.state.maximize if self.metric == self.state.metric else True

    def at_epoch(self, record: TrialRecord, epoch: int) -> float | None:
        """Return a trial's metric after an epoch as charts show it: accuracies in percent. None where it has none."""
        if not 0 < epoch <= len(record.epochs):
            return None
        value = record.epochs[epoch - 1].value(self.metric)
        if value is None or not _finite(value):
            return None
        return 100 * float(value) if is_accuracy(self.metric) else float(value)

    def value(self, record: TrialRecord) -> float | None:
        """Return a trial's metric after its last epoch, as `at_epoch`."""
        return self.at_epoch(record, len(record.epochs))

    def format_value(self, value: float) -> str:
        """Return what `value` gave, for a sentence."""
        return metric_text(self.metric, value / 100 if is_accuracy(self.metric) else value)

    def domain(self, values: Iterable[float]) -> tuple[float, float]:
        """Return the ends of an axis of what `value` gives: it spans so much that no trifle looks like a difference."""
        return axis_range(values, least=MIN_AXIS_POINTS if is_accuracy(self.metric) else MIN_AXIS_NATS)

    def is_better(self, value: float, other: float) -> bool:
        return value > other if self.maximize else value < other

    @cached_property
    def shared_epoch(self) -> int:
        """The last epoch that at least two thirds of the trials reached: where all of them can be compared. 0: none."""
        lengths = sorted((len(record.epochs) for record in self.trials if record.epochs), reverse=True)
        return lengths[math.ceil(SHARED * len(lengths)) - 1] if lengths else 0

    @cached_property
    def shared_values(self) -> dict[int, float]:
        """The metric of the trials that reached the shared epoch, there, by their number."""
        found = ((record.number, self.at_epoch(record, self.shared_epoch)) for record in self.trials)
        return {number: value for number, value in found if value is not None}

    @cached_property
    def worst_first(self) -> list[int]:
        """The numbers of these trials, the best last."""
        values = self.shared_values
        return sorted(values, key=lambda number: values[number], reverse=not self.maximize)

    @cached_property
    def varying(self) -> list[VaryingParameter]:
        """The parameters that differ between the trials, those first that are known to matter most."""
        found = [varying for varying in _varying_parameters(self.trials) if varying is not None]
        if self.effects is not None:
            order = {effect.name: index for index, effect in enumerate(self.effects.parameters)}
            found.sort(key=lambda varying: order.get(varying.path, len(order)))
        return found

    def tip(self, record: TrialRecord, *, more: str = "") -> str:
        """Return what a trial's mark says."""
        value = self.value(record)
        said = f"{record.name}: {'no result' if value is None else self.format_value(value)}"
        if len(self.all_records) > MANY:
            return said + (f", {more}" if more else "")
        epochs = f"{len(record.epochs)} of {record.config.epochs} epochs"
        return f"{said}, {epochs}, {record.outcome}{f', {more}' if more else ''}; {describe(record.config)}"


def mark_of(record: TrialRecord) -> str:
    """Return what a trial is highlighted with: its number, which its replicates share; a rung's index."""
    return str(record.trial) if record.rung is None else f"r{record.rung.index}"


def mark_of_row(row: Mapping[str, Any]) -> str:
    """Return the same for a row of the leaderboard."""
    if row["rung_index"] is not None:
        return f"r{row['rung_index']}"
    return str(row["trial"] if row["replicate_of"] is None else row["replicate_of"])


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _varying_parameters(records: Sequence[TrialRecord]) -> list[VaryingParameter | None]:
    configs = {record.number: record.config.dotted() for record in records}
    differences = Differences()
    for config in configs.values():
        differences.add({path: value for path, value in config.items() if value is not None})
    paths = [path for path in differences.paths() if path != "seed"]
    values = {
        path: {number: config[path] for number, config in configs.items() if config.get(path) is not None}
        for path in paths
    }
    return [_one(path, name, values[path]) for path, name in zip(paths, short_names(paths), strict=True)]


def _one(path: str, name: str, values: Mapping[int, Any]) -> VaryingParameter:
    is_numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values.values())
    return VaryingParameter(path=path, name=name, values=values, is_numeric=is_numeric)


def is_logarithmic(values: Iterable[float]) -> bool:
    """Return whether values are so far apart that a linear axis would press most of them together."""
    found = list(values)
    return min(found, default=0.0) > 0 and max(found) / min(found) >= LOG_RATIO


def format_number(value: float) -> str:
    """Return a value in four digits, without an exponent where it is of a common size: `0.0129`, `45,000`."""
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.4g}"


def axis_range(values: Iterable[float], *, least: float) -> tuple[float, float]:
    """Return the ends of an axis that holds all values, with a little room, and spans so much at the least."""
    found = list(values) or [0.0, 1.0]
    low, high = min(found), max(found)
    room = 0.04 * (high - low)
    low, high = low - room, high + room
    if (missing := least - (high - low)) > 0:
        # Not below 0, where no value is.
        low = min(low, max(low - missing / 2, 0.0))
        high = low + least
    return low, high


def with_outcome(records: Sequence[TrialRecord], outcome: Outcome) -> list[TrialRecord]:
    """Return the records of one outcome."""
    return [record for record in records if record.outcome is outcome]
