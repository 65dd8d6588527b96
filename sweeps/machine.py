"""The machine and the software a run is on: its cores and GPUs, a lease on a core, commit and versions."""

from __future__ import annotations

import contextlib
import os
import platform
import subprocess
import tempfile
from importlib.metadata import PackageNotFoundError, version
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


def local_gpus() -> int:
    """Return how many GPUs this process may use, without waiting for torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([gpu for gpu in visible.split(",") if gpu.strip() not in ("", "-1")])
    devices = Path("/proc/driver/nvidia/gpus")
    return len(list(devices.iterdir())) if devices.is_dir() else 0


def pin_to_leased_cores(count: int) -> list[int]:
    """Pin this process to `count` cores that no other trial holds, and return their numbers.

    Ray counts cores but gives no core's number. The lease is a lock that ends with the process. Where all cores are
    held (another program, a fraction of a core for each trial) nothing is pinned and the list is empty.
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


def environment() -> dict[str, str]:
    """Return commit, versions and user, as the record keeps them with every run."""
    found = {"git_sha": _git_sha()}
    for package in ("torch", "ray", "optuna", "mlflow"):
        with contextlib.suppress(PackageNotFoundError):
            found[f"version.{package}"] = version(package)
    found["user"] = os.environ.get("USER", "")
    return {name: value for name, value in found.items() if value}


def _git_sha() -> str:
    def git(*arguments: str) -> str:
        return subprocess.run(
            ["git", *arguments], capture_output=True, text=True, check=True, timeout=10
        ).stdout.strip()

    try:
        return git("rev-parse", "--short=12", "HEAD") + ("-dirty" if git("status", "--porcelain") else "")
    except (OSError, subprocess.SubprocessError):
        return ""


def machine_and_versions() -> dict[str, str]:
    """Return what a page of results says of the machine and the software."""
    cores = allowed_cores()
    machine = {
        "machine": f"{_processor()}, {len(cores)} core{'s' if len(cores) != 1 else ''}",
        "Python": platform.python_version(),
    }
    return machine | {name.removeprefix("version."): value for name, value in environment().items() if name != "user"}


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
