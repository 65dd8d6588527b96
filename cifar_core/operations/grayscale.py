"""Random grayscale."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cifar_core.operations.operation import CHANNELS, AugmentContext, Operation, indices

if TYPE_CHECKING:
    from torch import Tensor

LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in torchvision's grayscale (ITU-R 601-2)."""


class Grayscale(Operation):
    """Replace the three channels of an image by their luma with probability `p`."""

    op: Literal["grayscale"] = "grayscale"
    p: float = Field(default=0.1, ge=0, le=1)
    """Probability for each image."""

    def apply(self, pixels_NHWC: Tensor, context: AugmentContext) -> Tensor:
        import torch

        chosen_N = torch.rand(len(pixels_NHWC), generator=context.generator) < self.p
        chosen = indices(chosen_N, pixels_NHWC.device)
        return pixels_NHWC.index_copy_(0, chosen, luma(pixels_NHWC[chosen]).expand(-1, -1, -1, CHANNELS))


def luma(pixels_NHWC: Tensor) -> Tensor:
    """Return the grey images, N×H×W×1."""
    red, green, blue = pixels_NHWC.unbind(-1)
    return (LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue).unsqueeze(-1)
