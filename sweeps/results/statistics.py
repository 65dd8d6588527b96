"""The statistics behind the leaderboard and the ladder: intervals, the paired test, the correction for many."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence

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


def paired_t_test(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the paired t-test's two-sided p-value."""
    from scipy import stats

    return float(stats.ttest_rel(ours, theirs).pvalue)


def paired_t_interval(ours: Sequence[float], theirs: Sequence[float], *, alpha: float) -> tuple[float, float]:
    """Return low and high end of the mean difference's interval of level 1 - alpha.

    It excludes 0 exactly where `paired_t_test` gives at most alpha.
    """
    from scipy import stats

    interval = stats.ttest_rel(ours, theirs).confidence_interval(1 - alpha)
    return float(interval.low), float(interval.high)


def welch_test(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the two-sided p-value of Welch's t-test: whether two means differ, each with a spread of its own.

    1.0 where it cannot say: fewer than two values on a side, or no spread on either.

    Source: Welch, Biometrika 34 (1947) 28-35.
    """
    from scipy.special import stdtr

    if min(len(ours), len(theirs)) < 2:
        return 1.0
    parts = [statistics.variance(values) / len(values) for values in (ours, theirs)]
    if not sum(parts):
        return 1.0
    difference = math.fsum(ours) / len(ours) - math.fsum(theirs) / len(theirs)
    freedom = sum(parts) ** 2 / sum(
        part**2 / (len(values) - 1) for part, values in zip(parts, (ours, theirs), strict=True)
    )
    # Not of `scipy.stats`, which takes a second to import.
    return float(2 * stdtr(freedom, -abs(difference) / math.sqrt(sum(parts))))


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
    from statsmodels.stats.multitest import multipletests

    if not p_values:
        return []
    _, adjusted, _, _ = multipletests(p_values, method="holm")
    return [float(p_value) for p_value in adjusted]


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
