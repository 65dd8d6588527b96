"""Device, memory layout, precision and random state of a run, and its images on the device."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from cifar_core.common.user_modules import library_of
from cifar_core.config import TrainingConfig
from cifar_core.data.images import LabelledImages
from cifar_core.errors import DeviceError
from cifar_core.models.registry import ARCHITECTURES

Device = Literal["auto", "cpu", "cuda"] | str
MemoryFormat = Literal["auto", "contiguous", "channels_last"]


class DeviceImages(NamedTuple):
    """Images on the device of a run: uint8 N×32×32×3 and int64 N."""

    images_NHWC: Tensor
    labels_N: Tensor


def resolve_device(device: Device = "auto") -> torch.device:
    """Return the device to compute on; `auto` is a GPU where there is one.

    Raises:
        DeviceError: CUDA was requested and is not available.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if str(device).startswith("cuda") and not torch.cuda.is_available():
        raise DeviceError("device cuda: torch finds no GPU on this machine. Use auto or cpu")
    return torch.device(device)


def on_device(images: LabelledImages, device: torch.device) -> DeviceImages:
    """Return the images as tensors on a device: a view of the same memory on a CPU, a copy on a GPU."""
    with warnings.catch_warnings():
        # The memory is mapped read-only and shared between processes; batches are copies and never write to it.
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        images_NHWC = torch.from_numpy(images.images_NHWC)
        labels_N = torch.from_numpy(images.labels_N)
    return DeviceImages(images_NHWC.to(device), labels_N.to(device))


def memory_layout(config: TrainingConfig, device: torch.device, memory_format: MemoryFormat) -> torch.memory_format:
    """Return the memory layout of a network and its images; `auto` takes the one that was measured to be fastest."""
    if memory_format != "auto":
        return torch.channels_last if memory_format == "channels_last" else torch.contiguous_format
    known = ARCHITECTURES.get(config.model.name)
    # On CUDA the tensor cores need NHWC for every network; a custom network keeps its layout.
    on_tensor_cores = device.type == "cuda" and (known is not None or library_of(config.model.name) is not None)
    channels_last = on_tensor_cores or (known is not None and known.channels_last)
    return torch.channels_last if channels_last else torch.contiguous_format


@contextmanager
def seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed torch's global generators within the block and restore them afterwards."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


@contextmanager
def reproducible() -> Iterator[None]:
    """Restrict cuDNN to deterministic algorithms."""
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
        yield


def autocast(config: TrainingConfig, device: torch.device) -> torch.autocast:
    """Return the context in which a network computes in the configuration's precision."""
    return torch.autocast(device.type, dtype=getattr(torch, config.precision), enabled=config.precision != "float32")
