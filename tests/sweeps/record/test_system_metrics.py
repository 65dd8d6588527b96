"""MLflow's system metrics in a sweep's parent run."""

from __future__ import annotations

import sqlite3
import time
from pathlib import Path

import pytest
from test_tracker import tracker_of

from sweeps.record.system_metrics import SWITCH


def system_metrics(runs: Path) -> set[str]:
    with sqlite3.connect(runs / "mlflow.db") as database:
        return {key for (key,) in database.execute("SELECT key FROM metrics WHERE key LIKE 'system/%'")}


@pytest.fixture(autouse=True)
def own_record(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")


def test_they_are_in_the_parent_run_if_mlflows_switch_is_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psutil")
    monkeypatch.setenv(SWITCH, "true")

    with tracker_of(tmp_path, "busy"):
        deadline = time.monotonic() + 30
        while not system_metrics(tmp_path) and time.monotonic() < deadline:
            time.sleep(0.1)

    assert {"system/cpu_utilization_percentage", "system/system_memory_usage_percentage"} <= system_metrics(tmp_path)


def test_they_are_off_by_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(SWITCH, raising=False)

    with tracker_of(tmp_path, "calm"):
        time.sleep(0.5)

    assert system_metrics(tmp_path) == set()
