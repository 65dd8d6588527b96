"""The checkpoints of a sweep, on disk or in a bucket, each in a folder named by the key of its run."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from cifar_core.common.files import atomic_write, previous_file
from sweeps.core.address import is_bucket
from sweeps.core.errors import StoreError
from sweeps.core.task import FILES
from sweeps.store.bucket import Bucket
from sweeps.store.folder import CHECKPOINT_FILE, SweepFolder
from sweeps.store.run_folder import FolderInBucket
from sweeps.store.storage_note import NOTE_FILE


class SweepCheckpoints:
    """Access to the checkpoints of a sweep's trials, for its driver."""

    def __init__(self, folder: SweepFolder) -> None:
        storage = folder.storages.storage
        self._bucket = Bucket(storage) if storage is not None and is_bucket(storage) else None
        self._below = f"sweeps/{folder.sweep}/checkpoints"
        self._local = folder.checkpoints if storage is None or self._bucket else Path(storage) / self._below

    def address(self, key: str) -> str:
        """Return the path or the URL of the folder of a run's checkpoint, for a worker."""
        if self._bucket is not None:
            return self._bucket.url(f"{self._below}/{key}")
        return str(self._local / key)

    def file(self, key: str) -> str | None:
        """Return the path or the URL of a run's newest checkpoint; None if there is none.

        Raises:
            StoreError: The storage cannot be read.
        """
        if self._bucket is None:
            path = self._local / key / CHECKPOINT_FILE
            return str(path) if path.exists() else None
        name = f"{self._below}/{key}/{CHECKPOINT_FILE}"
        return self._bucket.url(name) if name in self._bucket.names(f"{self._below}/{key}") else None

    def keys(self) -> set[str]:
        """Return the keys of the runs that have a checkpoint folder.

        Raises:
            StoreError: The storage cannot be read.
        """
        local = {path.name for path in self._local.iterdir()} if self._local.is_dir() else set()
        if self._bucket is None:
            return local
        names = self._bucket.names(self._below)
        return local | {name.removeprefix(f"{self._below}/").partition("/")[0] for name in names}

    def remove(self, key: str) -> None:
        """Delete the checkpoint folder of a run."""
        shutil.rmtree(self._local / key, ignore_errors=True)
        if self._bucket is not None:
            # A file that is not deleted only takes space.
            with contextlib.suppress(StoreError):
                self._bucket.delete(f"{self._below}/{key}")

    def remove_previous(self, key: str) -> None:
        """Delete the previous checkpoint of an ended run."""
        before = previous_file(self._local / key / CHECKPOINT_FILE)
        before.unlink(missing_ok=True)
        if self._bucket is not None:
            with contextlib.suppress(StoreError):
                self._bucket.delete(f"{self._below}/{key}/{before.name}")

    def remove_all(self) -> None:
        """Delete everything outside the sweep's folder, that is, in its storage.

        Raises:
            StoreError: The storage cannot be written.
        """
        if self._bucket is not None:
            self._bucket.delete(self._below.rpartition("/")[0])
        elif self._local.is_dir():
            shutil.rmtree(self._local.parent)

    def fetch(self, key: str) -> Path | None:
        """Return a run's checkpoint as a local file; None if there is none.

        Raises:
            StoreError: The storage cannot be read.
        """
        path = self._local / key / CHECKPOINT_FILE
        if self._bucket is None:
            return path if path.exists() else None
        # Not cached: the run may have trained further since the last download.
        content = self._bucket.read(f"{self._below}/{key}/{CHECKPOINT_FILE}")
        if content is None:
            return None
        with atomic_write(path) as file:
            file.write(content)
        FolderInBucket(path.parent / FILES, self._bucket, f"{self._below}/{key}/{FILES}").fetch()
        return path

    def belongs_to_sweep(self, path: Path, key: str) -> bool:
        """Return whether a file from `find_checkpoints` belongs to this sweep."""
        return path == self._local / key / CHECKPOINT_FILE

    def put(self, key: str, content: bytes, *, files: Path) -> None:
        """Write the checkpoint of a run, copied from another sweep.

        Args:
            key: Key of the run.
            content: Content of the checkpoint.
            files: Folder of the training's own files, which may not exist.

        Raises:
            StoreError: The storage cannot be written.
        """
        if self._bucket is not None:
            FolderInBucket(files, self._bucket, f"{self._below}/{key}/{FILES}").put()
            self._bucket.write(f"{self._below}/{key}/{CHECKPOINT_FILE}", content)
            return
        if files.is_dir():
            shutil.copytree(files, self._local / key / FILES, dirs_exist_ok=True)
        with atomic_write(self._local / key / CHECKPOINT_FILE) as file:
            file.write(content)


def find_checkpoints(runs: Path, key: str) -> Iterator[Path]:
    """Yield all checkpoints of a run, from any sweep, as local files; those in the runs folder first.

    Raises:
        StoreError: None was found, and the storage of a sweep cannot be read.
    """
    remote = sorted(path.parent.name for path in runs.glob(f"sweeps/*/{NOTE_FILE}"))
    found = False
    for path in sorted(runs.glob(f"sweeps/*/checkpoints/{key}/{CHECKPOINT_FILE}")):
        if path.parents[2].name not in remote:  # their local files are earlier downloads
            found = True
            yield path
    unreachable: StoreError | None = None
    for sweep in remote:
        try:
            fetched = SweepCheckpoints(SweepFolder(runs, sweep)).fetch(key)
        except StoreError as error:  # another sweep may have the checkpoint
            unreachable = error
            continue
        if fetched is not None:
            found = True
            yield fetched
    if unreachable is not None and not found:
        raise unreachable
