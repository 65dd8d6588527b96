"""The machine and the software a run is on: its cores and GPUs, a lease on a core, commit and versions."""

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
"""Where drivers that see the same file system tell each other which cores they hold, whoever and whatever TMPDIR is."""


_HERE = ("localhost", "127.0.0.1", "::1")


def bypass_proxy_here() -> None:
    """Let this process and its children reach servers of this machine without the proxy that the environment names."""
    if any(name.lower().endswith("_proxy") and name.lower() != "no_proxy" for name in os.environ):
        given = os.environ.get("no_proxy") or os.environ.get("NO_PROXY") or ""
        hosts = [host.strip() for host in given.split(",") if host.strip()]
        if "*" not in hosts:
            # Both names: what reads the one does not read the other.
            os.environ["no_proxy"] = os.environ["NO_PROXY"] = ",".join(dict.fromkeys([*hosts, *_HERE]))


def ensure_home() -> None:
    """Give this process and its children a home folder where they have none (cron, `docker run -u 12345`).

    One that is there and cannot be written stays, for credentials may lie in it; not the root, which is Docker's answer
    for a user without one.
    """
    try:
        home = Path.home()
        if os.environ.get("HOME") != "" and home.is_dir() and (home != Path("/") or os.access(home, os.W_OK)):
            return
    except (RuntimeError, OSError):  # no HOME, and a user without an entry in the list of users
        pass
    folder = private_temporary_folder("home")
    if folder is not None:
        os.environ["HOME"] = str(folder)


def private_temporary_folder(name: str) -> Path | None:
    """Return this user's own folder for temporary files under a name; None where there cannot be one."""
    folder = Path(tempfile.gettempdir()) / f"sweeps-{name}-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        is_own = folder.lstat().st_uid == os.getuid() and not folder.is_symlink() and folder.is_dir()
    except OSError:
        return None
    return folder if is_own else None


def allowed_cores() -> list[int]:
    """Return the numbers of the cores that this process may run on, fewer than the machine has inside a container."""
    return sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else list(range(os.cpu_count() or 1))


def core_count() -> int:
    """Return how many cores this process may keep busy: those it may run on, as far as its CPU quota goes."""
    quota = _cpu_quota()
    cores = len(allowed_cores())
    return cores if quota is None else max(1, min(cores, int(quota)))


def _cpu_quota(memberships: Path = Path("/proc/self/cgroup"), mounted: Path = _CGROUPS) -> float | None:
    """Return the smallest CPU quota, in cores, of this process's control groups and those around them.

    Args:
        memberships: which groups this process is in, as the kernel tells it.
        mounted: where control groups are to be seen; inside a container only its own are.
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
        around = [group, *group.parents]
        quotas += [quota for root in roots for part in around if (quota := _quota_of(root / part)) is not None]
    return min(quotas, default=None)


def _quota_of(group: Path) -> float | None:
    """Return a control group's CPU quota in cores, of either version of control groups."""
    try:
        if (group / "cpu.max").exists():
            quota, period = (group / "cpu.max").read_text(encoding="ascii").split()
        else:
            quota = (group / "cpu.cfs_quota_us").read_text(encoding="ascii")
            period = (group / "cpu.cfs_period_us").read_text(encoding="ascii")
        return int(quota) / int(period) if int(quota) > 0 else None
    except (OSError, ValueError):
        return None


def kernel() -> str:
    """Return what two processes have in common that see each other's process ids; empty where nobody can say."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        return f"{boot} {Path('/proc/self/ns/pid').readlink()}"
    except OSError:
        return ""


def is_surely_dead(pid: int, *, of_kernel: str) -> bool:
    """Return whether a process is surely not there any more; one that nobody here can ask about may live.

    Args:
        pid: its id.
        of_kernel: what `kernel` returned for it.
    """
    if not of_kernel or of_kernel != kernel():
        return False
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return True
    except OSError:
        return False  # somebody else's
    return False


def local_gpus() -> int:
    """Return how many GPUs a trial on this machine can use, as CUDA counts them, without waiting for torch."""
    return _gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))[0]


def why_no_gpu() -> str:
    """Return why `local_gpus` is 0, or less than this machine has."""
    return _gpus(os.environ.get("CUDA_VISIBLE_DEVICES"))[1]


_CUDA = "libcuda.so.1"
_ASK_CUDA = """
import ctypes, sys
cuda, count, version = ctypes.CDLL(sys.argv[1]), ctypes.c_int(0), ctypes.c_int(0)
cuda.cuDriverGetVersion(ctypes.byref(version))
fault = cuda.cuInit(0) or cuda.cuDeviceGetCount(ctypes.byref(count))
print(0 if fault else count.value, version.value // 1000)
"""
_ASK_SECONDS = 60


@functools.cache
def _gpus(visible: str | None) -> tuple[int, str]:
    """Return how many GPUs CUDA counts, and why not more.

    Args:
        visible: CUDA_VISIBLE_DEVICES. CUDA itself reads it: numbers, names of GPUs and of their parts, beginnings of
            names, what ends the list, and what is there twice.
    """
    if visible is not None and not visible.strip():
        return 0, "CUDA_VISIBLE_DEVICES is empty"
    try:
        ctypes.CDLL(_CUDA)
    except OSError:
        return 0, "there is no NVIDIA driver here"
    built = _cuda_of_torch()
    if built is None:
        return 0, "torch is installed without CUDA"
    count, driver = _asked_of_cuda()
    if count and driver < built:
        return 0, f"the NVIDIA driver knows CUDA {driver}, and torch is built for CUDA {built}: renew the driver"
    if count or visible is None:
        return count, "CUDA finds no GPU"
    return 0, f"CUDA_VISIBLE_DEVICES is {visible!r}, and CUDA finds no GPU by that"


def _asked_of_cuda() -> tuple[int, int]:
    """Return how many GPUs there are for this environment, and which CUDA the driver knows.

    Asked in a separate process: CUDA keeps what it found, and cannot be used in processes that are forked later.
    """
    try:
        command = [sys.executable, "-I", "-S", "-c", _ASK_CUDA, _CUDA]
        asked = subprocess.run(command, capture_output=True, text=True, timeout=_ASK_SECONDS, check=True)
        count, driver = map(int, asked.stdout.split())
    except (OSError, ValueError, subprocess.SubprocessError):
        return 0, 0
    return count, driver


def _cuda_of_torch() -> int | None:
    """Return the CUDA that torch is built for, as 12; None where it is built for none, or is not installed."""
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
    """Pin this process to `count` cores that no other trial holds, and return their numbers.

    Ray counts cores but gives no core's number. The lease is a lock that ends with the process. Where all cores are
    held (another program, a fraction of a core for each trial) nothing is pinned and the list is empty.
    """
    if _leased or not hasattr(os, "sched_setaffinity"):
        return []
    taken: list[int] = []
    for core in allowed_cores():
        lock = filelock.FileLock(_LEASES / str(core), mode=0o666)
        try:
            _make_leases_folder()
            lock.acquire(blocking=False)
        except (filelock.Timeout, OSError):
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


def _make_leases_folder() -> None:
    with contextlib.suppress(FileExistsError):
        _LEASES.mkdir()
        # For all users, as /tmp itself is: what one made the others may lock, not delete.
        _LEASES.chmod(0o1777)


def environment(git: GitState) -> dict[str, str]:
    """Return commit, versions and user, as the record keeps them with every run."""
    found = {"git_sha": git.name, "git_diff": git.diff_id}
    found |= {f"version.{name}": number for name, number in versions().items()}
    found["user"] = os.environ.get("USER", "")
    return {name: value for name, value in found.items() if value}


def versions() -> dict[str, str]:
    """Return what of the software decides results or how they are recorded, by package; Python too."""
    found = {"python": platform.python_version()}
    for package in ("torch", "numpy", "ray", "optuna", "mlflow"):
        with contextlib.suppress(PackageNotFoundError):
            found[package] = version(package)
    return found


def machine_and_versions() -> dict[str, str]:
    """Return what a page of results says of the machine and the software."""
    cores = core_count()
    machine = {
        "machine": f"{processor()}, {cores} core{'s' if cores != 1 else ''}",
        "Python": platform.python_version(),
    }
    packages = {name: number for name, number in versions().items() if name != "python"}
    return machine | {"git_sha": git_state().name} | packages


def processor() -> str:
    """Return what the CPU is called."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()
