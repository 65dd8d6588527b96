"""The checkpoints of a sweep, each in a folder that is called by its run's key: on a disk, or in a bucket."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from cifar_core.common.files import atomic_write, previous_file
from sweeps.core.address import is_bucket
from sweeps.core.errors import StoreError
from sweeps.store.bucket import Bucket
from sweeps.store.folder import CHECKPOINT_FILE, SweepFolder
from sweeps.store.storage_note import NOTE_FILE


class SweepCheckpoints:
    """Where a sweep's trials leave their checkpoints, as its driver sees it."""

    def __init__(self, folder: SweepFolder) -> None:
        storage = folder.storages.storage
        self._bucket = Bucket(storage) if storage is not None and is_bucket(storage) else None
        self._below = f"sweeps/{folder.sweep}/checkpoints"
        self._local = folder.checkpoints if storage is None or self._bucket else Path(storage) / self._below

    def address(self, key: str) -> str:
        """Return the folder of a run's checkpoint as a worker is told it: a path, or a URL."""
        if self._bucket is not None:
            return self._bucket.url(f"{self._below}/{key}")
        return str(self._local / key)

    def file(self, key: str) -> str | None:
        """Return the path or the URL of a run's newest checkpoint, None where there is none.

        Raises:
            StoreError: the storage does not answer, or refuses.
        """
        if self._bucket is None:
            path = self._local / key / CHECKPOINT_FILE
            return str(path) if path.exists() else None
        name = f"{self._below}/{key}/{CHECKPOINT_FILE}"
        return self._bucket.url(name) if name in self._bucket.names(f"{self._below}/{key}") else None

    def keys(self) -> set[str]:
        """Return the keys of the runs that have left something.

        Raises:
            StoreError: the storage does not answer, or refuses.
        """
        here = {path.name for path in self._local.iterdir()} if self._local.is_dir() else set()
        if self._bucket is None:
            return here
        names = self._bucket.names(self._below)
        return here | {name.removeprefix(f"{self._below}/").partition("/")[0] for name in names}

    def remove(self, key: str) -> None:
        """Delete what a run that will not go on has left."""
        shutil.rmtree(self._local / key, ignore_errors=True)
        if self._bucket is not None:
            # What stays there costs room and nothing else.
            with contextlib.suppress(StoreError):
                self._bucket.delete(f"{self._below}/{key}")

    def remove_previous(self, key: str) -> None:
        """Delete the checkpoint before the newest one of a run that is at its end."""
        before = previous_file(self._local / key / CHECKPOINT_FILE)
        before.unlink(missing_ok=True)
        if self._bucket is not None:
            with contextlib.suppress(StoreError):
                self._bucket.delete(f"{self._below}/{key}/{before.name}")

    def remove_all(self) -> None:
        """Delete everything that lies outside the sweep's own folder.

        Raises:
            StoreError: the storage does not answer, or refuses.
        """
        if self._bucket is not None:
            self._bucket.delete(self._below.rpartition("/")[0])
        elif self._local.is_dir():
            shutil.rmtree(self._local.parent)

    def fetch(self, key: str) -> Path | None:
        """Return a run's checkpoint as a file of this machine, None where there is none.

        Raises:
            StoreError: the storage does not answer, or refuses.
        """
        path = self._local / key / CHECKPOINT_FILE
        if self._bucket is None:
            return path if path.exists() else None
        # Anew each time: what was fetched before may have been trained further.
        content = self._bucket.read(f"{self._below}/{key}/{CHECKPOINT_FILE}")
        if content is None:
            return None
        with atomic_write(path) as file:
            file.write(content)
        return path

    def is_own(self, path: Path, key: str) -> bool:
        """Return whether a file that `find_checkpoints` gave is this sweep's own."""
        return path == self._local / key / CHECKPOINT_FILE

    def put(self, key: str, content: bytes) -> None:
        """Keep a copy of another sweep's checkpoint as this one's.

        Raises:
            StoreError: the storage does not answer, or refuses.
        """
        if self._bucket is not None:
            self._bucket.write(f"{self._below}/{key}/{CHECKPOINT_FILE}", content)
            return
        with atomic_write(self._local / key / CHECKPOINT_FILE) as file:
            file.write(content)


def find_checkpoints(runs: Path, key: str) -> Iterator[Path]:
    """Yield every checkpoint of a run, of whichever sweep, as a file of this machine: those that lie here first.

    Raises:
        StoreError: there is none, and the storage of a sweep does not answer, or refuses.
    """
    elsewhere = sorted(path.parent.name for path in runs.glob(f"sweeps/*/{NOTE_FILE}"))
    found = False
    for path in sorted(runs.glob(f"sweeps/*/checkpoints/{key}/{CHECKPOINT_FILE}")):
        if path.parents[2].name not in elsewhere:  # what lies here of those was fetched once
            found = True
            yield path
    away: StoreError | None = None
    for sweep in elsewhere:
        try:
            fetched = SweepCheckpoints(SweepFolder(runs, sweep)).fetch(key)
        except StoreError as error:  # of a sweep that may have nothing to do with it
            away = error
            continue
        if fetched is not None:
            found = True
            yield fetched
    if away is not None and not found:
        raise away
