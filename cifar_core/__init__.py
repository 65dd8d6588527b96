"""One training run: data, models, the train step. Usable on its own, in a notebook or a script.

    from cifar_core import TrainingConfig, load_cifar10, train

    for epoch in train(TrainingConfig(epochs=5), load_cifar10().train):
        print(epoch.epoch, epoch.train_accuracy)

With validation images, on which every epoch is evaluated:

    from cifar_core import split_train_validation

    config = TrainingConfig(epochs=5, data={"validation_size": 5_000})
    for epoch in train(config, *split_train_validation(load_cifar10().train, config.data)):
        print(epoch.epoch, epoch.val_accuracy)

The names below are imported on first use: importing this package is fast, importing torch takes seconds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cifar_core.common.lazy import lazy_exports

if TYPE_CHECKING:
    from cifar_core.checkpoint import load_checkpoint, save_checkpoint
    from cifar_core.config import TrainingConfig
    from cifar_core.data.images import Cifar10, LabelledImages
    from cifar_core.data.load import load_cifar10
    from cifar_core.data.split import split_train_validation
    from cifar_core.errors import DataMismatchError, StateMismatchError
    from cifar_core.evaluation import evaluate
    from cifar_core.export import ExportedModel, Origin, export_checkpoint
    from cifar_core.inspection import FeatureMap, Layer, feature_maps, layer_table
    from cifar_core.layer_expression import layer_of, layer_output
    from cifar_core.models.build import build_model
    from cifar_core.predict import Classifier, Prediction
    from cifar_core.results import EpochResult
    from cifar_core.training import TrainingState, start, train

__all__ = [
    "Cifar10",
    "Classifier",
    "DataMismatchError",
    "EpochResult",
    "ExportedModel",
    "FeatureMap",
    "LabelledImages",
    "Layer",
    "Origin",
    "Prediction",
    "StateMismatchError",
    "TrainingConfig",
    "TrainingState",
    "build_model",
    "evaluate",
    "export_checkpoint",
    "feature_maps",
    "layer_of",
    "layer_output",
    "layer_table",
    "load_checkpoint",
    "load_cifar10",
    "save_checkpoint",
    "split_train_validation",
    "start",
    "train",
]

__getattr__, __dir__ = lazy_exports(
    __name__,
    {
        "checkpoint": "load_checkpoint save_checkpoint",
        "config": "TrainingConfig",
        "data.images": "Cifar10 LabelledImages",
        "data.load": "load_cifar10",
        "data.split": "split_train_validation",
        "errors": "DataMismatchError StateMismatchError",
        "evaluation": "evaluate",
        "export": "export_checkpoint ExportedModel Origin",
        "inspection": "feature_maps FeatureMap Layer layer_table",
        "layer_expression": "layer_of layer_output",
        "models.build": "build_model",
        "predict": "Classifier Prediction",
        "results": "EpochResult",
        "training": "start train TrainingState",
    },
)
