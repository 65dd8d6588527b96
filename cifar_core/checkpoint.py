"""Save and load the complete training state, so that a resumed run computes bit for bit what it would have computed.

A file ends with a checksum of its content, and the previous file is kept: a damaged file is detected and costs an
epoch.
"""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import nn

from cifar_core.common.checksum_file import verified_payload, write_with_checksum
from cifar_core.common.errors import CheckpointError
from cifar_core.common.files import previous_file, read_file
from cifar_core.common.user_modules import is_import_path
from cifar_core.config import TrainingConfig
from cifar_core.device import Device, memory_layout, resolve_device, seeded
from cifar_core.models.build import network_of
from cifar_core.models.source import require_source
from cifar_core.results import EpochResult
from cifar_core.training import TrainingState, start

FORMAT = 1


def save_checkpoint(state: TrainingState, path: Path) -> None:
    """Write the state to a file atomically, and keep the file that it replaces (`previous_file`).

    Raises:
        OSError: the file cannot be written; the old one is unchanged.
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
    # Into memory first: on a full disk torch's writer raises an error that does not mention the disk.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_with_checksum(path, buffer.getbuffer())


def load_checkpoint(path: Path, *, config: TrainingConfig | None = None, device: Device = "auto") -> TrainingState:
    """Return the saved state, moved to a device.

    Args:
        path: the file.
        config: configuration that the state must belong to; None takes the one in the file.
        device: where the training resumes; it may differ from the device that the state was saved on.

    Raises:
        CheckpointError: the file is missing or damaged, or belongs to another configuration.
        SourceChangedError: the network's code has changed.
    """
    content, saved = _read(path)
    try:
        train_size = content["train_size"]
        history = [EpochResult.from_dict(entry) for entry in json.loads(content["history"])]
    except (KeyError, ValueError, TypeError) as error:
        raise _unreadable(path, error) from error
    if config is not None and not config.is_same_run(saved):
        raise CheckpointError(f"{path} belongs to another configuration. Delete it to train from the start.")
    requested = config or saved
    # The initial weights of a built-in network no longer matter once its training is finished; their file may be gone.
    is_finished = len(history) == saved.epochs and not is_import_path(saved.model.name)
    if not is_finished:
        require_source(saved.model, content.get("source"), of=f"the weights in {path}")
    state = start(
        requested.without_initial_weights() if is_finished else requested, train_size=train_size, device=device
    )
    state.config = requested
    state.source = content.get("source") if is_finished else state.source
    try:
        state.model.load_state_dict(content["model"])
        state.optimizer.load_state_dict(content["optimizer"])
        state.schedule.load_state_dict(content["schedule"])
        state.scaler.load_state_dict(content["scaler"])
        if state.averaging is not None:
            state.averaging.load_state_dict(content["averaging"])
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise _mismatch(path, error) from error
    state.history.extend(history)
    return state


def load_network(path: Path, *, device: Device = "auto") -> tuple[nn.Module, TrainingConfig]:
    """Return a checkpoint's network, on any device, and the configuration that it was trained with.

    The file of its initial weights (`model.weights`) may be gone, and the device need not support the precision of the
    training.

    Raises:
        CheckpointError: the file is missing or damaged.
        SourceChangedError: the network's code has changed.
        DeviceError: CUDA was requested and is not available.
        ModelError: a custom network cannot be built.
    """
    content, config = _read(path)
    if is_import_path(config.model.name):
        require_source(config.model, content.get("source"), of=f"the weights in {path}")
    torch_device = resolve_device(device)
    with seeded(config.seed, torch_device):
        network = network_of(config.without_initial_weights())
    try:
        network.load_state_dict(content["model"])
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise _mismatch(path, error) from error
    return network.to(torch_device).to(memory_format=memory_layout(config, torch_device, "auto")), config


def _read(path: Path) -> tuple[dict[str, Any], TrainingConfig]:
    """Return a file's content, its tensors on the CPU, and the configuration in it."""
    try:
        content: dict[str, Any] = torch.load(
            io.BytesIO(verified_payload(read_file(path))), map_location="cpu", weights_only=True
        )
        saved = TrainingConfig.model_validate_json(content["config"])
        version = content["format"]
    except (OSError, EOFError, RuntimeError, KeyError, ValueError, TypeError, pickle.UnpicklingError) as error:
        raise _unreadable(path, error) from error
    if version != FORMAT:
        raise CheckpointError(
            f"{path} has format {version}, this version reads {FORMAT}. Delete it to train from the start."
        )
    return content, saved


def _unreadable(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path} is not a readable checkpoint ({error}). {_remedy(path)}")


def _mismatch(path: Path, error: Exception) -> CheckpointError:
    return CheckpointError(f"{path} does not fit its network ({error}). {_remedy(path)}")


def _remedy(path: Path) -> str:
    before = previous_file(path)
    return f"Load {before}, the previous checkpoint." if before.exists() else "Delete it to train from the start."
