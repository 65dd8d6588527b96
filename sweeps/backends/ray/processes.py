"""Processes of a driver's Ray, and a guard that ends them when the driver has ended in any way.

Ray's servers end with their driver, but its agents and workers end after a minute or never. Therefore this file runs as
a program next to each driver, see `guard_of`: it waits for the driver's end and kills the remaining processes. It uses
only the standard library, so that it starts fast in any environment.
"""

from __future__ import annotations

import contextlib
import os
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

_PROC = Path("/proc")
_SESSION = re.compile(r"/.*/sweeps-ray-[0-9]+/[0-9]+-[0-9a-f]+(?=/)")
"""Paths in a folder of `sweeps.backends.ray.environment.session_folder`."""
_PROGRAM = re.compile(rb"/ray/(core|_private|autoscaler|dashboard)/[^\0]*(raylet|gcs_server|\.py)(\0|$)")
"""Command lines of Ray's programs whose process title does not start with `ray::`."""
_POLL_SECONDS = 0.5
_END_SECONDS = 10.0
"""How long the guard searches for remaining processes, since a process may just be starting."""


@contextlib.contextmanager
def guard_of(session: Path) -> Iterator[None]:
    """End all processes of a session's Ray at the end of the block, also if this process is killed.

    Args:
        session: The session folder.
    """
    # In its own session, so that a signal to the driver's process group does not end it.
    guard = subprocess.Popen(
        [sys.executable, "-I", "-S", __file__, str(session)],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True, cwd="/",
    )  # fmt: skip
    assert guard.stdin is not None
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            guard.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            guard.wait(_END_SECONDS)


def processes_of(session: Path) -> set[int]:
    """Return the pids of this user's Ray processes of a session folder, also if it was deleted."""
    numbers = (int(entry.name) for entry in _PROC.glob("[0-9]*"))
    return {pid for pid in numbers if pid != os.getpid() and session_of(pid) == session}


def end(pid: int, session: Path) -> bool:
    """Kill a process if it belongs to a session's Ray; return whether it did."""
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(pid)
        try:
            # A pid may be reused by another process, a pidfd is not.
            if session_of(pid) == session:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                select.select([handle], [], [], _END_SECONDS)
                return True
        finally:
            os.close(handle)
    return False


def session_of(pid: int) -> Path | None:
    """Return the session folder in which a process of Ray has an open file; None for processes of other users."""
    try:
        if (_PROC / str(pid)).stat().st_uid != os.getuid() or not _is_of_ray(pid):
            return None
        for descriptor in (_PROC / str(pid) / "fd").iterdir():
            with contextlib.suppress(OSError):
                match = _SESSION.match(str(descriptor.readlink()))
                if match is not None:
                    return Path(match[0])
    except OSError:
        pass
    return None


def _is_of_ray(pid: int) -> bool:
    """Return whether a process runs a program of Ray, unlike a pager that has a log of Ray open."""
    command = (_PROC / str(pid) / "cmdline").read_bytes()
    return command.startswith(b"ray::") or _PROGRAM.search(b"\0".join(command.split(b"\0")[:4])) is not None


def _guard(session: Path) -> None:
    """Wait until the driver ends, then kill the remaining processes of its Ray."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    driver = os.getppid()
    # The pipe closes when the driver ends, unless a forked child keeps it open.
    while os.getppid() == driver and not select.select([0], [], [], _POLL_SECONDS)[0]:
        pass
    deadline = time.monotonic() + _END_SECONDS
    quiet = 0
    while quiet < 2 and time.monotonic() < deadline:
        left = processes_of(session)
        if os.getppid() == driver:  # the driver has closed the pipe and still runs
            left.discard(driver)
        quiet = 0 if left else quiet + 1
        for pid in left:
            end(pid, session)
        time.sleep(0.2)


if __name__ == "__main__":
    _guard(Path(sys.argv[1]))
