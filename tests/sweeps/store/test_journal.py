"""Damaged journals: detection, error messages and repair."""

from __future__ import annotations

import errno
import json
import os
import re
import resource
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.storages.journal import JournalFileBackend
from sweep_fakes import Cli, book, epoch, next_trial

from sweeps.core.errors import DamagedJournalError, DiskFullError, StoreError
from sweeps.core.trial import Outcome, TrialMessage
from sweeps.search.ledger import Ledger
from sweeps.search.opening import read_study
from sweeps.store.journal import Damage, JournalFile
from sweeps.store.repair import repair_journal
from sweeps.store.storage import read_storage


def train(ledger: Ledger, *accuracies: float) -> None:
    number = next_trial(ledger).number
    for at, accuracy in enumerate(accuracies, start=1):
        ledger.receive(number, TrialMessage(epoch=epoch(at, accuracy)))
    ledger.finish(number, Outcome.COMPLETE)


def trained(runs: Path) -> JournalFile:
    """Return the journal of a sweep with a complete trial."""
    tiny = book(runs)
    train(tiny.open(), 0.3, 0.5)
    return JournalFile(tiny.folder.journal)


def line_with(journal: JournalFile, text: bytes) -> int:
    return 1 + next(index for index, line in enumerate(journal.lines()) if text in line)


def replace_in(journal: JournalFile, old: bytes, new: bytes) -> None:
    content = journal.path.read_bytes()
    assert old in content
    journal.path.write_bytes(content.replace(old, new, 1))


def test_a_cut_anywhere_in_the_last_line_leaves_the_lines_before_it(tmp_path: Path) -> None:
    whole, last = b'{"op_code": 0}\n{"a": [1, "\xc3\xa9"]}\n', b'{"b": {"c": 12}, "d": "e"}\n'
    journal = tmp_path / "journal.log"

    for length in range(len(last)):
        journal.write_bytes(whole + last[:length])
        JournalFile(journal).cut_torn_end()
        assert journal.read_bytes() == whole


@pytest.mark.parametrize("tail", [b"\0\0\0\0", b"\0\0\n", b'{"half": \n', b"\xff\n"])
def test_zeros_left_by_a_power_failure_are_cut(tail: bytes, tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"
    journal.write_bytes(b'{"a": 1}\n' + tail)

    JournalFile(journal).cut_torn_end()

    assert journal.read_bytes() == b'{"a": 1}\n'


def test_an_intact_journal_is_unchanged(tmp_path: Path) -> None:
    journal = tmp_path / "journal.log"
    for content in (b"", b'{"a": 1}\n', b'{"a": 1}\n{"b": 2}\n'):
        journal.write_bytes(content)
        JournalFile(journal).cut_torn_end()
        assert journal.read_bytes() == content


class TestDamage:
    @pytest.mark.parametrize(
        ("old", "new"), [(b'"val_accuracy":0.5', b'"val_accuracy":0.6'), (b'"val_accuracy":0.5', b'"val_accuracy"x0.5')]
    )
    def test_a_change_in_the_middle_is_named_with_line_and_remedy(self, old: bytes, new: bytes, runs: Path) -> None:
        journal = trained(runs)
        line = line_with(journal, old)
        replace_in(journal, old, new)

        with pytest.raises(DamagedJournalError) as refused:
            book(runs).open()

        assert f"{journal.path} is damaged in line {line} of {len(journal.lines())}" in str(refused.value)
        assert "sweeps repair tiny" in str(refused.value)

    @given(share=st.floats(0, 1, exclude_max=True), bit=st.integers(0, 7))
    @settings(deadline=None, max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_any_flipped_bit_is_noticed_in_its_line(self, share: float, bit: int, tmp_path: Path) -> None:
        journal = JournalFile(tmp_path / "sweeps" / "tiny" / "journal.log")
        if not journal.path.exists():
            trained(tmp_path)
        whole = journal.path.read_bytes()
        position = int(share * len(whole))
        flipped = bytearray(whole)
        flipped[position] ^= 1 << bit
        journal.path.write_bytes(flipped)
        try:
            damage = journal.damage()
            assert damage is not None
            assert damage.line == whole[:position].count(b"\n") + 1
        finally:
            journal.path.write_bytes(whole)

    def test_a_damaged_checksum_is_no_damage_of_the_journal(self, runs: Path) -> None:
        journal = trained(runs)
        entries = bytearray(journal.checksums.read_bytes())
        for position in range(0, len(entries), 7):
            entries[position] ^= 1
        journal.checksums.write_bytes(entries)

        assert len(book(runs).open().records) == 1

    def test_a_journal_without_its_checksums_counts_as_unchecked(self, runs: Path) -> None:
        journal = trained(runs)
        journal.checksums.unlink()
        journal.backup.unlink()
        replace_in(journal, b'"val_accuracy":0.5', b'"val_accuracy":0.6')

        assert book(runs).open().records[0].epochs[-1].metrics["val_accuracy"] == 0.6

    def test_a_line_that_optuna_cannot_have_written_is_named(self, runs: Path) -> None:
        journal = trained(runs)
        journal.checksums.unlink()
        journal.backup.unlink()
        line = line_with(journal, b"datetime_start")
        replace_in(journal, b'"datetime_start"', b'"datetime_stort"')

        with pytest.raises(DamagedJournalError, match=f"line {line} of .*Optuna cannot read it"):
            book(runs).open()

    def test_plain_optuna_reads_the_journal(self, runs: Path) -> None:
        journal = trained(runs)

        storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal.path)))

        assert [trial.value for trial in optuna.load_study(study_name=None, storage=storage).trials] == [0.5]

    def test_a_line_that_another_program_adds_is_no_damage(self, runs: Path) -> None:
        journal = trained(runs)
        storage = optuna.storages.JournalStorage(JournalFileBackend(str(journal.path)))
        optuna.load_study(study_name=None, storage=storage).set_user_attr("dashboard:note", "look at this")

        ledger = book(runs).open()
        train(ledger, 0.2, 0.4)

        assert journal.damage() is None
        assert len(book(runs).open().records) == 2


NO_JOURNAL: dict[str, Callable[[Path], object]] = {
    "it is empty": lambda path: path.write_bytes(b""),
    "none of it can be read": lambda path: path.write_bytes(bytes(5000)),
    "it is missing": lambda path: None,
    "it is a folder": Path.mkdir,
    "it is a pipe": os.mkfifo,
    "it is a link to": lambda path: path.symlink_to("/nowhere/at/all"),
    "it is a link to ../other": lambda path: path.symlink_to("../other/journal.log"),
}


class TestNoJournal:
    @pytest.mark.parametrize("reason", NO_JOURNAL)
    def test_it_is_named_and_restored_from_the_backup(self, reason: str, runs: Path) -> None:
        journal = trained(runs)
        book(runs).open()
        train(book(runs, name="other").open(), 0.1, 0.2)
        before = journal.backup.read_bytes()
        journal.path.unlink()
        NO_JOURNAL[reason](journal.path)

        with pytest.raises(DamagedJournalError, match=re.escape(reason)):
            read_study(book(runs).folder)
        (message,) = repair_journal(book(runs).folder)

        assert "restored from the backup of the last start: line 1, 2, 3" in message
        assert journal.path.read_bytes() == before
        assert not journal.path.is_symlink()

    @pytest.mark.parametrize("reason", NO_JOURNAL)
    def test_without_a_backup_nothing_starts_until_it_is_repaired(self, reason: str, runs: Path) -> None:
        journal = trained(runs)
        journal.path.unlink()
        journal.backup.unlink()
        NO_JOURNAL[reason](journal.path)

        with pytest.raises(DamagedJournalError, match="sweeps repair tiny"):
            book(runs).open()
        (message,) = repair_journal(book(runs).folder)

        assert "replaced by an empty one" in message
        assert book(runs).open().records == []

    def test_a_sweep_killed_before_its_first_line_is_not_damaged(self, runs: Path) -> None:
        journal = JournalFile(book(runs).folder.journal)
        journal.path.parent.mkdir(parents=True)
        journal.path.touch()

        assert journal.damage() is None
        assert book(runs).open().records == []


class TestRepair:
    def test_lines_missing_at_the_end_are_reported(self, runs: Path, caplog: pytest.LogCaptureFixture) -> None:
        journal = trained(runs)
        lines = journal.lines()
        journal.path.write_bytes(b"".join(lines[:-3]) + lines[-3][:10])

        book(runs).open()

        assert "was truncated: its last 3 lines are lost" in caplog.text

    def test_a_damaged_line_is_restored_from_the_backup(self, runs: Path, caplog: pytest.LogCaptureFixture) -> None:
        journal = trained(runs)
        book(runs).open()
        line = line_with(journal, b'"val_accuracy":0.5')
        replace_in(journal, b'"val_accuracy":0.5', b'"val_accuracy":0.9')

        ledger = book(runs).open()

        assert ledger.records[0].epochs[-1].metrics["val_accuracy"] == 0.5
        assert f"was damaged in line {line}: restored from the backup" in caplog.text

    def test_lost_lines_are_restored_from_the_backup(self, runs: Path, caplog: pytest.LogCaptureFixture) -> None:
        journal = trained(runs)
        book(runs).open()
        lines = journal.backup.read_bytes().splitlines(keepends=True)
        journal.path.write_bytes(b"".join(lines[:-7]) + lines[-7][:10])

        ledger = book(runs).open()

        assert [record.outcome for record in ledger.records] == [Outcome.COMPLETE]
        assert f"was damaged in line {len(lines) - 6}" in caplog.text

    def test_repair_keeps_the_lines_before_the_damage_and_the_damaged_file(
        self, runs: Path, cli: Cli, caplog: pytest.LogCaptureFixture
    ) -> None:
        journal = trained(runs)
        train(book(runs).open(), 0.2, 0.4)
        replace_in(journal, b'"val_accuracy":0.4', b'"val_accuracy":0.8')
        damaged = journal.path.read_bytes()

        output = cli("repair", "tiny", "--runs", runs).output

        assert "was damaged (its checksum is wrong): kept the" in output
        assert journal.path.with_name("journal.log.damaged-1").read_bytes() == damaged
        caplog.clear()
        records = book(runs).open().records
        assert caplog.text == ""
        assert [len(record.epochs) for record in records] == [2, 1]
        assert records[0].outcome is Outcome.COMPLETE

    def test_a_repair_reports_each_line(self, runs: Path) -> None:
        journal = trained(runs)
        folder = book(runs).folder
        book(runs).open()
        copied = line_with(journal, b'"val_accuracy":0.3')
        replace_in(journal, b'"val_accuracy":0.3', b'"val_accuracy":0.9')
        assert list(repair_journal(folder)) == [f"restored from the backup of the last start: line {copied}"]
        assert list(repair_journal(folder)) == ["its journal is not damaged"]

        for number in (1, 2):
            train(book(runs, run_cap=9).open(), 0.2, 0.4)
            lines = journal.lines()
            last = len(lines) - number
            journal.path.write_bytes(b"".join(lines[: last - 1]) + b"#" + b"".join(lines[last - 1 :]))
            aside = journal.path.with_name(f"journal.log.damaged-{number}")
            assert list(repair_journal(folder)) == [
                f"line {last} was damaged (its checksum is wrong): kept the {last - 1} lines before it of "
                f"{len(lines)}. The damaged file is {aside}."
            ]
            assert journal.lines() == lines[: last - 1]
            assert journal.read() == (lines[: last - 1], None)
            replace_in(journal, lines[last - 2][-12:], b"#" + lines[last - 2][-12:])
            assert journal.read()[1] == Damage(line=last - 1, lines=last - 1, reason="its checksum is wrong")
            journal.path.write_bytes(b"".join(lines[: last - 1]))

    def test_a_line_that_optuna_cannot_read_is_cut_with_what_follows(self, runs: Path) -> None:
        journal = trained(runs)
        journal.checksums.unlink()
        journal.backup.unlink()
        lines = journal.lines()
        line = line_with(journal, b"datetime_start")
        replace_in(journal, b'"datetime_start"', b'"datetime_stort"')

        storage, damage = read_storage(journal)

        assert damage == Damage(line=line, lines=len(lines), reason="Optuna cannot read it: KeyError: 'datetime_start'")
        assert len(optuna.load_study(study_name=None, storage=storage).trials) == 0
        with pytest.raises(DamagedJournalError, match=f"{line} of"):
            book(runs).open()
        list(repair_journal(book(runs).folder))
        assert journal.lines() == lines[: line - 1]

    @pytest.mark.parametrize(("damaged", "reason"), [(b'{"a" 1}\n', "it is not JSON"), (b'{"a": 1}', None)])
    def test_an_unchecked_line_is_damaged_where_it_is_no_json(
        self, damaged: bytes, reason: str | None, tmp_path: Path
    ) -> None:
        journal = JournalFile(tmp_path / "journal.log")
        after = b'{"b": 2}\n' if reason else b""
        journal.path.write_bytes(b'{"a": 0}\n' + damaged + after)

        found = journal.damage()

        assert found == (None if reason is None else Damage(line=2, lines=3, reason=reason))

    def test_a_damaged_checksum_leaves_the_others_in_force(self, runs: Path) -> None:
        journal = trained(runs)
        entries = journal.checksums.read_bytes().splitlines(keepends=True)
        journal.checksums.write_bytes(b"".join([entries[0], b"no number\n", b"2 0\n", *entries[2:]]))
        replace_in(journal, b'"val_accuracy":0.5', b'"val_accuracy":0.6')

        assert journal.damage() is not None

    def test_repair_of_an_intact_journal_changes_nothing(self, runs: Path, cli: Cli) -> None:
        journal = trained(runs)
        before = journal.path.read_bytes()

        assert "is not damaged" in cli("repair", "tiny", "--runs", runs).output
        assert journal.path.read_bytes() == before

    @given(position=st.integers(0, 10**9), noise=st.binary(min_size=1, max_size=40))
    @settings(deadline=None, max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
    def test_after_a_repair_every_journal_opens(self, position: int, noise: bytes, tmp_path: Path) -> None:
        journal = JournalFile(tmp_path / "sweeps" / "tiny" / "journal.log")
        if not journal.path.exists():
            trained(tmp_path)
        kept = {path: path.read_bytes() for path in (journal.path, journal.checksums, journal.backup)}
        content = bytearray(kept[journal.path])
        at = position % len(content)
        content[at : at + len(noise)] = noise
        journal.path.write_bytes(content)
        try:
            list(repair_journal(book(tmp_path).folder))
            train(book(tmp_path).open(), 0.1, 0.2)
            assert journal.damage() is None
        finally:
            for path, before in kept.items():
                path.write_bytes(before)

    def test_a_damaged_sweep_is_shown_in_part_and_hides_no_other(self, runs: Path, cli: Cli) -> None:
        journal = trained(runs)
        train(book(runs, name="other").open(), 0.1, 0.2)
        line = line_with(journal, b'"val_accuracy":0.5')
        replace_in(journal, b'"val_accuracy":0.5', b'"val_accuracy":0.6')

        listed, shown = cli("list", "--runs", runs), cli("status", "tiny", "--runs", runs)

        assert "other: not running; 1 complete" in listed.output
        assert "tiny: not running; 1 interrupted" in listed.output
        assert "its journal is damaged" in listed.output
        assert (listed.exit_code, shown.exit_code) == (0, 0)
        assert f"damaged in line {line}" in shown.output

    def test_one_that_is_damaged_from_its_first_line_hides_no_other(self, runs: Path, cli: Cli) -> None:
        journal = trained(runs)
        train(book(runs, name="other").open(), 0.1, 0.2)
        journal.path.write_bytes(b"#" + journal.path.read_bytes()[1:])

        listed, shown = cli("list", "--runs", runs), cli("status", "tiny", "--runs", runs)

        assert "other: not running; 1 complete" in listed.output
        assert "is damaged in line 1 of" in listed.output
        assert shown.exit_code == 2
        assert "is damaged in line 1 of" in shown.output


def test_an_append_on_a_full_disk_leaves_complete_lines(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit on the file size simulates a full disk: the system cuts the write in the same way."""
    tiny = book(runs)
    ledger = tiny.open()
    number = next_trial(ledger).number
    journal = JournalFile(tiny.folder.journal)
    before = journal.path.read_bytes()
    monkeypatch.setattr("sweeps.store.journal.is_disk_full", lambda error: isinstance(error, OSError))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 40, hard))
    try:
        with pytest.raises(DiskFullError, match="All finished epochs are saved"):
            ledger.receive(number, TrialMessage(epoch=epoch(1, 0.5)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert journal.path.read_bytes() == before
    # The driver ends. The next one receives the epoch again.
    resumed = tiny.open()
    assert next_trial(resumed).number == number
    resumed.receive(number, TrialMessage(epoch=epoch(1, 0.5)))
    assert [json.loads(line) for line in journal.lines()]
    assert len(tiny.open().records[0].epochs) == 1


def test_a_failed_append_names_its_cause_and_leaves_complete_lines(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = book(runs).open()
    journal = JournalFile(runs / "sweeps" / "tiny" / "journal.log")
    before = journal.path.read_bytes()

    def fail(self: object, logs: object) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr(JournalFileBackend, "append_logs", fail)
    with pytest.raises(StoreError, match=r"Read-only file system.*Run the same command again"):
        train(ledger, 0.2)

    assert journal.path.read_bytes() == before


@pytest.mark.parametrize("has_links", [True, False], ids=["linked", "copied"])
def test_a_repair_on_a_full_disk_loses_nothing(has_links: bool, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    journal = trained(runs)
    train(book(runs).open(), 0.2, 0.4)
    replace_in(journal, b'"val_accuracy":0.4', b'"val_accuracy":0.8')
    before = {path.name: path.read_bytes() for path in journal.path.parent.glob("journal*")}

    def full(path: Path, content: bytes) -> None:
        if path == journal.path:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        path.write_bytes(content)

    def no_links(*_: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    with monkeypatch.context() as broken:
        broken.setattr("sweeps.store.journal.write_file", full)
        if not has_links:
            broken.setattr(os, "link", no_links)
        with pytest.raises(OSError, match="No space left"):
            list(repair_journal(book(runs).folder))

    assert {path.name: path.read_bytes() for path in journal.path.parent.glob("journal*")} == before
    list(repair_journal(book(runs).folder))
    assert journal.path.with_name("journal.log.damaged-1").read_bytes() == before["journal.log"]
    assert len(book(runs).open().records) > 1
