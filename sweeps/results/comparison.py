"""What each rung of a ladder brought against the one it comes from, and whether chance may have brought it.

One run each compares two networks, three seeds or more compare two recipes; the words keep the two apart. The
same record serves `sweeps ablate`, where every rung comes from the full recipe.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from sweeps.formatting import points
from sweeps.results.rungs import RungRun, RungRuns
from sweeps.results.statistics import (
    Spread,
    discordant_interval,
    holm,
    holm_levels,
    mcnemar,
    moderated,
    paired_t_interval,
    paired_t_test,
    spread_of,
    student_interval,
    wilson_interval,
)
from sweeps.spec import WHOLE
from sweeps.trial_record import MeasuredOn

if TYPE_CHECKING:
    import numpy as np

ALPHA = 0.05
"""A difference is shown where its Holm-adjusted p-value is at most this."""
RECIPE_SEEDS = 3
"""Common seeds that a statement about recipes takes at the least."""
MODERATED_FROM = 8
"""Comparisons of a ladder from which it is known what spread is typical of them."""
_NO_SPREAD = 1e-9
_SHOWN = f"shown at the {100 * ALPHA:.0f} % level"


class Finding(StrEnum):
    """What a comparison came to."""

    START = "start"
    HIGHER = "higher"
    LOWER = "lower"
    NOT_SHOWN = "not shown"
    NOT_COMPARED = "not compared"


@dataclass(frozen=True, kw_only=True)
class RungComparison:
    """One rung's result and its difference to the rung it comes from: what every view shows."""

    rung: str
    index: int
    parent: str | None
    change: str
    reduced: str | None
    measured_on: MeasuredOn
    """The images that the accuracies are of."""
    images: int | None
    """How many these are; None where the record does not say, or nothing is measured."""
    status: str
    seeds: int
    """Runs that the numbers rest on, one a seed."""
    accuracy: float | None
    """Mean over the runs, share from 0 to 1; as the interval's ends, which are those of `ci_kind`."""
    ci_low: float | None
    ci_high: float | None
    ci_kind: str
    """`Wilson, one run` or `t, 3 seeds`: how the 95 % interval was made."""
    difference: float | None
    """To the parent, in points (100 × the difference of two shares); as its interval, which excludes 0 exactly where
    the difference is shown: it is of the level at which Holm's procedure decided, 95 % for a single comparison."""
    difference_low: float | None
    difference_high: float | None
    p_value: float | None
    p_holm: float | None
    """Adjusted over the comparisons of the same kind and budget in this ladder."""
    test: str | None
    """`McNemar, one run each`, `paired t over 3 seeds`, `moderated t over 3 seeds`; None where nothing was tested."""
    verdict: str
    finding: Finding
    parameters_millions: float | None
    train_seconds: float | None
    """Mean over the runs; as `images_per_second`."""
    images_per_second: float | None


@dataclass(frozen=True, kw_only=True)
class _Comparison:
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
    only_first, only_second = int((first & ~second).sum()), int((~first & second).sum())
    ends = discordant_interval(only_first, only_second=only_second, images=len(first), alpha=ALPHA)
    return AnswersCompared(
        only_first=only_first,
        only_second=only_second,
        difference=100 * (only_first - only_second) / len(first),
        low=None if ends is None else 100 * ends[0],
        high=None if ends is None else 100 * ends[1],
        p_value=mcnemar(only_first, only_second=only_second),
    )


def compare_rungs(rungs: Sequence[RungRuns]) -> list[RungComparison]:
    """Return one comparison a rung, in the same order.

    With three common seeds or more, two rungs are compared as recipes: a paired t-test of the accuracies, whose
    variance is moderated by those of the other comparisons of its budget where these are `MODERATED_FROM` or more. With
    fewer they are compared as networks: McNemar's exact test on the runs of the first common seed. Holm's
    adjustment goes over the recipe comparisons of one budget, and apart from those over its run comparisons.
    """
    known = {(rung.name, rung.reduced): rung for rung in rungs}
    assert len(known) == len(rungs), "a rung is listed once a budget"
    budgets: dict[str, list[str | None]] = {}
    for rung in rungs:
        budgets.setdefault(rung.name, []).append(rung.reduced)
    comparisons = [
        _compared(rung, parent=known.get((rung.parent or "", rung.reduced)), budgets=budgets) for rung in rungs
    ]
    comparisons = _recipes_tested(rungs, comparisons)
    adjusted: list[tuple[float, float] | None] = [None] * len(rungs)
    families: dict[tuple[bool, str | None], list[tuple[int, float]]] = {}
    for index, (rung, comparison) in enumerate(zip(rungs, comparisons, strict=True)):
        if comparison.p_value is not None:
            families.setdefault((comparison.recipes, rung.reduced), []).append((index, comparison.p_value))
    for family in families.values():
        p_values = [p_value for _, p_value in family]
        decided = zip(holm(p_values), holm_levels(p_values, alpha=ALPHA), strict=True)
        for (index, _), p_and_level in zip(family, decided, strict=True):
            adjusted[index] = p_and_level
    return [_finished(rung, of, decided) for rung, of, decided in zip(rungs, comparisons, adjusted, strict=True)]


def _finished(rung: RungRuns, comparison: _Comparison, decided: tuple[float, float] | None) -> RungComparison:
    runs, difference = rung.measured, comparison.difference
    low, high, kind = _accuracy_interval(runs)
    p_holm, level = decided or (None, None)
    ends = None if level is None else comparison.interval(level)
    shown = level is not None and comparison.p_value is not None and comparison.p_value <= level
    finding = Finding.NOT_SHOWN if comparison.test else Finding.NOT_COMPARED
    if rung.parent is None:
        finding = Finding.START
    elif shown and difference is not None:
        finding = Finding.HIGHER if difference > 0 else Finding.LOWER
    return RungComparison(
        rung=rung.name,
        index=rung.index,
        parent=rung.parent,
        change=rung.change,
        reduced=rung.reduced,
        measured_on=rung.measured_on,
        images=runs[0].images if runs else None,
        status=rung.status,
        seeds=len(runs),
        accuracy=_mean(run.accuracy for run in runs),
        ci_low=low,
        ci_high=high,
        ci_kind=kind,
        difference=difference,
        difference_low=None if ends is None else ends[0],
        difference_high=None if ends is None else ends[1],
        p_value=comparison.p_value,
        p_holm=p_holm,
        test=comparison.test,
        verdict=comparison.words("" if difference is None else f"{points(difference)} points", shown),
        finding=finding,
        parameters_millions=_mean(run.parameters_millions for run in runs),
        train_seconds=_mean(run.train_seconds for run in runs),
        images_per_second=_mean(run.images_per_second for run in runs),
    )


def _compared(rung: RungRuns, *, parent: RungRuns | None, budgets: dict[str, list[str | None]]) -> _Comparison:
    def refused(reason: str) -> _Comparison:
        return _Comparison(words=lambda _points, _shown: reason)

    if not rung.measured:
        return refused(f"no result: {rung.status}")
    if rung.parent is None:
        return refused("nothing is left out" if rung.name == WHOLE else "the ladder starts here")
    if parent is None:
        there = rung.parent in budgets
        return refused(f"not compared: {'different budgets' if there else f'{rung.parent} is not recorded here'}")
    if parent.measured_on is not rung.measured_on:
        return refused(f"not compared: {parent.name} was measured on {parent.measured_on} images")
    if parent.split != rung.split:
        return refused(f"not compared: {parent.name} was measured on other validation images")
    if not parent.measured:
        return refused(f"not compared: {parent.name} has no result ({parent.status})")
    ours, theirs = ({run.seed: run for run in of.measured} for of in (rung, parent))
    common = sorted(ours.keys() & theirs.keys())
    if len(common) >= RECIPE_SEEDS:
        pairs = [(ours[seed].accuracy or 0.0, theirs[seed].accuracy or 0.0) for seed in common]
        return _recipes_compared(pairs, seeds=max(len(ours), len(theirs)))
    if any(run.correct is None for run in (*rung.measured, *parent.measured)):
        return _means_compared([(ours[seed], theirs[seed]) for seed in common])
    first = common[0] if common else None
    several = len(ours) > 1 or len(theirs) > 1
    run, other = (of[min(of) if first is None else first] for of in (ours, theirs))
    which = f" (seed {first})" if several and first is not None else ""
    if first is None:
        which = f" (seeds {run.seed} and {other.seed})"
    few = f"; fewer than {RECIPE_SEEDS} common seeds say nothing of recipes" if several else ""
    return _runs_compared(run, other, which=which, more=few)


def _recipes_compared(pairs: list[tuple[float, float]], *, seeds: int) -> _Comparison:
    ours, theirs = ([100 * pair[side] for pair in pairs] for side in (0, 1))
    differences = [one - other for one, other in zip(ours, theirs, strict=True)]
    mean = math.fsum(differences) / len(differences)
    if max(differences) - min(differences) < _NO_SPREAD:
        return _Comparison(
            words=lambda points, _: f"not tested: the same difference ({points}) in every seed, no spread to judge by",
            difference=mean,
        )

    partly = f" (the {len(pairs)} seeds in common of {seeds})" if seeds > len(pairs) else ""
    return _Comparison(
        words=lambda points, shown: (
            (f"{points}, {_SHOWN}" if shown else f"no difference that can be shown ({points})") + partly
        ),
        difference=mean,
        differences=differences,
        recipes=True,
    )


def _recipes_tested(rungs: Sequence[RungRuns], comparisons: Sequence[_Comparison]) -> list[_Comparison]:
    """Return the comparisons with a test of each that is of recipes."""
    tested = list(comparisons)
    families: dict[str | None, list[int]] = {}
    for index, (rung, comparison) in enumerate(zip(rungs, comparisons, strict=True)):
        if comparison.recipes:
            families.setdefault(rung.reduced, []).append(index)
    for family in families.values():
        spreads = [spread_of(comparisons[index].differences) for index in family]
        is_moderated = len(family) >= MODERATED_FROM
        for index, spread in zip(family, moderated(spreads) if is_moderated else spreads, strict=True):
            tested[index] = _recipe_tested(
                comparisons[index], spread, name="moderated t" if is_moderated else "paired t"
            )
    return tested


def _recipe_tested(comparison: _Comparison, spread: Spread, *, name: str) -> _Comparison:
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


def _means_compared(pairs: Sequence[tuple[RungRun, RungRun]]) -> _Comparison:
    """Set means over the seeds in common against each other, of which no test can be made: there are too few."""
    few = f"without the answer to each image it takes {RECIPE_SEEDS} seeds"
    if not pairs:
        return _Comparison(words=lambda _points, _shown: f"not compared: {few} in common")
    differences = [100 * ((ours.accuracy or 0.0) - (theirs.accuracy or 0.0)) for ours, theirs in pairs]
    return _Comparison(
        words=lambda points, _: f"not tested ({points}): {few}", difference=math.fsum(differences) / len(differences)
    )


def _runs_compared(run: RungRun, other: RungRun, *, which: str, more: str) -> _Comparison:
    assert run.correct is not None
    assert other.correct is not None
    if len(run.correct) != len(other.correct):
        return _Comparison(words=lambda _points, _shown: "not compared: tested on different images")
    only_ours = int((run.correct & ~other.correct).sum())
    only_theirs = int((~run.correct & other.correct).sum())
    images = len(run.correct)

    def interval(alpha: float) -> tuple[float, float] | None:
        ends = discordant_interval(only_ours, only_second=only_theirs, images=images, alpha=alpha)
        return None if ends is None else (100 * ends[0], 100 * ends[1])

    def words(points: str, shown: bool) -> str:
        if only_ours == only_theirs == 0:
            return f"these two runs{which} are right on exactly the same images{more}"
        said = f"differ by {points}" if shown else f"do not differ measurably ({points})"
        return f"these two runs{which} {said}{more}"

    return _Comparison(
        words=words,
        difference=100 * (only_ours - only_theirs) / images,
        interval=interval,
        p_value=mcnemar(only_ours, only_second=only_theirs),
        test="McNemar, one run each",
    )


def _accuracy_interval(runs: Sequence[RungRun]) -> tuple[float | None, float | None, str]:
    accuracies = [run.accuracy for run in runs if run.accuracy is not None]
    if len(accuracies) > 1:
        _, low, high = student_interval(accuracies)
        # Two seeds that lie apart give an interval that reaches beyond what an accuracy can be.
        return max(low, 0.0), min(high, 1.0), f"t, {len(accuracies)} seeds"
    if not accuracies:
        return None, None, ""
    if runs[0].images is None:
        return None, None, "none: the answer to each image is not recorded"
    return *wilson_interval(accuracies[0], images=runs[0].images), "Wilson, one run"


def _mean(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return math.fsum(present) / len(present) if present else None
