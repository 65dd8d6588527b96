"""Whose Ray it is: a note beside the folder of a local Ray, which outlives both, so that what is left can be told.

A process id alone would not do, for the system gives it to somebody else one day; nor would a variable of the
environment: some of Ray's processes write their title over it.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path

from cifar_core.files import atomic_write, read_regular

_PROC = Path("/proc")
_STATE, _STARTED = 0, 19
"""Fields of `/proc/PID/stat` behind the name, which may hold blanks itself."""


@dataclass(frozen=True, kw_only=True)
class DriverMark:
    """The driver that a Ray was started by."""

    pid: int
    started: int
    """When it was, in the kernel's ticks since the machine's start: with the pid it names one process for ever."""
    namespace: str
    """In which its pid means something: a container counts its own."""
    runs: str
    """Its runs folder, as a whole path."""

    @classmethod
    def of_this_process(cls, *, runs: Path) -> DriverMark:
        """Return the mark of the Ray that this process starts."""
        pid = os.getpid()
        return cls(pid=pid, started=start_of(pid) or 0, namespace=namespace_of(pid), runs=str(runs.resolve()))

    @classmethod
    def read(cls, session: Path) -> DriverMark | None:
        """Return whose Ray had its files in a folder, which may be gone; None where this user noted nothing of it."""
        path = mark_file(session)
        try:
            if path.stat().st_uid != os.getuid():
                return None
            return cls(**json.loads(read_regular(path) or b""))
        except (OSError, ValueError, TypeError, RecursionError):
            return None

    def write(self, session: Path) -> None:
        """Note it beside the folder.

        Raises:
            OSError: it cannot be written.
        """
        with atomic_write(mark_file(session)) as file:
            file.write(json.dumps(asdict(self)).encode("utf-8"))

    @property
    def has_died(self) -> bool:
        """Whether the driver is surely gone."""
        return bool(self.started) and self.namespace == namespace_of(os.getpid()) and start_of(self.pid) != self.started


def mark_file(session: Path) -> Path:
    """Return where it is noted whose Ray has its files in a folder."""
    return session.with_name(f"{session.name}.json")


def start_of(pid: int) -> int | None:
    """Return when a process that lives began, in ticks; None where there is none, or only its unread exit code."""
    try:
        fields = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
        return None if fields[_STATE] in ("Z", "X") else int(fields[_STARTED])
    except (OSError, ValueError, IndexError):
        return None


def namespace_of(pid: int) -> str:
    """Return the name of the pid namespace of a process; empty where it cannot be told."""
    try:
        return str((_PROC / str(pid) / "ns" / "pid").readlink())
    except OSError:
        return ""
