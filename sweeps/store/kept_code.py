"""Copies of the custom code that a sweep trained, compared with the current code before its runs are used."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from cifar_core.common.files import atomic_write
from cifar_core.common.source import Source, changed_files, legacy_source_hash, matches_digest
from sweeps.core.errors import CodeChangedError
from sweeps.core.task import TaskConfig
from sweeps.tasks.registry import task_of
from sweeps.tasks.sources import TaskSources

_FILES = "files.json"
"""File → hash, also for files that are not copied because they are not code."""


def keep_code(sweep: Path, source: Source) -> None:
    """Copy custom code to a sweep's folder, once per version. Errors are ignored: only the copy is missing then."""
    folder = _folder(sweep, source.hash)
    if (folder / _FILES).exists():
        return
    with contextlib.suppress(OSError):
        for name, path in source.paths.items():
            content = path.read_bytes()
            if matches_digest(content, source.files[name], path=path):
                copy = folder / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(content)
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / _FILES) as file:
            file.write(json.dumps(dict(source.files), indent=1).encode("utf-8"))


def require_same_code(config: TaskConfig, source: str | None, *, run: str, sweep: Path, trains: bool = True) -> None:
    """Check that the code of a recorded run has not changed.

    Args:
        config: Configuration of the run.
        source: Recorded hash of the code; None if there is none.
        run: Name of the run, for the error.
        sweep: Folder of the run's sweep.
        trains: Whether the run is trained again. Otherwise files for its initial weights may be missing.

    Raises:
        CodeChangedError: The code has changed. The message names the files if they are known.
        ModelError: The network's module cannot be found.
    """
    task = task_of(config)
    code = task.code_of(config)
    if source is None or not (trains or code):
        return
    now = TaskSources(task).of(config)
    if now is not None and now.hash == source:
        return
    if code is not None and legacy_source_hash(code) == source:
        return
    folder = _folder(sweep, source)
    before = _files_of(folder)
    changes = ", ".join(changed_files(before, None if now is None else now.files)) if before else "its code has changed"
    copy = f" (copy: {folder})" if any((folder / name).is_file() for name in before) else ""
    raise CodeChangedError(
        f"{run} was trained with another version of {task.label(config)}: {changes}. Restore the earlier code{copy} to "
        "use this run, or train the new code under another name or with --new."
    )


def _folder(sweep: Path, source: str) -> Path:
    return sweep / "code" / source


def _files_of(folder: Path) -> Mapping[str, str]:
    try:
        found = json.loads((folder / _FILES).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
