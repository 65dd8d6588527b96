"""torchvision's own transforms, by name, on images one by one: for looking at what they do, not for training."""

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
from cifar_core.layer_expression import built, first_line, nearest, parsed

_SHOWN_WITH = {
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
"""Arguments of what is named without any and needs some, or does nothing without."""
MOST_PIXELS = 512
"""Of a side, and so of every number that is given."""
_NEEDS_A_TENSOR = ("Normalize", "RandomErasing", "ConvertImageDtype")


@dataclass(frozen=True, kw_only=True)
class TransformStep:
    """What one transform has made of images."""

    name: str
    """Its class; `image` of what they were before."""
    arguments: str
    images: Sequence[npt.NDArray[np.uint8]]
    """H×W×3, padded with white to a square where a transform gives another shape."""
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
    """Return the images as they are, then after each transform in turn; an image's draws stand beside each other.

    Args:
        images_NHWC: N×32×32×3.
        text: transforms of `torchvision.transforms` with commas between them: `Resize(16), ColorJitter(hue=0.2)`. A
            name may leave out `Random` and its arguments: `rotation`.
        seed: of what is drawn.
        draws: of each image.

    Raises:
        ModelError: there is no such transform, it refuses its arguments or the images.
    """
    transforms = [(built(node, _class), node) for node in _calls(text)]
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
                said = ", ".join(map(ast.unparse, [*node.args, *node.keywords])) if isinstance(node, ast.Call) else ""
                steps.append(_step(name, said, values, undo=undo))
        finally:
            random.setstate(state)
    return steps


def _calls(text: str) -> list[ast.expr]:
    whole = parsed(
        f"({text.strip().rstrip(',')},)", of=f"{text!r} is no list of transforms: write one such as 'Resize(16)'"
    )
    found = []
    for node in whole.elts if isinstance(whole, ast.Tuple) else [whole]:
        name = _class(ast.unparse(node.func if isinstance(node, ast.Call) else node)).__name__
        if not isinstance(node, ast.Call) and name in _SHOWN_WITH:
            node = parsed(f"{name}({_SHOWN_WITH[name]})", of=name)
        for part in ast.walk(node):
            if isinstance(part, ast.Constant) and isinstance(part.value, int) and part.value > MOST_PIXELS:
                raise ModelError(f"{name} with {part.value:,}: at most {MOST_PIXELS:,} pixels are looked at")
        found.append(node)
    return found


def _class(name: str) -> type[Any]:
    from torchvision import transforms

    known = {key: value for key, value in vars(transforms).items() if isinstance(value, type) and callable(value)}
    short = name.rpartition(".")[2].replace("_", "").lower().replace("colour", "color")
    for key, value in known.items():
        if short in (key.lower(), key.lower().removeprefix("random")):
            return value
    hint = nearest(short, known) or "name a class of torchvision.transforms"
    raise ModelError(f"there is no transform {name!r}: {hint}")


def _applied(transform: Any, value: Any) -> Any:
    name = type(transform).__name__
    try:
        made = transform(value)
    except Exception as error:
        raise ModelError(f"{name} cannot take the image: {first_line(error)}") from error
    if not isinstance(made, Image.Image | torch.Tensor):
        raise ModelError(f"{name} makes a {type(made).__name__} of an image, not one image")
    return made


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
    """Return values as they are looked at: a normalisation taken back, a single channel as grey, a square."""
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
