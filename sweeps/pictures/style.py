"""What all pictures share: colours, sizes, how a title stands, the PNG that comes out. No pyplot: no global state."""

from __future__ import annotations

import io
import math
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL.Image import Image

DPI = 100
INK, GREY, LINE, TILE_GAP = "#222222", "#5f5f5f", "#e6e6e6", 4
BLUE, VERMILLION = "#0072B2", "#D55E00"
"""Okabe and Ito's: told apart with any colour vision."""
TITLE_SIZE, TEXT_SIZE, SMALL_SIZE = 12, 9, 8
"""In points; at `DPI` one is 1.4 pixels."""
MARGIN = 14
"""Pixels around everything."""
MAX_BYTES = 200_000
"""Of a PNG. Photographs do not compress: one that would be larger keeps its size in pixels and gets fewer shades."""
_FEWER_BITS = (6, 5)
"""Of a channel: nobody sees it. Fewer would show: some hundred photographs take the room that they need."""


def new_figure(width: int, height: int) -> Figure:
    """Return an empty white figure of so many pixels."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor="white")


def write_text(
    figure: Figure,
    x: float,
    y: float,
    text: str,
    *,
    size: float = TEXT_SIZE,
    colour: str = INK,
    weight: str = "normal",
    align: str = "left",
    vertical: str = "top",
) -> None:
    """Write at `x`, `y`: pixels from the left and from the top. A `$` in a name is a `$`."""
    width, height = figure.get_size_inches() * DPI
    figure.text(
        x / width,
        1 - y / height,
        text,
        fontsize=size,
        color=colour,
        weight=weight,
        ha=align,
        va=vertical,
        parse_math=False,
    )


def write_heading(figure: Figure, title: str, subtitle: str) -> None:
    """Write the title in the upper left, and under it in grey what else has to be said; both may have several lines."""
    write_text(figure, MARGIN, MARGIN, title, size=TITLE_SIZE, weight="bold")
    below = MARGIN + 20 * len(title.splitlines())
    write_text(figure, MARGIN, below, subtitle, size=TEXT_SIZE, colour=GREY)


def picture_width(content: int, title: str, subtitle: str) -> int:
    """Return the pixels that a picture is wide: its content, which ends without a margin, or its heading."""
    heading = max(text_width(title, size=TITLE_SIZE, weight="bold"), text_width(subtitle)) + MARGIN
    return max(content, heading) + MARGIN


def heading_height(title: str, subtitle: str) -> int:
    """Return the pixels that `write_heading` takes, with the margin above and a gap below."""
    return MARGIN + 20 * len(title.splitlines()) + 16 * len(subtitle.splitlines()) + 10


def text_width(text: str, *, size: float = TEXT_SIZE, weight: str = "normal") -> int:
    """Return how many pixels the longest line of a text takes."""
    return max((_line_width(line, size, weight) for line in text.splitlines()), default=0)


@lru_cache(maxsize=4096)
def _line_width(line: str, size: float, weight: str) -> int:
    from matplotlib.font_manager import FontProperties

    # Asked of what draws it: fitted to whole pixels, a text is some percent wider than its outlines.
    font = FontProperties(weight=weight, size=size)
    with _any_letter():
        width: float = _renderer().get_text_width_height_descent(line, font, False)[0]
    return math.ceil(width) + 1


@lru_cache
def _renderer() -> Any:
    from matplotlib.backends.backend_agg import RendererAgg

    return RendererAgg(1, 1, DPI)  # type: ignore[no-untyped-call]


@contextmanager
def _any_letter() -> Iterator[None]:
    """Draw a letter that the font lacks, as in a file's name, as a box without a warning."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        yield


def clean(axes: Axes) -> None:
    """Leave what a reader needs of the axes: lower and left line, a light grid, small figures."""
    for side in ("right", "top"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color("#999999")
    axes.tick_params(labelsize=SMALL_SIZE, color="#999999", labelcolor=INK)
    axes.grid(color=LINE, linewidth=0.8)
    axes.set_axisbelow(True)


def png_bytes(figure: Figure) -> bytes:
    """Return a figure as PNG, of at most `MAX_BYTES` where shades that nobody misses bring it there.

    The same figure gives the same bytes.
    """
    from PIL import Image

    # savefig of matplotlib makes the canvas; Pillow's compression is tighter than what it writes itself.
    raw = io.BytesIO()
    with _any_letter():
        figure.savefig(raw, format="rgba", dpi=DPI)
    width, height = (round(inches * DPI) for inches in figure.get_size_inches())
    picture = Image.frombytes("RGBA", (width, height), raw.getvalue()).convert("RGB")
    content = _saved(picture)
    for bits in _FEWER_BITS:
        if len(content) <= MAX_BYTES:
            break
        content = _saved(_with_bits(picture, bits=bits))
    return content


def _with_bits(picture: Image, *, bits: int) -> Image:
    """Return a picture in fewer shades a channel; black and white stay what they are."""
    import numpy as np
    from PIL import Image

    pixels = np.asarray(picture)
    high = pixels >> (8 - bits) << (8 - bits)
    return Image.fromarray(high | high >> bits)


def _saved(picture: Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG", compress_level=6)
    return buffer.getvalue()
