"""The custom code and files of a task's configurations."""

from __future__ import annotations

from typing import Any

from cifar_core.common.source import Source, Sources
from cifar_core.common.user_modules import library_of
from sweeps.core.task import Task, TaskConfig


class TaskSources:
    """The sources of a task's configurations. Each file is read at its first use."""

    def __init__(self, task: Task[Any]) -> None:
        self._task = task
        self._sources = Sources(kind=task.code_kind)

    def of(self, config: TaskConfig) -> Source | None:
        """Return the source of a configuration; None if it uses no custom code, files or libraries of networks.

        Raises:
            ModelError: The code cannot be found, or is not valid Python; or a library is not installed.
        """
        task = self._task
        return self._sources.of(task.code_of(config), files=task.named_files(config), packages=task.packages(config))

    def hash_of(self, config: TaskConfig) -> str | None:
        """Return the hash of a configuration's source; None if it has none. Raises like `of`."""
        source = self.of(config)
        return None if source is None else source.hash

    def of_code(self, code: str) -> Source:
        """Return the source of custom code at an import path, or of a network of a library. Raises like `of`."""
        library = library_of(code)
        source = self._sources.of(code) if library is None else self._sources.of(None, packages=[library])
        assert source is not None, "code has a file, a library a version"
        return source
