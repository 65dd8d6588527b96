"""What each level adds, with its interval, and how much each parameter matters: from the trials at every stage."""

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
    """What is known of one parameter."""

    levels: Mapping[int, Interval]
    """Index of a level that was tried to its effect, against the average over the trials where it is active."""
    importance: Interval
    draws: np.ndarray
    """Samples of the effects, one row each, one column a level that was tried."""


@dataclass(frozen=True, kw_only=True)
class Estimates:
    """What is known of every parameter."""

    of: Sequence[Estimate | None]
    """One a factor; None where fewer than two of its levels were tried, or it has not acted."""
    noise: float
    """Standard deviation of what no parameter accounts for, in the unit of the metric."""


def estimate(stages: Sequence[Stage], factors: Sequence[Factor]) -> Estimates | None:
    """Return what the trials say of each factor at the last stage; None where they all have one value.

    At the first stage it is what each level adds. At a later one it is what each adds to the step from the stage
    before, plus what of the effect there is carried on.
    """
    columns = [
        (index, level)
        for index, factor in enumerate(factors)
        if factor.has_acted and len(factor.tried) > 1
        for level in factor.tried
    ]
    if not columns or stages[0].values.std() == 0:
        return None
    levels_NP = np.column_stack([_contrast(factors[index], level) for index, level in columns])
    owners = np.array([index for index, _ in columns])
    _, batches = np.unique(owners, return_inverse=True)
    effects, noise = _carried(stages, levels_NP, batches)
    found: list[Estimate | None] = [None] * len(factors)
    spreads = {}
    for index in np.unique(owners):
        factor, own = factors[index], effects[:, owners == index]
        weights = factor.counts[factor.tried] / factor.counts.sum()
        spreads[index] = own.var(axis=1) * (factor.member_N >= 0).mean()
        own = own - (own @ weights)[:, None]
        found[index] = Estimate(
            levels={int(level): _interval(own[:, column]) for column, level in enumerate(factor.tried)},
            importance=(0.0, 0.0, 0.0),
            draws=own,
        )
    total = sum(spreads.values()) + noise**2
    for index, spread in spreads.items():
        known = found[index]
        assert known is not None
        found[index] = Estimate(levels=known.levels, importance=_interval(spread / total), draws=known.draws)
    return Estimates(of=found, noise=float(noise.mean()))


def _contrast(factor: Factor, level: int) -> np.ndarray:
    """Return a column for one level: its trials against the average of those where the parameter is active.

    What all trials have in common where a parameter is active is so left to the parameter that makes it active.
    """
    active = factor.member_N >= 0
    column: np.ndarray = (factor.member_N == level) - active * (factor.counts[level] / active.sum())
    return column


def _carried(stages: Sequence[Stage], levels_NP: np.ndarray, batches: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return samples of each column's effect at the last stage, and of the noise there."""
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
            before_N=np.array([known[trial] for trial in stage.trials]),
        )
        effects = step.effects + step.slope[:, None] * effects
        noise = np.sqrt(step.noise**2 + step.slope**2 * noise**2)
        before = stage
    return effects, noise


def _interval(samples: np.ndarray) -> Interval:
    low, high = np.quantile(samples, _ENDS)
    return float(samples.mean()), float(low), float(high)
