"""Two rungs set against each other: which test they take, and in what words it is told.

Common seeds decide. With enough of them two recipes are compared, by a paired t-test. Two rungs that have one run each
are compared as two networks, by McNemar's exact test on their answers to the same images: picking one of several seeds
would not be a test of anything. Of all others the difference under each common seed is shown, and nothing is tested.
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
from sweeps.core.formatting import plural, points
from sweeps.files.ablation import WHOLE

if TYPE_CHECKING:
    import numpy as np

ALPHA = 0.05
"""A difference is shown where its Holm-adjusted p-value is at most this."""
RECIPE_SEEDS = 3
"""Common seeds that a statement about recipes takes at the least."""
MODERATED_FROM = 8
"""Comparisons of a ladder from which it is known what spread is typical of them."""
DID_NOT_LEARN = "did not learn: right no more often than chance, or one answer for all"
_NO_SPREAD = 1e-9
_SHOWN = f"shown at the {100 * ALPHA:.0f} % level"


@dataclass(frozen=True, kw_only=True)
class AnswersCompared:
    """Two runs on the same test images."""

    only_first: int
    """Images that the first one alone got right."""
    only_second: int
    difference: float
    """Of the first one's accuracy to the second one's, in points."""
    low: float | None
    """End of its 95 % interval, in points; None where both were right on the same images."""
    high: float | None
    p_value: float
    """Of McNemar's exact test."""


def compare_answers(first: np.ndarray, second: np.ndarray) -> AnswersCompared:
    """Return how the answers of two runs to the same images differ; one truth value an image."""
    only_first, only_second = _right_alone(first, second)
    ends = discordant_interval(only_first, only_second=only_second, images=len(first), alpha=ALPHA)
    return AnswersCompared(
        only_first=only_first,
        only_second=only_second,
        difference=100 * (only_first - only_second) / len(first),
        low=None if ends is None else 100 * ends[0],
        high=None if ends is None else 100 * ends[1],
        p_value=mcnemar(only_first, only_second=only_second),
    )


@dataclass(frozen=True, kw_only=True)
class RecipesCompared:
    """The accuracies of two recipes over their seeds, differences in points."""

    difference: float
    """Of the first one's mean to the second one's."""
    low: float | None
    """End of its 95 % interval; None where nothing is tested, as the p-value."""
    high: float | None
    p_value: float | None
    test: str | None
    """None below `RECIPE_SEEDS` seeds of each, and where no seed differs from another."""
    by_seed: Mapping[int, float]
    """Under each common seed."""


def compare_recipes(first: Mapping[int, float], second: Mapping[int, float], *, paired: bool) -> RecipesCompared:
    """Return how two recipes compare by their accuracies, seed to share: a single test, unadjusted.

    Args:
        first: its accuracies.
        second: those of the other one.
        paired: take the differences seed by seed, as a ladder does; Welch's t-test of the means, as a board, if not.
    """
    ours, theirs = ({seed: 100 * share for seed, share in each.items()} for each in (first, second))
    by_seed = {seed: ours[seed] - theirs[seed] for seed in sorted(ours.keys() & theirs.keys())}
    values = list(by_seed.values())
    difference = statistics.fmean(values if paired and values else ours.values())
    difference -= 0.0 if paired and values else statistics.fmean(theirs.values())
    p_value, ends, test = None, None, None
    if paired and len(values) >= RECIPE_SEEDS and max(values) - min(values) >= _NO_SPREAD:
        p_value, ends = (
            paired_t_test(values, spread_of(values)),
            paired_t_interval(values, spread_of(values), alpha=ALPHA),
        )
        test = f"paired t over {len(values)} seeds"
    elif not paired and min(len(ours), len(theirs)) >= RECIPE_SEEDS:
        sides = list(ours.values()), list(theirs.values())
        if ends := welch_interval(*sides):
            p_value, test = welch_test(*sides), f"Welch's t-test over {len(ours)} and {len(theirs)} seeds"
    low, high = ends or (None, None)
    return RecipesCompared(difference=difference, low=low, high=high, p_value=p_value, test=test, by_seed=by_seed)


def _right_alone(first: np.ndarray, second: np.ndarray) -> tuple[int, int]:
    return int((first & ~second).sum()), int((~first & second).sum())


@dataclass(frozen=True, kw_only=True)
class PairComparison:
    """Two rungs set against each other, before Holm's adjustment."""

    words: Callable[[str, bool], str]
    """From the difference's text and whether it is shown, the verdict."""
    difference: float | None = None
    interval: Callable[[float], tuple[float, float] | None] = lambda alpha: None
    """From alpha, the difference's interval of level 1 - alpha, which excludes 0 where the p-value is at most alpha."""
    p_value: float | None = None
    test: str | None = None
    differences: Sequence[float] = ()
    """Of two recipes: in points, seed by seed. Their test takes what is known of the others' spread too."""
    recipes: bool = False
    by_seed: tuple[float, ...] = ()
    """In points, under each common seed, where these are too few for a test."""


def compare_with_parent(rung: RungRuns, recorded: Sequence[RungRuns]) -> PairComparison:
    """Return how a rung compares to the one it comes from, under its budget; recipes yet untested."""

    def refused(reason: str) -> PairComparison:
        return PairComparison(words=lambda _points, _shown: reason)

    if not rung.measured:
        return refused(DID_NOT_LEARN if rung.shown else f"no result: {rung.status}")
    if rung.parent is None:
        return refused("nothing is left out" if rung.name == WHOLE else "the ladder starts here")
    parent = rung.parent_among(recorded)
    if parent is None:
        there = any(each.name == rung.parent for each in recorded)
        return refused(f"not compared: {'different budgets' if there else f'{rung.parent} is not recorded here'}")
    if parent.measured_on is not rung.measured_on:
        return refused(f"not compared: {parent.name} was measured on {parent.measured_on} images")
    if parent.split != rung.split:
        return refused(f"not compared: {parent.name} was measured on other validation images")
    if not parent.measured and parent.shown:
        return refused(f"not compared: {parent.name} did not learn")
    if not parent.measured:
        return refused(f"not compared: {parent.name} has no result ({parent.status})")
    if len({of.measured[0].images for of in (rung, parent)} - {None}) > 1:
        return refused("not compared: measured on different images")
    ours, theirs = ({run.seed: run for run in of.measured} for of in (rung, parent))
    common = sorted(ours.keys() & theirs.keys())
    pairs = {seed: (ours[seed].accuracy or 0.0, theirs[seed].accuracy or 0.0) for seed in common}
    if len(common) >= RECIPE_SEEDS:
        return _recipes_compared(list(pairs.values()), seeds=max(len(ours), len(theirs)))
    if len(rung.runs) == len(parent.runs) == 1 and (compared := _runs_compared(rung.measured[0], parent.measured[0])):
        return compared
    return _seed_by_seed({seed: 100 * (one - other) for seed, (one, other) in pairs.items()})


def _recipes_compared(pairs: list[tuple[float, float]], *, seeds: int) -> PairComparison:
    ours, theirs = ([100 * pair[side] for pair in pairs] for side in (0, 1))
    differences = [one - other for one, other in zip(ours, theirs, strict=True)]
    mean = math.fsum(differences) / len(differences)
    if max(differences) - min(differences) < _NO_SPREAD:
        return PairComparison(
            words=lambda points, _: f"not tested: the same difference ({points}) in every seed, no spread to judge by",
            difference=mean,
        )

    partly = f" (the {len(pairs)} seeds in common of {seeds})" if seeds > len(pairs) else ""
    return PairComparison(
        words=lambda points, shown: (
            (f"{points}, {_SHOWN}" if shown else f"no difference that can be shown ({points})") + partly
        ),
        difference=mean,
        differences=differences,
        recipes=True,
    )


def with_recipes_tested(budgets: Sequence[int], comparisons: Sequence[PairComparison]) -> list[PairComparison]:
    """Return the comparisons, each under its budget, with a test of each that is of recipes."""
    tested = list(comparisons)
    families: dict[int, list[int]] = {}
    for index, (budget, comparison) in enumerate(zip(budgets, comparisons, strict=True)):
        if comparison.recipes:
            families.setdefault(budget, []).append(index)
    for family in families.values():
        spreads = [spread_of(comparisons[index].differences) for index in family]
        is_moderated = len(family) >= MODERATED_FROM
        for index, spread in zip(family, moderated(spreads) if is_moderated else spreads, strict=True):
            tested[index] = _recipe_tested(
                comparisons[index], spread, name="moderated t" if is_moderated else "paired t"
            )
    return tested


def _recipe_tested(comparison: PairComparison, spread: Spread, *, name: str) -> PairComparison:
    differences = comparison.differences

    def interval(alpha: float) -> tuple[float, float]:
        low, high = paired_t_interval(differences, spread, alpha=alpha)
        return max(low, -100.0), min(high, 100.0)

    return replace(
        comparison,
        interval=interval,
        p_value=paired_t_test(differences, spread),
        test=f"{name} over {len(differences)} seeds",
    )


def _seed_by_seed(differences: Mapping[int, float]) -> PairComparison:
    """Tell the difference under each common seed: they are too few for a test of two recipes."""
    missing = plural(RECIPE_SEEDS - len(differences), "more common seed")
    if not differences:
        return PairComparison(words=lambda _points, _shown: f"not compared: {missing} needed")
    each = ", ".join(f"seed {seed} {points(difference)}" for seed, difference in differences.items())
    return PairComparison(
        words=lambda _points, _shown: f"not tested: {each} points; {missing} needed",
        by_seed=tuple(differences.values()),
    )


def _runs_compared(run: RungRun, other: RungRun) -> PairComparison | None:
    """Return how two networks compare; None where the answer to each image is not recorded of both."""
    if run.correct is None or other.correct is None:
        return None
    which = "" if run.seed == other.seed else f" (seeds {run.seed} and {other.seed})"
    only_ours, only_theirs = _right_alone(run.correct, other.correct)
    images = len(run.correct)

    def interval(alpha: float) -> tuple[float, float] | None:
        ends = discordant_interval(only_ours, only_second=only_theirs, images=images, alpha=alpha)
        return None if ends is None else (100 * ends[0], 100 * ends[1])

    def words(points: str, shown: bool) -> str:
        if only_ours == only_theirs == 0:
            return f"these two runs{which} are right on exactly the same images"
        return f"these two runs{which} " + (f"differ by {points}" if shown else f"do not differ measurably ({points})")

    return PairComparison(
        words=words,
        difference=100 * (only_ours - only_theirs) / images,
        interval=interval,
        p_value=mcnemar(only_ours, only_second=only_theirs),
        test="McNemar, one run each",
    )
