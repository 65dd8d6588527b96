"""The interface of an operation: its configuration, its tensor code and the resulting image size."""

from __future__ import annotations

import abc
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from functools import lru_cache, wraps
from typing import TYPE_CHECKING, ClassVar, TypeVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    import torch
    from torch import Tensor

R = TypeVar("R")

CHANNELS = 3


@dataclass(frozen=True, kw_only=True)
class AugmentContext:
    """The inputs of an operation besides the images."""

    normalization: str | tuple[tuple[float, float, float], tuple[float, float, float]]
    """`none`, `cifar10` or `imagenet`, or a mean and a standard deviation for each channel."""
    generator: torch.Generator
    """On the CPU, whatever the device of the images, so that a GPU trains on the same images as a CPU."""
    alternation_N: Tensor | None = None
    """Images that an alternating flip mirrors, one bool per image, on the CPU; None draws them."""


class Operation(BaseModel, abc.ABC):
    """One entry of `data.augmentation`; `op` is its name. `apply` imports torch."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    op: str
    before_normalize: ClassVar[bool] = False
    """Whether it is defined on pixels from 0 to 1 only."""

    @abc.abstractmethod
    def apply(self, pixels_NHWC: Tensor, context: AugmentContext) -> Tensor:
        """Return the transformed images; the distribution is that of torchvision's transform of that name.

        Args:
            pixels_NHWC: float32, N×H×W×3, contiguous, on any device; may be modified in place.
            context: the other inputs; random numbers are drawn from its generator.
        """

    def size_after(self, size: int) -> int:
        """Return the resulting side of an image of `size`×`size` pixels.

        Raises:
            ValueError: the operation cannot be applied to an image of this size.
        """
        return size


def cached(make: Callable[..., R]) -> Callable[..., R]:
    """Cache the tensors that `make` returns by its arguments, except while torch exports a network.

    An export traces with fake tensors; a cached one would make later predictions wrong without an error.
    """
    kept = lru_cache(make)

    @wraps(make)
    def get(*args: Hashable) -> R:
        import torch

        return make(*args) if torch.compiler.is_compiling() else kept(*args)

    return get


def indices(chosen_N: Tensor, device: torch.device) -> Tensor:
    """Return the indices of the images that an operation takes."""
    # Computed on the CPU, where the random numbers are: on a GPU their count would need a synchronisation.
    return chosen_N.nonzero().squeeze(1).to(device, non_blocking=True)
