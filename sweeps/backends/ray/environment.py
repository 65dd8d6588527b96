"""Environment of Ray: settings, a private token, and a session folder with cleanup.

Ray is not imported here, since it reads many settings at its import.
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
"""File in a session folder that contains the path of its driver's runs folder."""

_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    # Attempts to connect to a cluster, one second each.
    "RAY_NUM_REDIS_GET_RETRIES": "5",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # When the sweep stops, running epochs are not waited for: a trial loses less than one epoch.
    "TUNE_FORCE_TRIAL_CLEANUP_S": "2",
}

_ON_LOOPBACK = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"
"""If it is 0, Ray's processes listen only on 127.0.0.1, as on macOS."""


def prepare_environment(*, address: str | None) -> None:
    """Set Ray's environment variables before its import. Values set by the user are kept.

    Raises:
        SweepError: Nothing answers at the address, or the token cannot be created.
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
    check_address(address)
    if os.environ.get(_ON_LOOPBACK) == "0":
        del os.environ[_ON_LOOPBACK]


def token_file() -> Path:
    """Return the default path of Ray's token."""
    return Path.home() / ".ray" / "auth_token"


def _token_is_given() -> bool:
    return bool(os.environ.get("RAY_AUTH_TOKEN") or os.environ.get("RAY_AUTH_TOKEN_PATH"))


def ensure_private_token() -> None:
    """Create the token file if it does not exist, readable only by the user; Ray creates it readable by all.

    If the home folder cannot be written, the file is in a temporary folder, and RAY_AUTH_TOKEN_PATH is set.

    Raises:
        SweepError: The file cannot be written.
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
            f"Ray's token cannot be written to {path} ({error.strerror}). Set RAY_AUTH_TOKEN_PATH to a writable file."
        ) from None


def check_address(address: str) -> None:
    """Check that a server listens at a cluster's address, since Ray needs half a minute to detect that none does.

    Raises:
        SweepError: None does, or the address is invalid.
    """
    scheme = address.partition("://")[0] if "://" in address else ""
    if scheme in ("http", "https"):
        raise SweepError(
            f"--address {address} is the address of a job server. Use HOST:PORT, or submit a job with "
            f"`ray job submit --address {address} --working-dir . -- sweeps run ...`."
        )
    if scheme == "ray":
        raise SweepError(
            f"--address {address} is an address of Ray Client, which Ray Tune does not support. On a node of the "
            "cluster use HOST:PORT; from outside submit a job with "
            "`ray job submit --address http://HOST:8265 --working-dir . -- sweeps run ...`."
        )
    if scheme or address in ("auto", "local"):
        return
    host, _, port = address.rpartition(":")
    if not host or not port.isdigit():
        raise SweepError(f"--address {address!r} is not HOST:PORT. `ray start --head` prints the address of a cluster.")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECT_SECONDS):
            return
    except (OSError, OverflowError) as error:
        raise SweepError(
            f"no Ray cluster answers at {address} ({error}). Start one there with `ray start --head`, or leave out "
            "--address (and unset RAY_ADDRESS) to use only this machine."
        ) from None


def ray_folder() -> Path:
    """Return the folder of this user's Ray sessions on this machine."""
    # Short, since paths of sockets are limited to 107 bytes; TMPDIR may be long.
    return Path(os.environ.get("RAY_TMPDIR") or "/tmp") / f"sweeps-ray-{os.getuid()}"


@contextlib.contextmanager
def session_folder(runs: Path) -> Iterator[Path]:
    """Yield a session folder for sockets, logs and Tune's state, deleted at the end.

    Folders (tens of megabytes each) and processes of killed drivers are removed first.

    Args:
        runs: The driver's runs folder.

    Raises:
        SweepError: The folder cannot be created.
    """
    parent = ray_folder()
    try:
        parent.mkdir(mode=0o700, exist_ok=True)
        if parent.stat().st_uid != os.getuid():
            raise PermissionError(errno.EPERM, "it belongs to another user")
        with filelock.FileLock(parent / "lock"):
            _remove_stale_folders(parent)
            folder = parent / f"{os.getpid()}-{secrets.token_hex(2)}"
            folder.mkdir()
            (folder / _OWNER).write_bytes(os.fsencode(runs.resolve()))
            held = filelock.FileLock(folder / "lock")
            held.acquire()
    except OSError as error:
        if is_disk_full(error):
            raise DiskFullError(parent) from None
        raise SweepError(f"{parent} cannot be used ({error.strerror}). Set RAY_TMPDIR to a writable folder.") from None
    try:
        with guard_of(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        held.release()


def abandoned_processes(runs: Path, *, kill: bool = False) -> list[tuple[int, str]]:
    """Return pid and name of Ray's processes left by killed drivers of a runs folder.

    The guard of a driver ends them (`guard_of`), unless it was killed too.

    Args:
        runs: The runs folder.
        kill: Whether to kill them. Then only killed ones are returned.
    """
    found = []
    for folder in _abandoned(ray_folder()):
        with contextlib.suppress(OSError):
            if (folder / _OWNER).read_bytes() == os.fsencode(runs.resolve()):
                named = [(pid, _name_of(pid)) for pid in sorted(processes_of(folder))]
                found += [(pid, name) for pid, name in named if not kill or end(pid, folder)]
    return found


def _name_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return "ended"


def _abandoned(parent: Path) -> Iterator[Path]:
    """Yield the session folders of ended drivers, locked. A driver holds the lock of its folder while it runs."""
    for lock in parent.glob("*/lock"):
        with contextlib.suppress(filelock.Timeout, OSError), filelock.FileLock(lock).acquire(blocking=False):
            yield lock.parent


def _remove_stale_folders(parent: Path) -> None:
    for folder in _abandoned(parent):
        for pid in processes_of(folder):
            end(pid, folder)
        shutil.rmtree(folder, ignore_errors=True)
