"""The files of one trial as its worker sees them: where they belong, or on this machine beside a bucket.

Nothing in a bucket is written in place. So a trial there trains beside it, in a folder of its own that goes away with
it, and each epoch's checkpoint and log are put into the bucket, whole.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import tempfile
import time
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Protocol, TypeVar

from cifar_core.common.files import previous_file
from sweeps.core.address import is_bucket
from sweeps.core.errors import StorageUnreachableError, StoreError, SupersededError
from sweeps.core.job import Job
from sweeps.store.bucket import Bucket, open_bucket
from sweeps.store.folder import CHECKPOINT_FILE
from sweeps.store.run_folder import FILES, FolderInBucket, artifacts_name
from sweeps.system.machine import has_surely_exited, pid_namespace

RETRY_SECONDS = 120.0
"""How long a storage may be away before the trial that needs it is put back."""
_RETRY_INTERVAL_SECONDS = 5.0
_FOLDERS = "sweeps-trial-"

_OWNER = "owner"
"""Beside a checkpoint in a bucket: which attempt of the trial may write it."""

Answer = TypeVar("Answer")


class TrialFiles(Protocol):
    """Where a trial reads and writes, and when it is brought to where it belongs."""

    checkpoint: Path
    log: Path
    folder: Path
    """For files of the training's own; it may not exist yet."""
    artifacts: Path
    """For files that are stored in the trial's run in MLflow; it may not exist yet."""

    def fetch(self) -> None:
        """Bring what an earlier attempt of the trial left."""
        ...

    def keep_checkpoint(self, *, last: bool) -> str | None:
        """Bring the checkpoint that was just written to where it belongs; return what kept it from getting there.

        Args:
            last: whether no other one follows, so that it is worth waiting for.
        """
        ...

    def keep_log(self) -> None:
        """Bring the log to where it belongs, as far as it goes."""
        ...

    def close(self) -> None:
        """Give back what was needed on the way."""
        ...


def files_of(job: Job) -> TrialFiles:
    """Return the files of a trial."""
    return _InBucket(job) if is_bucket(job.checkpoint) else _InFolder(job)


class _InFolder:
    """Files on a disk that the worker and the driver both see: they are written where they belong."""

    def __init__(self, job: Job) -> None:
        self.checkpoint = Path(job.checkpoint) / CHECKPOINT_FILE
        self.log = Path(job.log)
        self.folder = Path(job.checkpoint) / FILES
        self.artifacts = Path(artifacts_name(job.log))

    def fetch(self) -> None:
        """They are there."""

    def keep_checkpoint(self, *, last: bool) -> str | None:
        return None

    def keep_log(self) -> None:
        """It is there."""

    def close(self) -> None:
        """Nothing was needed."""


class _InBucket:
    """Files in a folder of this machine, put into a bucket after each epoch."""

    def __init__(self, job: Job) -> None:
        _remove_left_overs()
        self._folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDERS}{_kernel_id()}-{os.getpid()}-"))
        # A trial that the driver stops hears nothing of it.
        self._removed = weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        self._bucket = Bucket(job.checkpoint)
        self._attempt = str(job.attempt).encode("ascii")
        self._logs, self._log_name = open_bucket(job.log)
        self.checkpoint = self._folder / CHECKPOINT_FILE
        self.log = self._folder / "trial.log"
        self.folder = self._folder / FILES
        self.artifacts = self._folder / "artifacts"
        self._own_files = FolderInBucket(self.folder, self._bucket, FILES)
        self._own_artifacts = FolderInBucket(self.artifacts, self._logs, artifacts_name(self._log_name))

    def fetch(self) -> None:
        _patiently(lambda: self._bucket.write(_OWNER, self._attempt))
        for path in (self.checkpoint, previous_file(self.checkpoint)):
            content = _patiently(lambda name=path.name: self._bucket.read(name))  # type: ignore[misc]
            if content is not None:
                path.write_bytes(content)
        _patiently(self._own_files.fetch)
        with contextlib.suppress(StoreError):
            before = self._logs.read(self._log_name) or b""
            self.log.write_bytes(before + (self.log.read_bytes() if self.log.exists() else b""))

    def keep_checkpoint(self, *, last: bool) -> str | None:
        def put() -> None:
            # A worker whose node was cut off, and given up, comes back with what is older than what is there by now.
            if self._bucket.read(_OWNER) != self._attempt:
                raise SupersededError("another worker goes on with this trial")
            # Of the bucket's own copy: the one here may be of another epoch, which did not get there.
            self._bucket.copy(CHECKPOINT_FILE, previous_file(self.checkpoint).name)
            self._bucket.write(CHECKPOINT_FILE, self.checkpoint.read_bytes())
            self._own_files.put()

        try:
            _patiently(put) if last else put()
        except StoreError as error:
            return f"the checkpoint of this epoch is not kept: {error}"
        return None

    def keep_log(self) -> None:
        with contextlib.suppress(StoreError, OSError):
            self._logs.write(self._log_name, self.log.read_bytes())
            self._own_artifacts.put()

    def close(self) -> None:
        self._removed()


def _patiently(ask: Callable[[], Answer]) -> Answer:
    """Return an answer of a storage that may be away for a while.

    Raises:
        StorageUnreachableError: it is away for too long.
    """
    ends = time.monotonic() + RETRY_SECONDS
    while True:
        try:
            return ask()
        except StoreError as error:
            if time.monotonic() > ends:
                raise StorageUnreachableError(str(error)) from None
            time.sleep(_RETRY_INTERVAL_SECONDS)


def local_checkpoint(address: str, *, to: Path) -> Path:
    """Return a checkpoint as a file of this machine, with the one before it beside it.

    Args:
        address: its path, or its URL.
        to: a folder for what has to be brought.

    Raises:
        StoreError: the storage does not answer, or refuses.
    """
    if not is_bucket(address):
        return Path(address)
    bucket, _ = open_bucket(address)
    path = to / CHECKPOINT_FILE
    files = (path, previous_file(path))
    for file in files:
        content = _patiently(lambda name=file.name: bucket.read(name))  # type: ignore[misc]
        if content is not None:
            file.write_bytes(content)
    if not any(file.exists() for file in files):
        raise StoreError(f"there is no checkpoint at {address}")
    _patiently(FolderInBucket(to / FILES, bucket, FILES).fetch)
    return path


def _remove_left_overs() -> None:
    """Delete what workers that were killed on this machine have left."""
    # Only of this kernel: others may share the folder for temporary files, and their processes cannot be seen.
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDERS}{_kernel_id()}-*-*"):
        number = folder.name.split("-")[-2]
        if number.isdigit() and has_surely_exited(int(number), namespace=pid_namespace()):
            shutil.rmtree(folder, ignore_errors=True)


def _kernel_id() -> str:
    return hashlib.sha256(pid_namespace().encode("utf-8")).hexdigest()[:8]
