"""The checkpoint and log of one trial in its worker: written in place on disk, or uploaded to a bucket.

With a bucket the trial writes to a temporary local folder, and checkpoint and log are uploaded after each epoch.
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
from sweeps.core.task import FILES
from sweeps.store.bucket import Bucket, open_bucket
from sweeps.store.folder import CHECKPOINT_FILE
from sweeps.store.run_folder import FolderInBucket, artifacts_name
from sweeps.system.machine import has_surely_exited, pid_namespace

RETRY_SECONDS = 120.0
"""How long a trial retries if its storage does not answer. After that it is interrupted."""
_RETRY_INTERVAL_SECONDS = 5.0
_FOLDERS = "sweeps-trial-"

_OWNER = "owner"
"""File next to a checkpoint in a bucket: the attempt of the trial that may write it."""

T = TypeVar("T")


class TrialFiles(Protocol):
    """Local paths of a trial's files, and their transfer to its storage."""

    checkpoint: Path
    log: Path
    folder: Path
    """Folder for other files of the training; it may not exist yet."""
    artifacts: Path
    """Folder for files that are stored in the trial's run in MLflow; it may not exist yet."""

    def fetch(self) -> None:
        """Download the files of an earlier attempt."""
        ...

    def store_checkpoint(self, *, last: bool) -> str | None:
        """Upload the checkpoint; return an error message, or None.

        Args:
            last: Whether it is the last checkpoint; only then failures are retried.
        """
        ...

    def store_log(self) -> None:
        """Upload the log; errors are ignored."""
        ...

    def close(self) -> None:
        """Delete temporary files."""
        ...


def files_of(job: Job) -> TrialFiles:
    """Return the files of a trial."""
    return _BucketFiles(job) if is_bucket(job.checkpoint) else _LocalFiles(job)


class _LocalFiles:
    """Files on a disk that worker and driver share. Nothing is transferred."""

    def __init__(self, job: Job) -> None:
        self.checkpoint = Path(job.checkpoint) / CHECKPOINT_FILE
        self.log = Path(job.log)
        self.folder = Path(job.checkpoint) / FILES
        self.artifacts = Path(artifacts_name(job.log))

    def fetch(self) -> None: ...

    def store_checkpoint(self, *, last: bool) -> str | None:
        return None

    def store_log(self) -> None: ...

    def close(self) -> None: ...


class _BucketFiles:
    """Files in a temporary local folder, uploaded to a bucket after each epoch."""

    def __init__(self, job: Job) -> None:
        _remove_stale_folders()
        self._folder = Path(tempfile.mkdtemp(prefix=f"{_FOLDERS}{_kernel_id()}-{os.getpid()}-"))
        # `close` is not called if the driver stops the trial.
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
        _with_retries(lambda: self._bucket.write(_OWNER, self._attempt))
        for path in (self.checkpoint, previous_file(self.checkpoint)):
            content = _with_retries(lambda name=path.name: self._bucket.read(name))  # type: ignore[misc]
            if content is not None:
                path.write_bytes(content)
        _with_retries(self._own_files.fetch)
        with contextlib.suppress(StoreError):
            before = self._logs.read(self._log_name) or b""
            self.log.write_bytes(before + (self.log.read_bytes() if self.log.exists() else b""))

    def store_checkpoint(self, *, last: bool) -> str | None:
        def put() -> None:
            # A worker whose node lost its connection must not overwrite the newer checkpoint of another worker.
            if self._bucket.read(_OWNER) != self._attempt:
                raise SupersededError("another worker has resumed this trial")
            # The bucket's copy: the local one may be of an epoch whose upload failed.
            self._bucket.copy(CHECKPOINT_FILE, previous_file(self.checkpoint).name)
            self._bucket.write(CHECKPOINT_FILE, self.checkpoint.read_bytes())
            self._own_files.put()

        try:
            _with_retries(put) if last else put()
        except StoreError as error:
            return f"the checkpoint of this epoch was not stored: {error}"
        return None

    def store_log(self) -> None:
        with contextlib.suppress(StoreError, OSError):
            self._logs.write(self._log_name, self.log.read_bytes())
            self._own_artifacts.put()

    def close(self) -> None:
        self._removed()


def _with_retries(call: Callable[[], T]) -> T:
    """Call a function and retry if the storage does not answer.

    Raises:
        StorageUnreachableError: It did not answer for `RETRY_SECONDS`.
    """
    ends = time.monotonic() + RETRY_SECONDS
    while True:
        try:
            return call()
        except StoreError as error:
            if time.monotonic() > ends:
                raise StorageUnreachableError(str(error)) from None
            time.sleep(_RETRY_INTERVAL_SECONDS)


def local_checkpoint(address: str, *, to: Path) -> Path:
    """Return a checkpoint as a local file, with the previous checkpoint next to it.

    Args:
        address: Path or URL.
        to: Folder for downloads.

    Raises:
        StoreError: The storage cannot be read.
    """
    if not is_bucket(address):
        return Path(address)
    bucket, _ = open_bucket(address)
    path = to / CHECKPOINT_FILE
    files = (path, previous_file(path))
    for file in files:
        content = _with_retries(lambda name=file.name: bucket.read(name))  # type: ignore[misc]
        if content is not None:
            file.write_bytes(content)
    if not any(file.exists() for file in files):
        raise StoreError(f"there is no checkpoint at {address}")
    _with_retries(FolderInBucket(to / FILES, bucket, FILES).fetch)
    return path


def _remove_stale_folders() -> None:
    """Delete folders of killed workers on this machine."""
    # Only of this kernel: containers may share the temporary folder, and their processes are not visible.
    for folder in Path(tempfile.gettempdir()).glob(f"{_FOLDERS}{_kernel_id()}-*-*"):
        number = folder.name.split("-")[-2]
        if number.isdigit() and has_surely_exited(int(number), namespace=pid_namespace()):
            shutil.rmtree(folder, ignore_errors=True)


def _kernel_id() -> str:
    return hashlib.sha256(pid_namespace().encode("utf-8")).hexdigest()[:8]
