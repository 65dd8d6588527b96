"""The note of a sweep's storages, written next to its journal at its first start, so that each verb finds them."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from sweeps.core.address import is_bucket
from sweeps.core.errors import StoreError, SweepError
from sweeps.core.storages import LOCAL, Storages, resolve_storages
from sweeps.store.bucket import Bucket
from sweeps.store.files import read_file, read_object, write_file

NOTE_FILE = "place.json"
"""Next to a sweep's journal; the name is from the first versions."""


class StorageNote:
    """The note `runs/sweeps/NAME/place.json` of a sweep's storages. Without it everything is in that folder."""

    def __init__(self, folder: Path, *, requested: Storages | None) -> None:
        """Refer to the note without reading it.

        Args:
            folder: Folder of the sweep, with the sweep's name.
            requested: Storages of a sweep that does not exist yet; None reads them from the environment.
        """
        self._folder = folder
        self._requested = requested
        self._file = folder / NOTE_FILE

    @property
    def exists(self) -> bool:
        return self._file.exists() or self._file.is_symlink()

    def find(self, *, has_journal: bool) -> Storages:
        """Return the storages of the sweep; the requested ones if it does not exist yet.

        Args:
            has_journal: Whether a journal is in the folder: then a sweep without a note uses no other storage.

        Raises:
            StoreError: The note cannot be read.
            SweepError: The environment names an invalid storage.
        """
        try:
            noted = read_object(self._file)
        except StoreError as error:
            raise self._damaged(str(error)) from None
        if noted is not None:
            names = [noted.get(name, 0) for name in ("storage", "study_storage")]
            if not all(name is None or (isinstance(name, str) and name) for name in names):
                raise self._damaged(f"{self._file} is damaged: it does not name a storage")
            return Storages(storage=names[0], study_storage=names[1])
        if has_journal:
            return LOCAL
        return resolve_storages() if self._requested is None else self._requested

    def _damaged(self, problem: str) -> StoreError:
        return StoreError(
            f"{problem}. The file names the storages of {self._folder.name}. Restore it from a copy, or delete it if "
            f"everything of the sweep is in {self._folder}."
        )

    def write(self, storages: Storages) -> None:
        """Write the note for a new sweep.

        Raises:
            SweepError: The storage contains another sweep of this name.
            StoreError: The storage cannot be read or written.
            OSError: A folder cannot be written.
        """
        if storages.storage is not None:
            self._claim(storages.storage, storages.study_storage)
        write_file(self._file, json.dumps(vars(storages)).encode("utf-8"))

    def _claim(self, storage: str, study_storage: str | None) -> None:
        """Mark the sweep's name as used in a storage, which may be shared by several runs folders."""
        # Any machine may resume a study in a database, and may use another address of the server.
        owner = (
            f"{self._folder.parents[1]} on {socket.gethostname()}"
            if study_storage is None
            else f"the database {study_storage.rpartition('/')[2]}"
        )
        name = f"sweeps/{self._folder.name}/kept-by.txt"
        found = _read_or_write(storage, name, owner)
        if found != owner:
            raise SweepError(
                f"{storage} already contains a sweep {self._folder.name!r} of {found}. Change `name` in the file, or "
                "use another storage."
            )


def _read_or_write(storage: str, name: str, text: str) -> str:
    """Return the content of a file in a storage; if it does not exist, write this text and return it."""
    if is_bucket(storage):
        bucket = Bucket(storage)
        if found := bucket.read(name):
            return found.decode("utf-8", errors="replace")
        bucket.write(name, text.encode("utf-8"))
        return text
    path = Path(storage) / name
    found = read_file(path)
    if found is None:
        write_file(path, text.encode("utf-8"))
        return text
    return found.decode("utf-8", errors="replace")
