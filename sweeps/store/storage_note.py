"""Where one sweep is kept: noted beside its journal when it begins, so that every verb finds it again."""

from __future__ import annotations

import json
import socket
from pathlib import Path

from sweeps.core.address import is_bucket
from sweeps.core.errors import StoreError, SweepError
from sweeps.core.storages import LOCAL, Storages, asked_storages
from sweeps.store.bucket import Bucket
from sweeps.store.files import read_file, read_object, write_file

NOTE_FILE = "place.json"
"""Beside a sweep's journal; called as the first versions called it."""


class StorageNote:
    """The storages of one sweep, noted in `runs/sweeps/NAME/place.json`. Without a note it is all there."""

    def __init__(self, folder: Path, *, asked: Storages | None) -> None:
        """Look at nothing yet.

        Args:
            folder: the sweep's own, which is called as it is.
            asked: where a sweep that begins is to be kept; None asks the environment.
        """
        self._folder = folder
        self._asked = asked
        self._file = folder / NOTE_FILE

    @property
    def is_noted(self) -> bool:
        return self._file.exists() or self._file.is_symlink()

    def find(self, *, has_journal: bool) -> Storages:
        """Return where the sweep was begun, else where it is asked for.

        Args:
            has_journal: whether there is one in its folder: a sweep that was begun without a note has.

        Raises:
            StoreError: the note cannot be read.
            SweepError: what the environment asks for is no storage.
        """
        try:
            noted = read_object(self._file)
        except StoreError as error:
            raise self._damaged(str(error)) from None
        if noted is not None:
            names = [noted.get(name, 0) for name in ("storage", "study_storage")]
            if not all(name is None or (isinstance(name, str) and name) for name in names):
                raise self._damaged(f"{self._file} is damaged: it names no storage")
            return Storages(storage=names[0], study_storage=names[1])
        if has_journal:
            return LOCAL
        return asked_storages() if self._asked is None else self._asked

    def _damaged(self, what: str) -> StoreError:
        return StoreError(
            f"{what}. It says where {self._folder.name} is kept: put back a copy; or, if all of the sweep was in "
            f"{self._folder}, delete {self._file.name}"
        )

    def note(self, storages: Storages) -> None:
        """Note the storages of a sweep that begins.

        Raises:
            SweepError: its storage holds another sweep of this name.
            StoreError: the storage does not answer, or refuses.
            OSError: a folder cannot be written.
        """
        if storages.storage is not None:
            self._claim(storages.storage, storages.study_storage)
        write_file(self._file, json.dumps(vars(storages)).encode("utf-8"))

    def _claim(self, storage: str, study_storage: str | None) -> None:
        """Take a storage: of one name there is one sweep in it, whoever else writes there."""
        # Of a study in a database any machine may go on with it, under whatever address it knows the server.
        own = (
            f"{self._folder.parents[1]} on {socket.gethostname()}"
            if study_storage is None
            else f"the database {study_storage.rpartition('/')[2]}"
        )
        name = f"sweeps/{self._folder.name}/kept-by.txt"
        found = _first_to_write(storage, name, own)
        if found != own:
            raise SweepError(
                f"{storage} holds a sweep {self._folder.name!r} already, of {found}: give the file another name, or "
                "name another storage"
            )


def _first_to_write(storage: str, name: str, text: str) -> str:
    """Return what a file in a storage says; this text, where it said nothing."""
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
