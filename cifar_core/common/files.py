"""Atomic files and their previous versions."""

from __future__ import annotations

import errno
import logging
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_log = logging.getLogger(__name__)

READ_ONLY = (errno.EROFS, errno.EACCES, errno.EPERM)
"""Errors of a path that this user cannot write to."""

MODE = 0o644
"""Of every file written here: readable by all. A temporary file is readable by its owner alone."""


LARGEST_BYTES = 8_000_000_000
"""Of a file that is read at once: a larger one (a damaged length, a sparse file) would exhaust the memory."""

_KINDS = {
    stat.S_IFDIR: "it is a folder",
    stat.S_IFIFO: "it is a pipe",
    stat.S_IFSOCK: "it is a socket",
    stat.S_IFCHR: "it is a device",
    stat.S_IFBLK: "it is a device",
}


class NotAFileError(OSError):
    """A path is not a regular file. `strerror` names what it is instead."""


def read_regular(path: Path, *, follow: bool = True) -> bytes | None:
    """Return the content of a regular file, None if nothing exists at the path. Never blocks on a pipe or a device.

    Args:
        path: the file.
        follow: whether to follow a symbolic link.

    Raises:
        NotAFileError: it is a folder, a pipe, a device, a dangling link (without `follow` any link), or too large.
        OSError: it cannot be read.
    """
    try:
        # Non-blocking: opening a pipe without a writer would never return.
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | (0 if follow else os.O_NOFOLLOW))
    except OSError as error:
        if path.is_symlink() and error.errno in (errno.ENOENT, errno.ENOTDIR, errno.ELOOP):
            raise NotAFileError(error.errno, f"it is a link to {path.readlink()}", str(path)) from None
        if error.errno == errno.ENXIO:
            raise NotAFileError(error.errno, _KINDS[stat.S_IFSOCK], str(path)) from None
        if isinstance(error, FileNotFoundError | NotADirectoryError):
            return None
        raise
    try:
        about = os.fstat(handle)
        if not stat.S_ISREG(about.st_mode):
            raise NotAFileError(errno.EINVAL, _KINDS.get(stat.S_IFMT(about.st_mode), "it is not a file"), str(path))
        if about.st_size > LARGEST_BYTES:
            raise NotAFileError(errno.EFBIG, f"it has {about.st_size:,} bytes", str(path))
        with open(handle, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(handle)


def read_file(path: Path) -> bytes:
    """Return the content of a regular file; see `read_regular`.

    Raises:
        OSError: it does not exist, cannot be read, or is not a regular file.
    """
    content = read_regular(path)
    if content is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return content


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Yield a binary file that replaces `path` when the block ends: a reader sees the old file or the new one.

    Until then it is a hidden file next to `path`; a missing folder is created. When the block ends without an
    exception, the content is on the disk and readable by all. After an exception, including an interrupt, `path` is
    unchanged and the hidden file is deleted. A device or a pipe, such as /dev/stdout, is written to directly.

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
    """As `atomic_write`, but yield the path of the hidden file, so that it can be checked before it replaces `path`.

    Raises:
        OSError: the file cannot be written.
    """
    if _is_special(path):
        raise OSError(errno.EINVAL, "it is not a regular file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path = path.resolve() if path.is_symlink() else path  # the link itself is kept
    except RuntimeError:  # a link to itself
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), str(path)) from None
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
    """Return whether a path exists and is neither a file nor a folder, such as a device or a pipe."""
    return path.exists() and not path.is_file() and not path.is_dir()


def move_stray_aside(path: Path) -> Path | None:
    """Rename whatever occupies a file's path and is not a file; return its new path, None if nothing was renamed.

    Raises:
        OSError: it cannot be renamed.
    """
    if not is_stray(path):
        return None
    aside = free_name(path)
    path.rename(aside)
    _log.warning("%s was not a file and was renamed to %s", path, aside.name)
    return aside


def is_stray(path: Path) -> bool:
    """Return whether a path exists and is neither a file nor a link to one."""
    return (path.is_symlink() and not path.exists()) or (path.exists() and not path.is_file())


def free_name(path: Path) -> Path:
    """Return an unused name for a damaged file: `journal.log.damaged-1`."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists() or aside.is_symlink():
        number += 1
    return aside


def can_create(path: Path) -> bool:
    """Return whether the path can be created or written, including missing parent folders."""
    nearest = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    access = os.W_OK | (os.X_OK if nearest.is_dir() else 0)
    return os.access(nearest, access) and (nearest == path or nearest.is_dir())


def has_disk_space(folder: Path, *, size: int = 1_000_000) -> bool:
    """Return whether a folder's disk has at least `size` bytes free; True if the folder cannot be written at all."""
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            return file.write(bytes(size)) == size
    except OSError as error:
        return error.errno not in (errno.ENOSPC, errno.EDQUOT)


def previous_file(path: Path) -> Path:
    """Return the path of a file's previous version: `state.previous.pt` for `state.pt`."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def existing_versions(path: Path) -> Iterator[Path]:
    """Yield a file and its previous version, as far as they exist, the newest first."""
    yield from (file for file in (path, previous_file(path)) if file.exists())
