"""Small images on one large one, pixel by pixel: axes of their own would blur them, and take a second a hundred."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Image = npt.NDArray[np.uint8]
"""H×W×3, red green blue."""


class Sheet:
    """A white sheet that tiles are laid on, and that then lies under a figure's text."""

    def __init__(self, width: int, height: int) -> None:
        self.pixels_HWC = np.full((height, width, 3), 255, dtype=np.uint8)

    def lay(self, tile_HWC: Image, x: int, y: int, *, size: int) -> None:
        """Lay a square image of any size at `x`, `y` from the upper left, scaled to `size` pixels.

        A pixel becomes a square of pixels where it fits a whole number of times; elsewhere the nearest one is taken.
        """
        rows = np.arange(size) * tile_HWC.shape[0] // size
        columns = np.arange(size) * tile_HWC.shape[1] // size
        self.pixels_HWC[y : y + size, x : x + size] = tile_HWC[rows][:, columns]

    def frame(self, x: int, y: int, *, size: int, colour: tuple[int, int, int] = (214, 214, 214)) -> None:
        """Draw a line of one pixel around a tile, so that a white image has an edge."""
        left, right, top, bottom = x - 1, x + size, y - 1, y + size
        self.pixels_HWC[top, left : right + 1] = self.pixels_HWC[bottom, left : right + 1] = colour
        self.pixels_HWC[top : bottom + 1, left] = self.pixels_HWC[top : bottom + 1, right] = colour

    def under(self, figure: Figure) -> None:
        """Put the sheet under all that is drawn on a figure of its size."""
        figure.figimage(self.pixels_HWC, 0, 0, origin="upper", zorder=-1)
