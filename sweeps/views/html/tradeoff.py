"""Accuracy against parameters and training time: the Pareto front, and the simplest configuration near the best."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweeps.analysis.comparison import by_protocol
from sweeps.core.formatting import accuracy, duration, number, plural, points
from sweeps.views.html.content import MIN_AXIS_POINTS, Content, axis_range, is_logarithmic, mark_of_row
from sweeps.views.html.figure import Marks, Row, brush, by_kind, fade, figure, layer, numeric, zoom
from sweeps.views.html.text import safe


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One complete configuration with its result and its cost."""

    name: str
    mark: str
    accuracy: float
    """Share, 0 to 1."""
    error: float | None
    """Standard error of the accuracy; None if unknown."""
    parameters: float | None
    """Millions."""
    seconds: float | None
    """Training time of one run."""


PLAIN, FRONT, SIMPLEST = (
    "complete configuration",
    "on the Pareto front",
    "simplest within one standard error of the best",
)
_MARKS: Marks = {
    PLAIN: ("circle", "var(--blue)", "var(--blue)"),
    FRONT: ("circle", "var(--paper)", "var(--green)"),
    SIMPLEST: ("M0,-1L.3,-.3L1,-.3L.5,.2L.7,.9L0,.5L-.7,.9L-.5,.2L-1,-.3L-.3,-.3Z", "var(--orange)", "var(--orange)"),
}


def tradeoff_section(content: Content) -> str:
    """Return two charts, and the simplest configuration within one standard error of the best."""
    found = of_rungs(content) if content.is_ladder else of_rows(content)
    if not found:
        return "<p>No complete configuration has an accuracy.</p>"
    simplest = simplest_of(found)
    by_size = _figure(found, lambda c: c.parameters, label="parameters, millions", simplest=simplest, size=_millions)
    by_time = _figure(found, lambda c: c.seconds, label="training time, seconds", simplest=simplest, size=duration)
    complete = sum(rung.has_learned for rung in content.comparisons) or len(_ranked(content))
    summary = _summary(found, simplest, others=complete - len(found))
    return f'<p>{safe(summary)}</p><div class="charts">{by_size}{by_time}</div>'


def of_rows(content: Content) -> list[Configuration]:
    """Return the ranked configurations of the leaderboard with the protocol of the first one."""
    ranked = _ranked(content)
    found = []
    for row in ranked:
        if row["protocol"] != ranked[0]["protocol"]:
            continue
        share, seeds, error = float(row["val_accuracy"]), row["replicates"] or 1, None
        images = 0 if row["protocol"] is None else row["protocol"].validation_images
        if seeds > 1 and row["val_std"] is not None:
            error = float(row["val_std"]) / math.sqrt(seeds)
        elif images:
            error = math.sqrt(share * (1 - share) / images)
        found.append(
            Configuration(
                name=f"trial {row['trial']}",
                mark=mark_of_row(row),
                accuracy=share,
                error=error,
                parameters=row["parameters_millions"],
                seconds=row["train_seconds"],
            )
        )
    return found


def _ranked(content: Content) -> list[Mapping[str, Any]]:
    return [row for row in content.rows or () if row["rank"] is not None and row["val_accuracy"] is not None]


def of_rungs(content: Content) -> list[Configuration]:
    """Return the measured rungs of a ladder under the most frequent protocol; others are not comparable."""
    return [
        Configuration(
            name=rung.rung,
            mark=f"r{rung.index}",
            accuracy=rung.value or 0.0,
            error=rung.standard_error,
            parameters=rung.parameters_millions,
            seconds=rung.train_seconds,
        )
        for rung in next(iter(by_protocol(content.comparisons)), [])
        if rung.measure.is_share
    ]


def simplest_of(found: Sequence[Configuration]) -> Configuration | None:
    """Return the configuration with the fewest parameters within one standard error of the best; None if unknown.

    Ties are resolved by the training time. Source of the rule: Breiman, Friedman, Olshen and Stone, Classification and
    Regression Trees (1984).
    """
    best = max(found, key=lambda each: each.accuracy)
    if best.error is None:
        return None
    good = [each for each in found if each.accuracy >= best.accuracy - best.error and each.parameters is not None]
    return min(good, key=lambda each: (each.parameters, each.seconds or math.inf), default=None)


def pareto(found: Sequence[tuple[float, float]]) -> list[int]:
    """Return the indices of the Pareto front of pairs of cost and accuracy, by cost."""
    order = sorted(range(len(found)), key=lambda index: (found[index][0], -found[index][1]))
    front: list[int] = []
    for index in order:
        if not front or found[index][1] > found[front[-1]][1]:
            front.append(index)
    return front


def costs_of(
    found: Sequence[Configuration], cost_of: Callable[[Configuration], float | None], *, simplest: Configuration | None
) -> list[Row]:
    """Return the configurations with a known cost, by cost, marked if on the Pareto front or the simplest."""
    known = [(each, cost) for each in found if (cost := cost_of(each)) is not None and cost > 0]
    front = set(pareto([(cost, each.accuracy) for each, cost in known]))
    rows = [
        {
            "t": each.mark, "name": each.name, "cost": cost, "accuracy": 100 * each.accuracy,
            "is_front": index in front, "kind": SIMPLEST if each is simplest else FRONT if index in front else PLAIN,
        }
        for index, (each, cost) in enumerate(known)
    ]  # fmt: skip
    return sorted(rows, key=lambda row: (row["cost"], row["accuracy"]))


def _figure(
    found: Sequence[Configuration],
    cost_of: Callable[[Configuration], float | None],
    *,
    label: str,
    simplest: Configuration | None,
    size: Callable[[float], str],
) -> str:
    rows = costs_of(found, cost_of, simplest=simplest)
    if not rows:
        return ""
    log = is_logarithmic(row["cost"] for row in rows)
    front = [row for row in rows if row["is_front"]]
    stairs = [*front, front[-1] | {"cost": rows[-1]["cost"]}]
    x = numeric("cost", label + (" (logarithmic)" if log else ""), log=log)
    y = numeric("accuracy", "accuracy %", ends=axis_range((row["accuracy"] for row in rows), least=MIN_AXIS_POINTS))
    line = {"type": "line", "interpolate": "step-after", "strokeDash": [5, 3], "color": "var(--green)"}
    kinds = by_kind("kind", _MARKS, rows, columns=1)
    names = [f"{row['name']} ({accuracy(row['accuracy'] / 100)}, {size(row['cost'])})" for row in front]
    on_front = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    marks = layer(
        "costs", {"type": "point", "size": 60}, brush("x", "y"), zoom("x", "y"), x=x, y=y, opacity=fade(), **kinds
    )
    return figure(
        f"Accuracy against {label}",
        f"On the Pareto front: {on_front}.",
        layer("front", line, x=x, y=y),
        marks,
        height=250,
        rows={"costs": rows, "front": stairs},
        columns={"name": "configuration", "cost": label, "accuracy": "accuracy %", "kind": "kind"},
    )


def _millions(parameters: float) -> str:
    return f"{number(parameters)} M"


def _summary(found: Sequence[Configuration], simplest: Configuration | None, *, others: int) -> str:
    left_out = f" Not included: {plural(others, 'configuration')} with other images or budgets." if others else ""
    return _simplest_text(found, simplest) + left_out


def _simplest_text(found: Sequence[Configuration], simplest: Configuration | None) -> str:
    best = max(found, key=lambda each: each.accuracy)
    if len(found) == 1:
        return f"{best.name} cannot be compared: no other configuration is complete on the same images and budget."
    if simplest is None or best.error is None:
        return f"The best is {best.name} with {accuracy(best.accuracy)}. Its standard error is unknown."
    error = f"one standard error ({points(100 * best.error).lstrip('+')} points)"
    if simplest is best:
        return f"No simpler configuration is within {error} of the best, {best.name} with {accuracy(best.accuracy)}."
    lost = points(100 * (best.accuracy - simplest.accuracy)).lstrip("+")
    if best.parameters and simplest.parameters == best.parameters:
        size = "the same number of parameters"
        if best.seconds and simplest.seconds:
            size += f", trained in {duration(simplest.seconds)} instead of {duration(best.seconds)}"
    else:
        size = f"{number(simplest.parameters or 0)} instead of {number(best.parameters or 0)} million parameters"
    return (
        f"The simplest configuration within {error} of the best, {best.name} with {accuracy(best.accuracy)}, is "
        f"{simplest.name} with {accuracy(simplest.accuracy)}: {size}, {lost} points lower."
    )
