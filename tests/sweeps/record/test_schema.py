"""A new store is complete or does not exist, whenever the process is killed."""

from __future__ import annotations

import contextlib
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweeps.record.parent_run import RecordedStudy
from sweeps.record.writer import Tracker

OPEN = """
from pathlib import Path
from sweeps.record.parent_run import RecordedStudy
from sweeps.record.writer import Tracker
Tracker(RecordedStudy(sweep="s", name="s"), runs=Path({runs!r}), environment={{}})
"""


def kill_when(code: str, condition: Callable[[], bool], *, after: float = 0.0) -> None:
    """Run Python code and kill it some time after a condition holds."""
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not condition():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.01)
        time.sleep(after)
        process.send_signal(signal.SIGKILL)


def opens(runs: Path) -> bool:
    with Tracker(RecordedStudy(sweep="s", name="s"), runs=runs, environment={}):
        return True


@pytest.fixture(autouse=True)
def _a_store_of_our_own(monkeypatch: pytest.MonkeyPatch, makes_tables: Callable[..., Any]) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("sweeps.record.schema._new_store", makes_tables)


@pytest.mark.slow
@pytest.mark.parametrize("after", [0.0, 0.5])
def test_a_driver_killed_while_making_tables_leaves_none_for_the_next(after: float, runs: Path) -> None:
    runs.mkdir()
    kill_when(OPEN.format(runs=str(runs)), lambda: any(runs.glob("mlflow.db.new-*")), after=after)

    assert not (runs / "mlflow.db").exists()
    assert opens(runs)
    assert not list(runs.glob("mlflow.db.new-*"))


def test_a_complete_store_without_runs_is_unchanged(recorded_runs: Path, caplog: pytest.LogCaptureFixture) -> None:
    with contextlib.closing(sqlite3.connect(recorded_runs / "mlflow.db")) as database, database:
        database.execute("DELETE FROM tags")
        database.execute("DELETE FROM runs")
        database.execute("CREATE TABLE somebody_elses (x)")

    assert opens(recorded_runs)

    assert caplog.text == ""
    with contextlib.closing(sqlite3.connect(recorded_runs / "mlflow.db")) as database:
        assert database.execute("SELECT count(*) FROM somebody_elses").fetchone() == (0,)


def test_a_driver_killed_in_a_write_does_not_block_the_next(tmp_path: Path) -> None:
    before, runs = tmp_path / "before", tmp_path / "runs"
    assert opens(before)
    runs.mkdir()
    with contextlib.closing(sqlite3.connect(before / "mlflow.db")) as database:
        # With a small cache, pages are written before the end of the transaction, as in a large batch.
        database.execute("PRAGMA cache_size = 1")
        database.execute("UPDATE runs SET name = 'half'")
        database.executemany("INSERT INTO tags VALUES (?, ?, (SELECT run_uuid FROM runs))",
                             [(f"tag{i}", "x" * 4000) for i in range(50)])  # fmt: skip
        for name in ("mlflow.db", "mlflow.db-journal"):
            (runs / name).write_bytes((before / name).read_bytes())
        database.rollback()

    assert opens(runs)
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database:
        assert database.execute("SELECT name FROM runs").fetchall() == [("s",)]
