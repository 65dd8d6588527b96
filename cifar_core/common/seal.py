"""A checkpoint's file ends with a checksum, and the one before it is kept: a bit that a disk has lost is noticed."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from cifar_core.common.files import atomic_write, make_way, previous_file

_SEAL = b"\nsha256:"
_DIGEST_LENGTH = 64
_SEAL_LENGTH = len(_SEAL) + _DIGEST_LENGTH


def seal_of(payload: bytes | memoryview) -> bytes:
    """Return what is written behind a payload."""
    return _SEAL + hashlib.sha256(payload).hexdigest().encode("ascii")


def write_sealed(path: Path, payload: bytes | memoryview) -> None:
    """Write a payload with its checksum to a file that is always a whole one, and keep the old one beside it.

    Raises:
        OSError: the file cannot be written; the old one is there still.
    """
    make_way(path)
    with atomic_write(path) as file:
        file.write(payload)
        file.write(seal_of(payload))
        file.flush()
        if path.exists():
            _keep(path, previous_file(path))


def _keep(path: Path, beside: Path) -> None:
    beside.unlink(missing_ok=True)
    try:
        beside.hardlink_to(path)
    except OSError:  # a file system without links
        shutil.copyfile(path, beside)


def unsealed(content: bytes) -> bytes:
    """Return a file's payload where its checksum is right.

    Raises:
        ValueError: it is not, so that something changed the file after it was written.
    """
    payload, seal, digest = content[:-_SEAL_LENGTH], content[-_SEAL_LENGTH:-_DIGEST_LENGTH], content[-_DIGEST_LENGTH:]
    if seal != _SEAL:
        raise ValueError("its end is damaged or missing")
    if hashlib.sha256(payload).hexdigest().encode("ascii") != digest:
        raise ValueError("its checksum is wrong: it has changed since it was written")
    return payload


def fault_of_seal(path: Path, *, whole: bool = True) -> str | None:
    """Return what is wrong with a sealed file, None where nothing is found.

    Args:
        path: the file.
        whole: read all of it; False looks at its end alone, which a file that was cut off lacks.
    """
    try:
        if not path.is_file():
            return "it is no file"
        if whole:
            unsealed(path.read_bytes())
            return None
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _SEAL_LENGTH))
            end = file.read()
    except (OSError, ValueError) as error:
        return str(error)
    return None if end[: len(_SEAL)] == _SEAL else "its end is damaged or missing"
