"""Which processes belong to a driver's Ray, and their end when the driver ends, however it does.

Ray's servers end with their driver; its agents and workers notice it later, after a minute or never. So beside each
driver runs this file as a program, `guard_of`: it waits for the driver's end and ends what is left. It needs nothing
but Python: it must start at once, in whatever environment.
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
"""What `sweeps.backends.ray.environment.session_folder` gives a driver's Ray."""
_PROGRAM = re.compile(rb"/ray/(core|_private|autoscaler|dashboard)/[^\0]*(raylet|gcs_server|\.py)(\0|$)")
"""Of Ray's own, where its title does not say so."""
_LOOK_SECONDS = 0.5
_END_SECONDS = 10.0
"""As long as the guard looks for what is left: a process may just be starting."""


@contextlib.contextmanager
def guard_of(session: Path) -> Iterator[None]:
    """Let nothing of a Ray outlive the block, nor this process, even where that is killed.

    Args:
        session: where that Ray has its files.
    """
    # In its own process group: a signal to the driver's group must not end it before its work.
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
    """Return this user's processes of the Ray that has its files in a folder, which may be deleted by now."""
    numbers = (int(entry.name) for entry in _PROC.glob("[0-9]*"))
    return {pid for pid in numbers if pid != os.getpid() and session_of(pid) == session}


def end(pid: int, session: Path) -> bool:
    """Kill a process that is of a session's Ray, and return whether it was."""
    with contextlib.suppress(OSError):
        handle = os.pidfd_open(pid)
        try:
            # The number may belong to another process by now; the handle cannot come to mean one.
            if session_of(pid) == session:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
                select.select([handle], [], [], _END_SECONDS)
                return True
        finally:
            os.close(handle)
    return False


def session_of(pid: int) -> Path | None:
    """Return the folder of the Ray that a process is of; None where it is none of Ray's, or not this user's.

    It has a log, or anything else, open there.
    """
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
    """Return whether a process runs a program of Ray, and is no editor or pager that has a log of Ray's open."""
    command = (_PROC / str(pid) / "cmdline").read_bytes()
    return command.startswith(b"ray::") or _PROGRAM.search(b"\0".join(command.split(b"\0")[:4])) is not None


def _guard(session: Path) -> None:
    """Wait until the driver ends, then end what it leaves of its Ray."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    driver = os.getppid()
    # A pipe that the driver holds closes with it; a child that it has forked may hold it longer.
    while os.getppid() == driver and not select.select([0], [], [], _LOOK_SECONDS)[0]:
        pass
    deadline = time.monotonic() + _END_SECONDS
    quiet = 0
    while quiet < 2 and time.monotonic() < deadline:
        left = processes_of(session)
        if os.getppid() == driver:  # it has closed the pipe, and lives
            left.discard(driver)
        quiet = 0 if left else quiet + 1
        for pid in left:
            end(pid, session)
        time.sleep(0.2)


if __name__ == "__main__":
    _guard(Path(sys.argv[1]))
