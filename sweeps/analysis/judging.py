"""Answer whether one configuration is better than another, from runs under shared seeds, looked at after each seed.

The values of a seed are a pair, so neither equal spreads of the two configurations nor independence within a seed is
assumed: the differences have one variance, and as many degrees of freedom as seeds, less one. The interval of the
difference is valid at all seeds at once (`sweeps.analysis.sequential.reach`). Every answer only repeats what it
excludes, so a wrong answer needs an interval that misses the actual difference.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from sweeps.analysis.sequential import reach
from sweeps.analysis.statistics import Spread
from sweeps.core.measure import Measure

Pair = tuple[float, float]
"""Values of the two configurations under one seed."""

MAX_SEEDS = 1000
"""Seeds that one question may use."""
_SMALLEST_VARIANCE = 1e-24
"""Of the differences, so that equal differences under two seeds are no certainty: accuracies are rounded numbers."""
_NORMAL_QUANTILE_OF_POWER = statistics.NormalDist().inv_cdf(0.8)


class Answer(StrEnum):
    """The answer to the question whether the first configuration is better than the second."""

    BETTER = "better"
    WORSE = "worse"
    NO_DIFFERENCE = "no difference"
    """No difference larger than the margin."""
    OPEN = "not distinguished yet"


@dataclass(frozen=True, kw_only=True)
class Judgement:
    """An answer with its evidence. Differences are first minus second, of accuracies in points."""

    answer: Answer
    seeds: int
    """Seeds of each configuration that decided; those so far while the question is open."""
    difference: float | None
    """Difference of the means; None before the first seed."""
    low: float | None
    """End of its interval; None while the seeds are too few for one."""
    high: float | None
    mean_first: float | None
    """Means over the seeds."""
    mean_second: float | None
    deviation_first: float | None = None
    """Standard deviations over the seeds; None for fewer than two."""
    deviation_second: float | None = None

    @property
    def bound(self) -> float | None:
        """The largest difference, in either direction, that the interval contains."""
        return None if self.low is None or self.high is None else max(abs(self.low), abs(self.high))

    def mirrored(self) -> Judgement:
        """Return the answer to the question with the two configurations exchanged."""
        opposite = {Answer.BETTER: Answer.WORSE, Answer.WORSE: Answer.BETTER}
        return Judgement(
            answer=opposite.get(self.answer, self.answer),
            seeds=self.seeds,
            difference=_negative(self.difference),
            low=_negative(self.high),
            high=_negative(self.low),
            mean_first=self.mean_second,
            mean_second=self.mean_first,
            deviation_first=self.deviation_second,
            deviation_second=self.deviation_first,
        )


def judge(pairs: Sequence[Pair], *, level: float, margin: float | None, measure: Measure) -> Judgement:
    """Return the answer after the first seed that decides, or that the question is open after all of them.

    Args:
        pairs: Values under each seed, in the order of the seeds: shares for an accuracy.
        level: Probability that the interval ever misses the actual difference.
        margin: A difference that does not matter, in points or in the unit of the metric; None for no such difference.
        measure: What the values are.
    """
    last = _judgement(pairs[:0], level=level, margin=margin, measure=measure)
    for seeds in range(1, len(pairs) + 1):
        last = _judgement(pairs[:seeds], level=level, margin=margin, measure=measure)
        if last.answer is not Answer.OPEN:
            break
    return last


def _judgement(pairs: Sequence[Pair], *, level: float, margin: float | None, measure: Measure) -> Judgement:
    if not pairs:
        return Judgement(
            answer=Answer.OPEN, seeds=0, difference=None, low=None, high=None, mean_first=None, mean_second=None
        )
    differences = [measure.factor * (first - second) for first, second in pairs]
    difference = math.fsum(differences) / len(differences)
    half = _half_width(differences, level=level)
    low, high = difference - half, difference + half
    deviations = [statistics.stdev(values) if len(values) > 1 else None for values in zip(*pairs, strict=True)]
    answer = Answer.OPEN
    if low > 0 or high < 0:
        answer = Answer.BETTER if measure.is_better(difference) else Answer.WORSE
    elif max(-low, high) <= (0.0 if margin is None else margin) + math.sqrt(_SMALLEST_VARIANCE) * 1e3:
        answer = Answer.NO_DIFFERENCE
    return Judgement(
        answer=answer,
        seeds=len(pairs),
        difference=difference,
        low=None if math.isinf(half) else low,
        high=None if math.isinf(half) else high,
        mean_first=statistics.fmean(first for first, _ in pairs),
        mean_second=statistics.fmean(second for _, second in pairs),
        deviation_first=deviations[0],
        deviation_second=deviations[1],
    )


def _half_width(differences: Sequence[float], *, level: float) -> float:
    seeds = len(differences)
    if seeds < 2:
        return math.inf
    variance = max(statistics.variance(differences), _SMALLEST_VARIANCE)
    # Of one configuration: `reach` doubles it for the difference of two.
    return reach(spread=Spread(variance / 2, seeds - 1), seeds=(seeds, seeds), alpha=level)


def fewest_seeds(level: float) -> int:
    """Return the number of seeds below which no difference, however large, is decided."""
    seeds = 2
    while math.isinf(reach(spread=Spread(1.0, seeds - 1), seeds=(seeds, seeds), alpha=level)):
        seeds += 1
    return seeds


def seeds_for(difference: float, *, deviation: float, level: float) -> int | None:
    """Return the number of seeds after which a difference is found with 80 % probability; None if above `MAX_SEEDS`.

    Args:
        difference: Actual difference of the means.
        deviation: Standard deviation of each configuration over its seeds, in the same unit.
        level: As for `judge`.
    """
    for seeds in range(fewest_seeds(level), MAX_SEEDS + 1):
        half = reach(spread=Spread(deviation**2, seeds - 1), seeds=(seeds, seeds), alpha=level)
        if half + _NORMAL_QUANTILE_OF_POWER * deviation * math.sqrt(2 / seeds) <= difference:
            return seeds
    return None


def _negative(value: float | None) -> float | None:
    return None if value is None else -value
