"""Comparisons of means that stay valid however often they are looked at, and the order in which seeds are trained.

A comparison of two configurations is repeated after each new seed. A t-test repeated this way finds a difference
sooner or later even where there is none. The e-values here do not: under the null hypothesis, the probability that the
e-value ever reaches 1 / alpha is at most alpha, and each interval covers the difference at all times with probability
1 - alpha.

All configurations share one standard deviation over seeds, because a few seeds estimate it badly
(`pooled_spread`).

Sources: Lai, Annals of Statistics 4 (1976) 265-280, and Wang and Ramdas, Sequential Analysis 44 (2025) 56-110, for the
t-test by a mixture over the standardised difference; Jourdan, Degenne, Baudry, de Heide and Kaufmann, Top Two
Algorithms Revisited, NeurIPS 2022, for the empirical leader and the challenger of least transportation cost.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from sweeps.analysis.statistics import Spread

Name = TypeVar("Name", bound=Hashable)

MIN_SEEDS = 2
"""Seeds that each configuration gets before any is compared."""
_TYPICAL_EFFECT = 1.5
"""Standard deviation of the mixture over the difference, in standard deviations of a configuration over its seeds."""
_POWER = 0.8


def pooled_spread(groups: Sequence[Sequence[float]]) -> Spread | None:
    """Return the common variance of the values in all groups; None if no group has two values.

    Args:
        groups: Values over seeds, one group per configuration.
    """
    # `statistics.variance` computes with fractions, which takes most of the time of a simulation.
    means = [statistics.fmean(group) if group else 0.0 for group in groups]
    squares = math.fsum((value - mean) ** 2 for group, mean in zip(groups, means, strict=True) for value in group)
    degrees = float(sum(len(group) - 1 for group in groups if len(group) > 1))
    return Spread(squares / degrees, degrees) if degrees else None


def e_value(difference: float, *, spread: Spread, seeds: tuple[int, int]) -> float:
    """Return the evidence against two equal means: under the hypothesis its expectation is at most 1 at any time.

    Args:
        difference: First mean minus second.
        spread: Variance over seeds, of both.
        seeds: Number of seeds of each.
    """
    pairs = _pairs(seeds)
    if not spread.variance:
        return math.inf if difference else 1.0
    scaled = pairs * difference**2 / spread.variance / spread.degrees
    inflation = 1 + pairs * _TYPICAL_EFFECT**2
    log_ratio = math.log1p(scaled) - math.log1p(scaled / inflation)
    exponent = (spread.degrees + 1) / 2 * log_ratio - math.log(inflation) / 2
    return math.exp(min(exponent, 700.0))


def reach(*, spread: Spread, seeds: tuple[int, int], alpha: float) -> float:
    """Return half the width of the interval of level 1 - alpha of a difference; infinite if the seeds are too few.

    The interval excludes 0 if and only if `e_value` is above 1 / alpha.
    """
    pairs = _pairs(seeds)
    inflation = 1 + pairs * _TYPICAL_EFFECT**2
    # The ratio of the two logarithms' arguments in `e_value` that gives 1 / alpha. It approaches `inflation`.
    ratio = math.exp(2 / (spread.degrees + 1) * (math.log(inflation) / 2 - math.log(alpha)))
    if ratio >= inflation:
        return math.inf
    scaled = (ratio - 1) / (1 - ratio / inflation)
    return math.sqrt(scaled * spread.degrees * spread.variance / pairs)


def _pairs(seeds: tuple[int, int]) -> float:
    """Return the variance of one value divided by that of the difference of the two means."""
    first, second = seeds
    return 1 / (1 / first + 1 / second)


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A configuration against the best one, in the unit of the values."""

    difference: float
    """Mean of the best minus mean of this one; 0 or more."""
    low: float
    """End of the interval of the difference; minus infinity with too few seeds."""
    high: float
    e_value: float

    @property
    def is_decided(self) -> bool:
        """Whether the best one is better."""
        return self.low > 0


@dataclass(frozen=True, kw_only=True)
class Standing(Generic[Name]):
    """The configurations of a race after some seeds."""

    best: Name
    spread: Spread
    against: Mapping[Name, Comparison]
    """The others."""

    @property
    def is_decided(self) -> bool:
        """Whether the best one is better than each other one."""
        return all(each.is_decided for each in self.against.values())

    @property
    def undecided(self) -> list[Name]:
        """Those that cannot be distinguished from the best one, the closest first."""
        left = [name for name, each in self.against.items() if not each.is_decided]
        return sorted(left, key=lambda name: self.against[name].e_value)


def standing(
    values: Mapping[Name, Sequence[float]], *, alpha: float = 0.05, maximize: bool = True
) -> Standing[Name] | None:
    """Return which configuration is the best, and with what evidence; None before each has `MIN_SEEDS` seeds.

    With any number of looks, the probability that a configuration is declared the best although another one is at
    least as good is at most alpha. For this, each comparison has the level 2 alpha / k with k configurations: the
    declared one must be better than a given best one in a one-sided test, and any of k can be that one.

    Args:
        values: Metric over seeds of each configuration, two configurations or more.
        alpha: Probability of error of the whole race.
        maximize: Whether a larger value is better.
    """
    spread = pooled_spread(list(values.values()))
    if spread is None or min(map(len, values.values())) < MIN_SEEDS:
        return None
    sign = 1.0 if maximize else -1.0
    means = {name: sign * statistics.fmean(each) for name, each in values.items()}
    best = max(means, key=lambda name: means[name])
    against = {}
    for name in values.keys() - {best}:
        seeds = len(values[best]), len(values[name])
        difference = means[best] - means[name]
        half = reach(spread=spread, seeds=seeds, alpha=2 * alpha / len(values))
        against[name] = Comparison(
            difference=difference,
            low=difference - half,
            high=difference + half,
            e_value=e_value(difference, spread=spread, seeds=seeds),
        )
    return Standing(best=best, spread=spread, against={name: against[name] for name in values if name != best})


def next_to_train(
    values: Mapping[Name, Sequence[float]],
    *,
    running: Mapping[Name, int],
    seconds: Mapping[Name, float],
    expected: Mapping[Name, float] | None = None,
    able: Collection[Name] | None = None,
    maximize: bool = True,
) -> Name:
    """Return the configuration whose next seed most reduces the probability of a wrong choice per second.

    First each configuration gets `MIN_SEEDS` seeds, the best expected value first. Then the leader is compared with the
    challenger that is closest to it for its number of seeds, and of the two, the one whose next seed narrows their
    difference more per second is returned. Seeds of one configuration cannot starve the others: the more seeds the pair
    has, the closer another configuration must be to remain behind.

    Args:
        values: Metric over seeds of each configuration.
        running: Number of seeds that are being trained, counted as if they had ended.
        seconds: Duration of one seed.
        expected: Values expected by the search, which decide only the order of the first seeds.
        able: Configurations for which there is time, one or more; None for all.
        maximize: Whether a larger value is better.
    """
    sign = 1.0 if maximize else -1.0
    count = {name: len(each) + running.get(name, 0) for name, each in values.items()}
    able = values.keys() if able is None else able
    if min(count.values()) < MIN_SEEDS:
        rank = {name: -sign * value for name, value in (expected or {}).items()}
        return min(able, key=lambda name: (count[name], rank.get(name, 0.0)))
    known = {name: each for name, each in values.items() if each}
    if len(known) < 2:
        return min(able, key=lambda name: count[name])
    means = {name: sign * statistics.fmean(each) for name, each in known.items()}
    leader = max(means, key=lambda name: means[name])

    def cost(name: Name) -> float:
        return _pairs((count[leader], count[name])) * (means[leader] - means[name]) ** 2

    challenger = min(means.keys() - {leader}, key=lambda name: (cost(name), count[name]))

    def gain(name: Name) -> float:
        return 1 / count[name] / (count[name] + 1) / seconds[name]

    pair = [name for name in (challenger, leader) if name in able]
    return max(pair or able, key=gain)


def detectable_difference(spread: Spread, *, seeds: int, alpha: float = 0.05) -> float:
    """Return the difference of two means that a two-sided t-test with so many seeds of each shows with 80 % power.

    Args:
        spread: Variance over seeds. Its degrees of freedom are those of an earlier measurement; those of the new seeds
            are added.
        seeds: Number of new seeds of each configuration.
        alpha: Level of the test.
    """
    from scipy.optimize import brentq
    from scipy.special import nctdtr, stdtrit

    degrees = spread.degrees + 2 * (seeds - 1)
    if degrees <= 0:
        return math.inf
    critical = float(stdtrit(degrees, 1 - alpha / 2))

    def missing_power(shift: float) -> float:
        # scipy returns NaN for a large shift, where the probability of no significance is 0.
        missed = float(nctdtr(degrees, shift, critical))
        return 1 - (0.0 if math.isnan(missed) else missed) - _POWER

    shift = brentq(missing_power, 0.0, critical + 50.0)
    return float(shift) * math.sqrt(2 * spread.variance / seeds)
