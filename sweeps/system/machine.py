"""The machine and the software of a run: cores and GPUs, leases on cores, commit and versions."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib.util
import os
import platform
import re
import subprocess
import sys
import tempfile
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path, PurePosixPath

import filelock

from sweeps.system.git_state import GitState, git_state

_leased: list[filelock.BaseFileLock] = []

_CGROUPS = Path("/sys/fs/cgroup")
_LEASES = Path("/tmp/sweeps-cores")
"""Locks on cores, shared by all drivers on this file system, of every user and whatever TMPDIR is."""


_HERE = ("localhost", "127.0.0.1", "::1")


def bypass_proxy_for_localhost() -> None:
    """Exclude servers on this machine from the environment's proxy, for this process and its children."""
    if any(name.lower().endswith("_proxy") and name.lower() != "no_proxy" for name in os.environ):
        configured = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
        hosts = [host.strip() for host in configured.split(",") if host.strip()]
        if "*" not in hosts:
            # Both names, since programs read either.
            os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(dict.fromkeys([*hosts, *_HERE]))


def ensure_home() -> None:
    """Set a temporary home folder for this process and its children if they have none (cron, `docker run -u 12345`).

    An existing one that cannot be written is kept, since it may contain credentials; except `/`, which Docker sets for
    a user without one.
    """
    try:
        home = Path.home()
        if os.environ.get("HOME") != "" and home.is_dir() and (home != Path("/") or os.access(home, os.W_OK)):
            return
    except (RuntimeError, OSError):  # no HOME, and no entry for the user in the user database
        pass
    folder = private_temporary_folder("home")
    if folder is not None:
        os.environ["HOME"] = str(folder)


def private_temporary_folder(name: str) -> Path | None:
    """Return a folder for temporary files that only this user can access; None if it cannot be created."""
    folder = Path(tempfile.gettempdir()) / f"sweeps-{name}-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        is_private = folder.lstat().st_uid == os.getuid() and not folder.is_symlink() and folder.is_dir()
    except OSError:
        return None
    return folder if is_private else None


def allowed_cores() -> list[int]:
    """Return the numbers of the cores that this process may run on; in a container, possibly not all of the machine."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def core_count() -> int:
    """Return the number of cores that this process may use, limited by its affinity and its CPU quota."""
    quota = _cpu_quota()
    cores = len(allowed_cores())
    return cores if quota is None else max(1, min(cores, int(quota)))


def _cpu_quota(memberships: Path = Path("/proc/self/cgroup"), mounted: Path = _CGROUPS) -> float | None:
    """Return the smallest CPU quota, in cores, of this process's control groups and their parents.

    Args:
        memberships: the kernel's list of this process's groups.
        mounted: where control groups are mounted; in a container only its own are visible.
    """
    try:
        lines = memberships.read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    quotas = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            roots = [mounted, mounted / "unified"]
        elif "cpu" in controllers.split(","):
            roots = [mounted / name for name in (controllers, "cpu", "cpu,cpuacct")]
        else:
            continue
        group = PurePosixPath(path.lstrip("/"))
        groups = [group, *group.parents]
        quotas += [quota for root in roots for each in groups if (quota := _quota_of(root / each)) is not None]
    return min(quotas, default=None)


def _quota_of(group: Path) -> float | None:
    """Return a control group's CPU quota in cores, in version 1 or 2; None if it has none."""
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text(encoding="ascii")
            period = (group / "cpu.cfs_period_us").read_text(encoding="ascii")
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):
        return None


def pid_namespace() -> str:
    """Return an identifier that processes with a common process-id namespace share; empty if it is unknown."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def has_surely_exited(pid: int, *, namespace: str) -> bool:
    """Return whether a process has certainly exited; False if that is unknown.

    Args:
        pid: its id.
        namespace: the result of `pid_namespace` in that process.
    """
    if not namespace or namespace != pid_namespace():
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False  # another user's
    return False


def local_gpus() -> int:
    """Return the number of GPUs that a trial on this machine can use, as CUDA counts them, without importing torch."""
    return _gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))[0]


def missing_gpu_reason() -> str:
    """Return the reason why `local_gpus` is 0, or less than this machine has."""
    return _gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))[1]


_CUDA = "libcuda.so.1"
_COUNT_GPUS = """
import ctypes, sys
cuda, count, version = ctypes.CDLL(sys.argv[1]), ctypes.c_int(0), ctypes.c_int(0)
cuda.cuDriverGetVersion(ctypes.byref(version))
fault = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count))
print(0 if fault else count.value, version.value // 1000)
"""
_COUNT_SECONDS = 60


@functools.cache
def _gpus(visible: str | None) -> tuple[int, str]:
    """Return the number of GPUs that CUDA counts, and the reason why there are no more.

    Args:
        visible: CUDA_VISIBLE_DEVICES, for the cache and the message. CUDA parses it: numbers, UUIDs of GPUs and MIG
            instances, prefixes of UUIDs, invalid entries, duplicates.
    """
    if visible is not None and not visible.strip():
        return 0, "CUDA_VISIBLE_DEVICES is empty"
    try:
        ctypes.CDLL(_CUDA)
    except OSError:
        return 0, "there is no NVIDIA driver on this machine"
    built = _cuda_of_torch()
    if built is None:
        return 0, "torch is installed without CUDA"
    count, driver = _query_cuda()
    if count and driver < built:
        return 0, f"the NVIDIA driver supports CUDA {driver}, but torch is built for CUDA {built}: update the driver"
    if count or visible is None:
        return count, "CUDA finds no GPU"
    return 0, f"CUDA finds no GPU for CUDA_VISIBLE_DEVICES={visible!r}"


def _query_cuda() -> tuple[int, int]:
    """Return the number of GPUs in this environment, and the CUDA version that the driver supports.

    In a separate process: CUDA caches its devices, and cannot be used in processes that are forked after its
    initialisation.
    """
    try:
        command = [sys.executable, "-I", "-S", "-c", _COUNT_GPUS, _CUDA]
        result = subprocess.run(command, capture_output=True, text=True, timeout=_COUNT_SECONDS, check=True)
        count, driver = map(int, result.stdout.split())
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0, 0
    return count, driver


def _cuda_of_torch() -> int | None:
    """Return the major CUDA version that torch is built for; None for a CPU build, or if torch is not installed."""
    spec = importlib.util.find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    try:
        text = Path(spec.origin).with_name("version.py").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"^cuda\b[^=]*= *['\"](\d+)", text, flags=re.MULTILINE)
    return None if found is None else int(found[1])


def pin_to_leased_cores(count: int) -> list[int]:
    """Pin this process to `count` cores that no other trial has locked, and return their numbers.

    Ray counts cores but does not assign core numbers. The lock is released when the process ends. If too few cores are
    free (another program, a fraction of a core per trial), nothing is pinned and the list is empty.
    """
    if _leased or not hasattr(os, "sched_setaffinity"):
        return []
    pinned: list[int] = []
    for core in allowed_cores():
        lock = filelock.FileLock(_LEASES / str(core), mode=0o666)
        try:
            _make_leases_folder()
            lock.acquire(blocking=False)
        except (filelock.Timeout, OSError):
            continue
        _leased.append(lock)
        pinned.append(core)
        if len(pinned) == count:
            os.sched_setaffinity(0, pinned)
            return pinned
    for held in _leased:
        held.release()
    _leased.clear()
    return []


def _make_leases_folder() -> None:
    with contextlib.suppress(FileExistsError):
        _LEASES.mkdir()
        # As /tmp itself: files of one user can be locked, but not deleted, by others.
        _LEASES.chmod(0o1777)


def environment(git: GitState) -> dict[str, str]:
    """Return the commit, versions and user that are recorded with every run."""
    found = {"git_sha": git.name, "git_diff": git.diff_id}
    found |= {f"version.{name}": number for name, number in versions().items()}
    found["user"] = os.environ.get("USER", "")
    return {name: value for name, value in found.items() if value}


def versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that affect results or their recording."""
    found = {"python": platform.python_version()}
    for package in ("torch", "numpy", "ray", "optuna", "mlflow"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def machine_and_versions() -> dict[str, str]:
    """Return the description of machine and software for a page of results."""
    cores = core_count()
    machine = {
        "machine": f"{processor()}, {cores} core{'s' if cores != 1 else ''}",
        "Python": platform.python_version(),
    }
    packages = {name: number for name, number in versions().items() if name != "python"}
    return machine | {"git_sha": git_state().name} | packages


def processor() -> str:
    """Return the name of the CPU."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
