"""Files that a reader always finds whole, and what was there before them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

MODE = 0o644
"""Of every file written here: what others may read. A temporary file is its owner's alone."""


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Give a binary file that becomes `path` when the block ends: a reader sees the old file or the new one.

    Until then it is a hidden file beside `path`, whose folder is created where it is not there. When the block ends
    without an exception the content is on the disk and readable by all; after an exception, an interrupt too, `path`
    is as it was and nothing is left behind.

    Raises:
        OSError: the file cannot be written.
    """
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        yield file


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """As `atomic_write`, for what is to be looked at before it becomes `path`: gives the hidden file's own path.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    temporary = Path(name)
    try:
        os.close(handle)
        yield temporary
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
        temporary.chmod(MODE)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def previous_file(path: Path) -> Path:
    """Return where the file is kept that another one has replaced: `state.previous.pt` beside `state.pt`."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")
