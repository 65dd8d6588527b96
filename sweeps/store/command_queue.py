"""Commands to a sweep that are not in its study yet: an append-only file next to its journal, or a table.

Only the holder of a sweep's lock may write its study. Other processes append a command here, and the driver copies it
to the study, which stores the command's id: a command is applied once, whichever process is killed in between.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from sweeps.store.files import store_error
from sweeps.store.folder import SweepFolder

COMMAND_FILE = "steering.jsonl"
"""Name of the file in a sweep's folder."""


class CommandQueue(Protocol):
    """The commands of one sweep, in the order of writing."""

    def append(self, command: Mapping[str, Any]) -> None:
        """Add a command; it is on disk afterwards.

        Raises:
            StoreError: It cannot be written.
        """
        ...

    def new(self) -> Sequence[Mapping[str, Any]]:
        """Return the commands since the last call, at first all of them. It may return a command again.

        Raises:
            StoreError: They cannot be read.
        """
        ...


def command_queue(folder: SweepFolder) -> CommandQueue:
    """Return the commands of a sweep: in the database of its study, if it has one."""
    database = folder.database
    if database is None:
        return CommandFile(folder.path / COMMAND_FILE)
    from sweeps.store.command_table import CommandTable

    return CommandTable(database.engine, folder.sweep)


class CommandFile:
    """Commands in a file, one JSON object with a checksum per line.

    A line that a killed process left incomplete was not acknowledged, and is ignored.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._read_bytes = 0

    def append(self, command: Mapping[str, Any]) -> None:
        line = json.dumps({"command": command, "crc": _crc(command)}, sort_keys=True).encode() + b"\n"
        try:
            is_new = not self._path.exists()
            with self._path.open("a+b") as file:
                with contextlib.suppress(OSError):  # a file system without locks
                    fcntl.flock(file, fcntl.LOCK_EX)
                size = file.seek(0, os.SEEK_END)
                if size:
                    file.seek(size - 1)
                    line = line if file.read(1) == b"\n" else b"\n" + line
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            if is_new:
                folder = os.open(self._path.parent, os.O_RDONLY)
                try:
                    os.fsync(folder)
                finally:
                    os.close(folder)
        except OSError as error:
            raise store_error(self._path, error) from None

    def new(self) -> Sequence[Mapping[str, Any]]:
        try:
            size = self._path.stat().st_size
            if size == self._read_bytes:
                return []
            with self._path.open("rb") as file:
                file.seek(self._read_bytes if size > self._read_bytes else 0)
                added = file.read()
                complete = added[: added.rfind(b"\n") + 1]
                self._read_bytes = file.tell() - len(added) + len(complete)
        except FileNotFoundError:
            self._read_bytes = 0
            return []
        except OSError as error:
            raise store_error(self._path, error) from None
        return list(_commands(complete))


def _crc(command: Mapping[str, Any]) -> str:
    return f"{zlib.crc32(json.dumps(command, sort_keys=True).encode()):08x}"


def _commands(lines: bytes) -> Iterator[Mapping[str, Any]]:
    for line in lines.splitlines():
        with contextlib.suppress(ValueError, TypeError, KeyError):
            found = json.loads(line)
            if isinstance(found["command"], dict) and found["crc"] == _crc(found["command"]):
                yield found["command"]
