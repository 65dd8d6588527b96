"""Two figures of a ladder: the gain of each step, and the learning curves. Without pyplot's global state."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sweeps.analysis.comparison import Finding, RungComparison
from sweeps.analysis.rungs import RungRuns
from sweeps.core.formatting import duration, is_accuracy, truncated
from sweeps.core.results import EpochResult
from sweeps.core.trial import MeasuredOn
from sweeps.pictures.style import BLUE, GREY, VERMILLION, styled
from sweeps.views.ladder_cells import VALUE, cells_of, difference_interval, difference_text, value_interval
from sweeps.views.ladder_terms import terms_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

DPI = 144
INK = "#222222"
COLOURS = {
    Finding.START: INK,
    Finding.BETTER: BLUE,
    Finding.WORSE: VERMILLION,
    Finding.NOT_SIGNIFICANT: GREY,
    Finding.NOT_COMPARED: INK,
}
FINDING_LABELS = {
    Finding.BETTER: "significantly better than {compared_with}",
    Finding.WORSE: "significantly worse than {compared_with}",
    Finding.NOT_SIGNIFICANT: "no significant difference",
}
CURVE_COLOURS = (BLUE, VERMILLION, "#009E73", "#CC79A7", "#E69F00", "#56B4E9", INK)
MARKERS = ("o", "s", "^", "D", "v", "X", "P", "<", ">", "*", "h", "d")


@styled()
def ladder_figure(comparisons: Sequence[RungComparison]) -> Figure:
    """Return a figure with one row per rung: value with its 95 % interval, difference and verdict.

    A thin line connects the value of the parent with that of the rung. Markers of a reduced budget are hollow.
    """
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D

    terms = terms_of(comparisons)
    labels = {finding: text.format(compared_with=terms.compared_with) for finding, text in FINDING_LABELS.items()}
    rows = max(len(comparisons), 1)
    height = 1.35 + 0.62 * rows
    figure = Figure(figsize=(13, height))
    axes = figure.add_axes((0.2, 0.85 / height, 0.3, 0.62 * rows / height))
    for row, rung in enumerate(comparisons):
        _draw_rung(axes, rung, row=row)
        _write_rung(axes, rung, row=row)
    axes.set_ylim(rows - 0.5, -0.5)
    axes.set_yticks([])
    percent = ", %" if terms.measure.is_share else ""
    axes.set_xlabel(f"{terms.value}{percent}, with 95 % interval", color=INK)
    if not any(rung.value is not None for rung in comparisons):
        axes.set_xlim(0, 100)
    axes.margins(x=0.08)
    axes.grid(axis="x")
    for x, heading in ((1.05, f"accuracy{percent}" if percent else terms.value), (1.52, terms.difference)):
        axes.annotate(heading, (x, 1), (0, 10), xycoords="axes fraction", textcoords="offset points", weight="bold")
    present = {rung.finding for rung in comparisons}
    handles = [
        Line2D([], [], color=COLOURS[finding], marker="o", linestyle="", label=label)
        for finding, label in labels.items()
        if finding in present
    ]
    if any(rung.before is not None for rung in comparisons):
        handles.append(Line2D([], [], color=GREY, marker="|", linewidth=1, label="the parent"))
    if any(rung.reduced is not None for rung in comparisons):
        handles.append(
            Line2D([], [], color=INK, marker="o", linestyle="", markerfacecolor="white", label="reduced budget")
        )
    figure.legend(handles=handles, loc="lower left", ncols=6, fontsize=9, bbox_to_anchor=(0.01, 0))
    return figure


def _draw_rung(axes: Axes, rung: RungComparison, *, row: int) -> None:
    if rung.value is None:
        return
    factor = rung.measure.factor
    colour, value = COLOURS[rung.finding], factor * rung.value
    if rung.before is not None:
        before = factor * rung.before
        axes.plot([before, value], [row, row], color=GREY, linewidth=1, zorder=2)
        axes.plot([before], [row], color=GREY, marker="|", markersize=11, zorder=2)
    if rung.ci_low is not None and rung.ci_high is not None:
        style = "solid" if rung.reduced is None else (0, (2, 1.2))
        ends = [factor * rung.ci_low, factor * rung.ci_high]
        axes.plot(ends, [row, row], color=colour, linewidth=4, alpha=0.5, linestyle=style, zorder=3)
    face = colour if rung.reduced is None else "white"
    axes.plot([value], [row], color=colour, marker="o", markersize=8, markerfacecolor=face, zorder=4)


def _write_rung(axes: Axes, rung: RungComparison, *, row: int) -> None:
    cells, colour = cells_of(rung), COLOURS[rung.finding]
    origin = [f"from {rung.parent}"] if rung.parent is not None else []
    budget = [cells["budget"]] if rung.reduced is not None else []
    below = "\n".join(truncated(line, 42) for line in origin + budget)
    _text(axes, -0.635, row, rung.rung, weight="bold", up=5 if len(origin + budget) == 1 else 11 if below else 0)
    _text(axes, -0.635, row, below, colour=GREY, size=8.5, up=-8 if len(origin + budget) == 1 else -6)
    interval = f"  ({value_interval(rung)})" if rung.ci_low is not None else ""
    value = f"{cells[VALUE]}{interval}" if rung.ci_kind else ""
    cost = "" if rung.train_seconds is None else f"{duration(rung.train_seconds)} per run"
    _text(axes, 1.05, row, value, up=7 if cost else 0)
    _text(axes, 1.05, row, cost, colour=GREY, size=8.5, up=-8)
    difference = difference_text(rung)
    if rung.difference_low is not None:
        difference += f"  ({difference_interval(rung)})"
    if rung.p_holm is not None:
        difference += f"  p {cells['p_holm']}"
    verdict = textwrap.fill(rung.verdict, 62, max_lines=2, placeholder=" …")
    _text(axes, 1.52, row, difference, colour=colour, weight="bold", up=9 if "\n" in verdict else 7)
    _text(axes, 1.52, row, verdict, colour=colour, size=8.5, up=-8 if difference else 0)


def _text(
    axes: Axes,
    x: float,
    row: int,
    text: str,
    *,
    colour: str = INK,
    size: float = 10,
    weight: str = "normal",
    up: int = 0,
) -> Text:
    """Write next to the plot: `x` in widths of the plot, `up` in points from the middle of the row."""
    return axes.annotate(
        text,
        (x, row),
        (0, up),
        xycoords=("axes fraction", "data"),
        textcoords="offset points",
        color=colour,
        fontsize=size,
        weight=weight,
        va="center",
        annotation_clip=False,
    )


@styled()
def curves_figure(rungs: Sequence[RungRuns]) -> Figure:
    """Return a figure of loss and accuracy on the training images by epoch, one mean curve per rung.

    Curves of validation images are dashed. There are no curves of the test set, because it is measured once. For a
    custom training the curves are of its metric.
    """
    from matplotlib.figure import Figure

    if any(rung.measured_on is MeasuredOn.METRIC for rung in rungs):
        return _metric_figure(rungs)

    drawn = [rung for rung in rungs if any(run.epochs for run in rung.runs)]
    figure = Figure(figsize=(13, max(5.2, 1.6 + 0.27 * len(drawn))), layout="constrained")
    panels = figure.subplots(1, 2)
    for index, rung in enumerate(drawn):
        colour, marker = CURVE_COLOURS[index % len(CURVE_COLOURS)], MARKERS[index % len(MARKERS)]
        face = colour if rung.reduced is None else "white"
        label = rung.name if rung.reduced is None else f"{rung.name} (reduced)"
        for axes, measure in zip(panels, ("loss", "accuracy"), strict=True):
            values = mean_curve(rung, field=f"train_{measure}")
            # Shifted by the rung, so that markers of close curves do not overlap.
            step = max(1, len(values) // 6)
            style = {"marker": marker, "markerfacecolor": face, "markevery": (index % step, step), "label": label}
            axes.plot(range(1, len(values) + 1), values, color=colour, **style)
            if values := mean_curve(rung, field=f"val_{measure}"):
                axes.plot(range(1, len(values) + 1), values, color=colour, linestyle="dashed")
    if any(mean_curve(rung, field="val_loss") for rung in drawn):
        panels[0].plot([], [], color=INK, linestyle="dashed", label="dashed: validation images")
    for axes, title in zip(panels, ("mean cross-entropy, nats", "accuracy, %"), strict=True):
        axes.set_title(f"{title}, on the training images", fontsize=11)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid()
    notes = ["Measured during training, with augmentation and dropout. The trained network may score differently."]
    reduced = sorted({rung.reduced for rung in drawn if rung.reduced})
    notes += [f"Hollow markers: reduced budget ({text})." for text in reduced]
    figure.supxlabel("\n".join(notes), x=0.01, ha="left", fontsize=8.5, color=GREY)
    if drawn:
        figure.legend(*panels[0].get_legend_handles_labels(), loc="outside right upper", fontsize=9)
    return figure


def _metric_figure(rungs: Sequence[RungRuns]) -> Figure:
    from matplotlib.figure import Figure

    drawn = [rung for rung in rungs if any(run.epochs for run in rung.runs)]
    figure = Figure(figsize=(13, max(5.2, 1.6 + 0.27 * len(drawn))), layout="constrained")
    (axes,) = figure.subplots(1, 1, squeeze=False).flat
    for index, rung in enumerate(drawn):
        values = mean_curve(rung, field=rung.measure.name)
        label = rung.name if rung.reduced is None else f"{rung.name} (reduced)"
        marker, colour = MARKERS[index % len(MARKERS)], CURVE_COLOURS[index % len(CURVE_COLOURS)]
        axes.plot(range(1, len(values) + 1), values, color=colour, marker=marker, label=label)
    axes.set_title(", ".join(dict.fromkeys(rung.measure.name for rung in rungs)), fontsize=11)
    axes.set_xlabel("epoch")
    axes.xaxis.get_major_locator().set_params(integer=True)
    axes.grid()
    if drawn:
        figure.legend(loc="outside right upper", fontsize=9)
    return figure


def mean_curve(rung: RungRuns, *, field: str) -> list[float]:
    """Return the mean over the runs of a field of `EpochResult`, for each epoch that all runs have.

    Accuracies are in percent. Empty if no run has the field.
    """
    curves = [[_value(epoch, field) for epoch in run.epochs] for run in rung.runs if run.epochs]
    columns = list(zip(*curves, strict=False))
    return [sum(v for v in column if v is not None) / len(column) for column in columns if None not in column]


def figure_bytes(figure: Figure, *, format: str = "png") -> bytes:
    """Return a figure as `png`, `svg` or `pdf`, equal for equal figures."""
    buffer = io.BytesIO()
    metadata = {"png": {"Software": None}, "svg": {"Date": None}, "pdf": {"CreationDate": None}}[format]
    figure.savefig(buffer, format=format, dpi=DPI, metadata=metadata)
    return buffer.getvalue()


def _value(epoch: EpochResult, field: str) -> float | None:
    value: float | None = epoch.value(field)
    return 100 * value if value is not None and is_accuracy(field) else value
