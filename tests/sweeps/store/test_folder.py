"""A sweep's journal survives a crash in the middle of a write, and has one driver at a time."""

from __future__ import annotations

import dataclasses
import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import optuna
import pytest
from sweep_fakes import book, epoch, next_trial

from sweeps.core.errors import StoreError, StudyChangedError, SweepBusyError
from sweeps.core.trial import TrialMessage
from sweeps.search.opening import read_study
from sweeps.store.access_log import import_accesses, read_accesses, record_access
from sweeps.store.folder import SweepFolder


@pytest.fixture
def folder(runs: Path) -> SweepFolder:
    return SweepFolder(runs, "tiny")


def trained(runs: Path) -> bytes:
    """Return the journal of a sweep with a complete trial and one that runs."""
    tiny = book(runs)
    ledger = tiny.open()
    number = next_trial(ledger).number
    ledger.receive(number, TrialMessage(epoch=epoch(1, 0.5)))
    next_trial(ledger)
    return tiny.folder.journal.read_bytes()


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_an_incomplete_last_line_is_cut_and_the_sweep_resumes(share: float, runs: Path) -> None:
    content = trained(runs)
    begin = content.rfind(b"\n", 0, -1) + 1
    tiny = book(runs)
    tiny.folder.journal.write_bytes(content[: begin + round(share * (len(content) - 1 - begin))])

    ledger = tiny.open()
    number = next_trial(ledger).number
    ledger.receive(number, TrialMessage(epoch=epoch(2, 0.6)))

    assert tiny.open().records[number].epochs[-1] == epoch(2, 0.6)


def test_a_journal_lock_of_a_killed_driver_does_not_block_the_next(runs: Path) -> None:
    trained(runs)
    tiny = book(runs)
    tiny.folder.journal.with_name("journal.log.lock").symlink_to(tiny.folder.journal)

    assert len(tiny.open().records) == 2


def test_a_second_driver_is_refused_with_the_name_of_the_first(folder: SweepFolder) -> None:
    with folder.locked(), pytest.raises(SweepBusyError) as refused, SweepFolder(folder.runs, "tiny").locked():
        pass

    holder = f"process {os.getpid()} on {socket.gethostname()}"
    assert str(refused.value).startswith(f"sweep 'tiny' is being run by {holder}. Wait for it, ")
    assert "sweeps stop tiny" in str(refused.value)


def test_a_sweep_that_is_being_deleted_is_not_to_be_stopped(folder: SweepFolder) -> None:
    with folder.locked(doing="deleted"), pytest.raises(SweepBusyError) as refused, folder.locked():
        pass

    holder = f"process {os.getpid()} on {socket.gethostname()}"
    assert str(refused.value) == f"sweep 'tiny' is being deleted by {holder}. Wait for it."


def test_a_reader_sees_the_drivers_published_information(folder: SweepFolder) -> None:
    with folder.locked():
        before = folder.driver()
        folder.publish(slots=2, target=20, limit=None)

        assert before is not None
        assert folder.driver() == before | {"slots": 2, "target": 20, "limit": None}

    folder.publish(slots=2)
    assert folder.driver() is None, "nobody drives it any more"
    assert not folder.died


def test_the_drivers_note_can_be_removed_twice(folder: SweepFolder) -> None:
    with folder.locked():
        folder.remove_driver_note()
        folder.remove_driver_note()

        assert not (folder.path / "driver.json").exists()


def test_a_driver_of_another_process_is_known_until_it_is_killed(folder: SweepFolder) -> None:
    hold = f"""
import time
from pathlib import Path
from sweeps.store.folder import SweepFolder
with SweepFolder(Path({str(folder.runs)!r}), "tiny").locked():
    print("held", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "held\n"
            driver = folder.driver()
            assert driver is not None
            assert driver["pid"] == process.pid
            with pytest.raises(SweepBusyError, match=f"process {process.pid} "), folder.locked():
                pass
        finally:
            process.send_signal(signal.SIGKILL)

    assert (folder.path / "driver.json").exists()
    assert folder.driver() is None
    with folder.locked():
        pass


def test_a_sweep_that_ended_has_no_driver(folder: SweepFolder) -> None:
    with folder.locked():
        assert folder.driver() is not None

    assert folder.driver() is None


def test_a_folder_that_cannot_be_made_names_it_and_the_option(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")

    with (
        pytest.raises(StoreError, match=r"file/runs/sweeps/tiny cannot be written .* --runs"),
        SweepFolder(tmp_path / "file" / "runs", "tiny").locked(),
    ):
        pass


class TestAChangedFile:
    def test_another_space_under_an_old_name_is_refused_with_the_difference(self, runs: Path) -> None:
        trained(runs)

        with pytest.raises(StudyChangedError) as refused:
            book(runs, parameters={"optimizer.lr": {"values": [0.7]}}).open()

        assert "parameters.optimizer.lr: 0.7 added" in str(refused.value)
        assert "0.7" in str(refused.value)
        assert "--new" in str(refused.value)

    def test_another_base_is_refused_with_the_difference(self, runs: Path) -> None:
        trained(runs)

        with pytest.raises(StudyChangedError, match=r"base\.epochs: was 2, is 3"):
            book(runs, base={"epochs": 3, "data": {"train_size": 300, "validation_size": 200}}).open()

    def test_another_budget_or_description_is_the_same_study(self, runs: Path) -> None:
        trained(runs)

        ledger = book(runs, run_cap=9, description="now with more", limits={"timeout": "1h"}).open()

        assert len(ledger.records) == 2

    def test_a_study_whose_driver_failed_at_once_gets_its_definition(self, runs: Path) -> None:
        tiny = book(runs)
        tiny.open()
        content = tiny.folder.journal.read_bytes().splitlines(keepends=True)
        born = [line for line in content if b"user_attr" not in line]
        tiny.folder.journal.write_bytes(b"".join(born))

        tiny.open()

        definition = json.loads(read_study(tiny.folder).user_attrs["definition"])
        assert definition["base.epochs"] == 2

    def test_a_file_that_was_changed_back_is_read_as_it_is_now(self, runs: Path) -> None:
        first, second = book(runs), book(runs, base={"epochs": 3, "data": {"train_size": 300, "validation_size": 200}})
        names = [one.study(new=True).study_name for one in (first, second, first)]

        assert names[0] == names[2] != names[1]
        assert read_study(first.folder).study_name == names[0]

    def test_the_study_knows_its_metric(self, runs: Path) -> None:
        tiny = book(runs, metric={"name": "train_loss", "goal": "minimize"})
        tiny.open()

        study = read_study(tiny.folder)

        assert study.user_attrs["metric"] == "train_loss"
        assert study.direction is optuna.study.StudyDirection.MINIMIZE


def test_test_set_accesses_are_imported_once_under_the_new_name(tmp_path: Path) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    here.mkdir()
    look = record_access(there, sweep="quick", keys=["k"])
    record_access(there, sweep="other", keys=["o"])

    for _ in range(2):
        import_accesses(there, runs=here, names={"quick": "ada-quick"})

    assert list(read_accesses(here)) == [dataclasses.replace(look, sweep="ada-quick")]


@pytest.mark.parametrize(
    ("host", "pid", "silent", "is_there"),
    [
        ("elsewhere", 1, 300, True),
        ("elsewhere", 1, 1200, False),
        (socket.gethostname(), os.getpid(), 300, True),
        (socket.gethostname(), 2**22 + 1, 0, False),
    ],
    ids=["clocks differ", "silent for long", "lives here", "killed here"],
)
def test_without_locks_a_driver_is_assumed_dead_later(
    host: str, pid: int, silent: float, is_there: bool, folder: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(folder.runs)
    note = folder.path / "driver.json"
    (folder.path / "driver.lock").touch()
    note.write_text(json.dumps({"pid": pid, "host": host, "since": 0, "doing": "run"}))
    for path in (note, folder.journal):
        os.utime(path, (time.time() - silent,) * 2)

    def unsupported(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", unsupported)

    assert (folder.driver() is not None) is is_there
