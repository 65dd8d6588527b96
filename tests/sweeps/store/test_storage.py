"""Batched writes to the journal: few writes, and the same lines as single writes."""

from __future__ import annotations

import contextlib
import errno
import json
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.storages.journal import JournalFileBackend
from sweep_fakes import Book, book, epoch, next_trial

from sweeps.core.errors import DiskFullError
from sweeps.core.trial import Outcome, TrialMessage
from sweeps.search.opening import read_study
from sweeps.store.storage import batched

MANY = {
    "optimizer.lr": {"values": [0.01, 0.02, 0.03, 0.05]},
    "optimizer.momentum": {"values": [0.0, 0.9]},
    "data.batch_size": {"values": [32, 64]},
    "schedule.gamma": {"values": [0.1, 0.5]},
}

OF_THE_MOMENT = ("worker_id", "datetime_start", "datetime_complete")
"""Values that differ between two equal lines of a journal."""


@pytest.fixture
def appends(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Number of lines of each write to a journal from now on."""
    found: list[int] = []
    append = JournalFileBackend.append_logs

    def counted(self: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
        found.append(len(logs))
        append(self, logs)

    monkeypatch.setattr(JournalFileBackend, "append_logs", counted)
    return found


def lines(a_book: Book) -> list[dict[str, Any]]:
    return [json.loads(line) for line in a_book.folder.journal.read_bytes().splitlines()]


def test_start_and_each_epoch_of_a_trial_are_one_write_each(runs: Path, appends: list[int]) -> None:
    ledger = book(runs, parameters=MANY).open()
    appends.clear()

    number = next_trial(ledger).number
    proposed, _ = len(appends), appends.clear()
    ledger.receive(number, TrialMessage(epoch=epoch(1, 0.1), parameters=1000, environment={"host": "here"}))
    first_epoch, _ = len(appends), appends.clear()
    ledger.receive(number, TrialMessage(epoch=epoch(2, 0.2), outcome=Outcome.COMPLETE))

    assert (proposed, first_epoch, len(appends)) == (1, 1, 1)


def test_a_batch_is_visible_inside_at_once_and_outside_after_it(runs: Path) -> None:
    tiny = book(runs)
    study = tiny.study()

    with batched(study):
        trial = study.ask()
        trial.set_user_attr("seen", [1, 2])
        within = study.get_trials()
        from_outside = read_study(tiny.folder).get_trials()
    after = read_study(tiny.folder).get_trials()

    assert [each.user_attrs for each in within] == [{"seen": [1, 2]}]
    assert from_outside == []
    assert [each.user_attrs for each in after] == [{"seen": [1, 2]}]
    assert study.get_trials() == after


def test_changes_before_an_error_in_a_batch_are_written(runs: Path) -> None:
    tiny = book(runs)
    study = tiny.study()

    def broken_off() -> None:
        with batched(study):
            study.ask()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        broken_off()
    study.ask()

    assert [each.number for each in read_study(tiny.folder).get_trials()] == [0, 1]


def test_nested_batches_are_one_batch(runs: Path, appends: list[int]) -> None:
    study = book(runs).study()
    appends.clear()

    with batched(study):
        with batched(study):
            study.set_user_attr("a", 1)
        study.set_user_attr("b", 2)

    assert appends == [2]
    assert {"a": 1, "b": 2}.items() <= study.user_attrs.items()


def test_a_batch_on_a_full_disk_leaves_the_journal_unchanged(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny = book(runs)
    study = tiny.study()
    before = tiny.folder.journal.read_bytes()
    append = JournalFileBackend.append_logs

    def torn(self: JournalFileBackend, logs: list[dict[str, Any]]) -> None:
        append(self, logs[:1])
        with tiny.folder.journal.open("ab") as file:
            file.write(b'{"op_code":')
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(JournalFileBackend, "append_logs", torn)

    def written() -> None:
        with batched(study):
            study.set_user_attr("a", 1)
            study.set_user_attr("b", 2)

    with pytest.raises(DiskFullError):
        written()

    assert tiny.folder.journal.read_bytes() == before


def test_a_journal_holds_the_lines_that_single_writes_would_give(runs: Path) -> None:
    def written(where: str, *, at_once: bool) -> list[dict[str, Any]]:
        tiny = book(runs / where)
        study = tiny.study()
        before = len(lines(tiny))
        for _ in range(2):
            with batched(study) if at_once else contextlib.nullcontext():
                trial = study.ask()
                trial.suggest_categorical("rate", [0.1])
                trial.report(0.5, step=1)
                trial.set_user_attr("of", "trial")
                study.tell(trial, 0.5)
        new = lines(tiny)[before:]
        return [{name: value for name, value in line.items() if name not in OF_THE_MOMENT} for line in new]

    alone = written("alone", at_once=False)

    assert len(alone) == 10
    assert written("together", at_once=True) == alone


def test_optuna_itself_reads_a_study_without_a_journal_as_before() -> None:
    study = optuna.create_study()

    with batched(study):
        study.set_user_attr("a", 1)

    assert study.user_attrs == {"a": 1}


def test_no_line_of_a_journal_is_read_twice(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = book(runs, parameters=MANY, run_cap=4).open()
    read: list[bytes] = []
    loads = json.loads
    monkeypatch.setattr("sweeps.store.storage.json.loads", lambda line: (read.append(line), loads(line))[1])

    number = next_trial(ledger).number
    ledger.receive(number, TrialMessage(epoch=epoch(1, 0.1)))
    ledger.receive(number, TrialMessage(epoch=epoch(2, 0.2), outcome=Outcome.COMPLETE))

    from_file = [line for line in read if isinstance(line, bytes)]
    assert len(from_file) == len(set(from_file)) <= 1
