"""Images side by side: examples of each class, and those that a network took for something else."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from sweeps.pictures.style import (
    GREY,
    MARGIN,
    SMALL_SIZE,
    TILE_GAP,
    VERMILLION,
    heading_height,
    new_figure,
    picture_width,
    png_bytes,
    text_width,
    write_heading,
    write_text,
)
from sweeps.pictures.tiles import Image, Sheet

GRID_TILE, MISTAKE_TILE = 64, 96
"""Pixels of a tile's side: 32 twice and three times."""
_MISTAKE_WIDTH, _MISTAKE_HEIGHT = 136, 146


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
        notes: a line in grey under each label, such as how many there are; none where empty.
    """
    if len(rows) != len(labels) or (notes and len(notes) != len(labels)):
        raise ValueError(f"{len(rows)} rows need as many labels and notes, not {len(labels)} and {len(notes)}")
    noted = [text_width(note, size=SMALL_SIZE) for note in notes]
    beside = MARGIN + max([*(text_width(label, weight="bold") for label in labels), *noted], default=0) + 14
    columns, step, top = max(map(len, rows), default=0), GRID_TILE + TILE_GAP, heading_height(title, subtitle)
    width = picture_width(beside + columns * step, title, subtitle)
    height = top + len(rows) * step + MARGIN
    figure, sheet = new_figure(width, height), Sheet(width, height)
    for number, (images, label) in enumerate(zip(rows, labels, strict=True)):
        y = top + number * step
        for column, image in enumerate(images):
            sheet.lay(image, beside + column * step, y, size=GRID_TILE)
        middle = y + GRID_TILE / 2
        write_text(figure, MARGIN, middle - (8 if notes else 0), label, vertical="center", weight="bold")
        if notes:
            write_text(figure, MARGIN, middle + 8, notes[number], size=SMALL_SIZE, colour=GREY, vertical="center")
    write_heading(figure, title, subtitle)
    sheet.under(figure)
    return png_bytes(figure)


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
        numbers: the place of each image in its file; none where empty.
        columns: images side by side; None takes six, and ten of more than sixty images.
    """
    columns = max(1, min(columns or (6 if len(images) <= 60 else 10), len(images)))
    top, rows = heading_height(title, subtitle), -(-len(images) // columns)
    content = columns * _MISTAKE_WIDTH + MARGIN
    width = picture_width(content - MARGIN, title, subtitle)
    height = top + rows * _MISTAKE_HEIGHT + MARGIN // 2
    figure, sheet = new_figure(width, height), Sheet(width, height)
    for place, image in enumerate(images):
        row, column = divmod(place, columns)
        x, y = MARGIN + column * _MISTAKE_WIDTH, top + row * _MISTAKE_HEIGHT
        sheet.lay(image, x, y, size=MISTAKE_TILE)
        truth, taken_for = truths[place], predictions[place]
        taken = f"{class_names[taken_for]} {_percent(probabilities[place][taken_for])}"
        true = f"is {class_names[truth]} {_percent(probabilities[place][truth])}"
        write_text(figure, x, y + MISTAKE_TILE + 4, taken, colour=VERMILLION, weight="bold", size=SMALL_SIZE)
        write_text(figure, x, y + MISTAKE_TILE + 19, true, size=SMALL_SIZE)
        if numbers:
            write_text(figure, x + MISTAKE_TILE + 3, y, f"{numbers[place]}", size=6.5, colour=GREY)
    write_heading(figure, title, subtitle)
    sheet.under(figure)
    return png_bytes(figure)


def _percent(share: float) -> str:
    """Return `98 %`; never 100 or 0 for what is not quite so."""
    if 0.995 <= share < 1:
        return ">99 %"
    return "<1 %" if 0 < share < 0.005 else f"{100 * share:.0f} %"
