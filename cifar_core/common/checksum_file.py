"""Files that end with a checksum, with the previous version kept, so that disk corruption is detected and repaired."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

from cifar_core.common.files import atomic_write, move_stray_aside, previous_file

_MARKER = b"\nsha256:"
_DIGEST_LENGTH = 64
_SUFFIX_LENGTH = len(_MARKER) + _DIGEST_LENGTH


def checksum_suffix(payload: bytes | memoryview) -> bytes:
    """Return the bytes that follow a payload: a marker and its SHA-256 in hexadecimal digits."""
    return _MARKER + hashlib.sha256(payload).hexdigest().encode("ascii")


def write_with_checksum(path: Path, payload: bytes | memoryview) -> None:
    """Write a payload and its checksum to a file atomically, and keep the file that it replaces (`previous_file`).

    Raises:
        OSError: the file cannot be written; the old one is unchanged.
    """
    move_stray_aside(path)
    with atomic_write(path) as file:
        file.write(payload)
        file.write(checksum_suffix(payload))
        file.flush()
        if path.exists():
            _keep(path, previous_file(path))


def _keep(path: Path, previous: Path) -> None:
    previous.unlink(missing_ok=True)
    try:
        previous.hardlink_to(path)
    except OSError:  # a file system without links
        shutil.copyfile(path, previous)


def verified_payload(content: bytes) -> bytes:
    """Return the payload of a file's content after verifying its checksum.

    Raises:
        ValueError: the checksum is missing or wrong.
    """
    payload, digest = content[:-_SUFFIX_LENGTH], content[-_DIGEST_LENGTH:]
    if content[-_SUFFIX_LENGTH:-_DIGEST_LENGTH] != _MARKER:
        raise ValueError("its end is damaged or missing")
    if hashlib.sha256(payload).hexdigest().encode("ascii") != digest:
        raise ValueError("its checksum is wrong: it has changed since it was written")
    return payload


def checksum_fault(path: Path, *, full: bool = True) -> str | None:
    """Return the fault of a file with a checksum, None if it has none.

    Args:
        path: the file.
        full: verify the checksum; False checks only that the file ends with one, which a truncated file does not.
    """
    try:
        if not path.is_file():
            return "it is not a file"
        if full:
            verified_payload(path.read_bytes())
            return None
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - _SUFFIX_LENGTH))
            end = file.read()
    except (OSError, ValueError) as error:
        return str(error)
    return None if end[: len(_MARKER)] == _MARKER else "its end is damaged or missing"
