"""The statistics behind the leaderboard and the ladder: intervals, the paired test, the correction for many."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

CONFIDENCE = 0.95
"""Of every interval that is shown."""


def student_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return sample standard deviation, and low and high end of Student's 95 % interval of the mean."""
    from scipy.special import stdtrit

    mean, deviation = math.fsum(values) / len(values), statistics.stdev(values)
    # Not of `scipy.stats`, which takes a second to import.
    reach = float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2)) * deviation / math.sqrt(len(values))
    return deviation, mean - reach, mean + reach


def mean_and_interval(values: Sequence[float]) -> tuple[float, float | None, float | None]:
    """Return the mean of accuracies and Student's 95 % interval of it, within 0 and 1; no interval of a single one."""
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, None, None
    _, low, high = student_interval(values)
    return mean, max(low, 0.0), min(high, 1.0)


class Spread(NamedTuple):
    """How far the values lie apart whose mean is asked for."""

    variance: float
    degrees: float
    """Of freedom: how well the variance is known."""


def spread_of(values: Sequence[float]) -> Spread:
    """Return the sample variance of two values or more."""
    return Spread(statistics.variance(values), len(values) - 1)


def moderated(spreads: Sequence[Spread]) -> list[Spread]:
    """Return each spread drawn towards what is typical of all: few values know their own spread badly.

    The variances are taken as drawn from a scaled inverse chi-squared distribution, which is found by the mean and the
    variance of their logarithms; each becomes the mean of its own and of that distribution's, weighted by degrees of
    freedom. What is typical counts at most as much as a comparison's own values: estimated from a dozen variances its
    weight may come out far too large, and too many differences would be shown (`benchmarks/ladder_power.py`).

    Args:
        spreads: with variances above 0; two at the least.

    Source: Smyth, Statistical Applications in Genetics and Molecular Biology 3 (2004), article 3; but for the limit.
    """
    from scipy.special import digamma, polygamma

    logs = [math.log(each.variance) - digamma(each.degrees / 2) + math.log(each.degrees / 2) for each in spreads]
    of_chance = math.fsum(float(polygamma(1, each.degrees / 2)) for each in spreads) / len(spreads)
    prior = _inverse_trigamma(statistics.variance(logs) - of_chance)
    drawn = []
    for each in spreads:
        weight = min(prior, each.degrees)
        typical = math.exp(statistics.fmean(logs) + digamma(weight / 2) - math.log(weight / 2))
        total = weight + each.degrees
        drawn.append(Spread((weight * typical + each.degrees * each.variance) / total, total))
    return drawn


def _inverse_trigamma(value: float) -> float:
    """Return the degrees of freedom at half of which the trigamma function has a value; infinite where it has none."""
    from scipy.optimize import brentq
    from scipy.special import polygamma

    if value <= float(polygamma(1, _MANY / 2)):
        return math.inf
    return float(brentq(lambda degrees: float(polygamma(1, degrees / 2)) - value, 1e-6, _MANY))


_MANY = 1e6


def paired_t_test(differences: Sequence[float], spread: Spread) -> float:
    """Return the two-sided p-value of the t-test that the mean of paired differences is nothing."""
    from scipy.special import stdtr

    # Not of `scipy.stats`, which takes a second to import.
    return float(2 * stdtr(spread.degrees, -abs(statistics.fmean(differences)) / _error(differences, spread)))


def paired_t_interval(differences: Sequence[float], spread: Spread, *, alpha: float) -> tuple[float, float]:
    """Return low and high end of the mean difference's interval of level 1 - alpha.

    It excludes 0 exactly where `paired_t_test` gives at most alpha.
    """
    from scipy.special import stdtrit

    reach = float(stdtrit(spread.degrees, 1 - alpha / 2)) * _error(differences, spread)
    mean = statistics.fmean(differences)
    return mean - reach, mean + reach


def _error(differences: Sequence[float], spread: Spread) -> float:
    return math.sqrt(spread.variance / len(differences))


def welch_test(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the two-sided p-value of Welch's t-test: whether two means differ, each with a spread of its own.

    1.0 where it cannot say: fewer than two values on a side, or no spread on either.

    Source: Welch, Biometrika 34 (1947) 28-35.
    """
    from scipy.special import stdtr

    if (spread := _welch(ours, theirs)) is None:
        return 1.0
    # Not of `scipy.stats`, which takes a second to import.
    difference = statistics.fmean(ours) - statistics.fmean(theirs)
    return float(2 * stdtr(spread.degrees, -abs(difference) / math.sqrt(spread.variance)))


def welch_interval(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of the first mean's difference to the second; None where `welch_test` cannot say."""
    from scipy.special import stdtrit

    if (spread := _welch(ours, theirs)) is None:
        return None
    difference = statistics.fmean(ours) - statistics.fmean(theirs)
    reach = float(stdtrit(spread.degrees, (1 + CONFIDENCE) / 2)) * math.sqrt(spread.variance)
    return difference - reach, difference + reach


def _welch(ours: Sequence[float], theirs: Sequence[float]) -> Spread | None:
    """Return the variance of the difference of two means."""
    if min(len(ours), len(theirs)) < 2:
        return None
    parts = [statistics.variance(values) / len(values) for values in (ours, theirs)]
    if not sum(parts):
        return None
    degrees = sum(parts) ** 2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (ours, theirs), strict=True)
    )
    return Spread(sum(parts), degrees)


def shares_test(first: float, second: float, *, images: int) -> float:
    """Return the two-sided p-value of the z-test that two shares of right answers, each among `images`, are equal."""
    pooled = (first + second) / 2
    error = math.sqrt(2 * pooled * (1 - pooled) / images)
    return 1.0 if not error else 2 * statistics.NormalDist().cdf(-abs(first - second) / error)


def apart_from_first(groups: Sequence[Sequence[float]], *, images: int | None) -> list[float]:
    """Return the Holm-adjusted p-value of each further group of accuracies that it is as good as the first.

    Welch's t-test of the means; where a side has a single run, the two shares of right answers are tested, as those of
    two networks.

    Args:
        groups: accuracies, one a seed.
        images: that each accuracy is of; None where that is not known, so that single runs cannot be told apart.
    """
    first, *others = groups

    def p_value(other: Sequence[float]) -> float:
        if min(len(first), len(other)) > 1:
            return welch_test(first, other)
        means = (statistics.fmean(first), statistics.fmean(other))
        return shares_test(*means, images=images) if images else 1.0

    return holm([p_value(other) for other in others])


def wilson_interval(accuracy: float, *, images: int) -> tuple[float, float]:
    """Return low and high end of Wilson's 95 % interval of a share of right answers among `images`.

    Source: Wilson, Journal of the American Statistical Association 22 (1927) 209-212.
    """
    z = statistics.NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    share = round(accuracy * images) / images
    middle = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    reach = z * math.sqrt(share * (1 - share) / images + z**2 / (4 * images**2)) / (1 + z**2 / images)
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


def mcnemar(only_first: int, *, only_second: int) -> float:
    """Return the two-sided p-value of McNemar's exact test: the binomial test on the images that one alone got right.

    Source: McNemar, Psychometrika 12 (1947) 153-157, in its exact form.
    """
    from scipy import stats

    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second, 0.5).pvalue)


def discordant_interval(only_first: int, *, only_second: int, images: int, alpha: float) -> tuple[float, float] | None:
    """Return the interval of level 1 - alpha of the difference of two paired shares, -1 to 1.

    It is the exact one given how many images one alone got right: of their share that the first got right, by Clopper
    and Pearson, as McNemar's exact test looks at them too. It excludes 0 exactly where `mcnemar` gives at most alpha.
    None where there is no such image.

    Source: Clopper and Pearson, Biometrika 26 (1934) 404-413; for matched pairs Liddell, Journal of Epidemiology and
    Community Health 37 (1983) 82-84.
    """
    from scipy import stats

    discordant = only_first + only_second
    if discordant == 0:
        return None
    share = stats.binomtest(only_first, discordant).proportion_ci(1 - alpha, method="exact")
    low, high = ((2 * float(end) - 1) * discordant / images for end in (share.low, share.high))
    return low, high


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number, in the same order.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979) 65-70.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def holm_levels(p_values: Sequence[float], *, alpha: float) -> list[float]:
    """Return the level at which Holm's procedure decided about each p-value: at most it is rejected, above it not.

    The smallest is set against alpha divided by their number, the next against alpha divided by one less, and so on;
    the first that is above its level, and all after it, are decided at that level.

    Source: as `holm`.
    """
    order = sorted(range(len(p_values)), key=lambda index: p_values[index])
    levels = [alpha] * len(p_values)
    level = alpha
    is_open = True
    for rank, index in enumerate(order):
        if is_open:
            level = alpha / (len(p_values) - rank)
            is_open = p_values[index] <= level
        levels[index] = level
    return levels
