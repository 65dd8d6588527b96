"""Horizontal flips."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cifar_core.operations.operation import AugmentContext, Operation, indices

if TYPE_CHECKING:
    from torch import Tensor


class Flip(Operation):
    """Mirror an image horizontally with probability `p`."""

    op: Literal["flip"] = "flip"
    p: float = Field(default=0.5, ge=0, le=1)
    """Probability for each image."""
    alternate: bool = False
    """Draw in the first epoch only. From then on each image is mirrored every second epoch."""

    def apply(self, pixels_NHWC: Tensor, context: AugmentContext) -> Tensor:
        import torch

        chosen_N = context.alternation_N if self.alternate else None
        if chosen_N is None:
            chosen_N = torch.rand(len(pixels_NHWC), generator=context.generator) < self.p
        chosen = indices(chosen_N, pixels_NHWC.device)
        return pixels_NHWC.index_copy_(0, chosen, pixels_NHWC[chosen].flip(2))
