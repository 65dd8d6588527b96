"""Images of the first batch and the graph of a network for TensorBoard."""

from __future__ import annotations

import contextlib
import copy
import io
import warnings
from typing import Any

import torch
from torch import Tensor, nn
from torchvision.utils import make_grid

from cifar_core.augment import denormalize
from cifar_core.config import TrainingConfig
from cifar_core.data.images import LabelledImages
from cifar_core.device import on_device
from cifar_core.training import TrainingState, input_batches

GRID_ROWS, GRID_COLUMNS = 4, 8
GRID_SCALE = 3
"""Size of an image pixel in the grid, in pixels."""


def input_grid(config: TrainingConfig, images: LabelledImages) -> Tensor:
    """Return a grid of the first training images, augmented and not normalised, as uint8 H×W×3.

    Missing images are white.
    """
    # On the CPU, which produces the same images, to save GPU memory.
    inputs_NCHW, _ = next(input_batches(config, on_device(images, torch.device("cpu")), epoch=1))
    pixels_NCHW = denormalize(inputs_NCHW[: GRID_ROWS * GRID_COLUMNS], normalization=config.data.constants)
    grid_CHW = make_grid(pixels_NCHW, nrow=GRID_COLUMNS, padding=0, pad_value=1).mul(255).round().to(torch.uint8)
    large_CHW: Tensor = grid_CHW.repeat_interleave(GRID_SCALE, 1).repeat_interleave(GRID_SCALE, 2)
    return large_CHW.permute(1, 2, 0)


def add_graph(writer: Any, state: TrainingState) -> None:
    """Write the graph of the network in evaluation mode; nothing if it cannot be traced.

    It is traced on a copy that shares only the weights, so that buffers and random generators of the run do not change.
    """
    shared: dict[int, Any] = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in state.model.parameters()}
    side = state.config.data.image_size
    image_NCHW = torch.zeros(1, 3, side, side, device=state.device).contiguous(memory_format=state.memory_format)
    devices = [state.device] if state.device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=devices),
        torch.no_grad(),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        try:
            writer.add_graph(copy.deepcopy(state.model, shared).eval(), image_NCHW, use_strict_trace=False)
        except (KeyboardInterrupt, OSError):
            raise
        except BaseException:  # sys.exit too
            return
