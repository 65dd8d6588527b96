"""Numbers of one run as pictures: which class was taken for which, how it learned, where its size and its work lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from sweeps.pictures.style import (
    BLUE,
    GREY,
    INK,
    MARGIN,
    SMALL_SIZE,
    TEXT_SIZE,
    VERMILLION,
    clean,
    heading_height,
    new_figure,
    picture_width,
    png_bytes,
    text_width,
    write_heading,
    write_text,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Values = Sequence[float | None] | npt.NDArray[np.floating]
"""One for each epoch."""
_CELL = 46
_CURVES_WIDTH = 820


def confusion_matrix(
    counts: Sequence[Sequence[int]] | npt.NDArray[np.integer],
    class_names: Sequence[str],
    *,
    title: str,
    subtitle: str = "",
) -> bytes:
    """Return how many images of each class were taken for each class; the darker, the larger a share of its row.

    Args:
        counts: a row for each true class, a column for each class that they were taken for.
        class_names: as many.
        title: whose answers.
        subtitle: on which images.
    """
    table_KK = np.asarray(counts)
    if table_KK.shape != (len(class_names), len(class_names)):
        raise ValueError(f"{len(class_names)} classes need as many rows and columns, not {table_KK.shape}")
    shares_KK = table_KK / np.maximum(table_KK.sum(axis=1, keepdims=True), 1)
    names_width = max(map(text_width, class_names)) + 8
    names_height = names_width
    side = _CELL * len(class_names)
    top = heading_height(title, subtitle) + 18 + names_height
    left = MARGIN + names_width
    width = picture_width(left + side, title, subtitle)
    height = top + side + MARGIN
    figure = new_figure(width, height)
    axes = figure.add_axes((left / width, MARGIN / height, side / width, side / height))
    axes.imshow(shares_KK, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(table_KK):
        dark = shares_KK[row, column] > 0.5
        colour = "white" if dark else INK if count else "#b0b0b0"
        weight = "bold" if row == column else "normal"
        axes.text(column, row, f"{count}", ha="center", va="center", fontsize=SMALL_SIZE, color=colour, weight=weight)
    axes.set_xticks(range(len(class_names)), class_names, rotation=90, fontsize=TEXT_SIZE)
    axes.set_yticks(range(len(class_names)), class_names, fontsize=TEXT_SIZE)
    axes.xaxis.set_ticks_position("top")
    axes.tick_params(length=0)
    axes.set_xticks(np.arange(-0.5, len(class_names)), minor=True)
    axes.set_yticks(np.arange(-0.5, len(class_names)), minor=True)
    axes.grid(which="minor", color="white", linewidth=1.5)
    axes.tick_params(which="minor", length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    write_text(figure, left, top - names_height - 18, "was taken for", colour=GREY)
    write_text(figure, left - 7, top - 14, "is", colour=GREY, align="right")
    write_heading(figure, title, subtitle)
    return png_bytes(figure)


@runtime_checkable
class Frame(Protocol):
    """A DataFrame of pandas, as far as a picture needs it."""

    @property
    def columns(self) -> Any: ...
    def __getitem__(self, column: str, /) -> Any: ...


def learning_curve(
    epochs: Sequence[int] | Frame,
    *,
    train_loss: Values = (),
    train_accuracy: Values = (),
    val_loss: Values = (),
    val_accuracy: Values = (),
    title: str = "",
    subtitle: str = "",
) -> bytes:
    """Return loss and accuracy of one run against the epoch, on training images and, where there are any, validation.

    Args:
        epochs: their numbers, in order; or a table of one run with the columns `epoch` and the four below, of which
            it may lack some, such as an answer of `sweeps.query` or `sweeps.show(...).curve`.
        train_loss: mean cross-entropy of each epoch, in nats. A value that is None or not finite leaves a gap.
        train_accuracy: of each epoch, a share.
        val_loss: as `train_loss`; empty where nothing was set aside.
        val_accuracy: as `train_accuracy`, as `val_loss`.
        title: of which run; of a table with a column `trial` that one where empty.
        subtitle: what it trained.

    Raises:
        ValueError: there is not a value an epoch; or a table holds several runs, or nothing to draw.

    Example:
        >>> learning_curve(sweeps.query("select * from epochs where trial = 'quick-003'"))
    """
    if isinstance(epochs, Frame):
        return _curve_of_frame(epochs, title=title, subtitle=subtitle)
    curves = [_finite(epochs, each) if len(each) else None for each in (train_loss, val_loss)]
    shares = [_finite(epochs, each) if len(each) else None for each in (train_accuracy, val_accuracy)]
    both = [(curves, 1, "mean cross-entropy, nats"), (shares, 100, "accuracy, %")]
    panels = [panel for panel in both if any(each is not None for each in panel[0])] or both
    width, top = picture_width(_CURVES_WIDTH - MARGIN, title, subtitle), heading_height(title, subtitle)
    height = top + 300
    figure = new_figure(width, height)
    bottom, plot_height = 46 / height, (height - top - 46 - 24) / height
    drawn = []
    for x, ((train, val), factor, heading) in zip((0.06, 0.55), panels, strict=False):
        axes = figure.add_axes((x * _CURVES_WIDTH / width, bottom, 0.39 * _CURVES_WIDTH / width, plot_height))
        _draw_curve(axes, epochs, train, val, factor=factor, heading=heading)
        drawn.append(axes)
    fuller = max(drawn, key=lambda axes: len(axes.lines))
    if fuller.lines:
        fuller.legend(frameon=False, fontsize=SMALL_SIZE, loc="best")
    write_heading(figure, title, subtitle)
    return png_bytes(figure)


_CURVES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")


def _curve_of_frame(frame: Frame, *, title: str, subtitle: str) -> bytes:
    columns = list(map(str, frame.columns))
    if "epoch" not in columns or not set(_CURVES) & set(columns):
        shown = ", ".join(columns[:8]) + (", …" if len(columns) > 8 else "")
        raise ValueError(f"a table with a column epoch and one of {', '.join(_CURVES)} is drawn; this one has {shown}")
    numbers_E = frame["epoch"].to_numpy(dtype=np.int64)
    if not len(numbers_E):
        raise ValueError("the table has no epoch: no run is called so, or it has trained none yet")
    repeated = [int(epoch) for epoch, count in zip(*np.unique(numbers_E, return_counts=True), strict=True) if count > 1]
    if repeated:
        raise ValueError(
            f"epoch {repeated[0]} is there more than once: draw one run, such as where trial = 'quick-003' and seed = 0"
        )
    order_E = np.argsort(numbers_E)
    names = list(dict.fromkeys(map(str, frame["trial"]))) if "trial" in columns else []
    values = {
        name: frame[name].to_numpy(dtype=np.float64, na_value=np.nan)[order_E] for name in _CURVES if name in columns
    }
    given = {name: list(each) for name, each in values.items() if np.isfinite(each).any() or name.startswith("train")}
    return learning_curve(
        [int(epoch) for epoch in numbers_E[order_E]],
        **given,
        title=title or (f"{names[0]}, epoch by epoch" if len(names) == 1 else "Learning curve"),
        subtitle=subtitle,
    )


def _finite(epochs: Sequence[int], values: Values) -> npt.NDArray[np.float64]:
    """Return a value an epoch, NaN where there is none."""
    if len(values) != len(epochs):
        raise ValueError(f"{len(epochs)} epochs need as many values, not {len(values)}")
    numbers_E = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
    return np.where(np.isfinite(numbers_E), numbers_E, np.nan)


def _draw_curve(
    axes: Axes,
    epochs: Sequence[int],
    train_E: npt.NDArray[np.float64] | None,
    val_E: npt.NDArray[np.float64] | None,
    *,
    factor: int,
    heading: str,
) -> None:
    from matplotlib.ticker import MaxNLocator

    last = []
    styles = (
        (train_E, "training, while it trains", BLUE, "o", "solid"),
        (val_E, "validation", VERMILLION, "s", "dashed"),
    )
    for values_E, name, colour, marker, style in styles:
        if values_E is None or not np.isfinite(values_E).any():
            continue
        shown_E = factor * values_E
        (line,) = axes.plot(epochs, shown_E, color=colour, linestyle=style, linewidth=1.6, label=name)
        if len(epochs) <= 40:
            line.set(marker=marker, markersize=4)
        newest = int(np.flatnonzero(np.isfinite(shown_E))[-1])
        point = (float(epochs[newest]), float(shown_E[newest]))
        last.append((point, f"{point[1]:.1f}" if factor == 100 else f"{point[1]:.3f}", colour))
    # To the right of the last points; of two that lie close, the upper one is written above and the lower one below.
    for place, (point, text, colour) in enumerate(sorted(last, key=lambda each: each[0][1])):
        up = 0 if len(last) == 1 else 5 if place else -5
        label = axes.annotate(text, point, (6, up), textcoords="offset points", va="center", annotation_clip=False)
        label.set(color=colour, fontsize=SMALL_SIZE, weight="bold")
    clean(axes)
    axes.margins(y=0.1)
    axes.set_title(heading, loc="left", fontsize=TEXT_SIZE, color=INK)
    axes.set_xlabel("epoch", fontsize=TEXT_SIZE, color=INK)
    axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True))
    # Of all epochs, also those that have no value.
    first, end = (epochs[0], epochs[-1]) if len(epochs) else (1, 1)
    beside = 0.04 * (end - first) or 1
    axes.set_xlim(first - beside, end + beside)
    if first == end:
        axes.set_xticks([first])


def layer_chart(
    names: Sequence[str],
    *,
    shapes: Sequence[str],
    parameters: Sequence[int],
    multiply_adds: Sequence[int | None],
    title: str,
    subtitle: str = "",
) -> bytes:
    """Return a line for each layer: its output's shape, and bars for its parameters and its multiply-adds.

    Args:
        names: of the layers, in the order in which the network computes them.
        shapes: of their outputs, as text.
        parameters: of each, its weights and biases.
        multiply_adds: of each for one image; None where they are not counted.
        title: of which network.
        subtitle: the totals.
    """
    line, names_width, shapes_width, bars = 20, max(map(text_width, names)), max(map(text_width, shapes)), 190
    top = heading_height(title, subtitle) + 24
    first = MARGIN + names_width + 16 + shapes_width + 16
    width = picture_width(first + 2 * (bars + 70), title, subtitle)
    height = top + line * len(names) + MARGIN
    figure = new_figure(width, height)
    headings = (MARGIN, "layer"), (MARGIN + names_width + 16, "output"), (first, "parameters")
    for x, heading in (*headings, (first + bars + 70, "multiply-adds of an image")):
        write_text(figure, x, top - 22, heading, colour=GREY)
    for row, (name, shape) in enumerate(zip(names, shapes, strict=True)):
        y = top + (row + 0.5) * line
        write_text(figure, MARGIN, y, name, vertical="center")
        write_text(figure, MARGIN + names_width + 16, y, shape, vertical="center", colour=GREY)
    for x, values, colour in ((first, parameters, BLUE), (first + bars + 70, multiply_adds, VERMILLION)):
        axes = figure.add_axes((x / width, MARGIN / height, bars / width, line * len(names) / height))
        known = [value or 0 for value in values]
        axes.barh(range(len(known)), known, color=colour, height=0.62)
        axes.set_xlim(0, max([*known, 1]))
        axes.set_ylim(len(known) - 0.5, -0.5)
        axes.axis("off")
        for row, value in enumerate(values):
            if value:
                place = x + bars * value / max(known) + 5
                write_text(
                    figure, place, top + (row + 0.5) * line, short_count(value), vertical="center", size=SMALL_SIZE
                )
    write_heading(figure, title, subtitle)
    return png_bytes(figure)


def short_count(count: int) -> str:
    """Return `1,234`, `56.3 k`, `1.25 M` or `2.10 G`."""
    if count < 10_000:
        return f"{count:,}"
    for factor, unit in ((10**9, "G"), (10**6, "M")):
        if count >= 0.9995 * factor:
            return f"{count / factor:.2f} {unit}"
    return f"{count / 1000:.1f} k"
