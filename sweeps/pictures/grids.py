"""Grids of small images: classes, augmentation steps, feature maps, mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sweeps.pictures.style import DPI, GREY, SMALL_SIZE, VERMILLION, encoded, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

Image = npt.NDArray[np.uint8]
"""H×W×3, red green blue."""
TILE, MISTAKE_TILE = 64, 96
"""Side of a tile in pixels: twice and three times 32."""
_GAP = 3
_WHITE, _LINE = 255, 230
_CHARACTER = 7
"""Width of a character in pixels, rounded up."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One column of `augmentation_steps`."""

    name: str
    """Of the operation."""
    images: Sequence[Image]
    """One per row, H×W×3 uint8; sizes may differ between steps, for example after padding."""
    note: str = ""
    """Lines under the name, such as its arguments and the range of the values."""
    unchanged: Sequence[bool] = ()
    """Whether the step left each image unchanged, which is then drawn pale; empty if all were changed."""


@styled()
def image_grid(
    rows: Sequence[Sequence[Image]],
    *,
    labels: Sequence[str],
    title: str,
    subtitle: str = "",
    notes: Sequence[str] = (),
) -> bytes:
    """Return labelled rows of images as PNG.

    Args:
        rows: per label, H×W×3 uint8 images; the rows may differ in length.
        labels: to the left of each row.
        title: states the content.
        subtitle: states its source.
        notes: a line under each label, such as a count; empty for none.
    """
    if len(rows) != len(labels) or (notes and len(notes) != len(labels)):
        raise ValueError(f"{len(rows)} rows need as many labels and notes, not {len(labels)} and {len(notes)}")
    row_labels = [f"{label}\n{note}" for label, note in zip(labels, notes, strict=True)] if notes else labels
    figure, _ = _grid([[_scaled(image) for image in row] for row in rows], row_labels=row_labels)
    return encoded(figure, title=title, subtitle=subtitle)


@styled()
def augmentation_steps(
    steps: Sequence[Step], *, title: str, subtitle: str = "", labels: Sequence[str] = (), group: int = 1
) -> bytes:
    """Return a PNG with a row per image and a column per step; all images are drawn to the same scale.

    Args:
        steps: from the original image to the network's input, with the same number of images each.
        title: states the augmentation.
        subtitle: states the seed.
        labels: to the left of each row; empty for none.
        group: number of rows that belong together, separated by lines.
    """
    if any(len(step.images) != len(steps[0].images) for step in steps):
        raise ValueError("every step needs as many images as the first")
    sides = [max(image.shape[:2]) for step in steps for image in step.images]
    scale = max(1, TILE // min(32, *sides))
    column_labels = [f"{step.name}\n{step.note}".strip() for step in steps]
    height = max(sides) * scale
    width = max([height, *(_CHARACTER * len(line) for text in column_labels for line in text.splitlines())])
    columns = [
        [
            _scaled(
                _pale(image) if pale else image,
                (image.shape[0] * scale, image.shape[1] * scale),
                within=(height, width),
            )
            for image, pale in zip(step.images, step.unchanged or [False] * len(step.images), strict=True)
        ]
        for step in steps
    ]
    rows = [list(row) for row in zip(*columns, strict=True)]
    figure, axes = _grid(rows, row_labels=labels, column_labels=column_labels, line=_LINE)
    for row in range(group, len(steps[0].images), group) if group > 1 else ():
        axes.axhline(row * (height + _GAP) + 1, color=GREY, linewidth=1, linestyle="-", marker="")
    return encoded(figure, title=title, subtitle=subtitle)


@styled()
def feature_maps(
    layers: Sequence[tuple[str, npt.NDArray[np.floating]]],
    *,
    image: Image,
    title: str,
    subtitle: str = "",
    channels: int = 10,
    tile: int = TILE,
) -> bytes:
    """Return a PNG with a row per layer: its name, its shape, the range of its values and its first channels.

    The colours of a row range from its minimum, dark, to its maximum, light (viridis).

    Args:
        layers: name and values, C×H×W, in the order of their calls.
        image: the network's input, H×W×3 uint8.
        title: states the network.
        subtitle: states the prediction.
        channels: largest number of channels per layer.
        tile: side of a map in pixels.
    """
    rows, row_labels = [[_scaled(image, (tile, tile))]], ["the image"]
    for name, values_CHW in layers:
        shown_CHW = values_CHW[:channels]
        rows.append([_scaled(colours, (tile, tile)) for colours in map_colours(shown_CHW)])
        part = f", first {channels}" if len(values_CHW) > channels else ""
        low, high = _range(shown_CHW)
        row_labels.append(f"{name}\n{'×'.join(map(str, values_CHW.shape))}{part}\n{low:.2g} to {high:.2g}")
    figure, _ = _grid(rows, row_labels=row_labels)
    return encoded(figure, title=title, subtitle=subtitle)


@styled()
def mistakes_grid(
    images: Sequence[Image],
    *,
    truths: Sequence[int],
    predictions: Sequence[int],
    probabilities: npt.NDArray[np.floating],
    class_names: Sequence[str],
    title: str,
    subtitle: str = "",
    numbers: Sequence[int] = (),
    columns: int | None = None,
) -> bytes:
    """Return misclassified images with their predicted and true classes as PNG.

    Args:
        images: N of H×W×3 uint8, the worst first.
        truths: true class of each image, an index into `class_names`.
        predictions: predicted class of each image.
        probabilities: N×K, of each class for each image.
        class_names: K names.
        title: states the run.
        subtitle: states the number of images.
        numbers: index of each image in its data set; empty for none.
        columns: images per row; None takes six, and ten for more than sixty images.
    """
    from torch.nn.functional import pad

    columns = max(1, min(columns or (6 if len(images) <= 60 else 10), len(images)))
    cells = [pad(_scaled(image, (MISTAKE_TILE, MISTAKE_TILE)), (0, 40, 0, 38), value=_WHITE) for image in images]
    figure, axes = _grid([cells[begin : begin + columns] for begin in range(0, len(cells), columns)])
    for index, (truth, prediction) in enumerate(zip(truths, predictions, strict=True)):
        left, top = (
            _GAP + at * (size + _GAP) for at, size in zip((index % columns, index // columns), (136, 134), strict=True)
        )
        predicted, true = (f"{class_names[k]} {_percent(probabilities[index][k])}" for k in (prediction, truth))
        below = top + MISTAKE_TILE
        axes.text(left, below + 3, predicted, va="top", fontsize=SMALL_SIZE, color=VERMILLION, weight="bold")
        axes.text(left, below + 18, f"is {true}", va="top", fontsize=SMALL_SIZE)
        if numbers:
            axes.text(left + MISTAKE_TILE + 3, top, f"{numbers[index]}", va="top", fontsize=6.5, color=GREY)
    return encoded(figure, title=title, subtitle=subtitle)


def _grid(
    rows: Sequence[Sequence[Tensor]],
    *,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    line: int = _WHITE,
) -> tuple[Figure, Axes]:
    """Return a figure and its axes, which show the cells unscaled.

    Args:
        rows: of any length; cells of the same size, 3×H×W uint8.
        row_labels: to the left of each row.
        column_labels: above each column.
        line: grey level between the cells.
    """
    import torch
    from matplotlib.figure import Figure
    from torchvision.utils import make_grid

    columns = max(map(len, rows))
    blank = torch.full_like(rows[0][0], _WHITE)
    cells = [cell for row in rows for cell in (*row, *[blank] * (columns - len(row)))]
    gap = _GAP if len(cells) > 1 else 0  # make_grid does not pad a single cell
    pixels_HWC = make_grid(torch.stack(cells), nrow=columns, padding=gap, pad_value=line).permute(1, 2, 0).numpy()
    height, width = pixels_HWC.shape[:2]
    figure = Figure(figsize=(width / DPI, height / DPI))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(pixels_HWC, extent=(0, width, height, 0))
    steps = [size + gap for size in blank.shape[1:]]
    axes.set_yticks([gap + steps[0] * (row + 0.5) for row in range(len(row_labels))], row_labels)
    axes.set_xticks([gap + steps[1] * (column + 0.5) for column in range(len(column_labels))], column_labels)
    axes.xaxis.tick_top()
    return figure, axes


def _scaled(image_HWC: Image, size: tuple[int, int] = (TILE, TILE), *, within: tuple[int, int] | None = None) -> Tensor:
    """Return an image as 3×H×W, resized to `size` by nearest neighbour, centred on white if `within` is larger."""
    import torch
    from torch.nn.functional import interpolate, pad

    tile_CHW = interpolate(torch.from_numpy(image_HWC.copy()).permute(2, 0, 1)[None], size=size)[0]
    if within is None:
        return tile_CHW
    top, left = ((available - used) // 2 for available, used in zip(within, size, strict=True))
    borders = (left, within[1] - size[1] - left, top, within[0] - size[0] - top)
    return pad(tile_CHW, borders, value=_WHITE)


def map_colours(values_CHW: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Return each channel as H×W×3, coloured from the minimum of all channels, dark, to the maximum, light."""
    from matplotlib import colormaps

    low, high = _range(values_CHW)
    shares_CHW = (values_CHW - low) / (high - low) if high > low else np.zeros_like(values_CHW)
    colours: npt.NDArray[np.uint8] = colormaps["viridis"](np.nan_to_num(shares_CHW), bytes=True)[..., :3]
    return colours


def _range(values: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Return the smallest and the largest finite value; NaN for both if there is none."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (np.nan, np.nan)


def _pale(image_HWC: Image) -> Image:
    """Return an image halfway to white."""
    return 128 + image_HWC // 2


def _percent(share: float) -> str:
    """Return `98 %`; `>99 %` and `<1 %` instead of a rounded 100 or 0."""
    if 0.995 <= share < 1:
        return ">99 %"
    return "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"
