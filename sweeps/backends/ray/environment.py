"""What Ray finds when it is imported and started: settings, a token that strangers lack, a folder that is cleaned up.

No Ray here: much of it is read when Ray is imported.
"""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import socket
from collections.abc import Iterator
from pathlib import Path

import filelock

from cifar_core.common.files import can_create
from sweeps.backends.ray.processes import end, guard_of, processes_of
from sweeps.core.errors import DiskFullError, SweepError, is_disk_full
from sweeps.system.machine import bypass_proxy_for_localhost, ensure_home, private_temporary_folder

_CONNECT_SECONDS = 5.0
_OWNER = "runs"
"""The file in a session's folder that holds the path of its driver's runs folder."""

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Tries to reach a cluster, a second each.
    "RAY_NUM_REDIS_GET_RETRIES": "5",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # A trial in the middle of an epoch is not waited for when the sweep stops: its checkpoint is an epoch old at most.
    "TUNE_FORCE_TRIAL_CLEANUP_S": "2",
}

_ON_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""Whether Ray's processes talk to other machines. Off, as on macOS, they listen on 127.0.0.1 and nowhere else."""


def prepare_environment(*, address: str | None) -> None:
    """Set what Ray reads, before it is imported; what the user has set stays.

    Raises:
        SweepError: nothing answers at the address, or the token cannot be made.
    """
    for name, value in _SETTINGS.items():
        os.environ.setdefault(name, value)
    bypass_proxy_for_localhost()
    ensure_home()
    if address is None:
        os.environ[_ON_LOOPBACK] = "0"
        if os.environ.get("RAY_AUTH_MODE", "token") == "token" and not _token_is_given():
            ensure_private_token()
        return
    require_answer(address)
    if os.environ.get(_ON_LOOPBACK) == "0":
        del os.environ[_ON_LOOPBACK]


def token_file() -> Path:
    """Return where Ray looks for the token unless it is told otherwise."""
    return Path.home() / ".ray" / "auth_token"


def _token_is_given() -> bool:
    return bool(os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"))


def ensure_private_token() -> None:
    """Make the token file where there is none, and let nobody else read it: Ray itself leaves it readable by all.

    Where the home folder cannot be written the file is in a temporary folder, and RAY_AUTH_TOKEN_PATH names it.

    Raises:
        SweepError: it cannot be written.
    """
    path = token_file()
    elsewhere = private_temporary_folder("token")
    if elsewhere is not None and not path.exists() and not can_create(path):
        path = elsewhere / path.name
        os.environ["RAY_AUTH_TOKEN_PATH"] = str(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w", encoding="ascii") as file:
                file.write(secrets.token_hex(32))
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)
    except OSError as error:
        raise SweepError(
            f"Ray's token cannot be kept in {path} ({error.strerror}): set RAY_AUTH_TOKEN_PATH to a file of your own"
        ) from None


def require_answer(address: str) -> None:
    """Ask whether anything listens at a cluster's address, which Ray itself takes half a minute to find out.

    Raises:
        SweepError: nothing does, or it is no address.
    """
    scheme = address.partition("://")[0] if "://" in address else ""
    if scheme in ("http", "https"):
        raise SweepError(
            f"--address {address} is the address of a job server: give HOST:PORT, or run it as a job with "
            f"`ray job submit --address {address} --working-dir . -- sweeps run ...`"
        )
    if scheme == "ray":
        raise SweepError(
            f"--address {address} is that of Ray Client, which Tune is not made for: give HOST:PORT on a node of the "
            "cluster, or from outside `ray job submit --address http://HOST:8265 --working-dir . -- sweeps run ...`"
        )
    if scheme or address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise SweepError(f"--address {address!r} is not HOST:PORT: `ray start --head` prints the one of a new cluster")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS):
            return
    except (OSError, OverflowError) as error:
        raise SweepError(
            f"no Ray cluster answers at {address} ({error}): start one there with `ray start --head`, or leave out "
            "--address (and RAY_ADDRESS) to use this machine alone"
        ) from None


def ray_folder() -> Path:
    """Return where this user's drivers on this machine keep what belongs to their Ray."""
    # Short, for it holds sockets, whose paths end after 107 bytes; TMPDIR may be anything.
    return Path(os.environ.get("RAY_TMPDIR") or "/tmp") / f"sweeps-ray-{os.getuid()}"


@contextlib.contextmanager
def session_folder(runs: Path) -> Iterator[Path]:
    """Give a driver's Ray a folder of its own for sockets, logs and Tune's notes, which goes when it ends.

    Ray leaves tens of megabytes behind each time. What drivers that were killed have left goes now, processes too.

    Args:
        runs: the driver's runs folder.

    Raises:
        SweepError: there cannot be such a folder.
    """
    parent = ray_folder()
    try:
        parent.mkdir(mode=0o700, exist_ok=True)
        if parent.stat().st_uid != os.getuid():
            raise PermissionError(errno.EPERM, "it belongs to somebody else")
        with filelock.FileLock(parent / "lock"):
            _remove_left_overs(parent)
            folder = parent / f"{os.getpid()}-{secrets.token_hex(2)}"
            folder.mkdir()
            (folder / _OWNER).write_bytes(os.fsencode(runs.resolve()))
            held = filelock.FileLock(folder / "lock")
            held.acquire()
    except OSError as error:
        if is_disk_full(error):
            raise DiskFullError(parent) from None
        raise SweepError(
            f"{parent} cannot be used ({error.strerror}): set RAY_TMPDIR to a folder of your own"
        ) from None
    try:
        with guard_of(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        held.release()


def abandoned_processes(runs: Path, *, ends: bool = False) -> list[tuple[int, str]]:
    """Return the processes of Ray, number and name, that drivers of a runs folder left which were killed.

    The guard of a driver ends them (`guard_of`), unless it was killed too.

    Args:
        runs: the runs folder.
        ends: whether to end them.
    """
    found = []
    for folder in _abandoned(ray_folder()):
        with contextlib.suppress(OSError):
            if (folder / _OWNER).read_bytes() == os.fsencode(runs.resolve()):
                named = [(pid, _name_of(pid)) for pid in sorted(processes_of(folder))]
                found += [(pid, name) for pid, name in named if not ends or end(pid, folder)]
    return found


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "ended"


def _abandoned(parent: Path) -> Iterator[Path]:
    """Yield the folders of drivers that are gone, each held: a driver holds its own while it lives."""
    for lock in parent.glob("*/lock"):
        with contextlib.suppress(filelock.Timeout, OSError), filelock.FileLock(lock).acquire(blocking=False):
            yield lock.parent


def _remove_left_overs(parent: Path) -> None:
    for folder in _abandoned(parent):
        for pid in processes_of(folder):
            end(pid, folder)
        shutil.rmtree(folder, ignore_errors=True)
