"""The small files of a runs folder, read and written in one place: what lies there in their stead is named.

A folder, a pipe, a device, a link that leads nowhere, or JSON of another shape is damaged. It is never waited
for, never overwritten, and never taken for a file that is not there.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from cifar_core.common.files import NotAFileError, atomic_write, make_way, read_regular
from sweeps.core.errors import DiskFullError, StoreError, is_disk_full


def read_file(path: Path) -> bytes | None:
    """Return what a file holds, None where nothing has its name.

    Raises:
        StoreError: it cannot be read, or is no file.
    """
    try:
        return read_regular(path)
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {reason_of(error)}") from None


def read_object(path: Path) -> dict[str, Any] | None:
    """Return the JSON object that a file holds, None where nothing has its name.

    Raises:
        StoreError: it cannot be read, or holds anything else.
    """
    content = read_file(path)
    if content is None:
        return None
    try:
        found = json.loads(content)
    except (ValueError, RecursionError):
        raise StoreError(f"{path} is damaged: its {len(content):,} bytes are not JSON") from None
    if not isinstance(found, dict):
        raise StoreError(f"{path} is damaged: it holds {json.dumps(found)[:40]}, not a JSON object")
    return found


def write_file(path: Path, content: bytes) -> None:
    """Put a file there, whole; what lies in its place and is no file is moved aside first.

    Raises:
        OSError: it cannot be written.
    """
    make_way(path)
    with atomic_write(path) as file:
        file.write(content)


def require_folder(path: Path) -> None:
    """Make a folder where there is none.

    Raises:
        StoreError: something else has its name.
        OSError: it cannot be made.
    """
    if fault := fault_of_folder(path):
        raise StoreError(fault)
    path.mkdir(parents=True, exist_ok=True)


def fault_of_folder(path: Path) -> str | None:
    """Return what is wrong with a folder, and what to do; None where it is one, or nothing has its name."""
    if path.is_dir() or not (path.exists() or path.is_symlink()):
        return None
    found = f"a link to {path.readlink()}, which is no folder" if path.is_symlink() else "no folder"
    return f"{path} is {found}: bring back what belongs there, or move it away"


def reason_of(error: OSError) -> str:
    """Return why a file cannot be used, and what to do."""
    reason = error.strerror or str(error)
    if isinstance(error, NotAFileError):
        return f"{reason}, not a file: put back a copy of the file, or move it away"
    if isinstance(error, PermissionError):
        return f"{reason}: see whose it is, and who may read it (`ls -l`)"
    return reason


def store_error(path: Path, error: OSError) -> StoreError:
    """Return the error for a file or a folder that cannot be written."""
    if is_disk_full(error):
        return DiskFullError(path)
    return StoreError(f"{path} cannot be written ({error.strerror or error}): choose another folder with --runs")
