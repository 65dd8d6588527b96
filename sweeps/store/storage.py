"""Optuna's storage backends for a sweep's journal: one that writes under the sweep's lock, one that only reads."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Sequence
from typing import Any

import optuna
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend

from sweeps.store.journal import Damage, JournalFile
from sweeps.system.compat import journal_backend


class WritingBackend(JournalFileBackend):
    """Optuna's file backend with checksums, reverted appends on a full disk, and batched writes.

    A batch of lines takes a disk as long as one line.
    """

    def __init__(self, journal: JournalFile) -> None:
        super().__init__(str(journal.path))
        self._journal = journal
        self._starts = {0: 0}
        """Line number → start in bytes, for the lines that Optuna may read next."""
        self._buffer: list[dict[str, Any]] | None = None
        self._buffer_start = 0

    @contextlib.contextmanager
    def batched(self) -> Iterator[None]:
        """Write all appends of the block at once at its end. Within the block Optuna reads them from a buffer.

        Raises:
            StoreError: The journal cannot be written. It is unchanged then.
        """
        if self._buffer is not None:
            yield
            return
        for _ in self.read_logs(next(reversed(self._starts))):
            pass  # Read to the end. Optuna has done so unless it was interrupted.
        self._buffer_start, self._buffer = next(reversed(self._starts)), []
        try:
            yield
        finally:
            # Also if the block raises, since Optuna has read the buffer.
            buffered, self._buffer = self._buffer, None
            if buffered:
                self.append_logs(buffered)
                self._starts[self._buffer_start + len(buffered)] = self._journal.path.stat().st_size

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        if self._buffer is not None:
            # Through JSON, so that reads from the buffer return the same as later reads from the file.
            self._buffer += json.loads(json.dumps(logs))
            return
        size = self._journal.path.stat().st_size
        try:
            super().append_logs(logs)
        except OSError as error:
            raise self._journal.revert_append(size, error) from error
        self._journal.append_checksums()

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        if self._buffer is None or log_number_from < self._buffer_start:
            number = log_number_from if log_number_from in self._starts else 0
            start = self._starts.get(number, 0)
            with self._journal.path.open("rb") as file:
                file.seek(start)
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # another program is writing it
                    number, start = number + 1, start + len(line)
                    self._starts = {number: start}
                    if number > log_number_from:
                        yield json.loads(line)
        if self._buffer is not None:
            yield from self._buffer[max(0, log_number_from - self._buffer_start) :]


def batched(study: optuna.Study) -> contextlib.AbstractContextManager[None]:
    """Return a context in which changes of a study are written at once, if its storage supports that."""
    backend = journal_backend(study)
    return backend.batched() if isinstance(backend, WritingBackend) else contextlib.nullcontext()


class ReadingBackend(BaseJournalBackend):
    """The current lines of a journal up to the first damaged one. Read-only."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self._lines = lines
        self.line = 0
        """Number of the last line read, counted from 1."""

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        for number, line in enumerate(self._lines[log_number_from:], start=log_number_from + 1):
            self.line = number
            yield json.loads(line)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise AssertionError("this storage is read-only")


def read_storage(journal: JournalFile) -> tuple[optuna.storages.JournalStorage, Damage | None]:
    """Return a storage with the readable lines of a journal, and the damage if that is not all of it."""
    lines, damage = journal.read()
    backend = ReadingBackend(lines)
    try:
        return optuna.storages.JournalStorage(backend), damage
    except Exception as error:  # a line of valid JSON that Optuna has not written
        reason = f"Optuna cannot read it: {type(error).__name__}: {error}"
        damage = Damage(line=backend.line, lines=len(lines), reason=reason)
        return optuna.storages.JournalStorage(ReadingBackend(lines[: damage.line - 1])), damage
