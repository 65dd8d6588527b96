"""Draw `docs/images/climb.png`, test accuracy of every ladder against minutes, for `ladder_page.py`."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.legend import Legend

MARKS = (90, 92, 93, 94)
"""Accuracies in percent with a line: the usual targets on CIFAR-10."""
CLOSE = 1.15
"""Ratio of minutes below which two labels would overlap."""
INK = "#222222"
MARK = 10
"""Half the side of a mark in pixels."""
POSITIONS = [
    ((0, 12), "center"), ((10, 0), "left"), ((-10, 0), "right"), ((0, -12), "center"),
    ((8, 10), "left"), ((-8, 10), "right"), ((8, -10), "left"), ((-8, -10), "right"), ((0, 26), "center"),
]  # fmt: skip
"""Offsets of a label from its mark in points, with its alignment, best first."""


@dataclass(frozen=True, kw_only=True)
class Series:
    """The measured rungs of one ladder."""

    name: str
    """Stem of its file in `experiments/results/`."""
    label: str
    colour: str
    marker: str
    extends: str | None = None
    """The ladder whose rungs this one also has: shared rungs are drawn once, as the extended ladder's."""


SERIES = (
    Series(
        name="ladder-laptop", label="ladder-laptop.yaml: notebook steps, 20,000 images", colour="#56B4E9", marker="o"
    ),
    Series(name="ladder", label="ladder.yaml: notebook steps, all images", colour="#0072B2", marker="s"),
    Series(
        name="climb-laptop-final",
        label="climb-laptop.yaml: further steps, 10,000 images",
        colour="#009E73",
        marker="v",
    ),
    Series(name="best", label="best.yaml: best recipe, all images", colour="#D55E00", marker="D"),
    Series(
        name="minutes", label="minutes.yaml: best recipe, fewer epochs", colour="#E69F00", marker="^", extends="best"
    ),
)


@dataclass(frozen=True, kw_only=True)
class Point:
    """One measured rung."""

    rung: str
    minutes: float
    """Training time of one run."""
    accuracy: float
    """Percent, on the test images; `low` and `high` are its interval."""
    low: float | None
    high: float | None


def points_of(path: Path) -> list[Point]:
    """Return the rungs of a ladder's CSV that were measured on the test images at full budget."""
    with path.open(encoding="utf-8", newline="") as file:
        return [
            Point(
                rung=row["rung"],
                minutes=float(row["train_seconds"]) / 60,
                accuracy=float(row["test_accuracy_percent"]),
                low=float(row["ci_low_percent"]) if row["ci_low_percent"] else None,
                high=float(row["ci_high_percent"]) if row["ci_high_percent"] else None,
            )
            for row in csv.DictReader(file)
            if row["budget"] == "full" and row["test_accuracy_percent"] and row["train_seconds"]
        ]


def draw(results: Path, to: Path) -> None:
    """Draw every ladder of `SERIES` that has results; label the rungs of `_front`.

    Args:
        results: the folder of the CSV files.
        to: the PNG file.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedLocator, NullFormatter, StrMethodFormatter

    figure = Figure(figsize=(11, 6.4), dpi=144, facecolor="white")
    axes = figure.add_axes((0.07, 0.1, 0.9, 0.8))
    drawn: dict[Series, list[Point]] = {}
    for each in SERIES:
        if (path := results / f"{each.name}.csv").is_file():
            known = {point.rung for other, points in drawn.items() if other.name == each.extends for point in points}
            drawn[each] = [point for point in points_of(path) if point.rung not in known]
    # Share of wrong answers, logarithmic: halving them takes the same distance everywhere.
    for each, points in drawn.items():
        axes.errorbar(
            [point.minutes for point in points],
            [100 - point.accuracy for point in points],
            yerr=[
                [max((point.high or point.accuracy) - point.accuracy, 0) for point in points],
                [max(point.accuracy - (point.low or point.accuracy), 0) for point in points],
            ],
            color=each.colour,
            marker=each.marker,
            linestyle="",
            elinewidth=1.2,
            markersize=7,
            label=each.label,
        )
    axes.set_yscale("log")
    axes.set_xscale("log")
    wrong = [100 - point.accuracy for points in drawn.values() for point in points]
    axes.set_ylim(max(70, *wrong) * 1.05, min(5, *wrong) * 0.9)
    axes.margins(x=0.1)
    ticks = [40, 50, 60, 70, 80, *MARKS]
    axes.yaxis.set_major_locator(FixedLocator([100 - tick for tick in ticks]))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_yticklabels([str(tick) for tick in ticks])
    axes.xaxis.set_major_locator(FixedLocator([1, 2, 5, 10, 20, 40, 60, 120]))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    for mark in MARKS:
        axes.axhline(100 - mark, color="#c9c9c9", linewidth=0.9, linestyle=(0, (4, 3)), zorder=0)
    axes.set_xlabel(
        "minutes of one run (logarithmic; one core per run, two for best.yaml, minutes.yaml and deep of ladder.yaml)",
        color=INK,
    )
    axes.set_ylabel("accuracy on the 10,000 test images, %, with its 95 % interval", color=INK)
    best = max((point for points in drawn.values() for point in points), key=lambda point: point.accuracy)
    axes.set_title(
        f"{best.accuracy:.0f} % in {best.minutes:.0f} minutes on two cores", loc="left", fontsize=13, weight="bold"
    )
    axes.grid(axis="both", color="#eeeeee", linewidth=0.7, zorder=0)
    axes.set_axisbelow(True)
    for side in ("right", "top"):
        axes.spines[side].set_visible(False)
    legend = axes.legend(loc="upper left", facecolor="white", edgecolor="none", framealpha=1, fontsize=9)
    _label(axes, list(drawn.values()), legend=legend)
    figure.savefig(to, format="png", metadata={"Software": None})


def _label(axes: Axes, ladders: Sequence[Sequence[Point]], *, legend: Legend) -> None:
    """Name the rungs of each `_front` at the nearest free position; a rung without one keeps no label."""
    from matplotlib.transforms import Bbox

    axes.figure.canvas.draw()
    # Display coordinates: a mark with its error bar, the legend, and then each label are obstacles.
    obstacles = [legend.get_window_extent()]
    for point in (point for points in ladders for point in points):
        x, y = axes.transData.transform((point.minutes, 100 - point.accuracy))
        obstacles.append(Bbox.from_extents(x - MARK, y - MARK, x + MARK, y + MARK))
        low, high = (
            axes.transData.transform((point.minutes, 100 - (end or point.accuracy)))[1]
            for end in (point.low, point.high)
        )
        obstacles.append(Bbox.from_extents(x - 2, min(low, high), x + 2, max(low, high)))
    for point in sorted((point for points in ladders for point in _front(points)), key=lambda point: -point.accuracy):
        for offset, align in POSITIONS:
            label = axes.annotate(
                f"{point.rung} {point.accuracy:.1f}",
                (point.minutes, 100 - point.accuracy),
                offset,
                textcoords="offset points",
                fontsize=8.5,
                color=INK,
                ha=align,
                va="center",
            )
            extent = label.get_window_extent()
            inside = axes.get_window_extent().containsx(extent.x0) and axes.get_window_extent().containsx(extent.x1)
            if inside and not any(extent.overlaps(other) for other in obstacles):
                obstacles.append(extent)
                break
            label.remove()


def _front(points: Sequence[Point]) -> list[Point]:
    """Return the points of a ladder that no faster point, up to `CLOSE`, exceeds in accuracy."""
    front: list[Point] = []
    for point in sorted(points, key=lambda point: (point.minutes, -point.accuracy)):
        if not front or point.accuracy > front[-1].accuracy:
            while front and point.minutes < CLOSE * front[-1].minutes:
                front.pop()
            front.append(point)
    return front
