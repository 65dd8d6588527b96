"""Mixup and cutmix: training images that contain a second image, and the classes of both as target."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import one_hot

from cifar_core.config import DataConfig


def mixed(
    inputs_NCHW: Tensor, labels_N: Tensor, *, data: DataConfig, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Return a batch with each image mixed with another one of it, by mixup or cutmix; unchanged if both are off.

    Pairs come from one permutation of the batch: an image may be its own partner. The share of the image is drawn for
    each image from Beta(α, α). If both kinds are on, each image has one of them with probability ½.

    Args:
        inputs_NCHW: augmented images.
        labels_N: their classes, int64.
        data: its `mixup` and `cutmix` are the α of the kinds, 0 for off.
        generator: on the CPU.

    Returns:
        The images, and the targets: the labels if nothing is mixed, else the share of each class, float32 N×K.
    """
    if data.mixup == data.cutmix == 0:
        return inputs_NCHW, labels_N
    count, _, height, width = inputs_NCHW.shape
    partner_N = torch.randperm(count, generator=generator)
    is_cut_N = torch.rand(count, generator=generator) < (0.5 if data.mixup and data.cutmix else float(data.cutmix > 0))
    # torch draws no Beta numbers from a given generator.
    numbers = np.random.default_rng(int(torch.randint(2**62, (), generator=generator)))
    alpha_N = np.where(is_cut_N.numpy(), data.cutmix, data.mixup)
    share_N = torch.from_numpy(numbers.beta(alpha_N, alpha_N)).float()
    box_4N = _boxes(share_N, height=height, width=width, generator=generator)
    area_N = (box_4N[2] - box_4N[0]) * (box_4N[3] - box_4N[1])
    share_N = torch.where(is_cut_N, 1 - area_N / (height * width), share_N)

    device = inputs_NCHW.device
    partner_N, is_cut_N, share_N, box_4N = (
        each.to(device, non_blocking=True) for each in (partner_N, is_cut_N, share_N, box_4N)
    )
    inside_N1HW = _inside(box_4N, height=height, width=width)
    kept_N111 = share_N[:, None, None, None]
    kept_N1HW = torch.where(is_cut_N[:, None, None, None], 1 - inside_N1HW, kept_N111)
    others_NCHW = inputs_NCHW[partner_N]
    classes_NK = one_hot(labels_N, data.classes).float()
    targets_NK = torch.lerp(classes_NK[partner_N], classes_NK, share_N[:, None])
    return torch.lerp(others_NCHW, inputs_NCHW, kept_N1HW), targets_NK


def _boxes(share_N: Tensor, *, height: int, width: int, generator: torch.Generator) -> Tensor:
    """Return 4×N integers: top, left, bottom and right of the partner's rectangle, the last two exclusive.

    As Yun et al. 2019: its sides are √(1 - share) of the image's, its centre is uniform, and the image's edge cuts it.
    """
    sides_2N = (1 - share_N).sqrt() * torch.tensor([[height], [width]])
    half_2N = sides_2N.long() // 2
    centre_2N = torch.stack([torch.randint(size, share_N.shape, generator=generator) for size in (height, width)])
    most_21 = torch.tensor([[height], [width]])
    first_2N = (centre_2N - half_2N).clamp_min(0)
    last_2N = torch.minimum(centre_2N + half_2N, most_21)
    return torch.cat([first_2N, last_2N])


def _inside(box_4N: Tensor, *, height: int, width: int) -> Tensor:
    """Return 1 for each pixel of the rectangles, 0 elsewhere, N×1×H×W."""
    first_2N1, last_2N1 = box_4N[:2, :, None], box_4N[2:, :, None]
    y_H, x_W = (torch.arange(size, device=box_4N.device) for size in (height, width))
    rows_NH = ((y_H >= first_2N1[0]) & (y_H < last_2N1[0])).float()
    columns_NW = ((x_W >= first_2N1[1]) & (x_W < last_2N1[1])).float()
    return torch.einsum("nh,nw->nhw", rows_NH, columns_NW).unsqueeze(1)
