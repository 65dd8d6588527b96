"""Normalisation and augmentation of a whole batch at once, each image with random numbers of its own.

Every operation does what torchvision's transform of that name does image by image, at the same place of the
order. The random numbers are drawn on the CPU wherever the images are: a GPU sees the same images as a CPU.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache

import torch
from torch import Tensor
from torch.nn.functional import interpolate, pad

from cifar_core.recipes import AugmentationOp, Crop, Erase, Flip, Grayscale, Normalize, Pad

CHANNELS = 3
NORMALIZATIONS: Mapping[str, tuple[tuple[float, float, float], tuple[float, float, float]]] = {
    "none": ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0)),
    "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
"""Mean and standard deviation of red, green and blue, as the notebook has them.

The deviation of `cifar10` is the mean over the images of each one's own, a value often copied; that of all
pixels is .2470 .2435 .2616.
"""
LUMA = (0.2989, 0.587, 0.114)
"""Weights of red, green and blue in torchvision's grayscale (ITU-R 601-2)."""
ERASE_TRIES = 10
"""How often torchvision draws a rectangle before it gives an image up that none fits."""


def augment(
    images_NHWC: Tensor,
    *,
    operations: Sequence[AugmentationOp],
    normalization: str,
    generator: torch.Generator,
    alternation_N: Tensor | None = None,
) -> Tensor:
    """Return training images: scaled to [0, 1], then changed by each operation in order.

    Args:
        images_NHWC: uint8, N×H×W×3, on any device.
        operations: what to do, in order; `cifar_core.recipes.operations_of` gives them for a recipe's name.
        normalization: `none`, `cifar10` or `imagenet`: the constants of the `normalize` among the operations.
        generator: of the CPU; each operation takes its random numbers from it in turn.
        alternation_N: whom a flip that alternates mirrors this time, one bool an image, on the CPU; None draws.

    Returns:
        float32, N×3×H×W on the images' device, `channels_last` in memory.
    """
    pixels_NHWC = _scaled_to_unit(images_NHWC)
    for operation in operations:
        if alternation_N is not None and isinstance(operation, Flip) and operation.alternate:
            pixels_NHWC = _mirror(pixels_NHWC, alternation_N)
        else:
            pixels_NHWC = _apply(operation, pixels_NHWC, normalization=normalization, generator=generator)
    return pixels_NHWC.permute(0, 3, 1, 2)


def augment_in_steps(
    images_NHWC: Tensor,
    *,
    operations: Sequence[AugmentationOp],
    normalization: str,
    generator: torch.Generator,
) -> Iterator[Tensor]:
    """Yield the images scaled to [0, 1], and again after each operation; the last are those of `augment`, bit for bit.

    Arguments and shapes are those of `augment`; height and width change where an operation pads or crops. A generator
    in the same state gives the same images, and is left in the same state.
    """
    pixels_NHWC = _scaled_to_unit(images_NHWC)
    yield pixels_NHWC.clone().permute(0, 3, 1, 2)
    for operation in operations:
        pixels_NHWC = _apply(operation, pixels_NHWC, normalization=normalization, generator=generator)
        yield pixels_NHWC.clone().permute(0, 3, 1, 2)


def normalize(images_NHWC: Tensor, *, normalization: str) -> Tensor:
    """Return images for evaluation: scaled to [0, 1] and normalised, nothing else.

    Args:
        images_NHWC: uint8, N×H×W×3, on any device.
        normalization: `none`, `cifar10` or `imagenet`.

    Returns:
        float32, N×3×H×W on the images' device, `channels_last` in memory.
    """
    return _normalize(_scaled_to_unit(images_NHWC), normalization=normalization).permute(0, 3, 1, 2)


def denormalize(inputs_NCHW: Tensor, *, normalization: str) -> Tensor:
    """Return a network's inputs as pixels that can be looked at: float32 in [0, 1], N×3×H×W."""
    mean, std = (torch.tensor(values).view(-1, 1, 1) for values in NORMALIZATIONS[normalization])
    return (inputs_NCHW.float().cpu() * std + mean).clamp(0, 1)


# Each operation below owns the tensor it is given, contiguous N×H×W×3, and may write into it.


def _apply(operation: AugmentationOp, pixels_NHWC: Tensor, *, normalization: str, generator: torch.Generator) -> Tensor:
    match operation:
        case Normalize():
            return _normalize(pixels_NHWC, normalization=normalization)
        case Pad(pixels=border):
            return _pad(pixels_NHWC, border=border)
        case Flip(p=p):
            return _flip(pixels_NHWC, p=p, generator=generator)
        case Grayscale(p=p):
            return _grayscale(pixels_NHWC, p=p, generator=generator)
        case Erase():
            return _erase(pixels_NHWC, operation=operation, generator=generator)
        case Crop(size=size, padding=padding, fill=fill):
            return _crop(_pad(pixels_NHWC, border=padding, fill=fill), size=size, generator=generator)


def _scaled_to_unit(images_NHWC: Tensor) -> Tensor:
    # The target is new even where `to` has nothing to convert: the caller's images stay as they are.
    return images_NHWC.to(torch.float32, memory_format=torch.contiguous_format, copy=True).div_(255)


def _normalize(pixels_NHWC: Tensor, *, normalization: str) -> Tensor:
    if normalization == "none":
        return pixels_NHWC
    mean, std = _constants(normalization, pixels_NHWC.shape[2], pixels_NHWC.device)
    pixels_NHWC.flatten(start_dim=2).sub_(mean).div_(std)
    return pixels_NHWC


@lru_cache
def _constants(normalization: str, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    # One value for each number in a row of pixels: three at a time are too few for the CPU's vector units.
    mean, std = NORMALIZATIONS[normalization]
    return torch.tensor(mean, device=device).repeat(width), torch.tensor(std, device=device).repeat(width)


def _pad(pixels_NHWC: Tensor, *, border: int, fill: str = "zero") -> Tensor:
    if not border:
        return pixels_NHWC
    if fill == "zero":
        return pad(pixels_NHWC, (0, 0, border, border, border, border))
    height, width = pixels_NHWC.shape[1:3]
    return pixels_NHWC[:, _reflected(height, border)[:, None], _reflected(width, border)]


@lru_cache
def _reflected(size: int, border: int) -> Tensor:
    """Return where each pixel of a side with its border comes from: the edge itself is not repeated."""
    place = torch.arange(-border, size + border).abs()
    return size - 1 - (size - 1 - place).abs()


def _flip(pixels_NHWC: Tensor, *, p: float, generator: torch.Generator) -> Tensor:
    return _mirror(pixels_NHWC, torch.rand(len(pixels_NHWC), generator=generator) < p)


def _mirror(pixels_NHWC: Tensor, chosen_N: Tensor) -> Tensor:
    chosen = _indices(chosen_N, pixels_NHWC.device)
    return pixels_NHWC.index_copy_(0, chosen, pixels_NHWC[chosen].flip(2))


def _grayscale(pixels_NHWC: Tensor, *, p: float, generator: torch.Generator) -> Tensor:
    chosen = _indices(torch.rand(len(pixels_NHWC), generator=generator) < p, pixels_NHWC.device)
    red, green, blue = pixels_NHWC[chosen].unbind(-1)
    luma_NHW = LUMA[0] * red + LUMA[1] * green + LUMA[2] * blue
    return pixels_NHWC.index_copy_(0, chosen, luma_NHW.unsqueeze(-1).expand(-1, -1, -1, CHANNELS))


def _indices(chosen_N: Tensor, device: torch.device) -> Tensor:
    """Return the indices of the images that an operation takes."""
    # Found on the CPU, where the random numbers are: on a GPU their count would have to be waited for.
    return chosen_N.nonzero().squeeze(1).to(device, non_blocking=True)


def resized(images_NCHW: Tensor, size: int) -> Tensor:
    """Return images of `size`×`size` pixels, averaged over what each pixel covers; the same ones at the same size."""
    if images_NCHW.shape[-1] == size:
        return images_NCHW
    return interpolate(images_NCHW, size=(size, size), mode="bilinear", antialias=True)


def _erase(pixels_NHWC: Tensor, *, operation: Erase, generator: torch.Generator) -> Tensor:
    count, height, width, _ = pixels_NHWC.shape
    box_4N = _draw_boxes(count, height=height, width=width, operation=operation, generator=generator)
    box_4N11 = box_4N.to(pixels_NHWC.device, non_blocking=True)[..., None, None]
    top_N11, left_N11, bottom_N11, right_N11 = box_4N11
    y_H1 = torch.arange(height, device=pixels_NHWC.device).unsqueeze(1)
    x_L = torch.arange(width, device=pixels_NHWC.device).repeat_interleave(CHANNELS)
    rows_NH1 = ((y_H1 >= top_N11) & (y_H1 < bottom_N11)).float()
    columns_N1L = ((x_L >= left_N11) & (x_L < right_N11)).float()
    # A product of floats takes a tenth of the time of a mask of bools on a CPU.
    pixels_NHWC.flatten(start_dim=2).mul_((rows_NH1 * columns_N1L).neg_().add_(1))
    return pixels_NHWC


def _draw_boxes(count: int, *, height: int, width: int, operation: Erase, generator: torch.Generator) -> Tensor:
    """Return 4×N integers: top, left, bottom and right of each image's rectangle, the last two exclusive.

    The draws are those of `torchvision.transforms.RandomErasing`: the area is uniform within `scale`, the
    logarithm of height over width uniform within `ratio`, and the first of ten such rectangles that is
    smaller than the image is put anywhere in it. An image that is not chosen, or into which none of the ten
    fits, gets an empty one.
    """
    chosen_N = torch.rand(count, generator=generator) < operation.p
    area_TN = torch.empty(ERASE_TRIES, count).uniform_(*operation.scale, generator=generator) * height * width
    log_ratio = torch.tensor(operation.ratio).log().tolist()
    ratio_TN = torch.empty(ERASE_TRIES, count).uniform_(*log_ratio, generator=generator).exp()
    # In float64 a number below 1 times the number of places stays below it.
    place_2N = torch.rand(2, count, generator=generator, dtype=torch.float64)

    height_TN = (area_TN * ratio_TN).sqrt().round().long()
    width_TN = (area_TN / ratio_TN).sqrt().round().long()
    fits_TN = (height_TN < height) & (width_TN < width)
    first_1N = fits_TN.byte().argmax(dim=0, keepdim=True)
    used_N = chosen_N & fits_TN.any(dim=0)
    height_N = height_TN.gather(0, first_1N).squeeze(0) * used_N
    width_N = width_TN.gather(0, first_1N).squeeze(0) * used_N
    top_N = (place_2N[0] * (height - height_N + 1)).long()
    left_N = (place_2N[1] * (width - width_N + 1)).long()
    return torch.stack([top_N, left_N, top_N + height_N, left_N + width_N])


def _crop(pixels_NHWC: Tensor, *, size: int, generator: torch.Generator) -> Tensor:
    count, height, width, channels = pixels_NHWC.shape
    tops, lefts = height - size + 1, width - size + 1
    top_N = torch.randint(tops, (count,), generator=generator)
    left_N = torch.randint(lefts, (count,), generator=generator)
    index_3N = torch.stack([torch.arange(count), top_N, left_N]).to(pixels_NHWC.device, non_blocking=True)
    # A view of all windows there are, without a copy; indexing then copies whole rows of the chosen ones.
    image_stride, row_stride, pixel_stride, _ = pixels_NHWC.stride()
    windows = pixels_NHWC.as_strided(
        (count, tops, lefts, size, size * channels), (image_stride, row_stride, pixel_stride, row_stride, 1)
    )
    return windows[tuple(index_3N)].view(count, size, size, channels)
