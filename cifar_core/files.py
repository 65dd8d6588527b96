"""Files that a reader always finds whole, and what was there before them."""

from __future__ import annotations

import errno
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
    is as it was and nothing is left behind. A device or a pipe, such as /dev/stdout, is written to and stays as it is.

    Raises:
        OSError: the file cannot be written.
    """
    if _is_special(path):
        with path.open("wb") as file:
            yield file
        return
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        yield file


@contextmanager
def atomic_path(path: Path) -> Iterator[Path]:
    """As `atomic_write`, for what is to be looked at before it becomes `path`: gives the hidden file's own path.

    Raises:
        OSError: the file cannot be written.
    """
    if _is_special(path):
        raise OSError(errno.EINVAL, "it is no regular file", str(path))
    path = path.resolve() if path.is_symlink() else path  # the link stays one
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


def _is_special(path: Path) -> bool:
    """Return whether a path is there and can be written to, and is no file that another one may take the place of."""
    return path.exists() and not path.is_file() and not path.is_dir()


def previous_file(path: Path) -> Path:
    """Return where the file is kept that another one has replaced: `state.previous.pt` beside `state.pt`."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")
