"""Save and load the whole training state, so that a run goes on to the last bit where it stopped."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import torch

from cifar_core.config import TrainingConfig
from cifar_core.device import Device
from cifar_core.errors import CheckpointError
from cifar_core.files import atomic_write
from cifar_core.results import EpochResult
from cifar_core.training import TrainingState, start

FORMAT = 1


def save_checkpoint(state: TrainingState, path: Path) -> None:
    """Write the state to a file, so that the file is always a whole one: the old or the new."""
    content = {
        "format": FORMAT,
        "config": state.config.model_dump_json(),
        "train_size": state.train_size,
        "history": json.dumps([result.as_dict() for result in state.history]),
        "model": state.model.state_dict(),
        "optimizer": state.optimizer.state_dict(),
        "schedule": state.schedule.state_dict(),
        "scaler": state.scaler.state_dict(),
    }
    with atomic_write(path) as file:
        torch.save(content, file)


def load_checkpoint(path: Path, *, config: TrainingConfig | None = None, device: Device = "auto") -> TrainingState:
    """Return the state that was saved, on any device, whatever device it was saved from.

    Args:
        path: the file.
        config: what the state must belong to; None takes the one in the file.
        device: where to go on.

    Raises:
        CheckpointError: the file is missing or broken, or belongs to another configuration.
    """
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
        saved = TrainingConfig.model_validate_json(content["config"])
        version = content["format"]
        train_size = content["train_size"]
        history = [EpochResult.from_dict(entry) for entry in json.loads(content["history"])]
    except (OSError, EOFError, RuntimeError, KeyError, ValueError, TypeError, pickle.UnpicklingError) as error:
        raise CheckpointError(f"{path} is not a readable checkpoint ({error}): delete it to start anew") from error
    if version != FORMAT:
        raise CheckpointError(f"{path} has format {version}, this version reads {FORMAT}: delete it to start anew")
    if config is not None and not config.is_same_run(saved):
        raise CheckpointError(f"{path} belongs to another configuration: delete it to start anew")
    state = start(config or saved, train_size=train_size, device=device)
    try:
        state.model.load_state_dict(content["model"])
        state.optimizer.load_state_dict(content["optimizer"])
        state.schedule.load_state_dict(content["schedule"])
        state.scaler.load_state_dict(content["scaler"])
    except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{path} does not fit its network ({error}): delete it to start anew") from error
    state.history.extend(history)
    return state
