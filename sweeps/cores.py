"""Which CPU cores there are, and a lease on one: Ray counts cores but gives no core's number."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import filelock

_leased: list[filelock.BaseFileLock] = []


def allowed_cores() -> list[int]:
    """Return the cores that this process may use, fewer than the machine has inside a container."""
    cores = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))
    quota = _cgroup_quota()
    return cores if quota is None else cores[: max(1, int(quota))]


def _cgroup_quota() -> float | None:
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text(encoding="ascii").split()
        return None if quota == "max" else int(quota) / int(period)
    except (OSError, ValueError):
        return None


def pin_to_leased_cores(count: int) -> list[int]:
    """Pin this process to `count` cores that no other trial holds, and return their numbers.

    The lease is a lock that ends with the process. Where all cores are held (another program, a fraction of a
    core for each trial) nothing is pinned and the list is empty.
    """
    if _leased or not hasattr(os, "sched_setaffinity"):
        return []
    folder = Path(tempfile.gettempdir()) / f"sweeps-cores-{os.getuid()}"
    folder.mkdir(exist_ok=True)
    taken: list[int] = []
    for core in allowed_cores():
        lock = filelock.FileLock(folder / str(core))
        try:
            lock.acquire(blocking=False)
        except filelock.Timeout:
            continue
        _leased.append(lock)
        taken.append(core)
        if len(taken) == count:
            os.sched_setaffinity(0, taken)
            return taken
    for held in _leased:
        held.release()
    _leased.clear()
    return []
