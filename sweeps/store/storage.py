"""Optuna's storage over a sweep's journal: one that writes under the sweep's lock, one that only reads."""

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
    """Optuna's own, which also seals each line, and takes back an append that a full disk has torn.

    What belongs together may be written in one piece, see `together`: a disk takes as long for a line as for ten.
    """

    def __init__(self, journal: JournalFile) -> None:
        super().__init__(str(journal.path))
        self._journal = journal
        self._starts = {0: 0}
        """Where lines begin, in bytes, by number: of those that Optuna may ask for next."""
        self._held: list[dict[str, Any]] | None = None
        self._held_from = 0

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Write what is appended within the block at its end, in its order. Optuna reads it there as if it was written.

        Raises:
            StoreError: it cannot be written; the journal is then as it was before the block.
        """
        if self._held is not None:
            yield
            return
        for _ in self.read_logs(next(reversed(self._starts))):
            pass  # to its end, which Optuna has read unless it was interrupted
        self._held_from, self._held = next(reversed(self._starts)), []
        try:
            yield
        finally:
            # Also where the block raises: what Optuna knows is in the journal.
            held, self._held = self._held, None
            if held:
                self.append_logs(held)
                self._starts[self._held_from + len(held)] = self._journal.path.stat().st_size

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        if self._held is not None:
            # Through JSON, so that what is read is what will be there.
            self._held += json.loads(json.dumps(logs))
            return
        size = self._journal.path.stat().st_size
        try:
            super().append_logs(logs)
        except OSError as error:
            raise self._journal.undo(size, error) from error
        self._journal.seal()

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:  # type: ignore[override]
        if self._held is None or log_number_from < self._held_from:
            number = log_number_from if log_number_from in self._starts else 0
            start = self._starts.get(number, 0)
            with self._journal.path.open("rb") as file:
                file.seek(start)
                for line in file:
                    if not line.endswith(b"\n"):
                        break  # another program writes it just now
                    number, start = number + 1, start + len(line)
                    self._starts = {number: start}
                    if number > log_number_from:
                        yield json.loads(line)
        if self._held is not None:
            yield from self._held[max(0, log_number_from - self._held_from) :]


def together(study: optuna.Study) -> contextlib.AbstractContextManager[None]:
    """Return a block in which what is entered into a study is written in one piece, where its storage can do that."""
    backend = journal_backend(study)
    return backend.together() if isinstance(backend, WritingBackend) else contextlib.nullcontext()


class ReadingBackend(BaseJournalBackend):
    """The lines of a journal as they are now, up to the first damaged one. Nothing can be added."""

    def __init__(self, lines: Sequence[bytes]) -> None:
        self._lines = lines
        self.line = 0
        """The line that was read last, counted from 1."""

    def read_logs(self, log_number_from: int) -> Iterator[dict[str, Any]]:
        for number, line in enumerate(self._lines[log_number_from:], start=log_number_from + 1):
            self.line = number
            yield json.loads(line)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise AssertionError("a sweep that is only read is not written")


def read_storage(journal: JournalFile) -> tuple[optuna.storages.JournalStorage, Damage | None]:
    """Return what can be read of a journal, and the damage where that is not all of it."""
    lines, damage = journal.read()
    backend = ReadingBackend(lines)
    try:
        return optuna.storages.JournalStorage(backend), damage
    except Exception as error:  # a line that is JSON, and nothing that Optuna has written
        reason = f"Optuna cannot read it: {type(error).__name__}: {error}"
        damage = Damage(line=backend.line, lines=len(lines), reason=reason)
        return optuna.storages.JournalStorage(ReadingBackend(lines[: damage.line - 1])), damage
