"""Changes of the values of pixels, float32 from 0 to 1.

torchvision rounds some of them to 8 bits; here only those that are defined on 8 bits are: posterize, solarize and
equalize.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import avg_pool2d

from cifar_core.operations.grayscale import luma

LEVELS = 256
"""Values of a channel with 8 bits."""


def brightness(pixels_NHWC: Tensor, change_N: Tensor) -> Tensor:
    """Blend with black; `change_N` 0 leaves an image, -1 makes it black."""
    return _blended(pixels_NHWC, torch.zeros((), device=pixels_NHWC.device), change_N)


def color(pixels_NHWC: Tensor, change_N: Tensor) -> Tensor:
    """Blend with the grey image."""
    return _blended(pixels_NHWC, luma(pixels_NHWC), change_N)


def contrast(pixels_NHWC: Tensor, change_N: Tensor) -> Tensor:
    """Blend with the mean of the grey image."""
    return _blended(pixels_NHWC, luma(pixels_NHWC).mean((1, 2, 3), keepdim=True), change_N)


def sharpness(pixels_NHWC: Tensor, change_N: Tensor) -> Tensor:
    """Blend with a blurred image, whose border is that of the image."""
    # The blur weighs a pixel 5 times its eight neighbours.
    mean_NCHW = avg_pool2d(pixels_NHWC.permute(0, 3, 1, 2), kernel_size=3, stride=1)
    blurred_NHWC = pixels_NHWC.clone()
    inner_NHWC = blurred_NHWC[:, 1:-1, 1:-1]
    inner_NHWC.mul_(4).add_(mean_NCHW.permute(0, 2, 3, 1), alpha=9).div_(13)
    return _blended(pixels_NHWC, blurred_NHWC, change_N)


def posterize(pixels_NHWC: Tensor, bits_N: Tensor) -> Tensor:
    """Keep the highest `bits_N` of 8 bits."""
    step_N111 = _per_image((8 - bits_N).exp2())
    return _levels(pixels_NHWC).div_(step_N111).floor_().mul_(step_N111).div_(LEVELS - 1)


def solarize(pixels_NHWC: Tensor, threshold_N: Tensor) -> Tensor:
    """Invert the values of at least `threshold_N`, from 0 to 255."""
    return torch.where(_levels(pixels_NHWC) >= _per_image(threshold_N), 1 - pixels_NHWC, pixels_NHWC)


def autocontrast(pixels_NHWC: Tensor, _: Tensor) -> Tensor:
    """Stretch each channel to the range from 0 to 1; one with a single value stays."""
    least, most = pixels_NHWC.amin((1, 2), keepdim=True), pixels_NHWC.amax((1, 2), keepdim=True)
    is_flat = most == least
    least, range_ = least.masked_fill(is_flat, 0), (most - least).masked_fill(is_flat, 1)
    return ((pixels_NHWC - least) / range_).clamp_(0, 1)


def equalize(pixels_NHWC: Tensor, _: Tensor) -> Tensor:
    """Map each channel's 256 levels so that their histogram becomes even, as Pillow does."""
    count, height, width, channels = pixels_NHWC.shape
    level_MP = _levels(pixels_NHWC).long().permute(0, 3, 1, 2).reshape(count * channels, height * width)
    histogram_ML = torch.zeros(len(level_MP), LEVELS, dtype=torch.long, device=pixels_NHWC.device)
    histogram_ML.scatter_add_(1, level_MP, torch.ones_like(level_MP))
    of_highest_M1 = histogram_ML.gather(1, level_MP.amax(1, keepdim=True))
    step_M1 = (height * width - of_highest_M1) // (LEVELS - 1)
    below_ML = histogram_ML.cumsum(1) - histogram_ML
    map_ML = ((below_ML + step_M1 // 2) // step_M1.clamp_min(1)).clamp_(0, LEVELS - 1)
    changed_MP = torch.where(step_M1 == 0, level_MP, map_ML.gather(1, level_MP))
    changed_NCHW = changed_MP.view(count, channels, height, width).float().div_(LEVELS - 1)
    return changed_NCHW.permute(0, 2, 3, 1)


def _blended(pixels_NHWC: Tensor, other_NHWC: Tensor, change_N: Tensor) -> Tensor:
    """Return (1 + change) × image - change × other image, cut to 0 and 1."""
    factor_N111 = _per_image(1 + change_N)
    return (factor_N111 * pixels_NHWC + (1 - factor_N111) * other_NHWC).clamp_(0, 1)


def _levels(pixels_NHWC: Tensor) -> Tensor:
    return (pixels_NHWC * (LEVELS - 1)).round_()


def _per_image(values_N: Tensor) -> Tensor:
    return values_N[:, None, None, None]
