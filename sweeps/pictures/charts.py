"""Numbers of one run as pictures: which class was taken for which, how it learned, where its size and its work lie."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from sweeps.pictures.style import BLUE, SMALL_SIZE, VERMILLION, png_bytes, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Values = Sequence[float | None] | npt.NDArray[np.floating]
"""One for each epoch."""


@styled()
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
    from matplotlib.figure import Figure

    table_KK, classes = np.asarray(counts), len(class_names)
    if table_KK.shape != (classes, classes):
        raise ValueError(f"{classes} classes need as many rows and columns, not {table_KK.shape}")
    shares_KK = table_KK / np.maximum(table_KK.sum(axis=1, keepdims=True), 1)
    figure = Figure(figsize=(0.46 * classes, 0.46 * classes))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(shares_KK, cmap="Blues", vmin=0, vmax=1)
    for (row, column), count in np.ndenumerate(table_KK):
        colour = "white" if shares_KK[row, column] > 0.5 else "#222222" if count else "#b0b0b0"
        weight = "bold" if row == column else "normal"
        axes.text(column, row, f"{count}", ha="center", va="center", fontsize=SMALL_SIZE, color=colour, weight=weight)
    axes.set_yticks(range(classes), class_names)
    axes.set_xticks(range(classes), class_names, rotation=90)
    axes.xaxis.tick_top()
    axes.xaxis.set_label_position("top")
    axes.set(xlabel="was taken for", ylabel="is")
    return png_bytes(figure, title=title, subtitle=subtitle)


@runtime_checkable
class Frame(Protocol):
    """A DataFrame of pandas, as far as a picture needs it."""

    @property
    def columns(self) -> Any: ...
    def __getitem__(self, column: str, /) -> Any: ...


@styled()
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
    from matplotlib.figure import Figure

    curves = [_finite(epochs, each) if len(each) else None for each in (train_loss, val_loss)]
    shares = [_finite(epochs, each) if len(each) else None for each in (train_accuracy, val_accuracy)]
    both = [(curves, 1, "mean cross-entropy, nats"), (shares, 100, "accuracy, %")]
    panels = [panel for panel in both if any(each is not None for each in panel[0])] or both
    figure = Figure(figsize=(4.1 * len(panels), 2.6))
    drawn = figure.subplots(1, len(panels), squeeze=False, gridspec_kw={"wspace": 0.3})[0]
    for axes, (values, factor, heading) in zip(drawn, panels, strict=True):
        _draw_curve(axes, epochs, *values, factor=factor, heading=heading)
    fuller = max(drawn, key=lambda axes: len(axes.lines))
    if fuller.lines:
        fuller.legend()
    return png_bytes(figure, title=title, subtitle=subtitle)


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
    curves = ((train_E, "training, while it trains", "o-", BLUE), (val_E, "validation", "s--", VERMILLION))
    for values_E, name, style, colour in curves:
        if values_E is None or not np.isfinite(values_E).any():
            continue
        shown_E = factor * values_E
        axes.plot(epochs, shown_E, style, color=colour, label=name, markersize=4 if len(epochs) <= 40 else 0)
        newest = int(np.flatnonzero(np.isfinite(shown_E))[-1])
        last.append((float(shown_E[newest]), float(epochs[newest]), colour))
    # To the right of the last points; of two that lie close, the upper one is written above and the lower one below.
    for index, (value, epoch, colour) in enumerate(sorted(last)):
        up = 0 if len(last) == 1 else 5 if index else -5
        text = f"{value:.1f}" if factor == 100 else f"{value:.3f}"
        axes.annotate(
            text, (epoch, value), (6, up), textcoords="offset points", va="center", color=colour, fontsize=SMALL_SIZE,
            weight="bold", annotation_clip=False,
        )  # fmt: skip
    axes.grid()
    axes.margins(y=0.1)
    axes.set(title=heading, xlabel="epoch")
    axes.xaxis.set_major_locator(MaxNLocator(nbins="auto", integer=True))
    # Of all epochs, also those that have no value.
    first, end = (epochs[0], epochs[-1]) if len(epochs) else (1, 1)
    beside = 0.04 * (end - first) or 1
    axes.set_xlim(first - beside, end + beside)


@styled()
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
    from matplotlib.figure import Figure

    count = len(names)
    figure = Figure(figsize=(6, 0.2 * count))
    panels = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0, "top": 1, "bottom": 0})
    bars = ("parameters", parameters, BLUE), ("multiply-adds of an image", multiply_adds, VERMILLION)
    for axes, (heading, values, colour) in zip(panels, bars, strict=True):
        known = [value or 0 for value in values]
        drawn = axes.barh(range(count), known, color=colour, height=0.62)
        labels = [short_count(value) if value else "" for value in known]
        axes.bar_label(drawn, labels, padding=4, fontsize=SMALL_SIZE)
        axes.set(title=heading, xticks=[], xlim=(0, 1.6 * max([*known, 1])), ylim=(count - 0.5, -0.5))
    beside = [f"{name}   {shape}" for name, shape in zip(names, shapes, strict=True)]
    panels[0].set_yticks(range(count), beside)
    return png_bytes(figure, title=title, subtitle=subtitle)


def short_count(count: int) -> str:
    """Return `1,234`, `56.3 k`, `1.25 M` or `2.10 G`."""
    if count < 10_000:
        return f"{count:,}"
    for factor, unit in ((10**9, "G"), (10**6, "M")):
        if count >= 0.9995 * factor:
            return f"{count / factor:.2f} {unit}"
    return f"{count / 1000:.1f} k"
