"""The configurations of a race: their results so far, which one is the best, and what can be said about it."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sweeps.analysis.sequential import Comparison, Standing, standing
from sweeps.core.formatting import duration, is_accuracy, listed, metric_number, plural
from sweeps.core.identity import trial_name
from sweeps.core.race import RaceState
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.files.settings import Metric
from sweeps.search.best import configuration_of, final_value, learned
from sweeps.search.replicates import candidates_to_confirm

LONE_SEEDS = 3
"""Seeds of a configuration that races against no other one."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A configuration of a race."""

    record: TrialRecord
    """Its trial in the search."""
    values: tuple[float, ...]
    """Metric of its complete runs under new seeds."""
    running: int
    """Number of its runs that are not complete yet."""
    fault: str | None = None
    """Why it cannot be the best: `diverged under seed 2`."""

    @property
    def name(self) -> str:
        return trial_name(self.record.sweep, self.record.trial)


def race_value(record: TrialRecord, *, metric: str, examples: int) -> float | None:
    """Return the value by which a replicate is compared; None if it was not measured on the confirmation part.

    Args:
        record: a complete replicate.
        metric: the metric of the search.
        examples: of the confirmation part; 0 without one.
    """
    if not examples:
        return final_value(record, metric)
    if record.confirm is None or record.confirm.examples != examples:
        return None
    return record.confirm.metrics.get(metric)


def contenders_of(
    chosen: Sequence[TrialRecord],
    *,
    search: Iterable[TrialRecord],
    replicates: Iterable[TrialRecord],
    metric: str,
    examples: int,
) -> list[Contender]:
    """Return the contenders of a race, the most promising first.

    Args:
        chosen: one trial of the search per configuration.
        search: all trials of the search, whose seeds do not count.
        replicates: all replicates.
        metric: the metric of the search.
        examples: of the confirmation part; 0 without one.
    """
    searched = {(configuration_of(record), record.config.seed) for record in search}
    runs: dict[tuple[str, str], list[TrialRecord]] = {}
    for record in sorted(replicates, key=lambda each: each.number):
        if (configuration_of(record), record.config.seed) not in searched:
            runs.setdefault(configuration_of(record), []).append(record)
    found = []
    for record in chosen:
        own = runs.get(configuration_of(record), [])
        complete = [run for run in own if run.outcome is Outcome.COMPLETE]
        values = [race_value(run, metric=metric, examples=examples) for run in complete]
        found.append(
            Contender(
                record=record,
                values=tuple(value for value in values if value is not None and math.isfinite(value)),
                running=sum(not run.outcome.is_final for run in own),
                fault=next(filter(None, (_fault(run, metric=metric, examples=examples) for run in own)), None),
            )
        )
    return found


def _fault(run: TrialRecord, *, metric: str, examples: int) -> str | None:
    """Return why the configuration of a run cannot be the best."""
    under = f"under seed {run.config.seed}"
    if run.outcome in (Outcome.DIVERGED, Outcome.FAILED):
        return f"{run.outcome.value} {under}"
    if run.outcome is not Outcome.COMPLETE:
        return None
    if not learned(run):
        return f"did not learn {under}"
    value = race_value(run, metric=metric, examples=examples)
    if value is not None and not math.isfinite(value):
        return f"has no finite {metric} {under}"
    return f"violates a condition {under}" if run.violated else None


@dataclass(frozen=True, kw_only=True)
class Race:
    """A race as far as it has got."""

    contenders: Sequence[Contender]
    state: RaceState
    metric: str
    maximize: bool

    @property
    def able(self) -> list[Contender]:
        """The contenders that can be the best."""
        return [each for each in self.contenders if each.fault is None]

    @property
    def standing(self) -> Standing[int] | None:
        """The comparison of those, by number of the trial; None with too few, or too few seeds."""
        values = {each.record.trial: each.values for each in self.able}
        if len(values) < 2:
            return None
        return standing(values, alpha=1 - self.state.until, maximize=self.maximize)

    @property
    def is_decided(self) -> bool:
        """Whether further seeds are not needed."""
        able = self.able
        if len(able) < 2:
            return all(len(each.values) + each.running >= LONE_SEEDS for each in able)
        found = self.standing
        return found is not None and found.is_decided

    def sentences(self, *, is_running: bool = False) -> str:
        """Return what the race has shown.

        Args:
            is_running: whether a driver trains it now.
        """
        parts = [self._result(is_running=is_running)]
        out = [f"{each.name} cannot be the best: it {each.fault}." for each in self.contenders if each.fault]
        return " ".join([*parts, *out])

    def _result(self, *, is_running: bool) -> str:
        able, found = self.able, self.standing
        names = {each.record.trial: each.name for each in self.contenders}
        seeds = {each.record.trial: len(each.values) for each in self.contenders}
        if not able:
            return "No configuration is the best: every one has a run that did not succeed."
        if len(able) == 1:
            only = able[0]
            others = "No other configuration could be compared" if len(self.contenders) == 1 else "The others are out"
            return f"{others}: {only.name} was trained under {plural(len(only.values), 'new seed')}."
        if found is None:
            counts = listed(f"{each.name} {plural(len(each.values), 'seed')}" for each in able)
            return f"Too few runs for a comparison: {counts}.{self._advice(is_running)}"
        if found.is_decided:
            return (
                f"{names[found.best]} is the best with {100 * self.state.until:g} %: "
                f"{self._against(found, list(found.against), names=names, seeds=seeds)}."
            )
        left = found.undecided
        alike = listed([names[found.best], *(names[each] for each in left)])
        if is_running or not self.state.is_used_up:
            lead = self._amount(found.against[left[0]].difference)
            return (
                f"{alike} cannot be distinguished yet: {names[found.best]} leads by {lead} "
                f"({_seeds(seeds, [found.best, *left])}).{self._advice(is_running)}"
            )
        bounds = [found.against[each] for each in left]
        most = max(max(abs(each.low), abs(each.high)) for each in bounds)
        told = max(each.difference - each.low for each in bounds)
        if math.isinf(told):
            few = _seeds(seeds, [found.best, *left])
            return (
                f"{alike} cannot be distinguished in {duration(self.state.at_most)}: {few} are too few for any "
                f"difference.{self._advice(is_running)}"
            )
        what = "their difference is" if len(left) == 1 else f"the differences from {names[found.best]} are"
        return (
            f"{alike} cannot be distinguished in {duration(self.state.at_most)}: {what} at most {self._amount(most)}, "
            f"and more than {self._amount(told)} would have been distinguished ({_seeds(seeds, [found.best, *left])})."
            f"{self._advice(is_running)}"
        )

    def _against(
        self, found: Standing[int], trials: Sequence[int], *, names: Mapping[int, str], seeds: Mapping[int, int]
    ) -> str:
        equal = len({seeds[each] for each in (found.best, *trials)}) == 1
        parts = []
        for each in trials:
            count = "" if equal else f" ({plural(seeds[found.best], 'seed')} against {seeds[each]})"
            parts.append(f"{self._range(found.against[each])} {self._better} than {names[each]}{count}")
        return listed(parts) + (f" ({plural(seeds[found.best], 'seed')} each)" if equal else "")

    @property
    def _better(self) -> str:
        if is_accuracy(self.metric):
            return "points better"
        return f"{'higher' if self.maximize else 'lower'} {self.metric}"

    def _range(self, found: Comparison) -> str:
        if is_accuracy(self.metric):
            return f"{100 * found.low:.1f} to {100 * found.high:.1f}"
        return f"{metric_number(found.low)} to {metric_number(found.high)}"

    def _amount(self, value: float) -> str:
        return f"{100 * value:.1f} points" if is_accuracy(self.metric) else metric_number(value)

    def _advice(self, is_running: bool) -> str:
        if is_running:
            return ""
        if self.state.is_used_up:
            return " To continue, raise confirm.at_most."
        return " To continue, run the same command again."


def _seeds(seeds: Mapping[int, int], trials: Sequence[int]) -> str:
    counts = [seeds[each] for each in trials]
    return f"{plural(counts[0], 'seed')} each" if len(set(counts)) == 1 else f"{listed(map(str, counts))} seeds"


def race_of(
    search: Sequence[TrialRecord],
    replicates: Sequence[TrialRecord],
    *,
    state: RaceState,
    metric: str,
    maximize: bool,
) -> Race:
    """Return the race of a search, from the trials in its journal."""
    goal = Metric.model_validate({"name": metric, "goal": "maximize" if maximize else "minimize"})
    chosen = candidates_to_confirm(search, metric=goal, top=state.top)
    found = contenders_of(chosen, search=search, replicates=replicates, metric=metric, examples=state.examples)
    return Race(contenders=found, state=state, metric=metric, maximize=maximize)
