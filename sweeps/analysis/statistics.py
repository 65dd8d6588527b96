"""Intervals, tests and corrections for multiple comparisons, used by the leaderboard and the ladder."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from typing import NamedTuple

CONFIDENCE = 0.95
"""Level of the reported intervals."""


def student_interval(values: Sequence[float]) -> tuple[float, float, float]:
    """Return the sample standard deviation, and the ends of Student's 95 % interval of the mean."""
    from scipy.special import stdtrit

    mean, deviation = math.fsum(values) / len(values), statistics.stdev(values)
    # `scipy.stats` takes a second to import.
    reach = float(stdtrit(len(values) - 1, (1 + CONFIDENCE) / 2)) * deviation / math.sqrt(len(values))
    return deviation, mean - reach, mean + reach


def mean_and_interval(values: Sequence[float], *, is_share: bool = True) -> tuple[float, float | None, float | None]:
    """Return the mean and its Student's 95 % interval, that of shares clipped to 0 and 1; no interval for one value."""
    mean = math.fsum(values) / len(values)
    if len(values) < 2:
        return mean, None, None
    _, low, high = student_interval(values)
    return (mean, max(low, 0.0), min(high, 1.0)) if is_share else (mean, low, high)


class Spread(NamedTuple):
    """A variance with its degrees of freedom."""

    variance: float
    degrees: float


def spread_of(values: Sequence[float]) -> Spread:
    """Return the sample variance of two or more values."""
    return Spread(statistics.variance(values), len(values) - 1)


def moderated(spreads: Sequence[Spread]) -> list[Spread]:
    """Return the variances shrunk towards their common prior, because few values estimate a variance badly.

    The prior is a scaled inverse chi-squared distribution, fitted to the mean and variance of the log variances. Each
    result is the mean of the sample variance and the prior variance, weighted by degrees of freedom. The prior gets at
    most the weight of the sample: estimated from a dozen variances, its weight may be far too large, which makes too
    many differences significant (`benchmarks/ladder_power.py`).

    Args:
        spreads: two or more, with variances above 0.

    Source: Smyth, Statistical Applications in Genetics and Molecular Biology 3 (2004), article 3, except for the limit.
    """
    from scipy.special import digamma, polygamma

    logs = [math.log(each.variance) - digamma(each.degrees / 2) + math.log(each.degrees / 2) for each in spreads]
    sampling_variance = math.fsum(float(polygamma(1, each.degrees / 2)) for each in spreads) / len(spreads)
    prior = _inverse_trigamma(statistics.variance(logs) - sampling_variance)
    shrunk = []
    for each in spreads:
        weight = min(prior, each.degrees)
        typical = math.exp(statistics.fmean(logs) + digamma(weight / 2) - math.log(weight / 2))
        total = weight + each.degrees
        shrunk.append(Spread((weight * typical + each.degrees * each.variance) / total, total))
    return shrunk


def _inverse_trigamma(value: float) -> float:
    """Return the degrees of freedom d with trigamma(d / 2) = value; infinite if the value is too small."""
    from scipy.optimize import brentq
    from scipy.special import polygamma

    if value <= float(polygamma(1, _MANY / 2)):
        return math.inf
    return float(brentq(lambda degrees: float(polygamma(1, degrees / 2)) - value, 1e-6, _MANY))


_MANY = 1e6


def interval_of_mean(mean: float, spread: Spread, *, count: int) -> tuple[float, float]:
    """Return the ends of Student's 95 % interval of the mean of `count` values with a variance known from elsewhere."""
    from scipy.special import stdtrit

    reach = float(stdtrit(spread.degrees, (1 + CONFIDENCE) / 2)) * math.sqrt(spread.variance / count)
    return mean - reach, mean + reach


def paired_t_test(differences: Sequence[float], spread: Spread) -> float:
    """Return the two-sided p-value of the t-test that the mean of paired differences is 0."""
    from scipy.special import stdtr

    return float(2 * stdtr(spread.degrees, -abs(statistics.fmean(differences)) / _standard_error(differences, spread)))


def paired_t_interval(differences: Sequence[float], spread: Spread, *, alpha: float) -> tuple[float, float]:
    """Return the ends of the interval of level 1 - alpha of the mean difference.

    It excludes 0 if and only if `paired_t_test` returns at most alpha.
    """
    from scipy.special import stdtrit

    reach = float(stdtrit(spread.degrees, 1 - alpha / 2)) * _standard_error(differences, spread)
    mean = statistics.fmean(differences)
    return mean - reach, mean + reach


def _standard_error(differences: Sequence[float], spread: Spread) -> float:
    return math.sqrt(spread.variance / len(differences))


def welch_test(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the two-sided p-value of Welch's t-test of two means with unequal variances.

    1.0 if a side has fewer than two values or both variances are 0.

    Source: Welch, Biometrika 34 (1947) 28-35.
    """
    from scipy.special import stdtr

    if (spread := _welch(ours, theirs)) is None:
        return 1.0
    difference = statistics.fmean(ours) - statistics.fmean(theirs)
    return float(2 * stdtr(spread.degrees, -abs(difference) / math.sqrt(spread.variance)))


def welch_interval(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float] | None:
    """Return the 95 % interval of the first mean minus the second; None in the cases where `welch_test` returns 1.0."""
    from scipy.special import stdtrit

    if (spread := _welch(ours, theirs)) is None:
        return None
    difference = statistics.fmean(ours) - statistics.fmean(theirs)
    reach = float(stdtrit(spread.degrees, (1 + CONFIDENCE) / 2)) * math.sqrt(spread.variance)
    return difference - reach, difference + reach


def _welch(ours: Sequence[float], theirs: Sequence[float]) -> Spread | None:
    """Return the variance of the difference of two means, with Welch's degrees of freedom."""
    if min(len(ours), len(theirs)) < 2:
        return None
    parts = [statistics.variance(values) / len(values) for values in (ours, theirs)]
    if not sum(parts):
        return None
    degrees = sum(parts) ** 2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (ours, theirs), strict=True)
    )
    return Spread(sum(parts), degrees)


def proportions_test(first: float, second: float, *, images: int) -> float:
    """Return the two-sided p-value of the z-test that two accuracies, each on `images` images, are equal."""
    pooled = (first + second) / 2
    error = math.sqrt(2 * pooled * (1 - pooled) / images)
    return 1.0 if not error else 2 * statistics.NormalDist().cdf(-abs(first - second) / error)


def p_values_against_first(groups: Sequence[Sequence[float]], *, images: int | None) -> list[float]:
    """Return the Holm-adjusted p-values of the tests of all other groups of accuracies against the first.

    The test is Welch's t-test of the means. If a side has a single run, it is the test of two proportions.

    Args:
        groups: accuracies, one per seed.
        images: number of images of each accuracy; None if unknown, which makes the p-value of a single run 1.0.
    """
    first, *others = groups

    def p_value(other: Sequence[float]) -> float:
        if min(len(first), len(other)) > 1:
            return welch_test(first, other)
        means = (statistics.fmean(first), statistics.fmean(other))
        return proportions_test(*means, images=images) if images else 1.0

    return holm([p_value(other) for other in others])


def wilson_interval(accuracy: float, *, images: int) -> tuple[float, float]:
    """Return the ends of Wilson's 95 % interval of an accuracy on `images` images.

    Source: Wilson, Journal of the American Statistical Association 22 (1927) 209-212.
    """
    z = statistics.NormalDist().inv_cdf((1 + CONFIDENCE) / 2)
    share = round(accuracy * images) / images
    middle = (share + z**2 / (2 * images)) / (1 + z**2 / images)
    reach = z * math.sqrt(share * (1 - share) / images + z**2 / (4 * images**2)) / (1 + z**2 / images)
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


def mcnemar(only_first: int, *, only_second: int) -> float:
    """Return the two-sided p-value of McNemar's exact test: the binomial test on the discordant images.

    Source: McNemar, Psychometrika 12 (1947) 153-157, in its exact form.
    """
    from scipy import stats

    if only_first + only_second == 0:
        return 1.0
    return float(stats.binomtest(only_first, only_first + only_second, 0.5).pvalue)


def discordant_interval(only_first: int, *, only_second: int, images: int, alpha: float) -> tuple[float, float] | None:
    """Return the interval of level 1 - alpha of the difference of two paired proportions, -1 to 1.

    It is exact given the number of discordant images: Clopper and Pearson's interval of the proportion of them that
    the first classified correctly, like McNemar's exact test. It excludes 0 if and only if `mcnemar` returns at most
    alpha. None without discordant images.

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
    """Return the p-values adjusted by Holm's procedure, in the same order.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979) 65-70.
    """
    adjusted, largest = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        largest = max(largest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = largest
    return adjusted


def holm_levels(p_values: Sequence[float], *, alpha: float) -> list[float]:
    """Return the level at which Holm's procedure decides on each p-value: p-values up to it are rejected.

    The smallest p-value is compared with alpha divided by their number, the next with alpha divided by one less, and so
    on. The first that exceeds its level and all after it are decided at that level.

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
