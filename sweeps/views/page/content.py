"""What a page is about: the trials of a sweep as every section needs them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sweeps.formatting import describe, is_accuracy, metric_heading, metric_text, short_names, value_text
from sweeps.results import RungComparison, RungRuns
from sweeps.spec import Differences
from sweeps.study import SweepState
from sweeps.trial_record import Outcome, TrialRecord
from sweeps.views.page.scale import Scale, at_values, categories, is_logarithmic, linear, logarithmic, plain

if TYPE_CHECKING:
    from sweeps.results import Effects

MANY = 300
"""Trials from which on a tooltip says the name and the result only: a page stays small."""
FEW_VALUES = 6
LEAST_APART = 0.1
"""Of an axis, between two values of a few whose names stand under it."""
LEAST_POINTS, LEAST_NATS = 4.0, 0.1
"""Of an accuracy and of a loss that an axis spans: less is hardly a difference."""
SHARED = 2 / 3
"""Share of the trials that must have reached an epoch for it to be the one at which all are compared."""


@dataclass(frozen=True, kw_only=True)
class Varied:
    """A parameter that differs between the trials."""

    path: str
    name: str
    """As tables call it."""
    values: Mapping[int, Any]
    """By the trial's number; none for a trial that has no such parameter."""
    is_numeric: bool
    scale: Scale
    levels: tuple[str, ...]
    """Of one that is not numeric: its values in order."""

    def place(self, number: int) -> float | None:
        """Return a trial's value as its scale takes it."""
        if number not in self.values:
            return None
        value = self.values[number]
        return float(value) if self.is_numeric else float(self.levels.index(value_text(value)))

    def text(self, number: int) -> str:
        """Return a trial's value in words, short."""
        value = self.values[number]
        return plain(value) if self.is_numeric else value_text(value)


@dataclass(frozen=True, kw_only=True)
class Content:
    """A sweep at one moment."""

    state: SweepState
    rows: Sequence[Mapping[str, Any]] | None
    """Of the leaderboard, ranked; None where the record cannot be read."""
    why_no_rows: str = ""
    effects: Effects | None = None
    why_no_effects: str = ""
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
    def everything(self) -> list[TrialRecord]:
        return self.state.records_and_replicates

    @cached_property
    def metric(self) -> str:
        """What the search looks at; where no image is set aside for validation, the training accuracy."""
        has = any(_finite(getattr(epoch, self.state.metric, None)) for r in self.trials for epoch in r.epochs)
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
        value = getattr(record.epochs[epoch - 1], self.metric)
        if not _finite(value):
            return None
        return 100 * float(value) if is_accuracy(self.metric) else float(value)

    def value(self, record: TrialRecord) -> float | None:
        """Return a trial's metric after its last epoch, as `at_epoch`."""
        return self.at_epoch(record, len(record.epochs))

    def in_words(self, value: float) -> str:
        """Return what `value` gave, for a sentence."""
        return metric_text(self.metric, value / 100 if is_accuracy(self.metric) else value)

    def axis(self, values: Iterable[float]) -> Scale:
        """Return a scale of what `value` gives."""
        return linear(values, least=LEAST_POINTS if is_accuracy(self.metric) else LEAST_NATS)

    def is_better(self, value: float, other: float) -> bool:
        return value > other if self.maximize else value < other

    @cached_property
    def shared_epoch(self) -> int:
        """The last epoch that at least two thirds of the trials reached: where all of them can be compared. 0: none."""
        lengths = sorted((len(record.epochs) for record in self.trials if record.epochs), reverse=True)
        return lengths[math.ceil(SHARED * len(lengths)) - 1] if lengths else 0

    @cached_property
    def varied(self) -> list[Varied]:
        """The parameters that differ between the trials, those first that are known to matter most."""
        found = [varied for varied in _varied(self.trials) if varied is not None]
        if self.effects is not None:
            order = {effect.name: place for place, effect in enumerate(self.effects.parameters)}
            found.sort(key=lambda varied: order.get(varied.path, len(order)))
        return found

    def tip(self, record: TrialRecord, *, more: str = "") -> str:
        """Return what a trial's mark says."""
        value = self.value(record)
        said = f"{record.name}: {'no result' if value is None else self.in_words(value)}"
        if len(self.everything) > MANY:
            return said + (f", {more}" if more else "")
        epochs = f"{len(record.epochs)} of {record.config.epochs} epochs"
        return f"{said}, {epochs}, {record.outcome}{f', {more}' if more else ''}; {describe(record.config)}"


def mark_of(record: TrialRecord) -> str:
    """Return what a trial is highlighted with: its number, which its replicates share; a rung's place."""
    return str(record.trial) if record.rung is None else f"r{record.rung.index}"


def mark_of_row(row: Mapping[str, Any]) -> str:
    """Return the same for a row of the leaderboard."""
    if row["rung_index"] is not None:
        return f"r{row['place']}"
    return str(row["trial"] if row["replicate_of"] is None else row["replicate_of"])


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _varied(records: Sequence[TrialRecord]) -> list[Varied | None]:
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


def _one(path: str, name: str, values: Mapping[int, Any]) -> Varied:
    is_numeric = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values.values())
    if not is_numeric:
        levels = tuple(sorted({value_text(value) for value in values.values()}))
        return Varied(path=path, name=name, values=values, is_numeric=False, scale=categories(levels), levels=levels)
    numbers = sorted({float(value) for value in values.values()})
    log = is_logarithmic(numbers)
    few = len(numbers) <= FEW_VALUES
    scale = at_values(numbers, log=log) if few else logarithmic(numbers) if log else linear(numbers)
    places = [scale.place(number) for number in numbers]
    if few and any(right - left < LEAST_APART for left, right in pairwise(places)):
        # As 0, 0.0005 and 0.005, of which the first two would lie on one another.
        levels = tuple(dict.fromkeys(map(value_text, sorted(values.values()))))
        return Varied(path=path, name=name, values=values, is_numeric=False, scale=categories(levels), levels=levels)
    return Varied(path=path, name=name, values=values, is_numeric=True, scale=scale, levels=())


def ended(records: Sequence[TrialRecord], outcome: Outcome) -> list[TrialRecord]:
    """Return the records of one outcome."""
    return [record for record in records if record.outcome is outcome]
