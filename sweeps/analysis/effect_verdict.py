"""What the numbers of one parameter come to in a short sentence, and how many trials more it would take to tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweeps.analysis.effect_data import LEAST_TRIALS, Stage
from sweeps.analysis.effect_estimate import Estimate
from sweeps.analysis.effect_levels import Factor
from sweeps.core.formatting import listed

WORTH_KNOWING = {"points": 4.0, "nats": 0.12}
"""The difference of two values that trials are counted for, unless the values seem to differ by more. Where every
effect is surely smaller than half of it, no two values differ by as much, and that is said."""
MOST_MORE = 1000
_SHRUNK = 1.5
"""Times as many trials as two means would take, because effects are shrunk and many are estimated at once: in made-up
sweeps 61 trials found in 53 %, 80 in 70 % and 100 in 88 % what two means of 61 would in 80 %."""
SURE = 0.99
"""Posterior probability from which on something is called sure: more than an interval's, because a sweep has several
parameters with several values, any of which may seem to differ."""
_Z_SURE, _Z_POWER = 2.326348, 0.841621
"""Quantiles of the normal distribution: of `SURE`, and of 80 % power."""


@dataclass(frozen=True, kw_only=True)
class Ruling:
    """What is said of one parameter."""

    verdict: str
    is_sure: bool = False
    more_trials: int | None = None


def judge(
    factor: Factor, estimated: Estimate | None, *, noise: float, unit: str, maximize: bool, problem: str | None
) -> Ruling:
    """Return what can be said of a parameter.

    Args:
        factor: its levels.
        estimated: what is known of them; None where nothing is.
        noise: standard deviation of what no parameter accounts for.
        unit: of both.
        maximize: whether more is better.
        problem: why nothing was estimated of any parameter, where that is not the number of trials.
    """
    tried = factor.tried
    trials = len(factor.member_N)
    if trials and not len(tried):
        return Ruling(verdict="never active in a trial that counts")
    if len(tried) == 1 and (trials >= LEAST_TRIALS or len(factor.labels) == 1):
        return Ruling(verdict=f"only {factor.labels[tried[0]]} was tried")
    if not factor.has_acted:
        return Ruling(verdict="cannot show yet: no learning rate has changed by then")
    if problem is not None:
        return Ruling(verdict=problem, more_trials=None if trials else LEAST_TRIALS)
    if estimated is None:
        more = max(LEAST_TRIALS - trials, 1)
        return Ruling(verdict=f"too few trials to tell: at least {more} more", more_trials=more)
    labels = [factor.labels[level] for level in tried]
    gains = estimated.draws if maximize else -estimated.draws
    best = int(gains.mean(axis=0).argmax())
    if (gains[:, [best]] > np.delete(gains, best, axis=1)).all(axis=1).mean() >= SURE:
        return Ruling(verdict=f"{labels[best]} is best, sure", is_sure=True)
    clear = {
        word: [label for label, share in zip(labels, side.mean(axis=0), strict=True) if share >= SURE]
        for word, side in (("better", gains > 0), ("worse", gains < 0))
    }
    said = [f"{listed(of)} {'is' if len(of) == 1 else 'are'} {word}" for word, of in clear.items() if of]
    if said:
        return Ruling(verdict=f"{', '.join(said)} than the average, sure", is_sure=True)
    worst = int(gains.mean(axis=0).argmin())
    between = gains[:, best] - gains[:, worst]
    if (between > 0).mean() >= SURE:
        return Ruling(verdict=f"{labels[best]} is better than {labels[worst]}, sure", is_sure=True)
    largest = max(max(-low, high) for _, low, high in estimated.levels.values())
    if largest < WORTH_KNOWING[unit] / 2:
        return Ruling(verdict=f"less than {_bound(largest, unit)} either way, sure", is_sure=True)
    needed = trials_needed(
        difference=max(WORTH_KNOWING[unit], float(between.mean())),
        deviation=float(between.std()),
        noise=noise,
        levels=len(tried),
        active=float((factor.member_N >= 0).mean()),
        trials=trials,
    )
    # At least a quarter more than there are, as these did not suffice.
    more = _two_digits(min(max(needed - trials, trials / 4), MOST_MORE))
    amount = f"about {more:,}" if more < MOST_MORE else f"{MOST_MORE:,} or"
    return Ruling(verdict=f"too few trials to tell: {amount} more", more_trials=more)


def trials_needed(
    *, difference: float, deviation: float, noise: float, levels: int, active: float, trials: int
) -> float:
    """Return how many trials in all tell two values apart: surely, with 80 % power.

    That takes a standard error of `difference` / (2.33 + 0.84). It falls with the root of the trials, from what it is
    now if the search goes on trying values as it did; and is `noise` √(2 / trials of a value) at the least, where every
    value is tried equally often. Shrinking costs half as many again.

    Args:
        difference: of the two.
        deviation: standard deviation of that difference now.
        noise: standard deviation, in the same unit.
        levels: of the parameter.
        active: share of the trials in which it is active, 0 to 1.
        trials: that there are.
    """
    z = (_Z_SURE + _Z_POWER) / difference
    return _SHRUNK * max(trials * (z * deviation) ** 2, 2 * levels * (z * noise) ** 2 / active)


def method_in_words(stages: Sequence[Stage], *, unit: str) -> str:
    """Return how the effects were computed, in two sentences."""
    if not stages:
        return "Nothing was compared yet."
    where = "Each trial is compared at its own last epoch, because epochs was searched."
    if stages[0].epoch is not None:
        where = f"Trials are compared after epoch {stages[0].epoch}, the earliest at which one of them ended"
        later = [str(stage.epoch) for stage in stages[1:]]
        where += f", and from there on in steps, after epoch {listed(later)}." if later else "."
    return (
        f"{where} Effects come from a Bayesian analysis of variance (Gelman 2005): they add up, and each parameter has "
        "a variance of its own; intervals hold 95 % of the posterior, sure is 99 % of it, and trials are counted that "
        f"tell {_amount(WORTH_KNOWING[unit], unit)} apart, or the difference seen where it is larger, with 80 % power."
    )


def _two_digits(count: float) -> int:
    """Return a count rounded up to two digits."""
    whole = math.ceil(count)
    step = int(10 ** max(len(str(whole)) - 2, 0))
    return math.ceil(whole / step) * step


def _bound(value: float, unit: str) -> str:
    """Return the first round amount that is not below the value."""
    step = 0.1 if unit == "points" else 0.01
    return _amount(max(math.ceil(value / step), 1) * step, unit)


def _amount(value: float, unit: str) -> str:
    return f"{value:.3g} {unit if value != 1 else unit.removesuffix('s')}"
