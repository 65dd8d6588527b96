"""The tasks there are, by the name that a file, a job and the record hold."""

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
"""The task of a file that names none."""


PROGRAMS: AnyTask = ProgramTask()
"""The task of a file with a `program`."""

TASKS: dict[str, AnyTask] = {task.name: task for task in (IMAGES, PROGRAMS)}
"""By name; besides, every function of the user's own is a task. A configuration names its task in the field `train`,
but those of `IMAGES` have no such field."""


def task_named(name: str | None) -> AnyTask:
    """Return a task.

    Args:
        name: of a task, or of a function, `module:function`; None for `IMAGES`.

    Raises:
        KeyError: there is none of this name.
    """
    if name is not None and is_import_path(name):
        return FunctionTask(name)
    return TASKS[IMAGES.name if name is None else name]


def task_of(config: TaskConfig) -> AnyTask:
    """Return the task that a configuration is of."""
    return task_named(getattr(config, "train", None))


def read_config(text: str) -> TaskConfig:
    """Return a configuration as it was recorded as JSON. No code of the user's own is imported for it.

    Raises:
        ValueError: it is none.
    """
    return config_of(json.loads(text))


def config_of(values: Mapping[str, Any]) -> TaskConfig:
    """Return a configuration from its fields. No code of the user's own is imported for it.

    Raises:
        pydantic.ValidationError: it is none.
        KeyError: it is of a task that there is not.
    """
    name = values.get("train")
    of_function = name is not None and is_import_path(name)
    kind: type[TaskConfig] = FunctionConfig if of_function else task_named(name).config_type
    return kind.model_validate(values)


def describe(config: TaskConfig) -> str:
    """Return a configuration's most telling values in a few words: `resnet, width 16, batch 32, lr 0.0129`."""
    return task_of(config).describe(config)
