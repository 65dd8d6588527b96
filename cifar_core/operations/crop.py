"""Random crops."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cifar_core.operations.operation import AugmentContext, Operation
from cifar_core.operations.pad import padded

if TYPE_CHECKING:
    from torch import Tensor


class Crop(Operation):
    """Pad by `padding` pixels, then cut out a square of `size` pixels at a random position of each image."""

    op: Literal["crop"] = "crop"
    size: int = Field(default=32, ge=8, le=2048)
    """Side of the square, in pixels. Without it, `data.image_size`."""
    padding: int = Field(default=4, ge=0, le=256)
    """Width of the border on each side, in pixels."""
    fill: Literal["zero", "reflect"] = "zero"
    """Content of the border: zeros, or the image mirrored at its edge."""

    def apply(self, pixels_NHWC: Tensor, context: AugmentContext) -> Tensor:
        import torch

        pixels_NHWC = padded(pixels_NHWC, border=self.padding, fill=self.fill)
        count, height, width, channels = pixels_NHWC.shape
        tops, lefts = height - self.size + 1, width - self.size + 1
        top_N = torch.randint(tops, (count,), generator=context.generator)
        left_N = torch.randint(lefts, (count,), generator=context.generator)
        index_3N = torch.stack([torch.arange(count), top_N, left_N]).to(pixels_NHWC.device, non_blocking=True)
        # A view of all possible windows, without a copy; indexing then copies complete rows of the chosen ones.
        image_stride, row_stride, pixel_stride, _ = pixels_NHWC.stride()
        windows = pixels_NHWC.as_strided(
            (count, tops, lefts, self.size, self.size * channels),
            (image_stride, row_stride, pixel_stride, row_stride, 1),
        )
        return windows[tuple(index_3N)].view(count, self.size, self.size, channels)

    def size_after(self, size: int) -> int:
        if self.size > size + 2 * self.padding:
            raise ValueError(f"crop to {self.size} from an image of {size} padded by {self.padding}")
        return self.size
