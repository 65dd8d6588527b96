"""Save and load the whole training state, so that a run goes on to the last bit where it stopped.

A file ends with a checksum of all that stands before it, and the file before it is kept: a bit that a disk has lost
is noticed, and costs an epoch.
"""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cifar_core.common.errors import CheckpointError
from cifar_core.common.files import read_whole
from cifar_core.common.own_modules import is_import_path
from cifar_core.common.seal import unsealed, write_sealed
from cifar_core.config import TrainingConfig
from cifar_core.device import Device, memory_layout, resolve_device, seeded
from cifar_core.models.build import build_model
from cifar_core.models.source import require_source
from cifar_core.results import EpochResult
from cifar_core.training import TrainingState, start

FORMAT = 1


def save_checkpoint(state: TrainingState, path: Path) -> None:
    """Write the state to a file that is always a whole one, the old or the new, and keep the old one beside it.

    Raises:
        OSError: the file cannot be written; the old one is there still.
    """
    content = {
        "format": FORMAT,
        "config": state.config.model_dump_json(),
        "train_size": state.train_size,
        "history": json.dumps([result.as_dict() for result in state.history]),
        "model": state.model.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "schedule": state.schedule.state_dict(),
        "scaler": state.scaler.state_dict(),
        **({} if state.averaging is None else {"averaging": state.averaging.state_dict()}),
        **({} if state.source is None else {"source": dict(state.source)}),
    }
    # Into memory first: on a full disk torch's own writer ends in an error that does not say so.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_sealed(path, buffer.getbuffer())


def load_checkpoint(path: Path, *, config: TrainingConfig | None = None, device: Device = "auto") -> TrainingState:
    """Return the state that was saved, on any device, whatever device it was saved from.

    Args:
        path: the file.
        config: what the state must belong to; None takes the one in the file.
        device: where to go on.

    Raises:
        CheckpointError: the file is missing or damaged, or belongs to another configuration.
        SourceChangedError: the network's code is another one now.
    """
    content, saved = _read(path)
    try:
        train_size = content["train_size"]
        history = [EpochResult.from_dict(entry) for entry in json.loads(content["history"])]
    except (KeyError, ValueError, TypeError) as error:
        raise _unreadable(path, error) from error
    if config is not None and not config.is_same_run(saved):
        raise CheckpointError(f"{path} belongs to another configuration: delete it to start anew")
    wanted = config or saved
    # What a built-in network began with is of no account once its training is over, nor need it be there.
    is_over = len(history) == saved.epochs and not is_import_path(saved.model.name)
    if not is_over:
        require_source(saved.model, content.get("source"), of=f"the weights in {path}")
    state = start(_without_first_weights(wanted) if is_over else wanted, train_size=train_size, device=device)
    state.config = wanted
    state.source = content.get("source") if is_over else state.source
    try:
        state.model.load_state_dict(content["model"])
        state.optimizer.load_state_dict(content["optimizer"])
        state.schedule.load_state_dict(content["schedule"])
        state.scaler.load_state_dict(content["scaler"])
        if state.averaging is not None:
            state.averaging.load_state_dict(content["averaging"])
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise _unfitting(path, error) from error
    state.history.extend(history)
    return state


def load_network(path: Path, *, device: Device = "auto") -> tuple[nn.Module, TrainingConfig]:
    """Return a checkpoint's network, on any device, and what it was trained with; nothing that only training needs.

    Weights that the network began with (`model.weights`) need not be there any more. A precision that a device cannot
    train in is no obstacle.

    Raises:
        CheckpointError: the file is missing or damaged.
        SourceChangedError: the network's code is another one now.
        DeviceError: CUDA is asked for and not there.
        ModelError: a network of one's own cannot be built.
    """
    content, config = _read(path)
    if is_import_path(config.model.name):
        require_source(config.model, content.get("source"), of=f"the weights in {path}")
    torch_device = resolve_device(device)
    with seeded(config.seed, torch_device):
        network = build_model(_without_first_weights(config).model)
    try:
        network.load_state_dict(content["model"])
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise _unfitting(path, error) from error
    return network.to(torch_device).to(memory_format=memory_layout(config, torch_device, "auto")), config


def _without_first_weights(config: TrainingConfig) -> TrainingConfig:
    return config.model_copy(update={"model": config.model.model_copy(update={"weights": None})})


def _read(path: Path) -> tuple[dict[str, Any], TrainingConfig]:
    """Return what a file holds, its tensors on the CPU, and the configuration in it."""
    try:
        content: dict[str, Any] = torch.load(
            io.BytesIO(unsealed(read_whole(path))), map_location="cpu", weights_only=True
        )
        saved = TrainingConfig.model_validate_json(content["config"])
        version = content["format"]
    except (OSError, EOFError, RuntimeError, KeyError, ValueError, TypeError, pickle.UnpicklingError) as error:
        raise _unreadable(path, error) from error
    if version != FORMAT:
        raise CheckpointError(f"{path} has format {version}, this version reads {FORMAT}: delete it to start anew")
    return content, saved


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path} is not a readable checkpoint ({error}): delete it to start anew")


def _unfitting(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path} does not fit its network ({error}): delete it to start anew")
