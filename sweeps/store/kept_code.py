"""The code of a user's own networks as a sweep trained it: kept beside the sweep, compared before its runs are used."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path

from cifar_core.common.files import atomic_write
from cifar_core.common.source import Source, changed_files, hash_of_entry, says
from sweeps.core.errors import CodeChangedError
from sweeps.core.task import TaskConfig
from sweeps.tasks.registry import task_of
from sweeps.tasks.sources import TaskSources

_FILES = "files.json"
"""Each file with its hash, also those that are not kept because they are no code."""


def keep_code(sweep: Path, source: Source) -> None:
    """Keep a copy of a network's code under a sweep's folder, once for each state of it."""
    folder = _folder(sweep, source.hash)
    if (folder / _FILES).exists():
        return
    # Without it nothing but the way back to that code is lost.
    with contextlib.suppress(OSError):
        for name, path in source.paths.items():
            content = path.read_bytes()
            if says(content, source.files[name], path=path):
                copy = folder / name
                copy.parent.mkdir(parents=True, exist_ok=True)
                copy.write_bytes(content)
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_write(folder / _FILES) as file:
            file.write(json.dumps(dict(source.files), indent=1).encode("utf-8"))


def require_same_code(config: TaskConfig, source: str | None, *, run: str, sweep: Path, trains: bool = True) -> None:
    """Refuse a recorded run whose code is another one now.

    Args:
        config: the run's.
        source: the hash that it was recorded with; None where none is known.
        run: what people call it.
        sweep: folder of the sweep that it is of.
        trains: whether it is trained again. Otherwise files that it began with need not be there.

    Raises:
        CodeChangedError: the code has changed; names the files, where that is known.
        ModelError: the network's module cannot be found.
    """
    task = task_of(config)
    code = task.code_of(config)
    if source is None or not (trains or code):
        return
    now = TaskSources(task).of(config)
    if now is not None and now.hash == source:
        return
    if code is not None and hash_of_entry(code) == source:
        return
    folder = _folder(sweep, source)
    before = _files_of(folder)
    changes = ", ".join(changed_files(before, None if now is None else now.files)) if before else "its code has changed"
    kept = f" (a copy of the code is in {folder})" if any((folder / name).is_file() for name in before) else ""
    raise CodeChangedError(
        f"{run} was trained with another {task.label(config)}: {changes}. Put the code back as it was{kept} to use "
        "what was trained, or train the new code: under another name, or with --new"
    )


def _folder(sweep: Path, source: str) -> Path:
    return sweep / "code" / source


def _files_of(folder: Path) -> Mapping[str, str]:
    try:
        found = json.loads((folder / _FILES).read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
