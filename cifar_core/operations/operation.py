"""What an operation of an augmentation is: how it is written, what it computes, what it does to an image's size."""

from __future__ import annotations

import abc
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import torch
    from torch import Tensor

R = TypeVar("R")

CHANNELS = 3


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What an operation needs beside the images."""

    normalization: str
    """`none`, `cifar10` or `imagenet`."""
    generator: torch.Generator
    """Of the CPU, wherever the images are: a GPU sees the same images as a CPU."""
    alternation_N: Tensor | None = None
    """Which images a flip that alternates mirrors this time, one bool an image, on the CPU; None draws."""


class Operation(BaseModel, abc.ABC):
    """One entry of `data.augmentation`. Each is a file, and `op` its name; torch is imported where it computes."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    op: str

    @abc.abstractmethod
    def apply(self, pixels_NHWC: Tensor, drawing: Drawing) -> Tensor:
        """Return the images changed, as torchvision's transform of that name does image by image.

        Args:
            pixels_NHWC: float32, N×H×W×3, contiguous, on any device; it may be written into.
            drawing: what else there is; random numbers are taken from its generator.
        """

    def size_after(self, size: int) -> int:
        """Return the side of an image of `size`×`size` pixels afterwards.

        Raises:
            ValueError: it cannot be done to such an image.
        """
        return size


def cached(make: Callable[..., R]) -> Callable[..., R]:
    """Cache the tensors that `make` returns by its arguments, except while torch exports a network.

    An export traces with fake tensors; a cached one would silently make later predictions wrong.
    """
    kept = lru_cache(make)

    @wraps(make)
    def get(*args: Hashable) -> R:
        import torch

        return make(*args) if torch.compiler.is_compiling() else kept(*args)

    return get


def indices(chosen_N: Tensor, device: torch.device) -> Tensor:
    """Return the indices of the images that an operation takes."""
    # Found on the CPU, where the random numbers are: on a GPU their count would have to be waited for.
    return chosen_N.nonzero().squeeze(1).to(device, non_blocking=True)
