"""Checks of a worker before its first trial, and trials on a node with other software."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from object_store import S3
from sweep_fakes import book, next_trial

from sweeps.backends.cluster.node_checks import RefusedTrial, WorkerSetup, installed_versions
from sweeps.core.trial import ErrorClass, Outcome
from sweeps.search.waiting import PROCESS_RETRIES


def setup(folder: Path | str = "/", *, storage: Path, **versions: str) -> WorkerSetup:
    return WorkerSetup(folder=str(folder), versions=installed_versions() | versions, storage=str(storage))


def test_a_worker_changes_to_the_drivers_folder_and_imports_from_it_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = [*sys.path]
    monkeypatch.setattr(sys, "path", [*before])
    monkeypatch.chdir("/")

    setup(tmp_path, storage=tmp_path).enter()

    assert Path.cwd().samefile(tmp_path)
    assert sys.path == [*before, str(tmp_path)]


def test_without_the_drivers_folder_a_worker_does_not_change_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    setup("/not/on/this/node", storage=tmp_path).enter()

    assert Path.cwd().samefile(tmp_path)


def test_other_versions_or_a_missing_storage_are_a_problem(tmp_path: Path, s3: S3) -> None:
    mark = tmp_path / "mark"
    mark.touch()
    here = installed_versions()
    assert set(here) == {"python", "ray", "torch", "numpy"}
    assert "+" not in here["torch"], "builds for a CPU and for a GPU are the same release"

    assert setup(storage=mark).problem() is None
    assert WorkerSetup(folder="/", versions=here, storage=s3.new_bucket()).problem() is None
    assert f"has torch {here['torch']} (driver: 1.0)" in (setup(storage=mark, torch="1.0").problem() or "")
    mark.unlink()
    assert f"cannot read the driver's files in {tmp_path}" in (setup(storage=mark).problem() or "")
    nowhere = WorkerSetup(folder="/", versions=here, storage="s3://not-a-bucket-of-anybody/x")
    assert "credentials" in (nowhere.problem() or "")


def test_a_refusing_node_is_named_and_the_trial_is_not_failed(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ray.util.get_node_ip_address", lambda: "10.0.0.7")
    words = setup(storage=tmp_path / "gone").refusal()
    assert words is not None
    assert "the node 10.0.0.7 (" in words
    waited: list[float] = []
    warned: list[str | None] = []
    ledger = book(runs).open()
    ledger.observe(lambda record: warned.append(record.warning))
    number = next_trial(ledger).number

    for _ in range(PROCESS_RETRIES + 2):
        assert ledger.receive(number, RefusedTrial(words, sleep=waited.append).step())
        assert next_trial(ledger).number == number

    assert len(waited) == PROCESS_RETRIES + 2
    assert set(warned) - {None} == {words}
    [record] = [record for record in ledger.records if record.number == number]
    assert record.outcome is Outcome.RUNNING
    assert record.error_class == ErrorClass.UNFIT_NODE
