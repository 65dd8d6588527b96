"""Files that a reader always finds whole, and what was there before them."""

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
"""Of every file written here: what others may read. A temporary file is its owner's alone."""


LARGEST_BYTES = 8_000_000_000
"""Of a file that is read whole: what claims more (a damaged length, a sparse file) would use up the memory."""

_KINDS = {
    stat.S_IFDIR: "it is a folder",
    stat.S_IFIFO: "it is a pipe",
    stat.S_IFSOCK: "it is a socket",
    stat.S_IFCHR: "it is a device",
    stat.S_IFBLK: "it is a device",
}


class NotAFileError(OSError):
    """A path is not a regular file. `strerror` says what is there instead."""


def read_regular(path: Path, *, follow: bool = True) -> bytes | None:
    """Return what a regular file holds, None where nothing has its name. Never waits for a pipe or a device.

    Args:
        path: the file.
        follow: whether a link counts as the file that it leads to.

    Raises:
        NotAFileError: it is a folder, a pipe, a device, a link that leads nowhere (or any link), or is far too large.
        OSError: it cannot be read.
    """
    try:
        # Not blocking: opening a pipe without a writer would never return.
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
            raise NotAFileError(errno.EINVAL, _KINDS.get(stat.S_IFMT(about.st_mode), "it is no file"), str(path))
        if about.st_size > LARGEST_BYTES:
            raise NotAFileError(errno.EFBIG, f"it has {about.st_size:,} bytes", str(path))
        with open(handle, "rb", closefd=False) as file:
            return file.read()
    finally:
        os.close(handle)


def read_whole(path: Path) -> bytes:
    """Return what a regular file holds; see `read_regular`.

    Raises:
        OSError: it is not there, cannot be read, or is no regular file.
    """
    content = read_regular(path)
    if content is None:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))
    return content


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
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        path = path.resolve() if path.is_symlink() else path  # the link stays one, and what it leads to is not made
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
    """Return whether a path is there and can be written to, and is no file that another one may take the place of."""
    return path.exists() and not path.is_file() and not path.is_dir()


def make_way(path: Path) -> Path | None:
    """Move aside what lies in a file's place and is no file; return where it is then, None where nothing was.

    Raises:
        OSError: it cannot be moved.
    """
    if not is_stray(path):
        return None
    aside = free_name(path)
    path.rename(aside)
    _log.warning("%s was no file: it is %s now", path, aside.name)
    return aside


def is_stray(path: Path) -> bool:
    """Return whether something lies in a file's place that is no file, nor a link to one."""
    return (path.is_symlink() and not path.exists()) or (path.exists() and not path.is_file())


def free_name(path: Path) -> Path:
    """Return a name beside a file that nothing has yet: `journal.log.damaged-1`."""
    number = 1
    while (aside := path.with_name(f"{path.name}.damaged-{number}")).exists() or aside.is_symlink():
        number += 1
    return aside


def can_be_made(path: Path) -> bool:
    """Return whether something could be written there, with the folders on its way."""
    there = next(folder for folder in (path, *path.absolute().parents) if folder.exists())
    return os.access(there, os.W_OK | (os.X_OK if there.is_dir() else 0)) and (there == path or there.is_dir())


def has_room(folder: Path, *, size: int = 1_000_000) -> bool:
    """Return whether so many bytes can be written to a folder's disk; True where nothing can be written anyway."""
    try:
        with tempfile.TemporaryFile(dir=folder, buffering=0) as file:
            return file.write(bytes(size)) == size
    except OSError as error:
        return error.errno not in (errno.ENOSPC, errno.EDQUOT)


def previous_file(path: Path) -> Path:
    """Return where the file is kept that another one has replaced: `state.previous.pt` beside `state.pt`."""
    return path.with_name(f"{path.stem}.previous{path.suffix}")


def usable_files(path: Path) -> Iterator[Path]:
    """Yield those of a file and of the one before it that are there, the newest first."""
    yield from (file for file in (path, previous_file(path)) if file.exists())
