"""What helped: of each parameter that a sweep searched, how much it matters, and what each of its values does.

Few trials of a search with early stopping reach their last epoch, and those that do are the chosen ones. So trials are
compared at an epoch that all of them reached, each with its value at that same epoch, and a later one is spoken of
only where enough trials reached it (`sweeps.analysis.effect_data`). The model behind the numbers is additive, with a
variance for each parameter (`sweeps.analysis.batch_anova`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from sweeps.analysis.effect_data import LEAST_TRIALS, Stage, is_guess, schedule_acted, stages_of
from sweeps.analysis.effect_estimate import Estimate, estimate
from sweeps.analysis.effect_levels import Factor, factors_of
from sweeps.analysis.effect_verdict import judge, method_in_words
from sweeps.core.formatting import is_accuracy
from sweeps.core.trial import TrialRecord
from sweeps.search.opening import read_study
from sweeps.search.recorded_search import RecordedSearch, recorded_search_of
from sweeps.search.stored_trials import read_records
from sweeps.store.folder import SweepFolder


@dataclass(frozen=True, kw_only=True)
class Level:
    """One value of a parameter, or one range of values."""

    label: str
    """`resnet`, or `0.001 to 0.0061` of a range, which holds both ends."""
    trials: int
    """That were compared, and had it."""
    effect: float | None
    """What it adds to the metric, in the unit of `Effects.unit`, against the average over the trials where the
    parameter is active, the other parameters held equal; None where nothing can be said. More is worse where the metric
    is minimised."""
    low: float | None
    """End of the effect's 95 % interval."""
    high: float | None


@dataclass(frozen=True, kw_only=True)
class ParameterEffect:
    """One searched parameter."""

    name: str
    """Dotted path into `TrainingConfig`."""
    importance: float | None
    """Share, 0 to 1, of the differences between trials that it accounts for; what no parameter accounts for is the
    rest. None where nothing can be said."""
    importance_low: float | None
    """End of the importance's 95 % interval."""
    importance_high: float | None
    levels: tuple[Level, ...]
    """In the file's order; those never tried too, with 0 trials."""
    verdict: str
    """One short sentence: `resnet is best, sure`."""
    is_sure: bool
    """Whether the verdict says what is better, what is worse, or that it makes no difference."""
    more_trials: int | None
    """About how many more trials it would take to tell; None where it is told, or no number of them would."""
    condition: str | None
    """When it is active (`model.name is deep or resnet`); None for always."""
    ped_anova: float | None
    """Optuna's importance (PED-ANOVA), 0 to 1; None below 30 complete trials."""


@dataclass(frozen=True, kw_only=True)
class Effects:
    """What each searched parameter of a sweep did."""

    sweep: str
    metric: str
    unit: str
    """`points` of an accuracy (100 × the difference of two shares), `nats` of a loss."""
    maximize: bool
    """Whether more of the metric is better."""
    trials: int
    """That were compared."""
    epochs_used: tuple[int, ...]
    """After which the trials were compared; the effects are of the last of them. Empty where each trial was compared at
    its own last epoch, because `epochs` itself was searched, and where nothing was compared."""
    parameters: tuple[ParameterEffect, ...]
    """The most important first."""
    method: str
    """How it was computed, in two or three sentences."""
    enough: bool
    """Whether there is any parameter of which the trials can tell."""
    more_trials: int | None
    """About how many more trials it would take to tell of the next parameter; None where there is none left."""


def effects_of(records: Sequence[TrialRecord], *, searched: RecordedSearch) -> Effects:
    """Return what each searched parameter did to the metric.

    Args:
        records: the search's trials, without replicates. Failed ones do not count; a diverged one counts with the worst
            value that another trial had at the epoch that it did not reach.
        searched: what the sweep searched, see `sweeps.search.recorded_search.recorded_search_of`.
    """
    is_share = is_accuracy(searched.metric)
    at_its_end = any(parameter.path == "epochs" for parameter in searched.parameters)
    stages = stages_of(
        records,
        metric=searched.metric,
        maximize=searched.maximize,
        scale=100.0 if is_share else 1.0,
        each_at_its_end=at_its_end,
    )
    compared = stages[0].trials if stages else ()
    factors = factors_of(
        searched, [records[index].number for index in compared], schedule_acted=schedule_acted(records, stages)
    )
    estimates = estimate(stages, factors) if len(compared) >= LEAST_TRIALS else None
    unit = "points" if is_share else "nats"
    parameters = [
        _effect(
            factor,
            None if estimates is None else estimates.of[index],
            noise=0.0 if estimates is None else estimates.noise,
            unit=unit,
            searched=searched,
            problem=_problem(records, stages, searched.metric) if estimates is None else None,
        )
        for index, factor in enumerate(factors)
    ]
    parameters.sort(key=lambda parameter: -1.0 if parameter.importance is None else parameter.importance, reverse=True)
    more = [parameter.more_trials for parameter in parameters if parameter.more_trials is not None]
    return Effects(
        sweep=searched.sweep,
        metric=searched.metric,
        unit=unit,
        maximize=searched.maximize,
        trials=len(compared),
        epochs_used=tuple(stage.epoch for stage in stages if stage.epoch is not None),
        parameters=tuple(parameters),
        method=method_in_words(stages, unit=unit),
        enough=any(parameter.is_sure for parameter in parameters),
        more_trials=min(more, default=None),
    )


def read_effects(runs: Path, sweep: str) -> Effects:
    """Return what each searched parameter of a recorded sweep did; its file is not needed.

    Raises:
        NoSuchSweepError: there is none of this name.
        DamagedJournalError: its journal holds nothing that can be read.
        SweepError: it searched nothing: a ladder, for instance.
    """
    study = read_study(SweepFolder(runs, sweep))
    searched = recorded_search_of(study, sweep=sweep)
    return effects_of(list(read_records(study, sweep=sweep)), searched=searched)


def _problem(records: Sequence[TrialRecord], stages: Sequence[Stage], metric: str) -> str | None:
    """Return why nothing was estimated although there are trials; None where there are too few."""
    if not stages and any(record.outcome.is_final for record in records):
        return f"no trial has a {metric} to compare"
    if stages and len(stages[0].trials) >= LEAST_TRIALS:
        guessed = is_guess(float(stages[0].values[0]), unit="points" if is_accuracy(metric) else "nats")
        return "no trial had learned by then" if guessed else f"all trials have the same {metric}"
    return None


def _effect(
    factor: Factor,
    estimated: Estimate | None,
    *,
    noise: float,
    unit: str,
    searched: RecordedSearch,
    problem: str | None,
) -> ParameterEffect:
    """Return one parameter's effect in words and numbers."""
    ruling = judge(factor, estimated, noise=noise, unit=unit, maximize=searched.maximize, problem=problem)
    levels = []
    for index, (label, count) in enumerate(zip(factor.labels, factor.counts, strict=True)):
        effect, low, high = (None, None, None) if estimated is None else estimated.levels.get(index, (None, None, None))
        levels.append(Level(label=label, trials=int(count), effect=effect, low=low, high=high))
    importance, low, high = (None, None, None) if estimated is None else estimated.importance
    return ParameterEffect(
        name=factor.parameter.path,
        importance=importance,
        importance_low=low,
        importance_high=high,
        levels=tuple(levels),
        verdict=ruling.verdict,
        is_sure=ruling.is_sure,
        more_trials=ruling.more_trials,
        condition=factor.parameter.condition,
        ped_anova=searched.ped_anova.get(factor.parameter.path),
    )
