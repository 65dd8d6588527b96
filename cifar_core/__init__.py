"""What one training run is: data, models, the train step. Useful alone, in a notebook or a script.

    from cifar_core import TrainingConfig, load_cifar10, train

    for epoch in train(TrainingConfig(epochs=5), load_cifar10().train):
        print(epoch.epoch, epoch.train_accuracy)

The names below are loaded when they are first used: importing this package costs nothing, torch takes seconds.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cifar_core.checkpoint import load_checkpoint, save_checkpoint
    from cifar_core.config import TrainingConfig
    from cifar_core.data import Cifar10, LabelledImages, load_cifar10, split_train_validation
    from cifar_core.models import build_model
    from cifar_core.results import EpochResult, TestResult
    from cifar_core.training import TrainingState, evaluate, start, train

_HOMES = {
    "Cifar10": "data",
    "EpochResult": "results",
    "LabelledImages": "data",
    "TestResult": "results",
    "TrainingConfig": "config",
    "TrainingState": "training",
    "build_model": "models",
    "evaluate": "training",
    "load_checkpoint": "checkpoint",
    "load_cifar10": "data",
    "save_checkpoint": "checkpoint",
    "split_train_validation": "data",
    "start": "training",
    "train": "training",
}

__all__ = [
    "Cifar10",
    "EpochResult",
    "LabelledImages",
    "TestResult",
    "TrainingConfig",
    "TrainingState",
    "build_model",
    "evaluate",
    "load_checkpoint",
    "load_cifar10",
    "save_checkpoint",
    "split_train_validation",
    "start",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'cifar_core' has no attribute {name!r}")
    return getattr(importlib.import_module(f"cifar_core.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
