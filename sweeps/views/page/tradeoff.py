"""Accuracy against what it costs: parameters and seconds, what nothing beats in both, and the simplest good one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sweeps.formatting import accuracy, duration, number, plural, points
from sweeps.results import by_protocol
from sweeps.views.page.content import LEAST_POINTS, Content, mark_of_row
from sweeps.views.page.scale import is_logarithmic, linear, logarithmic
from sweeps.views.page.svg import Chart, figure, legend, steps
from sweeps.views.page.text import safe


@dataclass(frozen=True, kw_only=True)
class Configuration:
    """One complete configuration with its result and its cost."""

    name: str
    mark: str
    accuracy: float
    """Share, 0 to 1."""
    error: float | None
    """Standard error of the accuracy; None where it cannot be said."""
    parameters: float | None
    """Millions."""
    seconds: float | None
    """Training time of one run."""


def tradeoff_section(content: Content) -> str:
    """Return two charts, and which configuration is the simplest of the good ones."""
    found = of_rungs(content) if content.is_ladder else of_rows(content)
    if not found:
        return "<p>No configuration came to its end with an accuracy.</p>"
    simplest = simplest_of(found)
    by_size = _chart(found, lambda c: c.parameters, label="parameters, millions", simplest=simplest, size=_millions)
    by_time = _chart(found, lambda c: c.seconds, label="training time, seconds", simplest=simplest, size=duration)
    keys = legend(
        [
            ("dot", "complete configuration"),
            ("ring front", "on the Pareto front"),
            ("line front", "Pareto front"),
            ("star", "simplest within one standard error of the best"),
        ]
    )
    complete = sum(rung.has_learned for rung in content.comparisons) or len(_ranked(content))
    words = _words(found, simplest, others=complete - len(found))
    return f'<p>{safe(words)}</p>{keys}<div class="charts">{by_size}{by_time}</div>'


def of_rows(content: Content) -> list[Configuration]:
    """Return the ranked configurations of the leaderboard that share the protocol of the first."""
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
    """Return the measured rungs of a ladder under the protocol that most of them have: no others compare."""
    return [
        Configuration(
            name=rung.rung,
            mark=f"r{rung.index}",
            accuracy=rung.accuracy or 0.0,
            error=rung.standard_error,
            parameters=rung.parameters_millions,
            seconds=rung.train_seconds,
        )
        for rung in next(iter(by_protocol(content.comparisons)), [])
    ]


def simplest_of(found: Sequence[Configuration]) -> Configuration | None:
    """Return the one with the fewest parameters among those within one standard error of the best; None where unknown.

    Of equally many parameters the quicker one. Source: Breiman, Friedman, Olshen and Stone, Classification and
    Regression Trees (1984), for the rule.
    """
    best = max(found, key=lambda each: each.accuracy)
    if best.error is None:
        return None
    good = [each for each in found if each.accuracy >= best.accuracy - best.error and each.parameters is not None]
    return min(good, key=lambda each: (each.parameters, each.seconds or math.inf), default=None)


def pareto(found: Sequence[tuple[float, float]]) -> list[int]:
    """Return which pairs of a cost and an accuracy no other beats in one without being worse in the other, by cost."""
    order = sorted(range(len(found)), key=lambda place: (found[place][0], -found[place][1]))
    front: list[int] = []
    for place in order:
        if not front or found[place][1] > found[front[-1]][1]:
            front.append(place)
    return front


def _chart(
    found: Sequence[Configuration],
    cost_of: Callable[[Configuration], float | None],
    *,
    label: str,
    simplest: Configuration | None,
    size: Callable[[float], str],
) -> str:
    shown = [(each, cost) for each in found if (cost := cost_of(each)) is not None and cost > 0]
    if not shown:
        return ""
    costs = [cost for _, cost in shown]
    log = is_logarithmic(costs)
    chart = Chart(
        x=logarithmic(costs) if log else linear(costs),
        y=linear([100 * each.accuracy for each, _ in shown], least=LEAST_POINTS),
        x_label=label + (" (logarithmic)" if log else ""),
        y_label="accuracy %",
        height=280,
    )
    front = pareto([(cost, each.accuracy) for each, cost in shown])
    chart.line(steps([(shown[k][1], 100 * shown[k][0].accuracy) for k in front], until=chart.x.high), kind="front")
    for place, (each, cost) in enumerate(shown):
        tip = f"{each.name}: {accuracy(each.accuracy)}, {size(cost)}"
        if place in front:
            chart.mark("ring", cost, 100 * each.accuracy, kind="front", trial=each.mark)
        chart.mark("star" if each is simplest else "dot", cost, 100 * each.accuracy, trial=each.mark, tip=tip)
    names = [f"{shown[k][0].name} ({accuracy(shown[k][0].accuracy)}, {size(shown[k][1])})" for k in front]
    on_front = ", ".join(names[:6]) + (f" and {len(names) - 6} more" if len(names) > 6 else "")
    says = f"On the front: {on_front}."
    return figure(chart.render(label=f"Accuracy against {label}. {says}"), caption=f"<p>{safe(says)}</p>")


def _millions(parameters: float) -> str:
    return f"{number(parameters)} M"


def _words(found: Sequence[Configuration], simplest: Configuration | None, *, others: int) -> str:
    left = f" Not weighed: {plural(others, 'configuration')} of other images or budgets." if others else ""
    return _weighed(found, simplest) + left


def _weighed(found: Sequence[Configuration], simplest: Configuration | None) -> str:
    best = max(found, key=lambda each: each.accuracy)
    if len(found) == 1:
        return f"There is nothing to weigh {best.name} against: no other is complete on the same images and budget."
    if simplest is None or best.error is None:
        return f"The highest is {best.name} with {accuracy(best.accuracy)}; its standard error is not known."
    error = f"one standard error, {points(100 * best.error).lstrip('+')} points"
    if simplest is best:
        return f"No simpler configuration lies within {error}, of the best, {best.name} with {accuracy(best.accuracy)}."
    lost = points(100 * (best.accuracy - simplest.accuracy)).lstrip("+")
    if best.parameters and simplest.parameters == best.parameters:
        size = "as many parameters"
        if best.seconds and simplest.seconds:
            size += f", trained in {duration(simplest.seconds)} instead of {duration(best.seconds)}"
    else:
        size = f"{number(simplest.parameters or 0)} instead of {number(best.parameters or 0)} million parameters"
    return (
        f"The simplest configuration within {error}, of the best ({best.name}, {accuracy(best.accuracy)}) is "
        f"{simplest.name} with {accuracy(simplest.accuracy)}: {size}, {lost} points lower."
    )
