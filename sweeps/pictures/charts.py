"""Charts of one run: confusion matrix, learning curve, parameters and multiply-adds of layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from sweeps.pictures.style import BLUE, SMALL_SIZE, VERMILLION, encoded, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Values = Sequence[float | None] | npt.NDArray[np.floating]
"""One value per epoch."""


@styled()
def confusion_matrix(
    counts: Sequence[Sequence[int]] | npt.NDArray[np.integer],
    class_names: Sequence[str],
    *,
    title: str,
    subtitle: str = "",
) -> bytes:
    """Return a confusion matrix as PNG; a darker cell is a larger share of its row.

    Args:
        counts: number of images, a row per true class, a column per predicted class.
        class_names: as many.
        title: states the run.
        subtitle: states the images.
    """
    from matplotlib.figure import Figure

    table_KK, classes = np.asarray(counts), len(class_names)
    if table_KK.shape != (classes, classes):
        raise ValueError(f"{classes} classes need {classes} rows and columns, not {table_KK.shape}")
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
    axes.set(xlabel="predicted class", ylabel="true class")
    return encoded(figure, title=title, subtitle=subtitle)


@runtime_checkable
class Frame(Protocol):
    """The part of a pandas DataFrame that a chart needs."""

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
    """Return loss and accuracy of one run against the epoch as PNG, for training and, if given, validation images.

    Args:
        epochs: their numbers, in order; or a table of one run with the column `epoch` and some of the four below, such
            as the result of `sweeps.query` or `sweeps.show(...).curve`.
        train_loss: mean cross-entropy of each epoch, in nats. A value that is None or not finite leaves a gap.
        train_accuracy: of each epoch, a share.
        val_loss: as `train_loss`; empty without validation images.
        val_accuracy: as `train_accuracy`; empty without validation images.
        title: states the run; if empty, the `trial` of the table.
        subtitle: describes the configuration.

    Raises:
        ValueError: the number of values differs from that of epochs; or a table contains several runs or no values.

    Example:
        >>> learning_curve(sweeps.query("select * from epochs where trial = 'quick-003'"))
    """
    if isinstance(epochs, Frame):
        return _curve_of_frame(epochs, title=title, subtitle=subtitle)
    from matplotlib.figure import Figure

    curves = [_finite(epochs, each) if len(each) else None for each in (train_loss, val_loss)]
    shares = [_finite(epochs, each) if len(each) else None for each in (train_accuracy, val_accuracy)]
    both = [(curves, 1, "loss: mean cross-entropy (nats)"), (shares, 100, "accuracy (%)")]
    panels = [panel for panel in both if any(each is not None for each in panel[0])] or both
    figure = Figure(figsize=(4.1 * len(panels), 2.6))
    drawn = figure.subplots(1, len(panels), squeeze=False, gridspec_kw={"wspace": 0.3})[0]
    for axes, (values, factor, heading) in zip(drawn, panels, strict=True):
        _draw_curve(axes, epochs, *values, factor=factor, heading=heading)
    fuller = max(drawn, key=lambda axes: len(axes.lines))
    if fuller.lines:
        fuller.legend()
    return encoded(figure, title=title, subtitle=subtitle)


_CURVES = ("train_loss", "train_accuracy", "val_loss", "val_accuracy")


def _curve_of_frame(frame: Frame, *, title: str, subtitle: str) -> bytes:
    columns = list(map(str, frame.columns))
    if "epoch" not in columns or not set(_CURVES) & set(columns):
        shown = ", ".join(columns[:8]) + (", …" if len(columns) > 8 else "")
        raise ValueError(f"the table needs a column epoch and one of {', '.join(_CURVES)}, but its columns are {shown}")
    numbers_E = frame["epoch"].to_numpy(dtype=np.int64)
    if not len(numbers_E):
        raise ValueError("the table has no rows: there is no such run, or it has not trained an epoch yet")
    repeated = [int(epoch) for epoch, count in zip(*np.unique(numbers_E, return_counts=True), strict=True) if count > 1]
    if repeated:
        raise ValueError(
            f"the table contains epoch {repeated[0]} several times: select one run, for example with "
            "where trial = 'quick-003' and seed = 0"
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
        title=title or (f"Learning curve of {names[0]}" if len(names) == 1 else "Learning curve"),
        subtitle=subtitle,
    )


def _finite(epochs: Sequence[int], values: Values) -> npt.NDArray[np.float64]:
    """Return one value per epoch, NaN where it is missing."""
    if len(values) != len(epochs):
        raise ValueError(f"{len(epochs)} epochs need {len(epochs)} values, not {len(values)}")
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
    curves = ((train_E, "training, during the epoch", "o-", BLUE), (val_E, "validation", "s--", VERMILLION))
    for values_E, name, style, colour in curves:
        if values_E is None or not np.isfinite(values_E).any():
            continue
        shown_E = factor * values_E
        axes.plot(epochs, shown_E, style, color=colour, label=name, markersize=4 if len(epochs) <= 40 else 0)
        newest = int(np.flatnonzero(np.isfinite(shown_E))[-1])
        last.append((float(shown_E[newest]), float(epochs[newest]), colour))
    # To the right of the last points, the labels of two curves shifted apart.
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
    # All epochs, including those without a value.
    first, end = (epochs[0], epochs[-1]) if len(epochs) else (1, 1)
    margin = 0.04 * (end - first) or 1
    axes.set_xlim(first - margin, end + margin)


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
    """Return a chart as PNG with a row per layer: its output shape, and bars for parameters and multiply-adds.

    Args:
        names: of the layers, in the order of their calls.
        shapes: of their outputs, as text.
        parameters: number of weights and biases of each layer.
        multiply_adds: of each layer for one image; None where they are not counted.
        title: states the network.
        subtitle: states the totals.
    """
    from matplotlib.figure import Figure

    count = len(names)
    figure = Figure(figsize=(6, 0.2 * count))
    panels = figure.subplots(1, 2, sharey=True, gridspec_kw={"wspace": 0, "top": 1, "bottom": 0})
    bars = ("parameters", parameters, BLUE), ("multiply-adds per image", multiply_adds, VERMILLION)
    for axes, (heading, values, colour) in zip(panels, bars, strict=True):
        known = [value or 0 for value in values]
        drawn = axes.barh(range(count), known, color=colour, height=0.62)
        labels = [short_count(value) if value else "" for value in known]
        axes.bar_label(drawn, labels, padding=4, fontsize=SMALL_SIZE)
        axes.set(title=heading, xticks=[], xlim=(0, 1.6 * max([*known, 1])), ylim=(count - 0.5, -0.5))
    row_labels = [f"{name}   {shape}" for name, shape in zip(names, shapes, strict=True)]
    panels[0].set_yticks(range(count), row_labels)
    return encoded(figure, title=title, subtitle=subtitle)


def short_count(count: int) -> str:
    """Return `1,234`, `56.3 k`, `1.25 M` or `2.10 G`."""
    if count < 10_000:
        return f"{count:,}"
    for factor, unit in ((10**9, "G"), (10**6, "M")):
        if count >= 0.9995 * factor:
            return f"{count / factor:.2f} {unit}"
    return f"{count / 1000:.1f} k"
