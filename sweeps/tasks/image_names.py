"""Usual names of parameters, values and metrics of image classification, as other tools' files have them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

_NAMES: Mapping[str, tuple[str, ...]] = {
    "optimizer.lr": ("lr", "learning_rate", "learningrate", "init_lr", "initial_lr", "base_lr", "lr0", "max_lr"),
    "optimizer.name": ("optimizer", "optim", "opt", "optimizer_name", "optimizer_type", "optim_name", "optim_type"),
    "optimizer.momentum": ("momentum", "sgd_momentum"),
    "optimizer.nesterov": ("nesterov",),
    "optimizer.clip_norm": (
        "clip_norm",
        "clip_grad_norm",
        "grad_clip",
        "gradient_clip",
        "gradient_clip_val",
        "max_grad_norm",
    ),
    "optimizer.sam_rho": ("sam_rho",),
    "optimizer.weight_decay": ("weight_decay", "weightdecay", "wd", "l2"),
    "data.batch_size": ("batch_size", "batchsize", "bs", "train_batch_size", "batch", "train_bs"),
    "data.shuffle": ("shuffle",),
    "data.augmentation": ("augmentation", "augmentations"),
    "data.mixup": ("mixup", "mixup_alpha"),
    "data.cutmix": ("cutmix", "cutmix_alpha"),
    "data.normalization": ("normalization", "normalisation"),
    "data.train_size": ("train_size",),
    "data.validation_size": ("validation_size", "val_size"),
    "model.name": ("model", "arch", "architecture", "model_name", "model_type", "network", "net"),
    "model.dropout": ("dropout", "dropout_rate", "drop_rate", "dropout_prob", "dropout_p", "p_dropout", "drop"),
    "model.stochastic_depth": ("stochastic_depth", "drop_path", "drop_path_rate", "stochastic_depth_prob"),
    "model.widen_factor": ("widen_factor",),
    "model.width": ("width",),
    "model.activation": ("activation", "act", "activation_function"),
    "schedule.name": ("scheduler", "schedule", "lr_scheduler", "lr_schedule", "scheduler_name", "scheduler_type"),
    "schedule.step_size": ("step_size", "lr_step_size", "lr_step"),
    "schedule.gamma": ("gamma", "lr_gamma", "lr_decay"),
    "schedule.min_lr": ("min_lr", "eta_min"),
    "epochs": ("epochs", "epoch", "num_epochs", "n_epochs", "max_epochs", "nb_epochs", "num_train_epochs", "nepochs"),
    "seed": ("seed", "random_seed", "manual_seed"),
    "precision": ("precision",),
    "label_smoothing": ("label_smoothing", "smoothing"),
}
"""Path in a training configuration to the names of other files, in lower case with underscores."""
_PATHS = {name: path for path, names in _NAMES.items() for name in names}

_VALUES: Mapping[str, Mapping[str, str]] = {
    "schedule.name": {
        "steplr": "step",
        "cosineannealing": "cosine",
        "cosineannealinglr": "cosine",
        "onecycle": "one_cycle",
        "onecyclelr": "one_cycle",
        "none": "constant",
        "constantlr": "constant",
    },
    "precision": {"fp32": "float32", "32": "float32", "bf16": "bfloat16", "fp16": "float16", "16": "float16"},
}
"""Path to value of other files, without underscores, to the value of a training configuration."""
_CHOICES: Mapping[str, tuple[str, ...]] = {
    "optimizer.name": ("sgd", "adam", "adamw", "muon"),
    "schedule.name": ("constant", "step", "cosine", "one_cycle", "triangular", "warmup_cosine"),
    "precision": ("float32", "bfloat16", "float16"),
}

_HELD_OUT = r"(?:val|valid|validation|eval|dev|test)"
_METRICS: Mapping[str, str] = {
    "val_accuracy": rf"(?:best_)?(?:{_HELD_OUT}_)?(?:acc|accuracy|top1|top_1|acc1)(?:_{_HELD_OUT})?(?:_epoch)?",
    "val_loss": rf"(?:best_)?(?:{_HELD_OUT}_)?loss(?:_{_HELD_OUT})?(?:_epoch)?",
    "train_accuracy": r"(?:train|training)_(?:acc|accuracy)(?:_epoch)?",
    "train_loss": r"(?:train|training)_loss(?:_epoch)?",
}
"""Metric to the pattern of its names in other files, in lower case with underscores."""


def path_of_name(name: str) -> str | None:
    """Return the path in a training configuration for a name of another file, `lr` or `optim.lr`; None if unknown."""
    plain = _plain(name)
    return _PATHS.get(plain) or _PATHS.get(_plain(name.rpartition(".")[2].rpartition("/")[2]))


def value_of_name(path: str, value: Any) -> Any:
    """Return a value for a path in a training configuration, such as `sgd` for `SGD`.

    Raises:
        ValueError: the field has a list of names, and this one is not in it.
    """
    if path not in _CHOICES:
        return value
    plain = _plain(str(value)).rpartition(".")[2].replace("torch_optim_", "")
    known = {choice.replace("_", ""): choice for choice in _CHOICES[path]} | dict(_VALUES.get(path, {}))
    if (found := known.get(plain.replace("_", ""))) is None:
        raise ValueError(f"{value!r} is not available: {path} is one of {', '.join(_CHOICES[path])}")
    return found


def metric_of_name(name: str) -> str | None:
    """Return the metric for a name of another file, `val_accuracy` for `val/acc`; None if unknown."""
    return next((metric for metric, pattern in _METRICS.items() if re.fullmatch(pattern, _plain(name))), None)


def _plain(name: str) -> str:
    snake = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
    return re.sub(r"[^a-z0-9]+", "_", snake.lower()).strip("_")
