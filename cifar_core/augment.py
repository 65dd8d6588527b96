"""Normalisation and augmentation of a batch at once, with separate random numbers for each image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from cifar_core.operations.normalize import Constants, constants_of, normalized
from cifar_core.operations.operation import AugmentContext, Operation


def augment(
    images_NHWC: Tensor,
    *,
    operations: Sequence[Operation],
    normalization: str | Constants,
    generator: torch.Generator,
    alternation_N: Tensor | None = None,
) -> Tensor:
    """Return training images: scaled to [0, 1], then changed by each operation in order.

    Args:
        images_NHWC: uint8, N×H×W×3, on any device.
        operations: in order; `cifar_core.recipes.operations_of` returns those of a named recipe.
        normalization: `none`, `cifar10` or `imagenet`, or constants: those of the `normalize` among the operations.
        generator: on the CPU; each operation draws from it in turn.
        alternation_N: images that an alternating flip mirrors, one bool per image, on the CPU; None draws them.

    Returns:
        float32, N×3×H×W on the images' device, `channels_last` in memory.
    """
    pixels_NHWC = _scaled_to_unit(images_NHWC)
    context = AugmentContext(normalization=normalization, generator=generator, alternation_N=alternation_N)
    for operation in operations:
        pixels_NHWC = operation.apply(pixels_NHWC, context)
    return pixels_NHWC.permute(0, 3, 1, 2)


def augment_in_steps(
    images_NHWC: Tensor,
    *,
    operations: Sequence[Operation],
    normalization: str | Constants,
    generator: torch.Generator,
) -> Iterator[Tensor]:
    """Yield the images scaled to [0, 1], then after each operation; the last equal those of `augment` bit for bit.

    Arguments and shapes are those of `augment`; height and width change where an operation pads or crops. A generator
    in the same state yields the same images and ends in the same state.
    """
    pixels_NHWC = _scaled_to_unit(images_NHWC)
    yield pixels_NHWC.clone().permute(0, 3, 1, 2)
    context = AugmentContext(normalization=normalization, generator=generator)
    for operation in operations:
        pixels_NHWC = operation.apply(pixels_NHWC, context)
        yield pixels_NHWC.clone().permute(0, 3, 1, 2)


def normalize(images_NHWC: Tensor, *, normalization: str | Constants) -> Tensor:
    """Return images for evaluation: scaled to [0, 1] and normalised, nothing else.

    Args:
        images_NHWC: uint8, N×H×W×3, on any device.
        normalization: `none`, `cifar10` or `imagenet`, or constants.

    Returns:
        float32, N×3×H×W on the images' device, `channels_last` in memory.
    """
    return normalized(_scaled_to_unit(images_NHWC), normalization=normalization).permute(0, 3, 1, 2)


def denormalize(inputs_NCHW: Tensor, *, normalization: str | Constants) -> Tensor:
    """Return a network's inputs as displayable pixels: float32 in [0, 1], N×3×H×W."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in constants_of(normalization))
    return (inputs_NCHW.float().cpu() * std + mean).clamp(0, 1)


def _scaled_to_unit(images_NHWC: Tensor) -> Tensor:
    # A copy even where `to` has nothing to convert: the caller's images stay unchanged.
    return images_NHWC.to(torch.float32, memory_format=torch.contiguous_format, copy=True).div_(255)


def resized(images_NCHW: Tensor, size: int) -> Tensor:
    """Return images of `size`×`size` pixels, downsampled with antialiasing; unchanged if they have that size."""
    if images_NCHW.shape[-1] == size:
        return images_NCHW
    return interpolate(images_NCHW, size=(size, size), mode="bilinear", antialias=True)
