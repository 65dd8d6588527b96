"""Reading and writing the small files of a runs folder, with errors that name what is in their place.

A folder, a pipe, a device, a broken link, or JSON of another shape counts as damaged: it is not overwritten, and not
treated as a missing file.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from cifar_core.common.files import NotAFileError, atomic_write, move_stray_aside, read_regular
from sweeps.core.errors import DiskFullError, StoreError, is_disk_full


def read_file(path: Path) -> bytes | None:
    """Return the content of a file; None if the path does not exist.

    Raises:
        StoreError: The path cannot be read or is not a file.
    """
    try:
        return read_regular(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error_reason(error)}") from None


def read_object(path: Path) -> dict[str, Any] | None:
    """Return the JSON object in a file; None if the path does not exist.

    Raises:
        StoreError: The file cannot be read or does not contain a JSON object.
    """
    content = read_file(path)
    if content is None:
        return None
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise StoreError(f"{path} is damaged: its {len(content):,} bytes are not JSON") from None
    if not isinstance(found, dict):
        raise StoreError(f"{path} is damaged: it contains {json.dumps(found)[:40]}, not a JSON object")
    return found


def write_file(path: Path, content: bytes) -> None:
    """Write a file atomically; anything in its place that is not a file is renamed first.

    Raises:
        OSError: The file cannot be written.
    """
    move_stray_aside(path)
    with atomic_write(path) as file:
        file.write(content)


def append_lines(path: Path, lines: str) -> None:
    """Append lines to a file and wait for the disk, after an incomplete line that a crash may have left.

    Raises:
        OSError: The file cannot be written.
    """
    before = read_regular(path) or b""
    with path.open("a", encoding="utf-8") as file:
        torn = before and not before.endswith(b"\n")
        file.write(("\n" if torn else "") + lines)
        file.flush()
        os.fsync(file.fileno())


def ensure_folder(path: Path) -> None:
    """Create a folder if it does not exist.

    Raises:
        StoreError: The path exists and is not a folder.
        OSError: The folder cannot be created.
    """
    if problem := folder_problem(path):
        raise StoreError(problem)
    path.mkdir(parents=True, exist_ok=True)


def folder_problem(path: Path) -> str | None:
    """Return an error message if a path exists and is not a folder; None otherwise."""
    if path.is_dir() or not (path.exists() or path.is_symlink()):
        return None
    found = f"a link to {path.readlink()}, which is not a folder" if path.is_symlink() else "not a folder"
    return f"{path} is {found}. Restore the folder, or move this path elsewhere"


def error_reason(error: OSError) -> str:
    """Return why a file cannot be used, with advice."""
    reason = error.strerror or str(error)
    if isinstance(error, NotAFileError):
        return f"{reason}, not a file. Restore the file from a copy, or move this path elsewhere"
    if isinstance(error, PermissionError):
        return f"{reason}. Check its owner and permissions with `ls -l`"
    return reason


def store_error(path: Path, error: OSError) -> StoreError:
    """Return the error for a file or a folder that cannot be written."""
    if is_disk_full(error):
        return DiskFullError(path)
    return StoreError(f"{path} cannot be written ({error.strerror or error}). Choose another folder with --runs.")
