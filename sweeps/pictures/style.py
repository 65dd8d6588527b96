"""The style file, the titles and the encoding of all pictures. Without pyplot, which would keep figures open."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 100
GREY, BLUE, VERMILLION = "#5f5f5f", "#0072B2", "#D55E00"
"""The last two are from Okabe and Ito's palette, distinguishable with any colour vision."""
SMALL_SIZE = 8
"""Size of small text in points."""
_FILE = Path(__file__).with_name("sweeps.mplstyle")


@contextmanager
def styled() -> Iterator[None]:
    """Apply the style file, and suppress the warning about characters that the font lacks, as in file names."""
    from matplotlib import rc_context

    with rc_context(fname=_FILE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Glyph", category=UserWarning)
        yield


_format: ContextVar[str] = ContextVar("format", default="png")


@contextmanager
def drawn_as(format: str) -> Iterator[None]:
    """Encode the pictures that are drawn in the block as `png`, `svg` or `pdf`."""
    token = _format.set(format)
    try:
        yield
    finally:
        _format.reset(token)


def encoded(figure: Figure, *, title: str, subtitle: str) -> bytes:
    """Return a figure as PNG, or as `drawn_as` says, with its title and a grey subtitle above it.

    Title and subtitle may have several lines.
    """
    width, height = figure.get_size_inches()
    for text, size, weight, colour in ((subtitle, 9, "normal", GREY), (title, 12, "bold", "#222222")):
        if text:
            drawn = figure.get_tightbbox()  # in inches, of everything drawn so far
            position = drawn.x0 / width, (drawn.y1 + 0.08) / height
            figure.text(*position, text, fontsize=size, weight=weight, color=colour, va="bottom")
    content = io.BytesIO()
    figure.savefig(content, format=_format.get())
    return content.getvalue()
