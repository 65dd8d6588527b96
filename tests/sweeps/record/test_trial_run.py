"""Recorded runs that users and tools have edited are read, or reported and left out, and no command fails."""

from __future__ import annotations

import contextlib
import math
import shutil
import sqlite3
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from mlflow import MlflowClient
from test_tracker import STARTED, record_of, tracker_of

from sweeps.core.errors import RecordError
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.record import trial_run
from sweeps.record.complete_results import CompleteResults
from sweeps.record.files import RunFiles
from sweeps.record.mapping import TAGS
from sweeps.record.reader import MlflowReader
from sweeps.record.review import RecordReview
from sweeps.record.store import store_uri

TEXTS = st.one_of(
    st.none(),
    st.text(max_size=30),
    st.sampled_from(
        ["", " ", "zero", "-1", "1.5", "²", "9" * 30, "NaN", "null", "[]", "[[1]]", "{}", "[1, 2]", "trial"]
    ),
    st.sampled_from([outcome.value for outcome in Outcome]),
)


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The warnings about runs that are left out."""
    said: list[str] = []
    monkeypatch.setattr(trial_run, "_warn_once", said.append)
    return said


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, empty_store: Path) -> Path:
    """A record of two complete trials, one of them tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("MLFLOW_TRACKING_URI", raising=False)
        runs = tmp_path_factory.mktemp("whole")
        shutil.copy(empty_store, runs / "mlflow.db")
        with tracker_of(runs, "tiny") as tracker:
            for record in two_trials():
                tracker.write(record)
    return runs


def two_trials() -> list[TrialRecord]:
    return [record_of("tiny"), record_of("tiny", 1, started=STARTED + 60)]


def edit(runs: Path, statement: str, *values: object) -> None:
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database, database:
        database.execute(statement, values)


def first_run(runs: Path) -> str:
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database:
        query = """SELECT run_uuid FROM tags JOIN runs USING (run_uuid)
            WHERE key = 'trial' AND tags.value = '0' AND lifecycle_stage = 'active'"""
        return str(database.execute(query).fetchone()[0])


def set_tag(runs: Path, run_id: str, tag: str, value: str | None) -> None:
    edit(runs, "DELETE FROM tags WHERE run_uuid = ? AND key = ?", run_id, tag)
    if value is not None:
        edit(runs, "INSERT INTO tags (key, value, run_uuid) VALUES (?, ?, ?)", tag, value, run_id)


def read_everything(runs: Path) -> set[str]:
    """Read a record in all ways; return the ids of the runs in its table."""
    reader = MlflowReader(runs)
    table = reader.runs()
    reader.epochs()
    reader.trials(sweep="tiny")
    reader.holds([], study="tiny-1")
    recorded = CompleteResults(reader)
    for key in table.values("key"):
        recorded.complete_result(key)
    RunFiles(runs, sweep="tiny")
    review = RecordReview(runs)
    assert review.unfinished_keys(sweep="tiny") is not None
    for run_id in table.values("run_id"):
        with contextlib.suppress(RecordError):  # a configuration of another version
            reader.configuration(run_id)
        reader.curve(run_id)
        reader.confusion(run_id)
        reader.environment(run_id)
    return set(table.values("run_id"))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(tag=st.sampled_from([*TAGS, "epochs_done", "rung_index"]), text=TEXTS)
def test_a_run_with_any_tag_edited_is_read_or_named(
    tag: str, text: str | None, whole: Path, told: list[str], tmp_path: Path
) -> None:
    told.clear()
    shutil.copy(whole / "mlflow.db", tmp_path / "mlflow.db")
    run_id = first_run(tmp_path)
    set_tag(tmp_path, run_id, tag, text)

    listed = read_everything(tmp_path)

    named = [line for line in told if run_id in line]
    assert (run_id in listed) != bool(named), (tag, text, told)
    assert len(listed) == (1 if named else 2)
    if named:
        assert tag in named[0]


@pytest.mark.parametrize(
    ("tag", "text"),
    [
        ("trial", "zero"), ("seed", "x"), ("outcome", "splendid"), ("key", None), ("kind", None), ("sweep", None),
        ("val_confusion", "not JSON"), ("val_confusion", "[[1, 2]]"), ("not_finite", "[[1]]"), ("config", "[]"),
    ],
)  # fmt: skip
def test_each_of_these_is_left_out_and_named_with_its_value(
    tag: str, text: str | None, whole: Path, told: list[str], tmp_path: Path
) -> None:
    shutil.copy(whole / "mlflow.db", tmp_path / "mlflow.db")
    run_id = first_run(tmp_path)
    set_tag(tmp_path, run_id, tag, text)

    assert run_id not in set(MlflowReader(tmp_path).runs(sweep="tiny").values("run_id"))
    (line,) = told
    assert run_id in line
    assert tag in line
    assert ("missing" if text is None else text) in line


@pytest.mark.parametrize("value", ["many", 1e308, 7.5])
def test_an_invalid_metric_is_named(value: object, whole: Path, told: list[str], tmp_path: Path) -> None:
    shutil.copy(whole / "mlflow.db", tmp_path / "mlflow.db")
    run_id = first_run(tmp_path)
    edit(tmp_path, "UPDATE latest_metrics SET value = ? WHERE run_uuid = ? AND key = 'val_accuracy'", value, run_id)

    assert run_id not in read_everything(tmp_path)
    assert "val_accuracy" in told[0]
    assert str(value) in told[0]


def note_and_own_metrics(runs: Path, run_id: str) -> None:
    """Add a user's note, tag and metrics to a run."""
    client = MlflowClient(tracking_uri=store_uri(runs))
    client.set_tag(run_id, "mlflow.note.content", "look at this one")
    client.set_tag(run_id, "reviewed", "yes")
    client.log_metric(run_id, "top5_accuracy", 97.1, step=3)
    client.log_metric(run_id, "gradient_norm", math.inf)


def test_a_users_metrics_do_not_change_a_run(whole: Path, told: list[str], tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(whole, runs)
    run_id = first_run(runs)
    note_and_own_metrics(runs, run_id)

    with tracker_of(runs, "tiny") as tracker:
        tracker.reconcile(two_trials())

    assert run_id in read_everything(runs)
    assert told == []


@pytest.mark.parametrize("damage", ["a wrong metric", "a second run"])
def test_a_users_note_is_copied_to_the_replacement(damage: str, whole: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(whole, runs)
    client = MlflowClient(tracking_uri=store_uri(runs))
    run_id = first_run(runs)
    if damage == "a wrong metric":
        note_and_own_metrics(runs, run_id)
        edit(runs, "UPDATE latest_metrics SET value = 7 WHERE run_uuid = ? AND key = 'val_accuracy'", run_id)
    else:
        whole_run = client.get_run(run_id)
        second = client.create_run(whole_run.info.experiment_id, tags=whole_run.data.tags, start_time=1)
        note_and_own_metrics(runs, second.info.run_id)

    with tracker_of(runs, "tiny") as tracker:
        tracker.reconcile(two_trials())

    assert sorted(MlflowReader(runs).runs(sweep="tiny").values("trial")) == [0, 1]
    data = client.get_run(first_run(runs)).data
    assert data.tags["mlflow.note.content"] == "look at this one"
    assert (data.tags["reviewed"], data.tags["outcome"]) == ("yes", "complete")
    assert data.metrics["top5_accuracy"] == 97.1
    assert [point.step for point in client.get_metric_history(first_run(runs), "top5_accuracy")] == [3]
    assert data.metrics["val_accuracy"] == two_trials()[0].epochs[-1].metrics["val_accuracy"]


def test_invalid_text_is_read_with_replacement_characters(whole: Path, told: list[str], tmp_path: Path) -> None:
    shutil.copy(whole / "mlflow.db", tmp_path / "mlflow.db")
    run_id = first_run(tmp_path)
    edit(tmp_path, "UPDATE tags SET value = CAST(x'ff00fe' AS TEXT) WHERE run_uuid = ? AND key = 'trial'", run_id)
    edit(tmp_path, "UPDATE params SET value = CAST(x'ff' AS TEXT) WHERE run_uuid = ?", run_id)

    assert run_id not in read_everything(tmp_path)
    assert "trial" in told[0]


def test_the_tags_of_a_run_are_rewritten_from_the_journal(whole: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(whole, runs)
    run_id = first_run(runs)
    for tag, text in (("trial", "zero"), ("key", None), ("kind", None), ("config", "{")):
        set_tag(runs, run_id, tag, text)
    records = two_trials()

    with tracker_of(runs, "tiny") as tracker:
        tracker.reconcile(records)

    table = MlflowReader(runs).runs(sweep="tiny")
    assert sorted(table.values("trial")) == [0, 1]
    assert run_id in table.values("run_id")
    assert MlflowReader(runs).configuration(run_id) == records[0].config


def test_a_run_with_a_wrong_metric_is_replaced(whole: Path, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    shutil.copytree(whole, runs)
    edit(runs, "UPDATE latest_metrics SET value = 7 WHERE run_uuid = ? AND key = 'val_accuracy'", first_run(runs))
    records = two_trials()

    with tracker_of(runs, "tiny") as tracker:
        tracker.reconcile(records)

    rows = sorted(MlflowReader(runs).runs(sweep="tiny").rows, key=lambda row: row["trial"])
    assert [(row["trial"], row["val_accuracy"]) for row in rows] == [
        (number, record.epochs[-1].metrics["val_accuracy"]) for number, record in enumerate(records)
    ]
