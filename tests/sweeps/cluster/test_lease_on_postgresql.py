"""The lease of a study on a real PostgreSQL, where a driver is cut off in the middle of a write."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import optuna
import psycopg
import pytest
from services import PASSWORD, PostgreSQL, postgresql_programs

from sweeps.core.errors import LeaseLostError
from sweeps.store.database import StudyDatabase

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.skipif(postgresql_programs() is None, reason="PostgreSQL's server programs are not installed"),
]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[PostgreSQL]:
    monkeypatch.setenv("PGPASSWORD", PASSWORD)
    monkeypatch.delenv("SWEEPS_STUDY_STORAGE", raising=False)
    with tempfile.TemporaryDirectory(prefix="pg-") as folder:
        made = PostgreSQL(Path(folder), host="127.0.0.1")
        yield made
        made.stop()


def test_a_driver_hanging_in_a_write_is_superseded_and_writes_nothing(
    server: PostgreSQL, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = threading.Event()
    database = StudyDatabase(server.url("studies"))
    database.check()
    slow = database.lease("tiny", about={"pid": 1, "host": "slow"}, on_loss=lost.set)
    monkeypatch.setattr(slow, "_renew", lambda: True)  # a machine that stands still
    slow.acquire()
    study = optuna.create_study(storage=database.writing(slow), study_name="tiny-1")
    study.set_user_attr("by", "slow")
    hanging = psycopg.connect(
        server.url("studies", password=True), options="-c idle_in_transaction_session_timeout=15s"
    )
    hanging.execute("select * from sweeps_leases where sweep = 'tiny' for share")
    began = time.monotonic()

    other = database.lease("tiny", about={"pid": 2, "host": "other"}, on_loss=lambda: None)
    other.acquire()

    assert time.monotonic() - began < 60
    optuna.load_study(study_name="tiny-1", storage=database.writing(other)).set_user_attr("by", "other")
    for write in (lambda: study.set_user_attr("by", "slow again"), study.ask):
        with pytest.raises(LeaseLostError):
            write()
    assert lost.is_set()
    found = optuna.load_study(study_name="tiny-1", storage=database.reading())
    assert (found.user_attrs, found.get_trials()) == ({"by": "other"}, [])
    other.release()


def test_a_server_that_is_stopped_for_a_while_costs_nothing(server: PostgreSQL) -> None:
    database = StudyDatabase(server.url("studies"))
    database.check()
    lease = database.lease("tiny", about={"pid": 1, "host": "here"}, on_loss=lambda: None)
    lease.acquire()
    study = optuna.create_study(storage=database.writing(lease), study_name="tiny-1")
    server.stop()
    back = threading.Timer(6.0, server.start)
    back.start()

    study.set_user_attr("written", "while it was away")

    back.join()
    assert optuna.load_study(study_name="tiny-1", storage=database.reading()).user_attrs["written"]
    lease.release()
