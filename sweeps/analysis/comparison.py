"""What each rung of a ladder brought against the one it comes from, and whether chance may have brought it.

One run each compares two networks, three seeds or more compare two recipes; the words keep the two apart. The
same record serves `sweeps ablate`, where every rung comes from the full recipe.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sweeps.analysis.pairs import ALPHA, PairComparison, compare_with_parent, with_recipes_tested
from sweeps.analysis.rungs import RungRuns, budgets_of
from sweeps.analysis.statistics import apart_from_first, holm, holm_levels, student_interval, wilson_interval
from sweeps.core.formatting import points
from sweeps.core.trial import MeasuredOn


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
    protocol: tuple[Any, ...]
    """Equal for rungs whose accuracies compare: the same images, as many to train on, one budget."""
    status: str
    seeds: int
    """Runs that the numbers rest on, one a seed."""
    accuracies: tuple[float, ...]
    """Of each of them."""
    accuracy: float | None
    """Mean over the runs, share from 0 to 1; as the interval's ends, which are those of `ci_kind`."""
    ci_low: float | None
    ci_high: float | None
    ci_kind: str
    """`Wilson, one run` or `t, 3 seeds`: how the 95 % interval was made."""
    standard_error: float | None
    """Of the accuracy, as a share: over the seeds, or of one run over its images."""
    before: float | None
    """Accuracy of the parent under this budget."""
    has_learned: bool
    """Whether any run did: what did not is compared with nothing."""
    difference: float | None
    """To the parent, in points (100 × the difference of two shares); as its interval, which excludes 0 exactly where
    the difference is shown: it is of the level at which Holm's procedure decided, 95 % for a single comparison."""
    difference_low: float | None
    difference_high: float | None
    by_seed: tuple[float, ...]
    """In points, under each common seed, where these are too few for a test: `difference` is then None."""
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


def compare_rungs(rungs: Sequence[RungRuns]) -> list[RungComparison]:
    """Return one comparison a rung, in the same order.

    With three common seeds or more, two rungs are compared as recipes: a paired t-test of the accuracies, whose
    variance is moderated by those of the other comparisons of its budget where these are `MODERATED_FROM` or more. Two
    rungs of one run each are compared as networks, by McNemar's exact test. Otherwise nothing is tested, and the
    difference under each common seed is shown. Holm's adjustment goes over the recipe comparisons of one budget, and
    apart from those over its run comparisons.
    """
    assert len({(rung.name, rung.reduced) for rung in rungs}) == len(rungs), "a rung is listed once a budget"
    budgets = budgets_of(rungs)
    comparisons = with_recipes_tested(budgets, [compare_with_parent(rung, rungs) for rung in rungs])
    adjusted: list[tuple[float, float] | None] = [None] * len(rungs)
    families: dict[tuple[bool, int], list[tuple[int, float]]] = {}
    for index, (budget, comparison) in enumerate(zip(budgets, comparisons, strict=True)):
        if comparison.p_value is not None:
            families.setdefault((comparison.recipes, budget), []).append((index, comparison.p_value))
    for family in families.values():
        p_values = [p_value for _, p_value in family]
        decided = zip(holm(p_values), holm_levels(p_values, alpha=ALPHA), strict=True)
        for (index, _), p_and_level in zip(family, decided, strict=True):
            adjusted[index] = p_and_level
    parents = [rung.parent_among(rungs) for rung in rungs]
    rows = zip(rungs, parents, budgets, comparisons, adjusted, strict=True)
    return [_finished(rung, parent, budget, of, decided) for rung, parent, budget, of, decided in rows]


def _finished(
    rung: RungRuns,
    parent: RungRuns | None,
    budget: int,
    comparison: PairComparison,
    decided: tuple[float, float] | None,
) -> RungComparison:
    runs, difference = rung.shown, comparison.difference
    accuracies = tuple(run.accuracy for run in runs if run.accuracy is not None)
    images = runs[0].images if runs else None
    low, high, kind = _accuracy_interval(accuracies, images=images)
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
        images=images,
        protocol=(rung.measured_on, rung.split, budget, None if rung.budget is None else rung.budget.train_size),
        status=rung.status,
        seeds=len(runs),
        accuracies=accuracies,
        accuracy=_mean(accuracies),
        ci_low=low,
        ci_high=high,
        ci_kind=kind,
        standard_error=_standard_error(accuracies, images=images),
        before=None if parent is None or not rung.measured else _mean(run.accuracy for run in parent.measured),
        has_learned=bool(rung.measured),
        difference=difference,
        difference_low=None if ends is None else ends[0],
        difference_high=None if ends is None else ends[1],
        by_seed=comparison.by_seed,
        p_value=comparison.p_value,
        p_holm=p_holm,
        test=comparison.test,
        verdict=comparison.words("" if difference is None else f"{points(difference)} points", shown),
        finding=finding,
        parameters_millions=_mean(run.parameters_millions for run in runs),
        train_seconds=_mean(run.train_seconds for run in runs),
        images_per_second=_mean(run.images_per_second for run in runs),
    )


def _accuracy_interval(accuracies: Sequence[float], *, images: int | None) -> tuple[float | None, float | None, str]:
    if len(accuracies) > 1:
        _, low, high = student_interval(accuracies)
        # Two seeds that lie apart give an interval that reaches beyond what an accuracy can be.
        return max(low, 0.0), min(high, 1.0), f"t, {len(accuracies)} seeds"
    if not accuracies:
        return None, None, ""
    if images is None:
        return None, None, "none: the answer to each image is not recorded"
    return *wilson_interval(accuracies[0], images=images), "Wilson, one run"


def _standard_error(accuracies: Sequence[float], *, images: int | None) -> float | None:
    if len(accuracies) > 1:
        return statistics.stdev(accuracies) / math.sqrt(len(accuracies))
    if not accuracies or images is None:
        return None
    return math.sqrt(accuracies[0] * (1 - accuracies[0]) / images)


def by_protocol(comparisons: Iterable[RungComparison]) -> list[list[RungComparison]]:
    """Return the measured rungs of each protocol, the highest mean first; the protocol of most rungs comes first."""
    groups: dict[tuple[Any, ...], list[RungComparison]] = {}
    for each in comparisons:
        if each.has_learned:
            groups.setdefault(each.protocol, []).append(each)
    found = [sorted(group, key=lambda each: each.accuracy or 0.0, reverse=True) for group in groups.values()]
    return sorted(found, key=len, reverse=True)


def alike_to_first(rungs: Sequence[RungComparison]) -> list[RungComparison]:
    """Return the rungs of one protocol that cannot be told apart from the first of them, without it."""
    p_values = apart_from_first([each.accuracies for each in rungs], images=rungs[0].images)
    return [each for each, p_value in zip(rungs[1:], p_values, strict=True) if p_value > ALPHA]


def _mean(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return math.fsum(present) / len(present) if present else None
