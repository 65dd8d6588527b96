"""Two runs folders that write to one record: runs are assigned to the right one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from test_tracker import record_of

from sweeps.record.complete_results import CompleteResults
from sweeps.record.ownership import JournalRuns, add_owner, read_owners
from sweeps.record.parent_run import RecordedStudy
from sweeps.record.reader import MlflowReader, delete_sweep
from sweeps.record.writer import Tracker


@pytest.fixture
def shared(tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "shared.db"
    shutil.copy(empty_store, file)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{file}?timeout=60")
    return tmp_path


def train(runs: Path, owner: str | None, *numbers: int) -> None:
    if owner is not None:
        add_owner(runs, "tiny", owner)
    records = [record_of("tiny", number) for number in numbers]
    with Tracker(RecordedStudy(sweep="tiny", name="tiny-1f", owner=owner), runs=runs, environment={}) as tracker:
        tracker.reconcile(records)


def trials(runs: Path) -> list[int]:
    return sorted(MlflowReader(runs).runs(sweep="tiny").values("trial"))


def test_sweeps_of_one_name_do_not_mix_and_are_deleted_alone(shared: Path) -> None:
    ada, bob = shared / "ada", shared / "bob"
    train(ada, "a" * 32, 0, 1)
    train(bob, "b" * 32, 1, 2, 3)

    assert (trials(ada), trials(bob)) == ([0, 1], [1, 2, 3])
    assert MlflowReader(ada).holds([record_of("tiny", 0), record_of("tiny", 1)], study="tiny-1f")
    assert delete_sweep(ada, "tiny", JournalRuns(owners={"a" * 32}, keys=())) == 3
    assert trials(bob) == [1, 2, 3]


def test_a_result_of_another_folders_study_is_reused_too(shared: Path) -> None:
    ada, bob = shared / "ada", shared / "bob"
    train(ada, "a" * 32, 0)
    add_owner(bob, "tiny", "b" * 32)

    result = CompleteResults(MlflowReader(bob)).complete_result(record_of("tiny", 0).key)
    own = CompleteResults(MlflowReader(ada)).complete_result(record_of("tiny", 0).key)

    assert result is not None
    assert result.study is None
    assert own is not None
    assert own.study == "tiny-1f"
    assert MlflowReader(bob).trials(sweep="tiny") == []


def test_runs_without_an_owner_belong_to_the_folder_whose_journal_has_them(shared: Path) -> None:
    runs = shared / "ada"
    train(runs, None, 0, 1)

    known = {("tiny-1f", record_of("tiny", 0).key)}
    assert delete_sweep(runs, "tiny", JournalRuns(owners={"a" * 32}, keys=known)) == 2  # with the sweep's own run
    assert trials(runs) == [1]


@pytest.mark.parametrize("name", ["../tiny", ".", "a/b", "x" * 300, "\0", ""])
def test_a_sweeps_name_in_a_tag_leads_to_no_other_folder(shared: Path, name: str) -> None:
    train(shared / "ada", "a" * 32, 0)
    reader = MlflowReader(shared / "bob")
    (run,) = reader.complete_runs().values()

    edited = type(run)(**{**vars(run), "tags": {**run.tags, "sweep": name}})

    assert not reader.belongs_to_folder(edited)


@pytest.mark.timeout(10)
def test_a_pipe_in_place_of_the_owner_file_is_renamed(tmp_path: Path) -> None:
    note = tmp_path / "sweeps" / "quick" / "owner"
    note.parent.mkdir(parents=True)
    os.mkfifo(note)

    add_owner(tmp_path, "quick", "an-id")

    assert read_owners(tmp_path, "quick") == {"an-id"}
    assert note.with_name("owner.damaged-1").is_fifo()
