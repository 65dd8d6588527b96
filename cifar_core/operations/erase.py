"""Random erasing."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, Self

from pydantic import Field, model_validator

from cifar_core.operations.operation import CHANNELS, AugmentContext, Operation

if TYPE_CHECKING:
    import torch
    from torch import Tensor

TRIES = 10
"""Draws of a rectangle after which torchvision leaves an image that none fits unchanged."""


class Erase(Operation):
    """Set one rectangle of an image to zero with probability `p` (random erasing, Zhong et al. 2017)."""

    op: Literal["erase"] = "erase"
    p: float = Field(default=0.5, ge=0, le=1)
    """Probability for each image."""
    scale: tuple[float, float] = (0.04, 0.2)
    """Smallest and largest share of the area that the rectangle covers."""
    ratio: tuple[float, float] = (0.5, 2.0)
    """Smallest and largest ratio of height to width."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if not 0 <= self.scale[0] <= self.scale[1] <= 1:
            raise ValueError(f"scale of erase is [minimum, maximum] between 0 and 1, not {list(self.scale)}")
        if not 0 < self.ratio[0] <= self.ratio[1] < math.inf:
            raise ValueError(f"ratio of erase is [minimum, maximum] above 0, not {list(self.ratio)}")
        return self

    def apply(self, pixels_NHWC: Tensor, context: AugmentContext) -> Tensor:
        import torch

        count, height, width, _ = pixels_NHWC.shape
        box_4N = _draw_boxes(count, height=height, width=width, operation=self, generator=context.generator)
        box_4N11 = box_4N.to(pixels_NHWC.device, non_blocking=True)[..., None, None]
        top_N11, left_N11, bottom_N11, right_N11 = box_4N11
        y_H1 = torch.arange(height, device=pixels_NHWC.device).unsqueeze(1)
        x_L = torch.arange(width, device=pixels_NHWC.device).repeat_interleave(CHANNELS)
        rows_NH1 = ((y_H1 >= top_N11) & (y_H1 < bottom_N11)).float()
        columns_N1L = ((x_L >= left_N11) & (x_L < right_N11)).float()
        # A product of floats takes a tenth of the time of a mask of bools on a CPU.
        pixels_NHWC.flatten(start_dim=2).mul_((rows_NH1 * columns_N1L).neg_().add_(1))
        return pixels_NHWC


def _draw_boxes(count: int, *, height: int, width: int, operation: Erase, generator: torch.Generator) -> Tensor:
    """Return 4×N integers: top, left, bottom and right of each image's rectangle, the last two exclusive.

    The distribution is that of `torchvision.transforms.RandomErasing`: the area is uniform within `scale`, the
    logarithm of height over width uniform within `ratio`, and the first of ten such rectangles that is smaller than the
    image gets a uniform position. An image that is not chosen, or into which none of the ten fits, gets an empty one.
    """
    import torch

    chosen_N = torch.rand(count, generator=generator) < operation.p
    area_TN = torch.empty(TRIES, count).uniform_(*operation.scale, generator=generator) * height * width
    log_ratio = torch.tensor(operation.ratio).log().tolist()
    ratio_TN = torch.empty(TRIES, count).uniform_(*log_ratio, generator=generator).exp()
    # In float64 a number below 1 times the number of positions stays below it.
    position_2N = torch.rand(2, count, generator=generator, dtype=torch.float64)

    height_TN = (area_TN * ratio_TN).sqrt().round().long()
    width_TN = (area_TN / ratio_TN).sqrt().round().long()
    fits_TN = (height_TN < height) & (width_TN < width)
    first_1N = fits_TN.byte().argmax(dim=0, keepdim=True)
    used_N = chosen_N & fits_TN.any(dim=0)
    height_N = height_TN.gather(0, first_1N).squeeze(0) * used_N
    width_N = width_TN.gather(0, first_1N).squeeze(0) * used_N
    top_N = (position_2N[0] * (height - height_N + 1)).long()
    left_N = (position_2N[1] * (width - width_N + 1)).long()
    return torch.stack([top_N, left_N, top_N + height_N, left_N + width_N])
