"""Optuna's storage over a sweep's journal: one that writes under the sweep's lock, one that only reads."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import optuna
from optuna.storages.journal import BaseJournalBackend, JournalFileBackend

from sweeps.study.journal import Damage, JournalFile


class WritingBackend(JournalFileBackend):
    """Optuna's own, which also seals each line, and takes back an append that a full disk has torn."""

    def __init__(self, journal: JournalFile) -> None:
        super().__init__(str(journal.path))
        self._journal = journal

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        size = self._journal.path.stat().st_size
        try:
            super().append_logs(logs)
        except OSError as error:
            raise self._journal.undo(size, error) from error
        self._journal.seal()


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
