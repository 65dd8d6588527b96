"""TrivialAugment."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Literal

from cifar_core.operations.operation import AugmentContext, Operation

if TYPE_CHECKING:
    from torch import Tensor


class TrivialAugment(Operation):
    """One of 14 changes of position or colour with a random magnitude for each image (wide; Müller and Hutter 2021)."""

    op: Literal["trivial_augment"] = "trivial_augment"
    before_normalize: ClassVar[bool] = True

    def apply(self, pixels_NHWC: Tensor, context: AugmentContext) -> Tensor:
        import torch

        from cifar_core.operations.per_image.changes import BINS, CHANGES, Limits, changed

        count, generator = len(pixels_NHWC), context.generator
        return changed(
            pixels_NHWC,
            change_N=torch.randint(len(CHANGES), (count,), generator=generator),
            bin_N=torch.randint(BINS, (count,), generator=generator),
            limits=Limits(shear=0.99, translate=32, rotate=135, tone=0.99, removed_bits=6),
            generator=generator,
        )
