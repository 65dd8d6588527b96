"""What a trial shows in TensorBoard, as its events."""

from __future__ import annotations

import contextlib
import copy
import io
import time
import warnings
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from PIL import Image
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.hparams.api_pb2 import Status
from tensorboard.plugins.hparams.metadata import (
    SESSION_END_INFO_TAG,
    SESSION_START_INFO_TAG,
    create_summary_metadata,
)
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData, SessionEndInfo, SessionStartInfo
from torch import Tensor, nn

from cifar_core.augment import denormalize
from cifar_core.config import TrainingConfig
from cifar_core.data import LabelledImages
from cifar_core.device import on_device
from cifar_core.results import EpochResult
from cifar_core.training import TrainingState, input_batches
from sweeps.formatting import value_text
from sweeps.trial_record import Outcome

STEP_LOSS = "loss/step"
FINAL = "Final/val_accuracy"
"""Capital: the table of hyperparameters shows the first metric in this order, and the others when asked."""
EPOCH_TAGS = {
    "loss/train": "train_loss",
    "loss/validation": "val_loss",
    "accuracy/train": "train_accuracy",
    "accuracy/validation": "val_accuracy",
    "learning_rate": "learning_rate",
}
"""Tag to field of `EpochResult`."""

GRID_ROWS, GRID_COLUMNS = 4, 8
GRID_SCALE = 3
"""Pixels of the grid for one of an image."""


def opening_events(state: TrainingState, images: LabelledImages) -> list[Event]:
    """Return what stands at the beginning: hyperparameters, images, graph, and the epochs that are trained already."""
    events = [start_event(state.config, started=time.time()), input_images_event(state.config, images)]
    graph = graph_event(state)
    if graph is not None:
        events.append(graph)
    for result in state.history:
        events += epoch_events(result)
    return events


def epoch_events(result: EpochResult) -> list[Event]:
    """Return an epoch's points, at step = epoch and stamped with the epoch's own time."""
    values = {tag: getattr(result, field) for tag, field in EPOCH_TAGS.items()}
    return [
        _scalar(tag, value, step=result.epoch, wall_time=result.finished_at)
        for tag, value in values.items()
        if value is not None
    ]


def step_events(losses: Sequence[float], times: Sequence[float], *, first_step: int) -> list[Event]:
    """Return the loss of each step, counted from 1 over the whole run."""
    return [
        _scalar(STEP_LOSS, value, step=first_step + offset, wall_time=when)
        for offset, (value, when) in enumerate(zip(losses, times, strict=True))
    ]


def kept_steps(events: Iterable[Event], *, last_step: int) -> list[Event]:
    """Return the losses of steps up to one, which a trial that goes on does not take again."""
    return [
        event
        for event in events
        if event.step <= last_step and any(value.tag == STEP_LOSS for value in event.summary.value)
    ]


def input_images_event(config: TrainingConfig, images: LabelledImages) -> Event:
    """Return a grid of the first images that the network is trained on, after augmentation, without normalisation."""
    # On the CPU: a GPU sees the same images, and its memory is the trial's.
    inputs_NCHW, _ = next(input_batches(config, on_device(images, torch.device("cpu")), epoch=1))
    pixels_NCHW = denormalize(inputs_NCHW[: GRID_ROWS * GRID_COLUMNS], normalization=config.data.normalization)
    grid = Image.fromarray(_grid(pixels_NCHW).mul(255).round().to(torch.uint8).numpy())
    grid = grid.resize((grid.width * GRID_SCALE, grid.height * GRID_SCALE), Image.Resampling.NEAREST)
    png = io.BytesIO()
    grid.save(png, format="png")
    image = Summary.Image(height=grid.height, width=grid.width, colorspace=3, encoded_image_string=png.getvalue())
    value = Summary.Value(tag="inputs/first_batch", image=image)
    return Event(wall_time=time.time(), step=1, summary=Summary(value=[value]))


def _grid(pixels_NCHW: Tensor) -> Tensor:
    """Return images beside and below each other, as H×W×3, on white where there are too few."""
    count, channels, height, width = pixels_NCHW.shape
    rows = -(-count // GRID_COLUMNS)
    all_NCHW = torch.ones(rows * GRID_COLUMNS, channels, height, width)
    all_NCHW[:count] = pixels_NCHW
    grid = all_NCHW.view(rows, GRID_COLUMNS, channels, height, width).permute(0, 3, 1, 4, 2)
    return grid.reshape(rows * height, GRID_COLUMNS * width, channels)


def graph_event(state: TrainingState) -> Event | None:
    """Return the network as it evaluates an image, None where it cannot be traced.

    Traced on a copy that shares its weights and nothing else: what it draws or counts there the run does not know of.
    """
    # Not part of what torch promises; `SummaryWriter.add_graph` calls it, with a thread and a file of its own.
    from torch.utils.tensorboard import _pytorch_graph

    trace: Any = _pytorch_graph.graph

    shared: dict[int, Any] = {id(p): nn.Parameter(p.detach(), requires_grad=False) for p in state.model.parameters()}
    image_NCHW = torch.zeros(1, 3, 32, 32, device=state.device).contiguous(memory_format=state.memory_format)
    devices = [state.device] if state.device.type == "cuda" else []
    with (
        torch.random.fork_rng(devices=devices),
        torch.no_grad(),
        warnings.catch_warnings(),
        contextlib.redirect_stdout(io.StringIO()),
    ):
        warnings.simplefilter("ignore")
        try:
            definition, _ = trace(copy.deepcopy(state.model, shared).eval(), image_NCHW, use_strict_trace=False)
        except KeyboardInterrupt:
            raise
        except BaseException:  # sys.exit too: what it does to one image in training is another matter
            return None
    return Event(wall_time=time.time(), graph_def=definition.SerializeToString())


def start_event(config: TrainingConfig, *, started: float) -> Event:
    """Return the configuration as hyperparameters; TensorBoard adds the last value of each curve to its table."""
    info = SessionStartInfo(start_time_secs=started)
    for name, value in config.dotted().items():
        if isinstance(value, bool):
            info.hparams[name].bool_value = value
        elif isinstance(value, int | float):
            info.hparams[name].number_value = value
        elif value is not None:
            info.hparams[name].string_value = value_text(value)
    return _hparams_event(SESSION_START_INFO_TAG, HParamsPluginData(session_start_info=info))


def closing_events(outcome: Outcome, history: Sequence[EpochResult]) -> list[Event]:
    """Return that a trial has ended, whether well, and of a complete one the accuracy that it came to."""
    status = Status.STATUS_SUCCESS if outcome is Outcome.COMPLETE else Status.STATUS_FAILURE
    info = SessionEndInfo(status=status, end_time_secs=time.time())
    events = [_hparams_event(SESSION_END_INFO_TAG, HParamsPluginData(session_end_info=info))]
    last = history[-1] if history else None
    if outcome is Outcome.COMPLETE and last is not None and last.val_accuracy is not None:
        events.append(_scalar(FINAL, last.val_accuracy, step=last.epoch, wall_time=last.finished_at))
    return events


def _hparams_event(tag: str, data: HParamsPluginData) -> Event:
    value = Summary.Value(tag=tag, metadata=create_summary_metadata(data))
    return Event(wall_time=time.time(), step=0, summary=Summary(value=[value]))


def _scalar(tag: str, value: float, *, step: int, wall_time: float) -> Event:
    return Event(wall_time=wall_time, step=step, summary=Summary(value=[Summary.Value(tag=tag, simple_value=value)]))
