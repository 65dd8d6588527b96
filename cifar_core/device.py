"""Where and how a run computes: device, memory layout, precision, random state, and the images brought there."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from cifar_core.config import TrainingConfig
from cifar_core.data.images import LabelledImages
from cifar_core.errors import DeviceError
from cifar_core.models.registry import ARCHITECTURES

Device = Literal["auto", "cpu", "cuda"] | str
MemoryFormat = Literal["auto", "contiguous", "channels_last"]


class DeviceImages(NamedTuple):
    """Images where the run computes: uint8 N×32×32×3 and int64 N."""

    images_NHWC: Tensor
    labels_N: Tensor


def resolve_device(device: Device = "auto") -> torch.device:
    """Return the device to compute on; `auto` is a GPU where there is one.

    Raises:
        DeviceError: CUDA is asked for and not there.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if str(device).startswith("cuda") and not torch.cuda.is_available():
        raise DeviceError("device cuda: torch finds no GPU here; use auto or cpu")
    return torch.device(device)


def on_device(images: LabelledImages, device: torch.device) -> DeviceImages:
    """Return the images as tensors on a device: a view of the same memory on a CPU, one copy on a GPU."""
    with warnings.catch_warnings():
        # The memory is mapped read-only and shared between processes; batches are copies and never write to it.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        images_NHWC = torch.from_numpy(images.images_NHWC)
        labels_N = torch.from_numpy(images.labels_N)
    return DeviceImages(images_NHWC.to(device), labels_N.to(device))


def memory_layout(config: TrainingConfig, device: torch.device, memory_format: MemoryFormat) -> torch.memory_format:
    """Return how a network and its images lie in memory; `auto` takes what was measured to be fastest."""
    if memory_format != "auto":
        return torch.channels_last if memory_format == "channels_last" else torch.contiguous_format
    known = ARCHITECTURES.get(config.model.name)
    # On CUDA the tensor cores want NHWC whatever the network; a network of the user's own is left as it is.
    channels_last = known is not None and (known.channels_last or device.type == "cuda")
    return torch.channels_last if channels_last else torch.contiguous_format


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators within the block; the caller gets them back as they were."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


@contextmanager
def reproducible() -> Iterator[None]:
    """Let cuDNN take only algorithms that give the same bits again."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        yield


def autocast(config: TrainingConfig, device: torch.device) -> torch.autocast:
    """Return the context in which a network computes in the configuration's precision."""
    return torch.autocast(device.type, dtype=getattr(torch, config.precision), enabled=config.precision != "float32")
