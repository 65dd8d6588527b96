"""Normalisation, which every augmentation contains once."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Literal

from cifar_core.operations.operation import AugmentContext, Operation, cached

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Constants = tuple[tuple[float, float, float], tuple[float, float, float]]
"""Mean and standard deviation of red, green and blue."""

NORMALIZATIONS: Mapping[str, Constants] = {
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Mean and standard deviation of red, green and blue, as in the notebook of `experiments/ladder.yaml`.

The deviation of `cifar10` is a widely used value, the mean of the deviations of single images; that of all pixels is
.2470 .2435 .2616.
"""


class Normalize(Operation):
    """Subtract the mean and divide by the standard deviation that `data.normalization` names."""

    op: Literal["normalize"] = "normalize"

    def apply(self, pixels_NHWC: Tensor, context: AugmentContext) -> Tensor:
        return normalized(pixels_NHWC, normalization=context.normalization)


def constants_of(normalization: str | Constants) -> Constants:
    """Return the constants of a name, or the constants themselves."""
    return NORMALIZATIONS[normalization] if isinstance(normalization, str) else normalization


def normalized(pixels_NHWC: Tensor, *, normalization: str | Constants) -> Tensor:
    """Normalise images in place, N×H×W×3 in [0, 1], and return them."""
    if constants_of(normalization) == NORMALIZATIONS["none"]:
        return pixels_NHWC
    mean, std = _constants(normalization, pixels_NHWC.shape[2], pixels_NHWC.device)
    pixels_NHWC.flatten(start_dim=2).sub_(mean).div_(std)
    return pixels_NHWC


@cached
def _constants(normalization: str | Constants, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    import torch

    # One value for each number in a row of pixels: three at a time are too few for the CPU's vector units.
    mean, std = constants_of(normalization)
    return torch.tensor(mean, device=device).repeat(width), torch.tensor(std, device=device).repeat(width)
