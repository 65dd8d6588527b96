"""The list of changes, their magnitudes, and a batch in which each image has its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from cifar_core.operations.operation import cached, indices
from cifar_core.operations.per_image import geometric, tonal

BINS = 31
"""Number of magnitudes of a change."""

CHANGES: Mapping[str, Callable[[Tensor, Tensor], Tensor] | None] = {
    "identity": None,
    "shear_x": geometric.shear_x,
    "shear_y": geometric.shear_y,
    "translate_x": geometric.translate_x,
    "translate_y": geometric.translate_y,
    "rotate": geometric.rotate,
    "brightness": tonal.brightness,
    "color": tonal.color,
    "contrast": tonal.contrast,
    "sharpness": tonal.sharpness,
    "posterize": tonal.posterize,
    "solarize": tonal.solarize,
    "autocontrast": tonal.autocontrast,
    "equalize": tonal.equalize,
}
"""Name of a change to its function of images, N×H×W×3 from 0 to 1, and magnitudes, N; in torchvision's order."""

TWO_SIDED = (
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "brightness",
    "color",
    "contrast",
    "sharpness",
)
"""Changes whose magnitude is negative for half of the images."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The largest magnitudes."""

    shear: float
    """Slope."""
    translate: float
    """Pixels."""
    rotate: float
    """Degrees."""
    tone: float
    """Of brightness, color, contrast and sharpness; 1 is twice the value, or none of it."""
    removed_bits: int
    """Of 8 bits, by posterize."""


@cached
def magnitudes(limits: Limits) -> Tensor:
    """Return the magnitude of each change (row) and bin (column), without signs."""
    shear, translate, rotate, tone = (
        torch.linspace(0, most, BINS) for most in (limits.shear, limits.translate, limits.rotate, limits.tone)
    )
    none = torch.zeros(BINS)
    bits = 8 - (torch.arange(BINS) / ((BINS - 1) / limits.removed_bits)).round()
    threshold = torch.linspace(255, 0, BINS)
    rows = [none, shear, shear, translate, translate, rotate, tone, tone, tone, tone, bits, threshold, none, none]
    return torch.stack(rows)


def changed(
    pixels_NHWC: Tensor, *, change_N: Tensor, bin_N: Tensor, limits: Limits, generator: torch.Generator
) -> Tensor:
    """Return images, each with its change; modified in place.

    Args:
        pixels_NHWC: from 0 to 1, on any device.
        change_N: number of each image's change in `CHANGES`, on the CPU.
        bin_N: bin of its magnitude, on the CPU.
        limits: of the magnitudes.
        generator: draws the signs, on the CPU.
    """
    sign_N = 1 - 2 * torch.randint(2, change_N.shape, generator=generator)
    magnitude_N = magnitudes(limits)[change_N, bin_N]
    for number, (name, change) in enumerate(CHANGES.items()):
        is_changed_N = change_N == number
        if change is None or not is_changed_N.any():
            continue
        values_N = magnitude_N * sign_N if name in TWO_SIDED else magnitude_N
        values_M = values_N[is_changed_N].to(pixels_NHWC.device, non_blocking=True)
        chosen = indices(is_changed_N, pixels_NHWC.device)
        pixels_NHWC.index_copy_(0, chosen, change(pixels_NHWC[chosen], values_M))
    return pixels_NHWC
