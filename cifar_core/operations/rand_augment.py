"""RandAugment."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from pydantic import Field

from cifar_core.operations.operation import AugmentContext, Operation

if TYPE_CHECKING:
    from torch import Tensor


class RandAugment(Operation):
    """Random changes of position or colour, one after the other, with one magnitude (Cubuk et al. 2020)."""

    op: Literal["rand_augment"] = "rand_augment"
    before_normalize: ClassVar[bool] = True
    changes: int = Field(default=2, ge=1, le=14)
    """Number of changes per image, each one of 14."""
    magnitude: int = Field(default=9, ge=0, le=30)
    """Strength of all changes, of 30."""

    def apply(self, pixels_NHWC: Tensor, context: AugmentContext) -> Tensor:
        import torch

        from cifar_core.operations.per_image.changes import CHANGES, Limits, changed

        count, height, width, _ = pixels_NHWC.shape
        assert height == width
        limits = Limits(shear=0.3, translate=150 / 331 * width, rotate=30, tone=0.9, removed_bits=4)
        for _ in range(self.changes):
            pixels_NHWC = changed(
                pixels_NHWC,
                change_N=torch.randint(len(CHANGES), (count,), generator=context.generator),
                bin_N=torch.full((count,), self.magnitude),
                limits=limits,
                generator=context.generator,
            )
        return pixels_NHWC
