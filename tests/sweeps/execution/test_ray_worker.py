"""What a worker on a node does before its first trial, and what becomes of trials on one that has other software."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sweep_fakes import book, next_trial

from sweeps.execution.node_versions import installed_versions
from sweeps.execution.ray_worker import RefusedTrial, WorkerSetup
from sweeps.study.waiting import PROCESS_RETRIES
from sweeps.trial_record import ErrorClass, Outcome


def test_a_worker_stands_in_the_drivers_folder_and_looks_there_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [*sys.path]
    monkeypatch.setattr(sys, "path", [*before])
    monkeypatch.chdir("/")

    WorkerSetup(folder=str(tmp_path), versions={}).enter()

    assert Path.cwd().samefile(tmp_path)
    assert sys.path == [*before, str(tmp_path)]


def test_where_a_node_has_no_such_folder_a_worker_stays_where_ray_has_put_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    WorkerSetup(folder="/not/on/this/node", versions={}).enter()

    assert Path.cwd().samefile(tmp_path)


def test_a_node_that_joins_with_another_torch_is_named_and_costs_a_trial_nothing(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: "10.0.0.7")
    here = installed_versions()
    words = WorkerSetup(folder="/", versions={**here, "torch": "1.0.0"}).refusal()
    assert WorkerSetup(folder="/", versions=here).refusal() is None
    assert words is not None
    assert "the node 10.0.0.7 (" in words
    assert f"torch {here['torch']} (here 1.0.0)" in words
    waited: list[float] = []
    warned: list[str] = []
    ledger = book(runs).open(on_warning=lambda record, warning: warned.append(warning))
    number = next_trial(ledger).number

    for _ in range(PROCESS_RETRIES + 2):
        assert ledger.report(number, RefusedTrial(words, sleep=waited.append).step())
        assert next_trial(ledger).number == number

    assert len(waited) == PROCESS_RETRIES + 2
    assert set(warned) == {words}
    [record] = [record for record in ledger.records if record.number == number]
    assert record.outcome is Outcome.RUNNING
    assert record.error_class == ErrorClass.OTHER_VERSIONS
