"""The registry of tasks, by the name in files, jobs and the record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from cifar_core.common.user_modules import is_import_path
from sweeps.core.task import AnyTask, TaskConfig
from sweeps.tasks.function import FunctionTask
from sweeps.tasks.function_signature import FunctionConfig
from sweeps.tasks.image_classification import ImageClassification
from sweeps.tasks.program.task import ProgramTask

IMAGES: AnyTask = ImageClassification()
"""The default task of a file."""


PROGRAMS: AnyTask = ProgramTask()
"""The task of a file with a `program`."""

TASKS: dict[str, AnyTask] = {task.name: task for task in (IMAGES, PROGRAMS)}
"""Built-in tasks by name. Custom training functions are tasks too. A configuration names its task in the field `train`,
which those of `IMAGES` lack."""


def task_named(name: str | None) -> AnyTask:
    """Return a task.

    Args:
        name: Name of a task, or `module:function`; None for `IMAGES`.

    Raises:
        KeyError: There is no task of this name.
    """
    if name is not None and is_import_path(name):
        return FunctionTask(name)
    return TASKS[IMAGES.name if name is None else name]


def task_of(config: TaskConfig) -> AnyTask:
    """Return the task of a configuration."""
    return task_named(getattr(config, "train", None))


def read_config(text: str) -> TaskConfig:
    """Parse a recorded configuration from JSON, without importing custom code.

    Raises:
        ValueError: It is not a valid configuration.
    """
    return config_of(json.loads(text))


def config_of(values: Mapping[str, Any]) -> TaskConfig:
    """Create a configuration from its fields, without importing custom code.

    Raises:
        pydantic.ValidationError: A field is invalid.
        KeyError: There is no such task.
    """
    name = values.get("train")
    of_function = name is not None and is_import_path(name)
    kind: type[TaskConfig] = FunctionConfig if of_function else task_named(name).config_type
    return kind.model_validate(values)


def describe(config: TaskConfig) -> str:
    """Return a short description of a configuration: `resnet, width 16, batch 32, lr 0.0129`."""
    return task_of(config).describe(config)
