"""torchvision's transforms, by name, applied to single images for display, not for training."""

from __future__ import annotations

import ast
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from cifar_core.common.errors import ModelError
from cifar_core.layer_expression import construct, first_line, parse_expression, suggestion

_DEFAULT_ARGUMENTS = {
    "Resize": "16",
    "CenterCrop": "24",
    "RandomCrop": "32, padding=4",
    "RandomResizedCrop": "32",
    "Pad": "4",
    "RandomRotation": "30",
    "RandomAffine": "15, translate=(0.1, 0.1), scale=(0.8, 1.2)",
    "ColorJitter": "brightness=0.5, contrast=0.5, saturation=0.5, hue=0.1",
    "GaussianBlur": "3",
    "RandomPosterize": "2, p=1.0",
    "RandomSolarize": "128, p=1.0",
    "RandomAdjustSharpness": "4, p=1.0",
    "Normalize": "(0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)",
}
"""Arguments of transforms that are named without any, but need some or have no effect without."""
MAX_SIDE = 512
"""Largest side in pixels, and so the largest integer argument."""
_NEEDS_A_TENSOR = ("Normalize", "RandomErasing", "ConvertImageDtype")


@dataclass(frozen=True, kw_only=True)
class TransformStep:
    """The images after one transform."""

    name: str
    """Its class; `image` for the original images."""
    arguments: str
    images: Sequence[npt.NDArray[np.uint8]]
    """H×W×3, padded with white to a square where a transform returns another shape."""
    least: float
    greatest: float


def is_transforms(text: str) -> bool:
    """Return whether a text names transforms of torchvision, such as `ColorJitter(0.5), rotation`."""
    try:
        return bool(_calls(text))
    except ModelError:
        return "(" in text


def transform_in_steps(
    images_NHWC: npt.NDArray[np.uint8], *, text: str, seed: int, draws: int = 1
) -> list[TransformStep]:
    """Return the original images, then the images after each transform; the draws of an image are adjacent.

    Args:
        images_NHWC: N×32×32×3.
        text: transforms of `torchvision.transforms`, separated by commas: `Resize(16), ColorJitter(hue=0.2)`. `Random`
            and the arguments may be left out: `rotation`.
        seed: of the random numbers.
        draws: number of draws per image.

    Raises:
        ModelError: there is no such transform, or it rejects its arguments or the images.
    """
    transforms = [(construct(node, _class), node) for node in _calls(text)]
    values: list[Any] = [Image.fromarray(image) for image in images_NHWC for _ in range(draws)]
    steps = [_step("image", "", values, undo=None)]
    undo: tuple[Any, Any] | None = None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        state = random.getstate()
        random.seed(seed)
        try:
            for transform, node in transforms:
                name = type(transform).__name__
                if name in _NEEDS_A_TENSOR:
                    values = [_tensor(value) for value in values]
                values = [_applied(transform, value) for value in values]
                undo = (transform.mean, transform.std) if name == "Normalize" else undo
                given = [*node.args, *node.keywords] if isinstance(node, ast.Call) else []
                steps.append(_step(name, ", ".join(map(ast.unparse, given)), values, undo=undo))
        finally:
            random.setstate(state)
    return steps


def _calls(text: str) -> list[ast.expr]:
    expression = parse_expression(
        f"({text.strip().rstrip(',')},)",
        message=f"{text!r} is not a list of transforms: write one such as 'Resize(16)'",
    )
    found = []
    for node in expression.elts if isinstance(expression, ast.Tuple) else [expression]:
        name = _class(ast.unparse(node.func if isinstance(node, ast.Call) else node)).__name__
        if not isinstance(node, ast.Call) and name in _DEFAULT_ARGUMENTS:
            node = parse_expression(f"{name}({_DEFAULT_ARGUMENTS[name]})", message=name)
        for part in ast.walk(node):
            if isinstance(part, ast.Constant) and isinstance(part.value, int) and part.value > MAX_SIDE:
                raise ModelError(f"{name} with {part.value:,}: a side has at most {MAX_SIDE:,} pixels")
        found.append(node)
    return found


def _class(name: str) -> type[Any]:
    from torchvision import transforms

    known = {key: value for key, value in vars(transforms).items() if isinstance(value, type) and callable(value)}
    short = name.rpartition(".")[2].replace("_", "").lower().replace("colour", "color")
    for key, value in known.items():
        if short in (key.lower(), key.lower().removeprefix("random")):
            return value
    hint = suggestion(short, known) or "name a class of torchvision.transforms"
    raise ModelError(f"there is no transform {name!r}: {hint}")


def _applied(transform: Any, value: Any) -> Any:
    name = type(transform).__name__
    try:
        result = transform(value)
    except Exception as error:
        raise ModelError(f"{name} cannot process the image: {first_line(error)}") from error
    if not isinstance(result, Image.Image | torch.Tensor):
        raise ModelError(f"{name} returns a {type(result).__name__}, not one image")
    return result


def _tensor(value: Any) -> torch.Tensor:
    from torchvision.transforms import functional

    return value if isinstance(value, torch.Tensor) else functional.to_tensor(value)


def _step(name: str, arguments: str, values: Sequence[Any], *, undo: tuple[Any, Any] | None) -> TransformStep:
    tensors = [_tensor(value) for value in values]
    return TransformStep(
        name=name,
        arguments=arguments,
        images=[_pixels(tensor, undo) for tensor in tensors],
        least=min(float(tensor.min()) for tensor in tensors),
        greatest=max(float(tensor.max()) for tensor in tensors),
    )


def _pixels(values_CHW: torch.Tensor, undo: tuple[Any, Any] | None) -> npt.NDArray[np.uint8]:
    """Return values as a displayable image: normalisation undone, a single channel as grey, padded to a square."""
    shown = values_CHW.float().expand(3, -1, -1) if len(values_CHW) == 1 else values_CHW.float()
    if undo is not None:
        mean, std = (torch.tensor(each, dtype=torch.float32).view(-1, 1, 1) for each in undo)
        shown = shown * std + mean
    pixels = (shown.clamp(0, 1) * 255).round().byte().permute(1, 2, 0).numpy()
    height, width = pixels.shape[:2]
    down, right = max(width - height, 0), max(height - width, 0)
    return np.pad(
        pixels, ((down // 2, down - down // 2), (right // 2, right - right // 2), (0, 0)), constant_values=255
    )
