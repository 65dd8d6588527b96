"""Estimate the effect of each level and the importance of each parameter, with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from sweeps.analysis.batch_anova import sample
from sweeps.analysis.effect_data import Stage
from sweeps.analysis.effect_levels import Factor
from sweeps.analysis.statistics import CONFIDENCE

Interval = tuple[float, float, float]
"""Posterior mean, and low and high end of the 95 % interval."""
_ENDS = ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """Estimates of one parameter."""

    levels: Mapping[int, Interval]
    """Index of a tried level → its effect relative to the average of the trials in which the parameter is active."""
    importance: Interval
    draws: np.ndarray
    """Posterior samples of the effects, one row per sample, one column per tried level."""


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """Estimates of all parameters."""

    factors: Sequence[Estimate | None]
    """One per factor; None if fewer than two of its levels were tried or it cannot have an effect."""
    noise: float
    """Residual standard deviation, in the unit of the metric."""


def estimate(stages: Sequence[Stage], factors: Sequence[Factor]) -> Estimates | None:
    """Return the estimates of each factor at the last stage; None if all trials have the same value.

    At a later stage an effect is the effect on the step from the stage before, plus the effect carried over from there.
    """
    columns = [
        (index, level)
        for index, factor in enumerate(factors)
        if factor.can_have_effect and len(factor.tried) > 1
        for level in factor.tried
    ]
    if not columns or stages[0].values.std() == 0:
        return None
    levels_NP = np.column_stack([_contrast(factors[index], level) for index, level in columns])
    factor_of_column = np.array([index for index, _ in columns])
    _, batches = np.unique(factor_of_column, return_inverse=True)
    effects, noise = _effects_at_last_stage(stages, levels_NP, batches)
    found: list[Estimate | None] = [None] * len(factors)
    variances = {}
    for index in np.unique(factor_of_column):
        factor, draws = factors[index], effects[:, factor_of_column == index]
        weights = factor.counts[factor.tried] / factor.counts.sum()
        variances[index] = draws.var(axis=1) * (factor.level_N >= 0).mean()
        draws = draws - (draws @ weights)[:, None]
        found[index] = Estimate(
            levels={int(level): _interval(draws[:, column]) for column, level in enumerate(factor.tried)},
            importance=(0.0, 0.0, 0.0),
            draws=draws,
        )
    total = sum(variances.values()) + noise**2
    for index, variance in variances.items():
        known = found[index]
        assert known is not None
        found[index] = Estimate(levels=known.levels, importance=_interval(variance / total), draws=known.draws)
    return Estimates(factors=found, noise=float(noise.mean()))


def _contrast(factor: Factor, level: int) -> np.ndarray:
    """Return the design column of one level, centred over the trials in which the parameter is active.

    So the common effect of these trials is attributed to the parameter that activates this one.
    """
    active = factor.level_N >= 0
    column: np.ndarray = (factor.level_N == level) - active * (factor.counts[level] / active.sum())
    return column


def _effects_at_last_stage(
    stages: Sequence[Stage], levels_NP: np.ndarray, batches: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return posterior samples of each column's effect and of the noise at the last stage."""
    first, *later = stages
    draws = sample(levels_NP, first.values, batches_P=batches)
    effects, noise = draws.effects, draws.noise
    rows = {trial: row for row, trial in enumerate(first.trials)}
    before = first
    for stage in later:
        if stage.values.std() == 0:
            break
        known = dict(zip(before.trials, before.values, strict=True))
        step = sample(
            levels_NP[[rows[trial] for trial in stage.trials]],
            stage.values,
            batches_P=batches,
            earlier_N=np.array([known[trial] for trial in stage.trials]),
        )
        effects = step.effects + step.slope[:, None] * effects
        noise = np.sqrt(step.noise**2 + step.slope**2 * noise**2)
        before = stage
    return effects, noise


def _interval(samples: np.ndarray) -> Interval:
    low, high = np.quantile(samples, _ENDS)
    return float(samples.mean()), float(low), float(high)
