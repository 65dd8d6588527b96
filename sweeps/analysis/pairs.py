"""Compare two rungs: choose the test and word the verdict.

With enough common seeds, two recipes are compared by a paired t-test. Two rungs with one run each are compared as two
networks, by McNemar's exact test on their predictions for the same images. All others are not tested, because picking
one of several seeds would bias the result; the difference for each common seed is reported.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from sweeps.analysis.rungs import RungRun, RungRuns
from sweeps.analysis.statistics import (
    Spread,
    discordant_interval,
    mcnemar,
    moderated,
    paired_t_interval,
    paired_t_test,
    spread_of,
    welch_interval,
    welch_test,
)
from sweeps.core.formatting import plural
from sweeps.core.measure import Measure
from sweeps.core.trial import MeasuredOn
from sweeps.files.ablation import FULL_RUNG

if TYPE_CHECKING:
    import numpy as np

ALPHA = 0.05
"""A difference is significant if its Holm-adjusted p-value is at most this."""
MIN_RECIPE_SEEDS = 3
"""Common seeds that a test of two recipes needs."""
MIN_MODERATED_COMPARISONS = 8
"""Comparisons of a ladder that moderated variances need."""
DID_NOT_LEARN = "did not learn: accuracy not above chance, or the same prediction for all images"
_NO_SPREAD = 1e-9
_SIGNIFICANT = f"significant at the {100 * ALPHA:.0f} % level"


@dataclass(frozen=True, kw_only=True)
class AnswerComparison:
    """Comparison of two runs on the same test images."""

    only_first: int
    """Images that only the first run classified correctly."""
    only_second: int
    difference: float
    """First accuracy minus second, in points."""
    low: float | None
    """End of its 95 % interval, in points; None if both runs are correct on the same images."""
    high: float | None
    p_value: float
    """p-value of McNemar's exact test."""


def compare_answers(first: np.ndarray, second: np.ndarray) -> AnswerComparison:
    """Compare two runs, each given as one boolean per image: whether its prediction is correct."""
    only_first, only_second = _discordant_counts(first, second)
    ends = discordant_interval(only_first, only_second=only_second, images=len(first), alpha=ALPHA)
    return AnswerComparison(
        only_first=only_first,
        only_second=only_second,
        difference=100 * (only_first - only_second) / len(first),
        low=None if ends is None else 100 * ends[0],
        high=None if ends is None else 100 * ends[1],
        p_value=mcnemar(only_first, only_second=only_second),
    )


@dataclass(frozen=True, kw_only=True)
class RecipeComparison:
    """Comparison of two recipes over their seeds, differences in points, or in the unit of another metric."""

    difference: float
    """First mean minus second."""
    low: float | None
    """End of its 95 % interval; None without a test, like the p-value."""
    high: float | None
    p_value: float | None
    test: str | None
    """None below `MIN_RECIPE_SEEDS` seeds of each, and if all seeds have the same value."""
    by_seed: Mapping[int, float]
    """Difference for each common seed."""


def compare_recipes(
    first: Mapping[int, float], second: Mapping[int, float], *, paired: bool, factor: float = 100.0
) -> RecipeComparison:
    """Compare two recipes by one number, with one unadjusted test.

    Args:
        first: seed → accuracy, 0 to 1, or value of another metric.
        second: the same for the other recipe.
        factor: of the differences; 100 for points.
        paired: whether to use a paired t-test over the common seeds, like a ladder, or Welch's t-test.
    """
    ours, theirs = ({seed: factor * share for seed, share in each.items()} for each in (first, second))
    by_seed = {seed: ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())}
    values = list(by_seed.values())
    difference = statistics.fmean(values if paired and values else ours.values())
    difference -= 0.0 if paired and values else statistics.fmean(theirs.values())
    p_value, ends, test = None, None, None
    if paired and len(values) >= MIN_RECIPE_SEEDS and max(values) - min(values) >= _NO_SPREAD:
        p_value, ends = (
            paired_t_test(values, spread_of(values)),
            paired_t_interval(values, spread_of(values), alpha=ALPHA),
        )
        test = f"paired t over {len(values)} seeds"
    elif not paired and min(len(ours), len(theirs)) >= MIN_RECIPE_SEEDS:
        sides = list(ours.values()), list(theirs.values())
        if ends := welch_interval(*sides):
            p_value, test = welch_test(*sides), f"Welch's t-test over {len(ours)} and {len(theirs)} seeds"
    low, high = ends or (None, None)
    return RecipeComparison(difference=difference, low=low, high=high, p_value=p_value, test=test, by_seed=by_seed)


def _discordant_counts(first: np.ndarray, second: np.ndarray) -> tuple[int, int]:
    return int((first & ~second).sum()), int((~first & second).sum())


@dataclass(frozen=True, kw_only=True)
class PairComparison:
    """Comparison of two rungs before Holm's adjustment."""

    verdict: Callable[[str, bool], str]
    """Returns the verdict, given the text of the difference with its unit and whether it is significant."""
    difference: float | None = None
    """In the unit of the rung's measure, like `differences` and `by_seed`."""
    interval: Callable[[float], tuple[float, float] | None] = lambda alpha: None
    """Returns the interval of level 1 - alpha. It excludes 0 if and only if the p-value is at most alpha."""
    p_value: float | None = None
    test: str | None = None
    differences: Sequence[float] = ()
    """Differences of two recipes, one per seed. Their test may use the variances of other comparisons."""
    recipes: bool = False
    limit: float = math.inf
    """The largest possible difference: 100 points, or infinite."""
    by_seed: tuple[float, ...] = ()
    """Difference for each common seed if there are too few seeds for a test."""


def compare_with_parent(rung: RungRuns, recorded: Sequence[RungRuns]) -> PairComparison:
    """Compare a rung with its parent under its budget. `add_recipe_tests` adds the tests of recipes."""

    def without_result(reason: str) -> PairComparison:
        return PairComparison(verdict=lambda _points, _significant: reason)

    if not rung.measured:
        return without_result(DID_NOT_LEARN if rung.shown else f"no result: {rung.status}")
    if rung.parent is None:
        return without_result(f"{'full recipe' if rung.name == FULL_RUNG else 'first rung'} (reference)")
    parent = rung.find_parent(recorded)
    if parent is None:
        if any(each.name == rung.parent for each in recorded):
            return without_result("not compared: different budgets")
        return without_result(f"not compared: {rung.parent} is not recorded")
    if parent.measure != rung.measure and rung.measured_on is MeasuredOn.METRIC:
        return without_result(f"not compared: {parent.name} was compared by another metric, {parent.measure.name}")
    if parent.measured_on is not rung.measured_on:
        return without_result(
            f"not compared: {parent.name} was evaluated on {parent.measured_on} images, this rung on "
            f"{rung.measured_on} images"
        )
    if parent.split != rung.split:
        return without_result(f"not compared: {parent.name} was evaluated on other validation images")
    if not parent.measured and parent.shown:
        return without_result(f"not compared: {parent.name} did not learn")
    if not parent.measured:
        return without_result(f"not compared: {parent.name} has no result ({parent.status})")
    if len({of.measured[0].images for of in (rung, parent)} - {None}) > 1:
        return without_result("not compared: evaluated on different images")
    ours, theirs = ({run.seed: run for run in of.measured} for of in (rung, parent))
    common = sorted(ours.keys() & theirs.keys())
    factor = rung.measure.factor
    differences = {seed: factor * (ours[seed].value or 0.0) - factor * (theirs[seed].value or 0.0) for seed in common}
    if len(common) >= MIN_RECIPE_SEEDS:
        seeds = max(len(ours), len(theirs))
        return _compare_recipe_pairs(list(differences.values()), seeds=seeds, measure=rung.measure)
    if len(rung.runs) == len(parent.runs) == 1 and (compared := _compare_runs(rung.measured[0], parent.measured[0])):
        return compared
    return _differences_by_seed(differences, measure=rung.measure)


def _compare_recipe_pairs(differences: list[float], *, seeds: int, measure: Measure) -> PairComparison:
    mean = math.fsum(differences) / len(differences)
    if max(differences) - min(differences) < _NO_SPREAD:
        return PairComparison(
            verdict=lambda points, _: f"no significance test: all seeds have the same difference ({points})",
            difference=mean,
        )

    seeds_used = f" ({len(differences)} common seeds of {seeds})" if seeds > len(differences) else ""
    return PairComparison(
        limit=100.0 if measure.is_share else math.inf,
        verdict=lambda points, significant: (
            (f"{points}, {_SIGNIFICANT}" if significant else f"no significant difference ({points})") + seeds_used
        ),
        difference=mean,
        differences=differences,
        recipes=True,
    )


def add_recipe_tests(budgets: Sequence[int], comparisons: Sequence[PairComparison]) -> list[PairComparison]:
    """Return the comparisons with a test added to each one of two recipes.

    Args:
        budgets: budget number of each comparison; variances are moderated within one budget.
        comparisons: from `compare_with_parent`.
    """
    tested = list(comparisons)
    families: dict[int, list[int]] = {}
    for index, (budget, comparison) in enumerate(zip(budgets, comparisons, strict=True)):
        if comparison.recipes:
            families.setdefault(budget, []).append(index)
    for family in families.values():
        spreads = [spread_of(comparisons[index].differences) for index in family]
        is_moderated = len(family) >= MIN_MODERATED_COMPARISONS
        for index, spread in zip(family, moderated(spreads) if is_moderated else spreads, strict=True):
            tested[index] = _add_recipe_test(
                comparisons[index], spread, name="moderated t" if is_moderated else "paired t"
            )
    return tested


def _add_recipe_test(comparison: PairComparison, spread: Spread, *, name: str) -> PairComparison:
    differences = comparison.differences

    def interval(alpha: float) -> tuple[float, float]:
        low, high = paired_t_interval(differences, spread, alpha=alpha)
        return max(low, -comparison.limit), min(high, comparison.limit)

    return replace(
        comparison,
        interval=interval,
        p_value=paired_t_test(differences, spread),
        test=f"{name} over {len(differences)} seeds",
    )


def _differences_by_seed(differences: Mapping[int, float], *, measure: Measure) -> PairComparison:
    """Return a comparison without a test: there are too few common seeds."""
    missing = plural(MIN_RECIPE_SEEDS - len(differences), "more common seed")
    if not differences:
        return PairComparison(verdict=lambda _points, _significant: f"not compared: {missing} needed")
    each = "; ".join(f"seed {seed} {measure.difference(difference)}" for seed, difference in differences.items())
    return PairComparison(
        verdict=lambda _points, _significant: f"no significance test ({missing} needed); {each}",
        by_seed=tuple(differences.values()),
    )


def _compare_runs(run: RungRun, other: RungRun) -> PairComparison | None:
    """Compare two networks; None if predictions per image are not recorded for both."""
    if run.correct is None or other.correct is None:
        return None
    seeds = "" if run.seed == other.seed else f" (seeds {run.seed} and {other.seed})"
    only_ours, only_theirs = _discordant_counts(run.correct, other.correct)
    images = len(run.correct)

    def interval(alpha: float) -> tuple[float, float] | None:
        ends = discordant_interval(only_ours, only_second=only_theirs, images=images, alpha=alpha)
        return None if ends is None else (100 * ends[0], 100 * ends[1])

    def verdict(points: str, significant: bool) -> str:
        if only_ours == only_theirs == 0:
            return f"these two runs{seeds} are correct on exactly the same images"
        return f"these two runs{seeds} {'differ' if significant else 'do not differ'} significantly ({points})"

    return PairComparison(
        verdict=verdict,
        difference=100 * (only_ours - only_theirs) / images,
        interval=interval,
        p_value=mcnemar(only_ours, only_second=only_theirs),
        test="McNemar, one run each",
    )
