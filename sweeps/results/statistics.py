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


def paired_t_test(ours: Sequence[float], theirs: Sequence[float]) -> tuple[float, float, float]:
    """Return the paired t-test's two-sided p-value, and low and high end of the mean difference's 95 % interval."""
    from scipy import stats

    test = stats.ttest_rel(ours, theirs)
    interval = test.confidence_interval(CONFIDENCE)
    return float(test.pvalue), float(interval.low), float(interval.high)


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


def newcombe_interval(*, both: int, only_first: int, only_second: int, images: int) -> tuple[float, float]:
    """Return the 95 % interval of the difference of two paired shares, -1 to 1.

    Source: Newcombe, Statistics in Medicine 17 (1998) 2635-2650, method 10: Wilson's two intervals, squared and
    added, with a continuity-corrected estimate of their correlation.
    """
    neither = images - both - only_first - only_second
    first, second = (both + only_first) / images, (both + only_second) / images
    (low_1, high_1), (low_2, high_2) = (wilson_interval(share, images=images) for share in (first, second))
    margins = (both + only_first) * (only_second + neither) * (both + only_second) * (only_first + neither)
    cross = float(both * neither - only_first * only_second)
    if cross > 0:
        cross = max(cross - images / 2, 0.0)
    phi = cross / math.sqrt(margins) if margins else 0.0

    def reach(one: float, two: float) -> float:
        return math.sqrt(max(one**2 - 2 * phi * one * two + two**2, 0.0))

    difference = (only_first - only_second) / images
    low = difference - reach(first - low_1, high_2 - second)
    return low, difference + reach(high_1 - first, second - low_2)


def holm(p_values: Sequence[float]) -> list[float]:
    """Return the p-values adjusted for their number, in the same order.

    Source: Holm, Scandinavian Journal of Statistics 6 (1979) 65-70.
    """
    from statsmodels.stats.multitest import multipletests

    if not p_values:
        return []
    _, adjusted, _, _ = multipletests(p_values, method="holm")
    return [float(p_value) for p_value in adjusted]
