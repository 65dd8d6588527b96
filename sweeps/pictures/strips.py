"""The same image again and again, changed from column to column or from row to row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sweeps.pictures.style import (
    GREY,
    MARGIN,
    SMALL_SIZE,
    TEXT_SIZE,
    TILE_GAP,
    heading_height,
    new_figure,
    picture_width,
    png_bytes,
    text_width,
    write_heading,
    write_text,
)
from sweeps.pictures.tiles import Image, Sheet

STEP_TILE, MAP_TILE = 80, 48
"""Pixels of a tile's side."""
ORIGINAL_TILE = 96
_LIGHTEST = 0.98


@dataclass(frozen=True, kw_only=True)
class Step:
    """One column of `augmentation_steps`."""

    name: str
    """Of the operation."""
    images: Sequence[Image]
    """One a row, H×W×3 uint8; their size may change from step to step, where a border is put around them."""
    note: str = ""
    """Under the name, in grey: such as its arguments and the range of the values; a line each."""
    unchanged: Sequence[bool] = ()
    """Of each image, whether the step has left it as it was: it is drawn pale. None is where empty."""


def augmentation_steps(
    steps: Sequence[Step], *, title: str, subtitle: str = "", labels: Sequence[str] = (), group: int = 1
) -> bytes:
    """Return a row for each image and a column for each step; larger images are drawn larger, to one scale.

    Args:
        steps: from the image as it is to what a network is given; as many images each.
        title: of what augmentation.
        subtitle: under which seed.
        labels: what stands to the left of each row; nothing where empty.
        group: rows that belong together; a gap follows each.
    """
    count = len(steps[0].images)
    if any(len(step.images) != count for step in steps):
        raise ValueError("every step has as many images as the first")
    largest = max(image.shape[0] for step in steps for image in step.images)
    smallest = min(image.shape[0] for step in steps for image in step.images)
    scale = max(1, STEP_TILE // min(32, smallest))
    cell = largest * scale + 2
    column_width = max([cell, *(_bold(step.name) for step in steps), *(_small(step.note) for step in steps)]) + 10
    beside = MARGIN + (max(map(text_width, labels)) + 12 if labels else 0)
    names_height = 15 * max(len(step.name.splitlines()) + len(step.note.splitlines()) for step in steps) + 6
    top = heading_height(title, subtitle) + names_height
    width = picture_width(beside + len(steps) * column_width, title, subtitle)
    height = top + count * (cell + TILE_GAP) + ((count - 1) // group) * (8 if group > 1 else 0) + MARGIN
    figure, sheet = new_figure(width, height), Sheet(width, height)
    for column, step in enumerate(steps):
        x = beside + column * column_width
        y = top - names_height
        write_text(figure, x, y, step.name, weight="bold")
        write_text(figure, x, y + 15 * len(step.name.splitlines()), step.note, size=SMALL_SIZE, colour=GREY)
        for row, image in enumerate(step.images):
            size = image.shape[0] * scale
            inset = (cell - size) // 2
            left, upper = x + inset, _row_top(row, top=top, cell=cell, group=group) + inset
            pale = bool(step.unchanged) and step.unchanged[row]
            sheet.lay(_pale(image) if pale else image, left, upper, size=size)
            sheet.frame(left, upper, size=size)
    for row, label in enumerate(labels):
        middle = _row_top(row, top=top, cell=cell, group=group) + cell / 2
        write_text(figure, MARGIN, middle, label, vertical="center")
    write_heading(figure, title, subtitle)
    sheet.under(figure)
    return png_bytes(figure)


def feature_maps(
    layers: Sequence[tuple[str, npt.NDArray[np.floating]]],
    *,
    image: Image,
    title: str,
    subtitle: str = "",
    channels: int = 10,
    tile: int = MAP_TILE,
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
    named = [(name, values[:channels], _about(values, channels)) for name, values in layers]
    step = tile + TILE_GAP
    beside = MARGIN + max([_bold(name) for name, _, _ in named] + [_small(about) for _, _, about in named]) + 14
    heading, columns = heading_height(title, subtitle), max(len(values) for _, values, _ in named)
    top = heading + ORIGINAL_TILE + 14
    width = picture_width(beside + columns * step, title, subtitle)
    height = top + len(named) * step + MARGIN
    figure, sheet = new_figure(width, height), Sheet(width, height)
    sheet.lay(image, beside, heading, size=ORIGINAL_TILE)
    write_text(figure, MARGIN, heading + ORIGINAL_TILE / 2, "the image", vertical="center", weight="bold")
    for row, (name, maps_CHW, about) in enumerate(named):
        y = top + row * step
        for channel, map_HWC in enumerate(map_colours(maps_CHW)):
            sheet.lay(map_HWC, beside + channel * step, y, size=tile)
        middle = y + tile / 2
        write_text(figure, MARGIN, middle - 12, name, vertical="center", weight="bold", size=TEXT_SIZE)
        write_text(figure, MARGIN, middle + 9, about, vertical="center", size=SMALL_SIZE, colour=GREY)
    write_heading(figure, title, subtitle)
    sheet.under(figure)
    return png_bytes(figure)


def map_colours(values_CHW: npt.NDArray[np.floating]) -> list[Image]:
    """Return each channel in colour, from the least value of all of them, dark, to the greatest, light (viridis)."""
    from matplotlib import colormaps

    colours = (colormaps["viridis"](np.linspace(0, _LIGHTEST, 256))[:, :3] * 255).round().astype(np.uint8)
    low, high = _range(values_CHW)
    shares_CHW = (values_CHW - low) / (high - low) if high > low else np.zeros_like(values_CHW)
    return list(colours[(np.clip(np.nan_to_num(shares_CHW), 0, 1) * 255).astype(np.uint8)])


def _about(values_CHW: npt.NDArray[np.floating], channels: int) -> str:
    shape = "×".join(map(str, values_CHW.shape))
    part = f", first {channels}" if len(values_CHW) > channels else ""
    low, high = _range(values_CHW[:channels])
    return f"{shape}{part}\n{low:.2g} to {high:.2g}"


def _range(values: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Return the least and the greatest value; NaN twice where none is finite."""
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (np.nan, np.nan)


def _bold(text: str) -> int:
    return text_width(text, weight="bold")


def _small(text: str) -> int:
    return text_width(text, size=SMALL_SIZE)


def _row_top(row: int, *, top: int, cell: int, group: int) -> int:
    return top + row * (cell + TILE_GAP) + (row // group) * (8 if group > 1 else 0)


def _pale(image_HWC: Image) -> Image:
    """Return an image halfway to white."""
    return (255 - (255 - image_HWC.astype(np.uint16)) * 9 // 20).astype(np.uint8)
