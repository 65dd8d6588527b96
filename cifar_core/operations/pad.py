"""Padding."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cifar_core.operations.operation import AugmentContext, Operation, cached

if TYPE_CHECKING:
    from torch import Tensor


class Pad(Operation):
    """Pad the image with zeros. Before `normalize` the border is black."""

    op: Literal["pad"] = "pad"
    pixels: int = Field(default=4, ge=1, le=256)
    """Width of the border on each side, in pixels."""

    def apply(self, pixels_NHWC: Tensor, context: AugmentContext) -> Tensor:
        return padded(pixels_NHWC, border=self.pixels)

    def size_after(self, size: int) -> int:
        return size + 2 * self.pixels


def padded(pixels_NHWC: Tensor, *, border: int, fill: str = "zero") -> Tensor:
    """Return images with a border of zeros, or (`reflect`) of the image mirrored at its edge."""
    from torch.nn.functional import pad

    if not border:
        return pixels_NHWC
    if fill == "zero":
        return pad(pixels_NHWC, (0, 0, border, border, border, border))
    height, width = pixels_NHWC.shape[1:3]
    return pixels_NHWC[:, _reflected(height, border)[:, None], _reflected(width, border)]


@cached
def _reflected(size: int, border: int) -> Tensor:
    """Return the source index of each pixel of a padded side; the edge itself is not repeated."""
    import torch

    position = torch.arange(-border, size + border).abs()
    return size - 1 - (size - 1 - position).abs()
