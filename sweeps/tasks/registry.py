"""The tasks there are, by the name that a job and the record hold."""

from __future__ import annotations

from sweeps.core.task import AnyTask, TaskConfig
from sweeps.tasks.image_classification import ImageClassification

IMAGES: AnyTask = ImageClassification()
"""The task of a file that names none."""


def task_named(name: str) -> AnyTask:
    """Return a task.

    Raises:
        KeyError: there is none of this name.
    """
    return {IMAGES.name: IMAGES}[name]


def task_of(config: TaskConfig) -> AnyTask:
    """Return the task that a configuration is of."""
    return IMAGES


def describe(config: TaskConfig) -> str:
    """Return a configuration's most telling values in a few words: `resnet, width 16, batch 32, lr 0.0129`."""
    return task_of(config).describe(config)
