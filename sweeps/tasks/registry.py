"""The tasks there are, by the name that a job and the record hold."""

from __future__ import annotations

from sweeps.core.task import AnyTask, TaskConfig
from sweeps.tasks.image_classification import ImageClassification

IMAGE_CLASSIFICATION = "image_classification"


def task_named(name: str) -> AnyTask:
    """Return a task.

    Raises:
        KeyError: there is none of this name.
    """
    return {IMAGE_CLASSIFICATION: ImageClassification}[name]()


def task_of(config: TaskConfig) -> AnyTask:
    """Return the task that a configuration is of."""
    return ImageClassification()
