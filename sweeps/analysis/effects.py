"""Importance of each searched parameter, and the effect of each of its values.

With early stopping, few trials reach their last epoch, and these are a selection. So trials are compared at an epoch
that all of them reached, and at a later one only if enough trials reached it (`sweeps.analysis.effect_data`). The model
is additive, with one variance per parameter (`sweeps.analysis.batch_anova`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cifar_core.common.user_modules import NETWORK
from sweeps.analysis.effect_data import MIN_TRIALS, Stage, is_chance_level, schedule_changed_lr, stages_of
from sweeps.analysis.effect_estimate import Estimate, estimate
from sweeps.analysis.effect_levels import Factor, factors_of
from sweeps.analysis.effect_verdict import Unit, assess, describe_method
from sweeps.core.formatting import is_accuracy
from sweeps.core.trial import TrialRecord
from sweeps.search.opening import read_study
from sweeps.search.recorded_search import RecordedSearch, recorded_search_of
from sweeps.search.stored_trials import read_records
from sweeps.store.folder import SweepFolder
from sweeps.tasks.registry import task_of


@dataclass(frozen=True, kw_only=True)
class Level:
    """One value of a parameter, or one range of values."""

    label: str
    """`resnet`, or `0.001 to 0.0061` for a range with both ends included."""
    trials: int
    """Number of compared trials with it."""
    effect: float | None
    """Effect on the metric in `Effects.unit`, relative to the average of the trials in which the parameter is active,
    with the other parameters equal; None if not estimated. A positive effect is worse if the metric is minimised."""
    low: float | None
    """End of the effect's 95 % interval."""
    high: float | None


@dataclass(frozen=True, kw_only=True)
class ParameterEffect:
    """One searched parameter."""

    name: str
    """Dotted path into `TrainingConfig`."""
    importance: float | None
    """Share of the variance between trials that it explains, 0 to 1; None if not estimated. The remainder to 1 is the
    share that no parameter explains."""
    importance_low: float | None
    """End of the importance's 95 % interval."""
    importance_high: float | None
    levels: tuple[Level, ...]
    """In the order of the file; untried ones have 0 trials."""
    verdict: str
    """One short sentence: `resnet is best (conclusive, 99 %)`."""
    is_conclusive: bool
    """Whether the verdict is conclusive: values are better or worse, or there is no relevant effect."""
    more_trials: int | None
    """About how many more trials a conclusive verdict needs; None if there is one or trials would not help."""
    condition: str | None
    """Condition under which it is active (`model.name is deep or resnet`); None for always."""
    ped_anova: float | None
    """Optuna's importance (PED-ANOVA), 0 to 1; None below 30 complete trials."""


@dataclass(frozen=True, kw_only=True)
class Effects:
    """Effects of all searched parameters of a sweep."""

    sweep: str
    metric: str
    unit: str
    """`points` for an accuracy (100 × the difference of two accuracies), `nats` for a loss of images, else `metric`."""
    maximize: bool
    """Whether larger values of the metric are better."""
    trials: int
    """Number of compared trials."""
    epochs_used: tuple[int, ...]
    """Epochs after which the trials were compared; the effects are those of the last one. Empty if each trial was
    compared at its last epoch because `epochs` was searched, and if no trials were compared."""
    parameters: tuple[ParameterEffect, ...]
    """By descending importance."""
    method: str
    """Description of the method, in a few sentences."""
    enough: bool
    """Whether the verdict on any parameter is conclusive."""
    more_trials: int | None
    """About how many more trials the next conclusive verdict needs; None if none is missing."""


def effects_of(records: Sequence[TrialRecord], *, searched: RecordedSearch) -> Effects:
    """Return the effect of each searched parameter on the metric.

    Args:
        records: trials of the search, without replicates. Failed ones are ignored. A diverged one counts with the worst
            value of the others at the epoch that it did not reach.
        searched: parameters of the sweep and their values, from `sweeps.search.recorded_search.recorded_search_of`.
    """
    is_share = is_accuracy(searched.metric)
    at_last_epoch = any(parameter.path == "epochs" for parameter in searched.parameters)
    stages = stages_of(
        records,
        metric=searched.metric,
        maximize=searched.maximize,
        scale=100.0 if is_share else 1.0,
        at_last_epoch=at_last_epoch,
    )
    compared = stages[0].trials if stages else ()
    factors = factors_of(
        searched,
        [records[index].number for index in compared],
        schedule_changed_lr=schedule_changed_lr(records, stages),
    )
    estimates = estimate(stages, factors) if len(compared) >= MIN_TRIALS else None
    unit = Unit.of(_unit_name(records, searched.metric), stages)
    parameters = [
        _effect(
            factor,
            None if estimates is None else estimates.factors[index],
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
        unit=unit.name,
        maximize=searched.maximize,
        trials=len(compared),
        epochs_used=tuple(stage.epoch for stage in stages if stage.epoch is not None),
        parameters=tuple(parameters),
        method=describe_method(stages, unit=unit),
        enough=any(parameter.is_conclusive for parameter in parameters),
        more_trials=min(more, default=None),
    )


def read_effects(runs: Path, sweep: str) -> Effects:
    """Return the effects of a recorded sweep. Its YAML file is not needed.

    Raises:
        NoSuchSweepError: no sweep has this name.
        DamagedJournalError: its journal cannot be read.
        SweepError: it searched no parameter, such as a ladder.
    """
    study = read_study(SweepFolder(runs, sweep))
    searched = recorded_search_of(study, sweep=sweep)
    return effects_of(list(read_records(study, sweep=sweep)), searched=searched)


def _unit_name(records: Sequence[TrialRecord], metric: str) -> str:
    if is_accuracy(metric):
        return "points"
    is_of_images = any(task_of(record.config).code_kind is NETWORK for record in records[:1])
    return "nats" if is_of_images else metric


def _problem(records: Sequence[TrialRecord], stages: Sequence[Stage], metric: str) -> str | None:
    """Return why no effect could be estimated; None if there are too few trials."""
    if not stages and any(record.outcome.is_final for record in records):
        return f"no trial has a {metric} to compare"
    if stages and len(stages[0].trials) >= MIN_TRIALS:
        value, unit = float(stages[0].values[0]), _unit_name(records, metric)
        if is_chance_level(value, unit=unit, classes=records[0].protocol.classes):
            return "no trial was better than chance at the compared epoch"
        return f"all trials have the same {metric}"
    return None


def _effect(
    factor: Factor,
    estimated: Estimate | None,
    *,
    noise: float,
    unit: Unit,
    searched: RecordedSearch,
    problem: str | None,
) -> ParameterEffect:
    verdict = assess(factor, estimated, noise=noise, unit=unit, maximize=searched.maximize, problem=problem)
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
        verdict=verdict.text,
        is_conclusive=verdict.is_conclusive,
        more_trials=verdict.more_trials,
        condition=factor.parameter.condition,
        ped_anova=searched.ped_anova.get(factor.parameter.path),
    )
