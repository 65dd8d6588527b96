"""The tasks there are, by the name that a file, a job and the record hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cifar_core.common.own_modules import is_import_path
from sweeps.core.task import AnyTask, TaskConfig
from sweeps.tasks.function import FunctionConfig, FunctionTask
from sweeps.tasks.image_classification import ImageClassification

IMAGES: AnyTask = ImageClassification()
"""The task of a file that names none."""


def task_named(name: str | None) -> AnyTask:
    """Return a task.

    Args:
        name: of a function, `module:function`; None, or the name of `IMAGES`, for that one.

    Raises:
        KeyError: there is none of this name.
    """
    if name is not None and is_import_path(name):
        return FunctionTask(name)
    return {None: IMAGES, IMAGES.name: IMAGES}[name]


def task_of(config: TaskConfig) -> AnyTask:
    """Return the task that a configuration is of."""
    return FunctionTask(config.train) if isinstance(config, FunctionConfig) else IMAGES


def read_config(text: str) -> TaskConfig:
    """Return a configuration as it was recorded as JSON. No code of the user's own is imported for it.

    Raises:
        ValueError: it is none.
    """
    return config_of(json.loads(text))


def config_of(values: Mapping[str, Any]) -> TaskConfig:
    """Return a configuration from its fields, as `read_config`: only that of a function has the field `train`.

    Raises:
        pydantic.ValidationError: it is none.
    """
    kind: type[TaskConfig] = FunctionConfig if "train" in values else IMAGES.config_type
    return kind.model_validate(values)


def describe(config: TaskConfig) -> str:
    """Return a configuration's most telling values in a few words: `resnet, width 16, batch 32, lr 0.0129`."""
    return task_of(config).describe(config)
