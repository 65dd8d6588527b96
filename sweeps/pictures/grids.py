"""Small images in rows: of classes, of an augmentation's steps, of a network's maps, of its mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from sweeps.pictures.style import DPI, GREY, SMALL_SIZE, VERMILLION, png_bytes, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

Image = npt.NDArray[np.uint8]
"""H×W×3, red green blue."""
TILE, MISTAKE_TILE = 64, 96
"""Pixels of a tile's side: 32 twice and three times."""
_GAP = 3
_WHITE, _LINE = 255, 230
_CHARACTER = 7
"""Pixels that a letter takes, rather more than less."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One column of `augmentation_steps`."""

    name: str
    """Of the operation."""
    images: Sequence[Image]
    """One a row, H×W×3 uint8; their size may change from step to step, where a border is put around them."""
    note: str = ""
    """Under the name: such as its arguments and the range of the values; a line each."""
    unchanged: Sequence[bool] = ()
    """Of each image, whether the step has left it as it was: it is drawn pale. None is where empty."""


@styled()
def image_grid(
    rows: Sequence[Sequence[Image]],
    *,
    labels: Sequence[str],
    title: str,
    subtitle: str = "",
    notes: Sequence[str] = (),
) -> bytes:
    """Return a row of images for each label.

    Args:
        rows: of each label, images of H×W×3 uint8; the rows may differ in length.
        labels: what stands to the left of each row.
        title: what is seen.
        subtitle: where it comes from.
        notes: a line under each label, such as how many there are; none where empty.
    """
    if len(rows) != len(labels) or (notes and len(notes) != len(labels)):
        raise ValueError(f"{len(rows)} rows need as many labels and notes, not {len(labels)} and {len(notes)}")
    beside = [f"{label}\n{note}" for label, note in zip(labels, notes, strict=True)] if notes else labels
    figure, _ = _grid([[_scaled(image) for image in row] for row in rows], beside=beside)
    return png_bytes(figure, title=title, subtitle=subtitle)


@styled()
def augmentation_steps(
    steps: Sequence[Step], *, title: str, subtitle: str = "", labels: Sequence[str] = (), group: int = 1
) -> bytes:
    """Return a row for each image and a column for each step; larger images are drawn larger, to one scale.

    Args:
        steps: from the image as it is to what a network is given; as many images each.
        title: of what augmentation.
        subtitle: under which seed.
        labels: what stands to the left of each row; nothing where empty.
        group: rows that belong together; a line follows each.
    """
    if any(len(step.images) != len(steps[0].images) for step in steps):
        raise ValueError("every step has as many images as the first")
    sides = [max(image.shape[:2]) for step in steps for image in step.images]
    scale = max(1, TILE // min(32, *sides))
    above = [f"{step.name}\n{step.note}".strip() for step in steps]
    height = max(sides) * scale
    width = max([height, *(_CHARACTER * len(line) for text in above for line in text.splitlines())])
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
    figure, axes = _grid([list(row) for row in zip(*columns, strict=True)], beside=labels, above=above, line=_LINE)
    for row in range(group, len(steps[0].images), group) if group > 1 else ():
        axes.axhline(row * (height + _GAP) + 1, color=GREY, linewidth=1, linestyle="-", marker="")
    return png_bytes(figure, title=title, subtitle=subtitle)


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
    """Return a row for each layer: its name, its shape, the range of its values and its first channels.

    The colours of a row go from its least value, dark, to its greatest, light (viridis).

    Args:
        layers: name and values, C×H×W, in the order in which the network computes them.
        image: what the network was shown, H×W×3 uint8.
        title: of which network.
        subtitle: what it takes the image for.
        channels: at most so many of each layer.
        tile: pixels of a map's side.
    """
    rows, beside = [[_scaled(image, (tile, tile))]], ["the image"]
    for name, values_CHW in layers:
        shown_CHW = values_CHW[:channels]
        rows.append([_scaled(colours, (tile, tile)) for colours in map_colours(shown_CHW)])
        part = f", first {channels}" if len(values_CHW) > channels else ""
        low, high = _range(shown_CHW)
        beside.append(f"{name}\n{'×'.join(map(str, values_CHW.shape))}{part}\n{low:.2g} to {high:.2g}")
    figure, _ = _grid(rows, beside=beside)
    return png_bytes(figure, title=title, subtitle=subtitle)


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
    """Return images with what they are and what they were taken for.

    Args:
        images: N of H×W×3 uint8, the worst first.
        truths: the class of each, an index into `class_names`.
        predictions: the class that each was taken for.
        probabilities: N×K, of each class for each image.
        class_names: K names.
        title: whose mistakes.
        subtitle: of how many images.
        numbers: the index of each image in its file; none where empty.
        columns: images side by side; None takes six, and ten of more than sixty images.
    """
    from torch.nn.functional import pad

    columns = max(1, min(columns or (6 if len(images) <= 60 else 10), len(images)))
    cells = [pad(_scaled(image, (MISTAKE_TILE, MISTAKE_TILE)), (0, 40, 0, 38), value=_WHITE) for image in images]
    figure, axes = _grid([cells[begin : begin + columns] for begin in range(0, len(cells), columns)])
    for index, (truth, taken_for) in enumerate(zip(truths, predictions, strict=True)):
        left, top = (
            _GAP + at * (size + _GAP) for at, size in zip((index % columns, index // columns), (136, 134), strict=True)
        )
        taken, true = (f"{class_names[k]} {_percent(probabilities[index][k])}" for k in (taken_for, truth))
        below = top + MISTAKE_TILE
        axes.text(left, below + 3, taken, va="top", fontsize=SMALL_SIZE, color=VERMILLION, weight="bold")
        axes.text(left, below + 18, f"is {true}", va="top", fontsize=SMALL_SIZE)
        if numbers:
            axes.text(left + MISTAKE_TILE + 3, top, f"{numbers[index]}", va="top", fontsize=6.5, color=GREY)
    return png_bytes(figure, title=title, subtitle=subtitle)


def _grid(
    rows: Sequence[Sequence[Tensor]], *, beside: Sequence[str] = (), above: Sequence[str] = (), line: int = _WHITE
) -> tuple[Figure, Axes]:
    """Return a figure, and its axes with cells of one size, 3×H×W uint8, in rows of any length, a pixel a pixel.

    Args:
        rows: the cells.
        beside: what stands to the left of each row.
        above: what stands over each column.
        line: the shade between the cells.
    """
    import torch
    from matplotlib.figure import Figure
    from torchvision.utils import make_grid

    columns = max(map(len, rows))
    blank = torch.full_like(rows[0][0], _WHITE)
    cells = [cell for row in rows for cell in (*row, *[blank] * (columns - len(row)))]
    gap = _GAP if len(cells) > 1 else 0  # make_grid puts none around a single one
    pixels_HWC = make_grid(torch.stack(cells), nrow=columns, padding=gap, pad_value=line).permute(1, 2, 0).numpy()
    height, width = pixels_HWC.shape[:2]
    figure = Figure(figsize=(width / DPI, height / DPI))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.imshow(pixels_HWC, extent=(0, width, height, 0))
    steps = [size + gap for size in blank.shape[1:]]
    axes.set_yticks([gap + steps[0] * (row + 0.5) for row in range(len(beside))], beside)
    axes.set_xticks([gap + steps[1] * (column + 0.5) for column in range(len(above))], above)
    axes.xaxis.tick_top()
    return figure, axes


def _scaled(image_HWC: Image, size: tuple[int, int] = (TILE, TILE), *, within: tuple[int, int] | None = None) -> Tensor:
    """Return an image as 3×H×W of so many pixels, each the nearest of it; in the middle of a larger white one."""
    import torch
    from torch.nn.functional import interpolate, pad

    tile_CHW = interpolate(torch.from_numpy(image_HWC.copy()).permute(2, 0, 1)[None], size=size)[0]
    if within is None:
        return tile_CHW
    above, beside = ((room - taken) // 2 for room, taken in zip(within, size, strict=True))
    borders = (beside, within[1] - size[1] - beside, above, within[0] - size[0] - above)
    return pad(tile_CHW, borders, value=_WHITE)


def map_colours(values_CHW: npt.NDArray[np.floating]) -> npt.NDArray[np.uint8]:
    """Return each channel as H×W×3, from the least value of all of them, dark, to the greatest, light."""
    from matplotlib import colormaps

    low, high = _range(values_CHW)
    shares_CHW = (values_CHW - low) / (high - low) if high > low else np.zeros_like(values_CHW)
    colours: npt.NDArray[np.uint8] = colormaps["viridis"](np.nan_to_num(shares_CHW), bytes=True)[..., :3]
    return colours


def _range(values: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Return the least and the greatest value; NaN twice where none is finite."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (np.nan, np.nan)


def _pale(image_HWC: Image) -> Image:
    """Return an image halfway to white."""
    return 128 + image_HWC // 2


def _percent(share: float) -> str:
    """Return `98 %`; never 100 or 0 for what is not quite so."""
    if 0.995 <= share < 1:
        return ">99 %"
    return "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"
