"""Compare each rung of a ladder with its parent, and test whether the difference is significant.

One run each compares two networks. Three seeds or more compare two recipes. The verdicts keep the two apart.
`sweeps ablate` uses the same records: there the parent of every rung is the full recipe.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from sweeps.analysis.pairs import ALPHA, PairComparison, add_recipe_tests, compare_with_parent
from sweeps.analysis.rungs import RungRuns, budgets_of
from sweeps.analysis.statistics import holm, holm_levels, p_values_against_first, student_interval, wilson_interval
from sweeps.core.measure import Measure
from sweeps.core.trial import MeasuredOn


class Finding(StrEnum):
    """Result of a comparison."""

    START = "start"
    BETTER = "better"
    WORSE = "worse"
    NOT_SIGNIFICANT = "not significant"
    NOT_COMPARED = "not compared"


@dataclass(frozen=True, kw_only=True)
class RungComparison:
    """Result of one rung and its difference to its parent; the input of every view."""

    rung: str
    index: int
    parent: str | None
    change: str
    reduced: str | None
    measured_on: MeasuredOn
    metric: str
    """The number that it is compared by: `test_accuracy`, `val_accuracy`, or the metric of a custom training."""
    maximize: bool
    """Whether larger values are better."""
    images: int | None
    """Number of images that an accuracy is measured on; None if unknown or not measured."""
    protocol: tuple[Any, ...]
    """Equal for rungs with comparable values: same images, same number of training images, same budget."""
    status: str
    seeds: int
    """Number of runs that count, one per seed."""
    values: tuple[float, ...]
    """The number of each of them: an accuracy from 0 to 1, or any metric."""
    value: float | None
    """Mean over the runs, with a 95 % interval."""
    ci_low: float | None
    ci_high: float | None
    ci_kind: str
    """Method of the interval: `Wilson, one run` or `t, 3 seeds`."""
    standard_error: float | None
    """Standard error of the value: over the seeds, or of one run over its images."""
    before: float | None
    """Value of the parent under this budget."""
    has_learned: bool
    """Whether any run is better than chance. Other rungs are not compared."""
    difference: float | None
    """Difference to the parent, of accuracies in points (100 × their difference), with its interval. The interval has
    the level at which Holm's procedure decided, 95 % for a single comparison: it excludes 0 if and only if the
    difference is significant."""
    difference_low: float | None
    difference_high: float | None
    by_seed: tuple[float, ...]
    """Difference for each common seed if there are too few seeds for a test. `difference` is then None."""
    p_value: float | None
    p_holm: float | None
    """p-value adjusted over the comparisons of the same kind and budget in this ladder."""
    test: str | None
    """`McNemar, one run each`, `paired t over 3 seeds`, `moderated t over 3 seeds`; None without a test."""
    verdict: str
    finding: Finding
    parameters_millions: float | None
    train_seconds: float | None
    """Mean over the runs."""
    images_per_second: float | None
    """Mean over the runs."""

    @property
    def measure(self) -> Measure:
        """The number that it is compared by."""
        return Measure(name=self.metric, maximize=self.maximize)


def compare_rungs(rungs: Sequence[RungRuns]) -> list[RungComparison]:
    """Return one comparison per rung, in the same order.

    Rungs with three or more common seeds are compared as recipes, by a paired t-test of the values. Its variance is
    moderated by those of the other comparisons of the budget if there are at least `MIN_MODERATED_COMPARISONS`. Rungs
    with one run each are compared as networks, by McNemar's exact test. Other rungs are not tested; `by_seed` has their
    differences. Holm's adjustment covers the recipe comparisons of one budget, and separately its network comparisons.
    """
    assert len({(rung.name, rung.reduced) for rung in rungs}) == len(rungs), "a rung is listed once per budget"
    budgets = budgets_of(rungs)
    comparisons = add_recipe_tests(budgets, [compare_with_parent(rung, rungs) for rung in rungs])
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
    parents = [rung.find_parent(rungs) for rung in rungs]
    rows = zip(rungs, parents, budgets, comparisons, adjusted, strict=True)
    return [_rung_comparison(*row) for row in rows]


def _rung_comparison(
    rung: RungRuns,
    parent: RungRuns | None,
    budget: int,
    comparison: PairComparison,
    decided: tuple[float, float] | None,
) -> RungComparison:
    runs, difference = rung.shown, comparison.difference
    values = tuple(run.value for run in runs if run.value is not None)
    images = runs[0].images if runs else None
    low, high, kind = _interval(values, images=images, is_share=rung.measure.is_share)
    p_holm, level = decided or (None, None)
    ends = None if level is None else comparison.interval(level)
    is_significant = level is not None and comparison.p_value is not None and comparison.p_value <= level
    finding = Finding.NOT_SIGNIFICANT if comparison.test else Finding.NOT_COMPARED
    if rung.parent is None:
        finding = Finding.START
    elif is_significant and difference is not None:
        finding = Finding.BETTER if rung.measure.is_better(difference) else Finding.WORSE
    return RungComparison(
        rung=rung.name,
        index=rung.index,
        parent=rung.parent,
        change=rung.change,
        reduced=rung.reduced,
        measured_on=rung.measured_on,
        metric=rung.measure.name,
        maximize=rung.measure.maximize,
        images=images,
        protocol=(
            rung.measured_on,
            rung.measure.name,
            rung.split,
            budget,
            None if rung.budget is None else rung.budget.train_size,
        ),
        status=rung.status,
        seeds=len(runs),
        values=values,
        value=_mean(values),
        ci_low=low,
        ci_high=high,
        ci_kind=kind,
        standard_error=_standard_error(values, images=images),
        before=None if parent is None or not rung.measured else _mean(run.value for run in parent.measured),
        has_learned=bool(rung.measured),
        difference=difference,
        difference_low=None if ends is None else ends[0],
        difference_high=None if ends is None else ends[1],
        by_seed=comparison.by_seed,
        p_value=comparison.p_value,
        p_holm=p_holm,
        test=comparison.test,
        verdict=comparison.verdict("" if difference is None else rung.measure.difference(difference), is_significant),
        finding=finding,
        parameters_millions=_mean(run.parameters_millions for run in runs),
        train_seconds=_mean(run.train_seconds for run in runs),
        images_per_second=_mean(run.images_per_second for run in runs),
    )


def _interval(values: Sequence[float], *, images: int | None, is_share: bool) -> tuple[float | None, float | None, str]:
    if len(values) > 1:
        _, low, high = student_interval(values)
        # The t interval of few seeds may exceed the range of an accuracy.
        ends = (max(low, 0.0), min(high, 1.0)) if is_share else (low, high)
        return *ends, f"t, {len(values)} seeds"
    if not values:
        return None, None, ""
    if not is_share:
        return None, None, "none: one run"
    if images is None:
        return None, None, "none: predictions per image are not recorded"
    return *wilson_interval(values[0], images=images), "Wilson, one run"


def _standard_error(values: Sequence[float], *, images: int | None) -> float | None:
    if len(values) > 1:
        return statistics.stdev(values) / math.sqrt(len(values))
    if not values or images is None:
        return None
    return math.sqrt(values[0] * (1 - values[0]) / images)


def by_protocol(comparisons: Iterable[RungComparison]) -> list[list[RungComparison]]:
    """Return the measured rungs of each protocol, the best mean first; the protocol with the most rungs comes first."""
    groups: dict[tuple[Any, ...], list[RungComparison]] = {}
    for each in comparisons:
        if each.has_learned:
            groups.setdefault(each.protocol, []).append(each)
    ranked = [sorted(group, key=lambda each: each.value or 0.0, reverse=group[0].maximize) for group in groups.values()]
    return sorted(ranked, key=len, reverse=True)


def indistinguishable_from_first(rungs: Sequence[RungComparison]) -> list[RungComparison]:
    """Return the rungs of one protocol that do not differ significantly from the first one, without it.

    Rungs with one run each are tested as networks on the same images, and not at all by another metric.
    """
    if not rungs[0].measure.is_share:
        rungs = [rungs[0], *(each for each in rungs[1:] if min(len(each.values), len(rungs[0].values)) > 1)]
    p_values = p_values_against_first([each.values for each in rungs], images=rungs[0].images)
    return [each for each, p_value in zip(rungs[1:], p_values, strict=True) if p_value > ALPHA]


def _mean(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return math.fsum(present) / len(present) if present else None
