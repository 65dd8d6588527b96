"""What each rung of a ladder brought against the one it comes from, and how sure that is.

One run each compares two networks, three seeds or more compare two recipes; the words keep the two apart. The
same record serves `sweeps ablate`, where every rung comes from the full recipe.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from sweeps.rungs import RungRun, RungRuns
from sweeps.statistics import holm, mcnemar, newcombe_interval, student_interval, wilson_interval

if TYPE_CHECKING:
    pass

ALPHA = 0.05
"""A difference is shown where its Holm-adjusted p-value is at most this."""
RECIPE_SEEDS = 3
"""Common seeds that a statement about recipes takes at the least."""
SMALLEST_P = 1e-99
"""A smaller p-value is written as this one: the exact binomial underflows to 0, which no p-value is."""
_NO_SPREAD = 1e-9


class Finding(StrEnum):
    """What a comparison came to."""

    START = "start"
    HIGHER = "higher"
    LOWER = "lower"
    NOT_SHOWN = "not shown"
    NOT_COMPARED = "not compared"


@dataclass(frozen=True, kw_only=True)
class Gain:
    """One rung's result and its difference to the rung it comes from: what every view shows."""

    rung: str
    place: int
    came_from: str | None
    change: str
    reduced: str | None
    status: str
    seeds: int
    """Runs that the numbers rest on, one a seed."""
    test_accuracy: float | None
    """Mean over the runs, share from 0 to 1; as the interval's ends, which are those of `ci_kind`."""
    ci_low: float | None
    ci_high: float | None
    ci_kind: str
    """`Wilson, one run` or `t, 3 seeds`: how the 95 % interval was made."""
    difference: float | None
    """To `came_from`, in points (100 × the difference of two shares); as its 95 % interval."""
    difference_low: float | None
    difference_high: float | None
    p_value: float | None
    p_holm: float | None
    """Adjusted over the comparisons of the same kind and budget in this ladder."""
    test: str | None
    """`McNemar, one run each`, `paired t over 3 seeds`, or None where nothing was tested."""
    verdict: str
    finding: Finding
    parameters_millions: float | None
    train_seconds: float | None
    """Mean over the runs; as `images_per_second`."""
    images_per_second: float | None

    def cells(self) -> dict[str, str]:
        """Return every value as the text that terminal, CSV, page and picture show; empty where there is none.

        The one place that rounds: percents and points to 2 decimals, p-values to 2 digits.
        """
        return {name: cell(self) for name, cell in CELLS.items()}

    def accuracy_interval(self) -> str:
        """Return `65.17–67.02`, in percent; empty where there is none."""
        cells = self.cells()
        return f"{cells['ci_low_percent']}–{cells['ci_high_percent']}" if self.ci_low is not None else ""

    def difference_interval(self) -> str:
        """Return `+1.30 to +3.10`, in points; empty where there is none."""
        cells = self.cells()
        return f"{cells['difference_low']} to {cells['difference_high']}" if self.difference_low is not None else ""


CELLS: Mapping[str, Callable[[Gain], str]] = {
    "rung": lambda gain: gain.rung,
    "from": lambda gain: gain.came_from or "",
    "change": lambda gain: gain.change,
    "budget": lambda gain: "full" if gain.reduced is None else f"reduced: {gain.reduced}",
    "status": lambda gain: gain.status,
    "runs": lambda gain: str(gain.seeds),
    "test_accuracy_percent": lambda gain: _format(gain.test_accuracy, _percent),
    "ci_low_percent": lambda gain: _format(gain.ci_low, _percent),
    "ci_high_percent": lambda gain: _format(gain.ci_high, _percent),
    "interval": lambda gain: gain.ci_kind,
    "difference_points": lambda gain: _format(gain.difference, signed),
    "difference_low": lambda gain: _format(gain.difference_low, signed),
    "difference_high": lambda gain: _format(gain.difference_high, signed),
    "p_value": lambda gain: _format(gain.p_value, _p_text),
    "p_holm": lambda gain: _format(gain.p_holm, _p_text),
    "test": lambda gain: gain.test or "",
    "verdict": lambda gain: gain.verdict,
    "parameters_millions": lambda gain: _format(gain.parameters_millions, "{:.3f}".format),
    "train_seconds": lambda gain: _format(gain.train_seconds, "{:.0f}".format),
    "images_per_second": lambda gain: _format(gain.images_per_second, "{:.0f}".format),
}
"""The columns of `ladder.csv`, in order, each with what it holds of a gain."""


@dataclass(frozen=True, kw_only=True)
class _Comparison:
    """Two rungs set against each other, before Holm's adjustment."""

    words: Callable[[str, bool], str]
    """From the difference's text and whether it is shown, the verdict."""
    difference: float | None = None
    low: float | None = None
    high: float | None = None
    p_value: float | None = None
    test: str | None = None
    recipes: bool = False


def gains(rungs: Sequence[RungRuns]) -> list[Gain]:
    """Return one gain a rung, in the same order.

    With three common seeds or more, two rungs are compared as recipes: a paired t-test of the accuracies. With
    fewer they are compared as networks: McNemar's exact test on the runs of the first common seed. Holm's
    adjustment goes over the recipe comparisons of one budget, and apart from those over its run comparisons.
    """
    known = {(rung.name, rung.reduced): rung for rung in rungs}
    assert len(known) == len(rungs), "a rung is listed once a budget"
    budgets: dict[str, list[str | None]] = {}
    for rung in rungs:
        budgets.setdefault(rung.name, []).append(rung.reduced)
    comparisons = [
        _compared(rung, parent=known.get((rung.came_from or "", rung.reduced)), budgets=budgets) for rung in rungs
    ]
    adjusted: list[float | None] = [None] * len(rungs)
    families: dict[tuple[bool, str | None], list[tuple[int, float]]] = {}
    for index, (rung, comparison) in enumerate(zip(rungs, comparisons, strict=True)):
        if comparison.p_value is not None:
            families.setdefault((comparison.recipes, rung.reduced), []).append((index, comparison.p_value))
    for family in families.values():
        for (index, _), p_holm in zip(family, holm([p for _, p in family]), strict=True):
            adjusted[index] = p_holm
    return [_gain(rung, of, p_holm) for rung, of, p_holm in zip(rungs, comparisons, adjusted, strict=True)]


def _gain(rung: RungRuns, comparison: _Comparison, p_holm: float | None) -> Gain:
    runs, difference = rung.tested, comparison.difference
    low, high, kind = _accuracy_interval(runs)
    shown = p_holm is not None and p_holm <= ALPHA
    finding = Finding.NOT_SHOWN if comparison.test else Finding.NOT_COMPARED
    if rung.came_from is None:
        finding = Finding.START
    elif shown and difference is not None:
        finding = Finding.HIGHER if difference > 0 else Finding.LOWER
    return Gain(
        rung=rung.name,
        place=rung.place,
        came_from=rung.came_from,
        change=rung.change,
        reduced=rung.reduced,
        status=rung.status,
        seeds=len(runs),
        test_accuracy=_mean(run.test_accuracy for run in runs),
        ci_low=low,
        ci_high=high,
        ci_kind=kind,
        difference=difference,
        difference_low=comparison.low,
        difference_high=comparison.high,
        p_value=comparison.p_value,
        p_holm=p_holm,
        test=comparison.test,
        verdict=comparison.words("" if difference is None else f"{signed(difference)} points", shown),
        finding=finding,
        parameters_millions=_mean(run.parameters_millions for run in runs),
        train_seconds=_mean(run.train_seconds for run in runs),
        images_per_second=_mean(run.images_per_second for run in runs),
    )


def _compared(rung: RungRuns, *, parent: RungRuns | None, budgets: dict[str, list[str | None]]) -> _Comparison:
    def refused(reason: str) -> _Comparison:
        return _Comparison(words=lambda _points, _shown: reason)

    if not rung.tested:
        return refused(f"no result: {rung.status}")
    if rung.came_from is None:
        return refused("the ladder starts here")
    if parent is None:
        there = rung.came_from in budgets
        return refused(f"not compared: {'different budgets' if there else f'{rung.came_from} is not recorded here'}")
    if not parent.tested:
        return refused(f"not compared: {parent.name} has no result ({parent.status})")
    ours, theirs = ({run.seed: run for run in of.tested} for of in (rung, parent))
    common = sorted(ours.keys() & theirs.keys())
    if len(common) >= RECIPE_SEEDS:
        pairs = [(ours[seed].test_accuracy or 0.0, theirs[seed].test_accuracy or 0.0) for seed in common]
        return _recipes_compared(pairs, seeds=max(len(ours), len(theirs)))
    first = common[0] if common else None
    several = len(ours) > 1 or len(theirs) > 1
    run, other = (of[min(of) if first is None else first] for of in (ours, theirs))
    which = f" (seed {first})" if several and first is not None else ""
    if first is None:
        which = f" (seeds {run.seed} and {other.seed})"
    few = f"; fewer than {RECIPE_SEEDS} common seeds say nothing of recipes" if several else ""
    return _runs_compared(run, other, which=which, more=few)


def _recipes_compared(pairs: list[tuple[float, float]], *, seeds: int) -> _Comparison:
    from scipy import stats

    differences = [100 * (ours - theirs) for ours, theirs in pairs]
    deviation, low, high = student_interval(differences)
    mean = math.fsum(differences) / len(differences)
    if deviation < _NO_SPREAD:
        return _Comparison(
            words=lambda points, _: f"not tested: the same difference ({points}) in every seed, no spread to judge by",
            difference=mean,
        )
    p_value = float(stats.ttest_rel([ours for ours, _ in pairs], [theirs for _, theirs in pairs]).pvalue)
    partly = f" (the {len(pairs)} seeds in common of {seeds})" if seeds > len(pairs) else ""
    return _Comparison(
        words=lambda points, shown: (
            (f"{points}, sure" if shown else f"no difference that can be shown ({points})") + partly
        ),
        difference=mean,
        low=max(low, -100.0),
        high=min(high, 100.0),
        p_value=p_value,
        test=f"paired t over {len(pairs)} seeds",
        recipes=True,
    )


def _runs_compared(run: RungRun, other: RungRun, *, which: str, more: str) -> _Comparison:
    if run.correct is None or other.correct is None:
        return _Comparison(
            words=lambda points, _: f"not tested ({points}): the answer to each image is not recorded",
            difference=100 * ((run.test_accuracy or 0.0) - (other.test_accuracy or 0.0)),
        )
    if len(run.correct) != len(other.correct):
        return _Comparison(words=lambda _points, _shown: "not compared: tested on different images")
    only_ours = int((run.correct & ~other.correct).sum())
    only_theirs = int((~run.correct & other.correct).sum())
    both, images = int((run.correct & other.correct).sum()), len(run.correct)
    low, high = newcombe_interval(both=both, only_first=only_ours, only_second=only_theirs, images=images)

    def words(points: str, shown: bool) -> str:
        if only_ours == only_theirs == 0:
            return f"these two runs{which} are right on exactly the same images{more}"
        said = f"differ by {points}" if shown else f"do not differ measurably ({points})"
        return f"these two runs{which} {said}{more}"

    return _Comparison(
        words=words,
        difference=100 * (only_ours - only_theirs) / images,
        low=100 * low,
        high=100 * high,
        p_value=mcnemar(only_ours, only_second=only_theirs),
        test="McNemar, one run each",
    )


def signed(points: float) -> str:
    """Return `+4.12`, `-0.30`, and `+0.00` for what rounds to nothing."""
    return f"{round(points, 2) + 0.0:+.2f}"


def _accuracy_interval(runs: Sequence[RungRun]) -> tuple[float | None, float | None, str]:
    accuracies = [run.test_accuracy for run in runs if run.test_accuracy is not None]
    if len(accuracies) > 1:
        _, low, high = student_interval(accuracies)
        # Two seeds that lie apart give an interval that reaches beyond what an accuracy can be.
        return max(low, 0.0), min(high, 1.0), f"t, {len(accuracies)} seeds"
    if not accuracies:
        return None, None, ""
    if runs[0].correct is None:
        return None, None, "none: the answer to each image is not recorded"
    return *wilson_interval(accuracies[0], images=len(runs[0].correct)), "Wilson, one run"


def _mean(values: Iterable[float | None]) -> float | None:
    present = [value for value in values if value is not None]
    return math.fsum(present) / len(present) if present else None


def _format(value: float | None, pattern: Callable[[float], str]) -> str:
    return "" if value is None else pattern(value)


def _percent(share: float) -> str:
    return f"{100 * share:.2f}"


def _p_text(p_value: float) -> str:
    return f"{max(p_value, SMALLEST_P):.2g}"
