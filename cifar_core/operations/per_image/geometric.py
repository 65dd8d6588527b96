"""Changes of the position of pixels: the nearest pixel of the image, zero outside of it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import grid_sample


def shear_x(pixels_NHWC: Tensor, slope_N: Tensor) -> Tensor:
    """Move each row to the left by `slope_N` times its distance from the top edge."""
    height, zero_N = pixels_NHWC.shape[1], torch.zeros_like(slope_N)
    return _transformed(pixels_NHWC, [zero_N + 1, slope_N, slope_N * height / 2], [zero_N, zero_N + 1, zero_N])


def shear_y(pixels_NHWC: Tensor, slope_N: Tensor) -> Tensor:
    """Move each column up by `slope_N` times its distance from the left edge."""
    width, zero_N = pixels_NHWC.shape[2], torch.zeros_like(slope_N)
    return _transformed(pixels_NHWC, [zero_N + 1, zero_N, zero_N], [slope_N, zero_N + 1, slope_N * width / 2])


def translate_x(pixels_NHWC: Tensor, distance_N: Tensor) -> Tensor:
    """Move images to the right by whole pixels; the fraction of `distance_N` is cut off."""
    zero_N = torch.zeros_like(distance_N)
    return _transformed(pixels_NHWC, [zero_N + 1, zero_N, -distance_N.trunc()], [zero_N, zero_N + 1, zero_N])


def translate_y(pixels_NHWC: Tensor, distance_N: Tensor) -> Tensor:
    """Move images down by whole pixels; the fraction of `distance_N` is cut off."""
    zero_N = torch.zeros_like(distance_N)
    return _transformed(pixels_NHWC, [zero_N + 1, zero_N, zero_N], [zero_N, zero_N + 1, -distance_N.trunc()])


def rotate(pixels_NHWC: Tensor, degrees_N: Tensor) -> Tensor:
    """Rotate images counter-clockwise around their centre."""
    angle_N = degrees_N.double().deg2rad()
    cos_N, sin_N, zero_N = angle_N.cos().float(), angle_N.sin().float(), torch.zeros_like(degrees_N)
    return _transformed(pixels_NHWC, [cos_N, -sin_N, zero_N], [sin_N, cos_N, zero_N])


def _transformed(pixels_NHWC: Tensor, x_3N: Sequence[Tensor], y_3N: Sequence[Tensor]) -> Tensor:
    """Return images whose pixel at (x, y) from the centre is the one at `x_3N` · (x, y, 1), `y_3N` · (x, y, 1)."""
    _, height, width, _ = pixels_NHWC.shape
    x_W, y_H = (_from_centre(size, pixels_NHWC.device) for size in (width, height))
    ones_HW = torch.ones(height, width, device=pixels_NHWC.device)
    places_HW3 = torch.stack([ones_HW * x_W, ones_HW * y_H[:, None], ones_HW], dim=-1)
    # `grid_sample` expects -1 and 1 at the edges.
    matrix_23N = torch.stack([torch.stack(list(x_3N)) / (0.5 * width), torch.stack(list(y_3N)) / (0.5 * height)])
    grid_NHW2 = torch.einsum("hwk,ckn->nhwc", places_HW3, matrix_23N)
    sampled_NCHW = grid_sample(
        pixels_NHWC.permute(0, 3, 1, 2), grid_NHW2, mode="nearest", padding_mode="zeros", align_corners=False
    )
    return sampled_NCHW.permute(0, 2, 3, 1)


def _from_centre(size: int, device: torch.device) -> Tensor:
    return torch.arange(size, device=device) - (size - 1) / 2
