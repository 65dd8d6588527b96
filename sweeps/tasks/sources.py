"""The custom code and files of a task's configurations."""

from __future__ import annotations

from typing import Any

from cifar_core.common.source import Source, Sources
from sweeps.core.task import Task, TaskConfig


class TaskSources:
    """The sources of a task's configurations. Each file is read at its first use."""

    def __init__(self, task: Task[Any]) -> None:
        self._task = task
        self._sources = Sources(kind=task.code_kind)

    def of(self, config: TaskConfig) -> Source | None:
        """Return the source of a configuration; None if it uses no custom code or files.

        Raises:
            ModelError: The code cannot be found, or is not valid Python.
        """
        return self._sources.of(self._task.code_of(config), files=self._task.named_files(config))

    def hash_of(self, config: TaskConfig) -> str | None:
        """Return the hash of a configuration's source; None if it has none. Raises like `of`."""
        source = self.of(config)
        return None if source is None else source.hash

    def of_code(self, code: str) -> Source:
        """Return the source of custom code at an import path, `module:Name`. Raises like `of`."""
        source = self._sources.of(code)
        assert source is not None, "code has a file"
        return source
