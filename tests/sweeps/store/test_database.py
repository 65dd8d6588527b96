"""A study in a database: one driver at a time on any machine, and outages of the database."""

from __future__ import annotations

import itertools
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import optuna
import pytest
import sqlalchemy
from sweep_fakes import Book, book, epoch, next_trial

from sweeps.core.errors import LeaseLostError, NoSuchSweepError, StorageUnreachableError, StoreError, SweepBusyError
from sweeps.core.storages import Storages
from sweeps.core.trial import Outcome, TrialMessage
from sweeps.search.ledger import Ledger
from sweeps.search.opening import delete_studies, read_studies
from sweeps.search.state import read_state, sweep_names
from sweeps.store import database as database_module
from sweeps.store import lease as lease_module
from sweeps.store.database import StudyDatabase, study_database
from sweeps.store.folder import SweepFolder


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    yield f"sqlite:///{tmp_path / 'studies.db'}"
    study_database.cache_clear()


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lease_module, "LEASE_SECONDS", 2.0)
    monkeypatch.setattr(lease_module, "RENEW_SECONDS", 0.3)


@contextmanager
def driver(machine: Path, url: str, **changes: object) -> Iterator[tuple[Ledger, Book]]:
    """Hold the sweep with a runs folder that stands for a machine, and open its ledger."""
    kept = book(machine, **changes)
    folder = SweepFolder(machine, "tiny", requested=Storages(study_storage=url))
    with folder.locked():
        opened = Opened(kept, folder)
        yield opened.open(study=opened.study()), kept


class Opened(Book):
    """A book whose study is in the database that its folder holds."""

    def __init__(self, kept: Book, folder: SweepFolder) -> None:
        super().__init__(runs=kept.runs, spec=kept.spec)
        self._held = folder

    @property
    def folder(self) -> SweepFolder:
        return self._held


def test_a_driver_on_another_machine_resumes(url: str, tmp_path: Path) -> None:
    with driver(tmp_path / "one", url, run_cap=3) as (ledger, _):
        done, left = next_trial(ledger), next_trial(ledger)
        ledger.receive(done.number, TrialMessage(epoch=epoch(1, 0.3)))
        ledger.receive(done.number, TrialMessage(epoch=epoch(2, 0.4), outcome=Outcome.COMPLETE))
        ledger.receive(left.number, TrialMessage(epoch=epoch(1, 0.2)))

    with driver(tmp_path / "two", url, run_cap=3) as (ledger, _):
        assert [record.outcome for record in ledger.records] == [Outcome.COMPLETE, Outcome.INTERRUPTED]
        assert next_trial(ledger).key == left.key
        assert len(ledger.records[1].epochs) == 1
        assert next_trial(ledger).key not in (done.key, left.key)

    state = read_state(tmp_path / "two", "tiny")
    assert [record.key for record in state.records[:2]] == [done.key, left.key]
    assert sweep_names(tmp_path / "two") == ["tiny"]


def test_a_reader_on_another_machine_sees_the_driver(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SWEEPS_STUDY_STORAGE", url)
    with driver(tmp_path / "one", url) as (ledger, _):
        next_trial(ledger)

        state = read_state(tmp_path / "two", "tiny")

        assert [record.outcome for record in state.records] == [Outcome.RUNNING]
        assert state.driver is not None
        assert state.driver.startswith("process ")
    assert read_state(tmp_path / "two", "tiny").driver is None


def test_a_held_sweep_is_refused_with_its_drivers_name(url: str, tmp_path: Path, short: None) -> None:
    with (
        driver(tmp_path / "one", url),
        pytest.raises(SweepBusyError, match="'tiny' is being run by process"),
        driver(tmp_path / "two", url),
    ):
        pass


def test_a_silent_driver_is_superseded_and_writes_nothing_more(
    url: str, tmp_path: Path, short: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = threading.Event()
    database = StudyDatabase(url)
    database.check()
    slow = database.lease("tiny", about={"pid": 1, "host": "slow"}, on_loss=lost.set)
    monkeypatch.setattr(slow, "_renew", lambda: True)  # a machine that stands still
    slow.acquire()
    study = optuna.create_study(storage=database.writing(slow), study_name="tiny-1")
    study.set_user_attr("by", "slow")

    other = database.lease("tiny", about={"pid": 2, "host": "other"}, on_loss=lambda: None)
    other.acquire()
    optuna.load_study(study_name="tiny-1", storage=database.writing(other)).set_user_attr("by", "other")

    for write in (lambda: study.set_user_attr("by", "slow again"), study.ask, lambda: study.tell(study.ask(), 1.0)):
        with pytest.raises(LeaseLostError, match="another driver has taken over tiny"):
            write()
    assert lost.is_set()
    found = optuna.load_study(study_name="tiny-1", storage=database.reading())
    assert found.user_attrs == {"by": "other"}
    assert found.get_trials() == []
    other.release()


def test_an_idle_driver_detects_within_seconds_that_it_lost_the_lease(url: str, tmp_path: Path, short: None) -> None:
    lost = threading.Event()
    database = StudyDatabase(url)
    database.check()
    first = database.lease("tiny", about={"pid": 1, "host": "first"}, on_loss=lost.set)
    first.acquire()
    with sqlite3.connect(tmp_path / "studies.db", timeout=10) as connection:
        connection.execute("update sweeps_leases set token = token + 1")

    assert lost.wait(5)


def test_the_lease_of_a_driver_killed_here_is_free_at_once(url: str, tmp_path: Path) -> None:
    script = (
        "import os, signal\nfrom sweeps.store.database import StudyDatabase\n"
        f"database = StudyDatabase({url!r})\ndatabase.check()\n"
        "database.lease('tiny', about={'pid': os.getpid(), 'host': 'here'}, on_loss=lambda: None).acquire()\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == -9
    began = time.monotonic()

    with driver(tmp_path / "one", url):
        pass

    assert time.monotonic() - began < lease_module.LEASE_SECONDS / 2


def test_a_short_outage_of_the_database_loses_nothing(
    url: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with driver(tmp_path / "one", url) as (ledger, _):
        trial = next_trial(ledger)
        # No other connection can write to the SQLite file now: the same errors as of an unreachable server.
        away = sqlite3.connect(tmp_path / "studies.db", timeout=10, isolation_level=None, check_same_thread=False)
        away.execute("begin exclusive")
        back = threading.Timer(database_module.CONNECT_SECONDS + 2.0, away.close)
        back.start()

        ledger.receive(trial.number, TrialMessage(epoch=epoch(1, 0.3)))

        back.join()
        assert "does not answer" in caplog.text
    (record,) = read_state(tmp_path / "one", "tiny").records
    assert [each.metrics["val_accuracy"] for each in record.epochs] == [0.3]


def test_a_long_outage_of_the_database_ends_the_driver(
    url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database_module, "RETRY_SECONDS", 1.0)
    with driver(tmp_path / "one", url) as (ledger, _):
        trial = next_trial(ledger)
        away = sqlite3.connect(tmp_path / "studies.db", timeout=10, isolation_level=None)
        away.execute("begin exclusive")

        with pytest.raises(StorageUnreachableError, match="All results up to here are saved"):
            ledger.receive(trial.number, TrialMessage(epoch=epoch(1, 0.3)))
        away.close()


def test_sweeps_of_one_database_do_not_see_each_other(url: str, tmp_path: Path) -> None:
    with driver(tmp_path / "one", url) as (ledger, _):
        next_trial(ledger)
    other = SweepFolder(tmp_path / "one", "tiny-2", requested=Storages(study_storage=url))

    with pytest.raises(NoSuchSweepError, match="has no trials yet"):
        read_studies(other)


def test_a_deleted_sweep_is_gone_from_the_database_and_no_other(url: str, tmp_path: Path) -> None:
    with driver(tmp_path / "one", url) as (ledger, _):
        next_trial(ledger)
    database = StudyDatabase(url)
    optuna.create_study(storage=database.reading(), study_name="other-12345678")
    folder = SweepFolder(tmp_path / "one", "tiny")

    with folder.locked():
        delete_studies(folder)

    assert optuna.get_all_study_names(database.reading()) == ["other-12345678"]


@pytest.mark.parametrize("url", ["postgresql://me@127.0.0.1:1/studies", "postgresql://me@no-such-host.invalid/studies"])
def test_a_database_that_does_not_answer_is_named_within_30_seconds(url: str) -> None:
    began = time.monotonic()

    with pytest.raises(StoreError, match="does not answer or denies access") as refused:
        StudyDatabase(url).check()

    assert url in str(refused.value)
    assert "PGPASSWORD" in str(refused.value)
    assert time.monotonic() - began < 30


def test_of_two_drivers_that_begin_at_once_one_has_the_lease(url: str) -> None:
    database = StudyDatabase(url)
    database.check()
    leases = [database.lease("tiny", about={"pid": 0, "host": f"h{i}"}, on_loss=lambda: None) for i in range(6)]
    together = threading.Barrier(len(leases))
    held: list[int] = []

    def begin(number: int) -> None:
        together.wait()
        while True:
            try:
                _, about = leases[number]._try()
            except sqlalchemy.exc.OperationalError:
                continue  # another thread locks the file
            if about is None:
                held.append(leases[number]._token)
            return

    threads = [threading.Thread(target=begin, args=(number,)) for number in range(len(leases))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert held == [1]


def test_of_two_that_find_the_same_lease_run_out_one_has_it(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = StudyDatabase(url)
    database.check()
    gone = database.lease("tiny", about={"pid": 0, "host": "gone"}, on_loss=lambda: None)
    gone.acquire()
    gone.release()
    both_have_read = threading.Barrier(2)
    now, looks = lease_module._now, itertools.count()

    def now_that_both_have_read(connection: sqlalchemy.Connection) -> float:
        if next(looks) < 2:
            both_have_read.wait(10)
        return now(connection)

    monkeypatch.setattr(lease_module, "_now", now_that_both_have_read)
    leases = [database.lease("tiny", about={"pid": 0, "host": f"h{i}"}, on_loss=lambda: None) for i in range(2)]
    held: list[int] = []

    def take(lease: lease_module.Lease) -> None:
        if lease._try()[1] is None:
            held.append(lease._token)

    threads = [threading.Thread(target=take, args=(lease,)) for lease in leases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert held == [2]


def test_a_database_that_fails_between_two_reads_is_named(url: str) -> None:
    storage = StudyDatabase(url).reading()
    with sqlite3.connect(url.removeprefix("sqlite:///")) as connection:
        connection.execute("alter table studies rename to elsewhere")

    with pytest.raises(StoreError, match=f"study storage {url} does not answer or denies access"):
        storage.get_all_studies()


def test_two_drivers_that_make_the_same_tables_do_not_hinder_each_other(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Simulates a statement of another driver between this one's check and its own statement.
    made = iter([sqlalchemy.exc.ProgrammingError("create table", {}, Exception("relation already exists"))])

    def make_table(engine: sqlalchemy.Engine) -> None:
        for error in made:
            raise error
        lease_module.make_table(engine)

    monkeypatch.setattr(database_module, "_RETRY_INTERVAL_SECONDS", 0.0)
    monkeypatch.setattr(database_module, "make_table", make_table)

    StudyDatabase(url).check()

    assert next(made, None) is None
    assert StudyDatabase(url).driver("tiny") is None


def test_a_database_error_is_raised_at_once(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def make_table(engine: sqlalchemy.Engine) -> None:
        asked.append(engine)
        raise sqlalchemy.exc.ProgrammingError("create table", {}, Exception("permission denied"))

    monkeypatch.setattr(database_module, "make_table", make_table)

    with pytest.raises(StoreError, match="permission denied"):
        StudyDatabase(url).check()
    assert len(asked) == 1
