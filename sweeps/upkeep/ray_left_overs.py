"""Check of Ray: processes that a killed driver of this runs folder has left."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sweeps.execution import DriverMark, namespace_of, session_of, start_of
from sweeps.upkeep.finding import Finding, Result
from sweeps.upkeep.inventory import Inventory

_PROC = Path("/proc")
_END_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class LeftOver:
    """A process of Ray whose driver is gone."""

    pid: int
    started: int
    """In the kernel's ticks: with the pid it names this process for ever."""
    mark: DriverMark
    name: str


def check_ray(inventory: Inventory) -> Result:
    """Look for processes of Ray that a driver of this runs folder started, and that outlive it.

    The guard of a driver ends them (`guard_of`), unless it was killed too.
    """
    found = list(left_overs(inventory.runs))
    if not found:
        return Result(well="no process of Ray has outlived a driver of this folder")
    text = (
        f"{'a process' if len(found) == 1 else f'{len(found)} processes'} of Ray outlived the driver, process "
        f"{found[0].mark.pid}: {', '.join(f'{each.pid} ({each.name})' for each in found)}: `sweeps doctor --fix` ends "
        "exactly these"
    )
    return Result(well="", findings=[Finding(text=text, mend=partial(_end, inventory.runs))])


def left_overs(runs: Path) -> Iterator[LeftOver]:
    """Yield the processes of Ray whose files lie, or lay, in the folder of a driver that is surely dead.

    Args:
        runs: the runs folder that the driver had.
    """
    here = namespace_of(os.getpid())
    for entry in _PROC.glob("[0-9]*"):
        # Of another container the numbers mean other processes; of another user it is not ours to end.
        if int(entry.name) != os.getpid() and namespace_of(int(entry.name)) == here:
            left = _left_over(int(entry.name), runs)
            if left is not None:
                yield left


def _left_over(pid: int, runs: Path) -> LeftOver | None:
    try:
        started, session = start_of(pid), session_of(pid)
        name = (_PROC / str(pid) / "comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return None
    mark = None if session is None else DriverMark.read(session)
    if started is None or mark is None or mark.runs != str(runs.resolve()) or not mark.has_died:
        return None
    return LeftOver(pid=pid, started=started, mark=mark, name=name)


def _end(runs: Path) -> str:
    """End them, each by a handle that cannot come to mean another process."""
    ended = []
    for left in list(left_overs(runs)):
        with contextlib.suppress(ProcessLookupError):
            handle = os.pidfd_open(left.pid)
            try:
                # The handle is of whoever has this number now: is it still the one that was looked at?
                if _left_over(left.pid, runs) == left:
                    _end_by(handle, left)
                    ended.append(left)
            finally:
                os.close(handle)
    return f"ended {', '.join(f'{left.pid} ({left.name})' for left in ended) or 'none: all have ended by themselves'}"


def _end_by(handle: int, left: LeftOver) -> None:
    signal.pidfd_send_signal(handle, signal.SIGTERM)
    deadline = time.monotonic() + _END_SECONDS
    while start_of(left.pid) == left.started:
        if time.monotonic() > deadline:
            signal.pidfd_send_signal(handle, signal.SIGKILL)
            deadline = float("inf")
        time.sleep(0.05)
