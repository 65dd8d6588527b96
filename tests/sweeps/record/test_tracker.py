"""The record is written once, whichever process is killed. Real MLflow on a real SQLite file."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sweep_fakes import epoch_with

from cifar_core.config import TrainingConfig
from sweeps.core.errors import RecordError
from sweeps.core.results import EpochResult, TestResult
from sweeps.core.trial import Outcome, RungLabel, TrialRecord
from sweeps.record.child_run import ChildRun
from sweeps.record.complete_results import CompleteResults
from sweeps.record.mapping import epoch_metrics, milliseconds, params_of, parse_param, tags_of
from sweeps.record.ownership import JournalRuns
from sweeps.record.parent_run import RecordedStudy
from sweeps.record.queue import LatestQueue, PermanentError
from sweeps.record.reader import MlflowReader, delete_sweep
from sweeps.record.review import RecordReview, write_missing_runs
from sweeps.record.store import store_uri
from sweeps.record.sweep_progress import Objective
from sweeps.record.writer import Tracker

STARTED = 1_800_000_000.0


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("MLFLOW_EXPERIMENT_NAME", raising=False)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One store for all tests, with a sweep per test, since creating a schema takes seconds."""
    return tmp_path_factory.mktemp("store") / "runs"


@pytest.fixture
def sweep(request: pytest.FixtureRequest) -> str:
    return str(request.node.name).replace("[", "-").replace("]", "")


def tracker_of(runs: Path, sweep: str, **environment: str) -> Tracker:
    return Tracker(
        RecordedStudy(sweep=sweep, name=f"{sweep}-1f"), runs=runs, description="a test", environment=environment
    )


NOTHING_KNOWN = JournalRuns(owners=(), keys=())


def epoch_of(epoch: int, **changes: Any) -> EpochResult:
    values: dict[str, Any] = {
        "seconds": 1.5,
        "finished_at": STARTED + 2 * epoch,
        "val_accuracy": 0.1 * epoch,
        "val_loss": 1.5 / epoch,
        "train_accuracy": 0.25,
        "train_loss": 2.0 / epoch,
        "learning_rate": 0.05,
        "images_per_second": 900.0,
    }
    return epoch_with(epoch, **(values | changes))


def record_of(sweep: str, number: int = 0, *, epochs: int = 3, **changes: Any) -> TrialRecord:
    config = TrainingConfig.model_validate({"data": {"validation_size": 2000, "train_size": 10000}, "epochs": 3})
    values: dict[str, Any] = {
        "sweep": sweep,
        "study": f"{sweep}-1f",
        "number": number,
        "key": f"{number:016x}",
        "config_id": f"config-{number}",
        "config": config,
        "outcome": Outcome.COMPLETE if epochs == 3 else Outcome.RUNNING,
        "epochs": tuple(epoch_of(epoch) for epoch in range(1, epochs + 1)),
        "started": STARTED,
        "finished": STARTED + 10 if epochs == 3 else None,
        "parameters": 62_006,
    }
    return TrialRecord(**(values | changes))


def found(runs: Path, sweep: str, *, kind: str = "trial") -> list[Any]:
    from mlflow import MlflowClient

    client = MlflowClient(tracking_uri=store_uri(runs))
    experiment = client.get_experiment_by_name("cifar10")
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id], f"tags.sweep = '{sweep}' and tags.kind = '{kind}'"))


def history(runs: Path, run_id: str, name: str) -> list[tuple[int, float]]:
    from mlflow import MlflowClient

    points = MlflowClient(tracking_uri=store_uri(runs)).get_metric_history(run_id, name)
    return [(point.step, point.value) for point in points]


@contextlib.contextmanager
def away(runs: Path) -> Iterator[None]:
    """Move the store's file: SQLite then refuses to write, like a server that is down."""
    file, elsewhere = runs / "mlflow.db", runs / "mlflow.away"
    file.rename(elsewhere)
    try:
        yield
    finally:
        elsewhere.rename(file)


class TestCrashes:
    def test_after_a_crash_each_key_has_one_run_with_each_epoch(self, runs: Path, sweep: str) -> None:
        died = tracker_of(runs, sweep)
        died.write(record_of(sweep, epochs=2))
        assert died.flush()
        with tracker_of(runs, sweep) as tracker:
            assert tracker.reconcile([record_of(sweep, epochs=2, outcome=Outcome.INTERRUPTED)])
            tracker.write(record_of(sweep))
        (run,) = found(runs, sweep)
        assert history(runs, run.info.run_id, "train_loss") == [(1, 2.0), (2, 1.0), (3, 2.0 / 3)]
        assert len(found(runs, sweep, kind="sweep")) == 1

    @pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
    def test_a_run_that_was_created_and_never_written_is_found_again(
        self, runs: Path, sweep: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        died = tracker_of(runs, sweep)

        def die(*_: object, **__: object) -> None:
            raise SystemExit

        monkeypatch.setattr(died._client, "log_batch", die)
        died.write(record_of(sweep))
        assert not died.flush(timeout=1.0)
        (before,) = found(runs, sweep)
        assert before.data.tags["outcome"] == "running"
        with tracker_of(runs, sweep) as tracker:
            tracker.reconcile([record_of(sweep)])
        (after,) = found(runs, sweep)
        assert after.info.run_id == before.info.run_id
        assert after.data.tags["outcome"] == "complete"
        assert len(history(runs, after.info.run_id, "val_loss")) == 3

    def test_a_run_whose_creation_was_not_answered_is_not_created_twice(
        self, runs: Path, sweep: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with tracker_of(runs, sweep) as tracker:
            create = tracker._client.create_run

            def create_and_lose_the_answer(*args: Any, **kwargs: Any) -> None:
                create(*args, **kwargs)
                monkeypatch.undo()
                raise ConnectionError("the answer was lost")

            monkeypatch.setattr(tracker._client, "create_run", create_and_lose_the_answer)
            tracker.write(record_of(sweep))
            assert tracker.flush()
        (run,) = found(runs, sweep)
        assert run.info.status == "FINISHED"

    def test_two_runs_of_one_key_become_one_again(self, runs: Path, sweep: str) -> None:
        first, second = tracker_of(runs, sweep), tracker_of(runs, sweep)
        for tracker in (first, second):
            tracker.write(record_of(sweep))
            assert tracker.flush()
        assert len(found(runs, sweep)) == 2
        with tracker_of(runs, sweep):
            pass
        assert len(found(runs, sweep)) == 1

    def test_a_run_that_the_ledger_does_not_know_ends_as_interrupted(self, runs: Path, sweep: str) -> None:
        died = tracker_of(runs, sweep)
        died.write(record_of(sweep, 0, epochs=1))
        died.write(record_of(sweep, 1, epochs=1))
        assert died.flush()
        with tracker_of(runs, sweep) as tracker:
            tracker.reconcile([record_of(sweep, 0, epochs=1)])
            states = {run.data.tags["trial"]: (run.info.status, run.data.tags["outcome"]) for run in found(runs, sweep)}
        assert states == {"0": ("RUNNING", "running"), "1": ("KILLED", "interrupted")}

    def test_complete_runs_are_not_written_again(self, runs: Path, sweep: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with tracker_of(runs, sweep, git_sha="a") as tracker:
            tracker.write(record_of(sweep, test=TestResult(loss=1.0, correct=b"\x80", count=8)))
        tracker = tracker_of(runs, sweep, git_sha="b")
        for call in ("log_batch", "log_artifact", "set_terminated", "update_run"):
            monkeypatch.setattr(tracker._client, call, lambda *_, **__: pytest.fail("written again"))
        assert tracker.reconcile([record_of(sweep, test=TestResult(loss=1.0, correct=b"\x80", count=8))])
        (run,) = found(runs, sweep)
        assert run.data.tags["git_sha"] == "a"

    def test_the_epochs_of_a_longer_former_attempt_are_not_read(self, runs: Path, sweep: str) -> None:
        later = tuple(epoch_of(epoch, finished_at=STARTED + 100 + epoch) for epoch in (1, 2))
        with tracker_of(runs, sweep) as tracker:
            tracker.write(record_of(sweep, epochs=3, outcome=Outcome.FAILED, error="no memory left"))
            tracker.flush()
            tracker.write(record_of(sweep, epochs=2))
            tracker.flush()
            tracker.write(dataclasses.replace(record_of(sweep, epochs=2, outcome=Outcome.FAILED), epochs=later))
        (run,) = found(runs, sweep)
        assert MlflowReader(runs).curve(run.info.run_id) == list(later)


class TestOutcomes:
    @pytest.mark.parametrize(
        ("outcome", "status"),
        [
            (Outcome.RUNNING, "RUNNING"),
            (Outcome.COMPLETE, "FINISHED"),
            (Outcome.PRUNED, "FINISHED"),
            (Outcome.DIVERGED, "FAILED"),
            (Outcome.FAILED, "FAILED"),
            (Outcome.INTERRUPTED, "KILLED"),
        ],
    )
    def test_each_has_its_status_and_its_tag(self, runs: Path, sweep: str, outcome: Outcome, status: str) -> None:
        with tracker_of(runs, sweep) as tracker:
            tracker.write(record_of(sweep, epochs=2, outcome=outcome, finished=STARTED + 7))
        (run,) = found(runs, sweep)
        assert (run.info.status, run.data.tags["outcome"]) == (status, outcome.value)
        assert run.info.start_time == STARTED * 1000
        assert run.info.end_time == (None if outcome is Outcome.RUNNING else (STARTED + 7) * 1000)

    def test_an_interrupted_run_resumes_as_the_same_run(self, runs: Path, sweep: str) -> None:
        with tracker_of(runs, sweep) as tracker:
            tracker.write(record_of(sweep, epochs=1, outcome=Outcome.INTERRUPTED))
        with tracker_of(runs, sweep) as tracker:
            tracker.write(record_of(sweep, epochs=2))
            tracker.flush()
            (run,) = found(runs, sweep)
            assert (run.info.status, run.data.tags["outcome"]) == ("RUNNING", "running")

    def test_the_error_of_an_earlier_attempt_is_deleted(self, runs: Path, sweep: str) -> None:
        with tracker_of(runs, sweep) as tracker:
            tracker.write(record_of(sweep, epochs=1, outcome=Outcome.FAILED, error="no memory left"))
            tracker.flush()
            tracker.write(record_of(sweep))
        (run,) = found(runs, sweep)
        assert "error" not in run.data.tags
        assert run.data.metrics["epochs"] == 3

    def test_an_interrupt_kills_the_parent_run_and_errors_fail_it(self, runs: Path, sweep: str) -> None:
        for error, status in ((KeyboardInterrupt, "KILLED"), (ValueError, "FAILED")):
            with contextlib.suppress(error), tracker_of(runs, sweep):
                (parent,) = found(runs, sweep, kind="sweep")
                assert parent.info.status == "RUNNING"
                raise error
            (parent,) = found(runs, sweep, kind="sweep")
            assert parent.info.status == status


def test_in_a_shared_record_another_studys_running_trial_is_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'shared.db'}")
    with tracker_of(tmp_path / "here", "s") as tracker:
        tracker.write(record_of("s", epochs=1, outcome=Outcome.RUNNING))
        assert tracker.flush()
        with Tracker(RecordedStudy(sweep="s", name="another"), runs=tmp_path / "there", environment={}):
            pass

        (run,) = MlflowReader(tmp_path)._store.runs({"kind": "trial"})
        assert (run.status, run.tags["outcome"]) == ("RUNNING", "running")


def test_what_a_killed_driver_left_running_in_another_study_is_ended(runs: Path, sweep: str) -> None:
    with tracker_of(runs, sweep) as tracker:
        tracker.write(record_of(sweep, epochs=1, outcome=Outcome.RUNNING))
        assert tracker.flush()
        with Tracker(RecordedStudy(sweep=sweep, name="another"), runs=runs, environment={}):
            pass

        (run,) = found(runs, sweep)
        assert (run.info.status, run.data.tags["outcome"]) == ("KILLED", "interrupted")


class TestContent:
    def test_a_complete_result_reads_back_as_it_was_written(self, runs: Path, sweep: str) -> None:
        test = TestResult(loss=0.75, correct=np.packbits(np.arange(100) % 3 == 0).tobytes(), count=100)
        record = record_of(sweep, key=f"key of {sweep}", test=test)
        with tracker_of(runs, sweep) as tracker:
            tracker.write(record)
        result = CompleteResults(MlflowReader(runs)).complete_result(record.key)
        assert result is not None
        assert (result.epochs, result.parameters, result.test) == (record.epochs, 62_006, test)
        correct = MlflowReader(runs).correctness(result.run_id)
        assert correct is not None
        assert correct.dtype == bool
        np.testing.assert_array_equal(correct, np.arange(100) % 3 == 0)

    def test_a_reused_result_is_found_if_its_source_is_deleted(self, runs: Path, sweep: str) -> None:
        with tracker_of(runs, sweep) as tracker:
            tracker.write(record_of(sweep, key=f"key of {sweep}", reused_from="another run"))
            tracker.write(record_of(sweep, 1, key=f"pruned of {sweep}", epochs=2, outcome=Outcome.PRUNED))
        taken = CompleteResults(MlflowReader(runs)).complete_result(f"key of {sweep}")
        assert taken is not None
        assert CompleteResults(MlflowReader(runs)).complete_result(f"pruned of {sweep}") is None

        with tracker_of(runs, f"{sweep}-2") as tracker:
            tracker.write(record_of(f"{sweep}-2", key=f"key of {sweep}"))
        trained = CompleteResults(MlflowReader(runs)).complete_result(f"key of {sweep}")
        assert trained is not None
        assert trained.run_id == found(runs, f"{sweep}-2")[0].info.run_id

    @pytest.mark.parametrize("content", [b"", b"no array"])
    def test_a_result_with_a_damaged_file_is_not_reused(
        self, runs: Path, sweep: str, content: bytes, caplog: pytest.LogCaptureFixture
    ) -> None:
        record = record_of(sweep, key=f"key of {sweep}", test=TestResult(loss=0.75, correct=b"\xc0", count=4))
        with tracker_of(runs, sweep) as tracker:
            tracker.write(record)
        (run,) = found(runs, sweep)
        (runs / "artifacts" / run.info.run_id / "artifacts" / "test_correct.npy").write_bytes(content)

        assert CompleteResults(MlflowReader(runs)).complete_result(record.key) is None
        assert "is incomplete and is trained again" in caplog.text

    def test_a_result_whose_curve_has_a_gap_is_not_reused(self, runs: Path, sweep: str) -> None:
        record = record_of(sweep, key=f"key of {sweep}")
        with tracker_of(runs, sweep) as tracker:
            tracker.write(record)
        assert CompleteResults(MlflowReader(runs)).complete_result(record.key) is not None
        with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database, database:
            (run,) = found(runs, sweep)
            database.execute("DELETE FROM metrics WHERE run_uuid = ? AND step = 2", [run.info.run_id])

        assert CompleteResults(MlflowReader(runs)).complete_result(record.key) is None

    def test_an_unreachable_record_is_reported_once_and_nothing_is_reused(
        self, runs: Path, sweep: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        with tracker_of(runs, sweep) as tracker:
            for number in range(2):
                tracker.write(record_of(sweep, number, key=f"{number} of {sweep}"))
        results = CompleteResults(MlflowReader(runs))
        results.refresh()
        (runs / "mlflow.db").rename(runs / "away.db")
        try:
            assert [results.complete_result(f"{number} of {sweep}") for number in range(2)] == [None, None]
        finally:
            (runs / "away.db").rename(runs / "mlflow.db")

        assert caplog.text.count("can no longer be read and are trained again") == 1

    def test_an_artifact_that_cannot_be_written_delays_nothing_and_comes_later(
        self, runs: Path, sweep: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def fail(*_: object) -> None:
            raise PermissionError("read-only folder")

        tested = record_of(sweep, 0, key=f"0 of {sweep}", test=TestResult(loss=1.0, correct=b"\xc0", count=4))
        other = record_of(sweep, 1, key=f"1 of {sweep}")
        with monkeypatch.context() as broken:
            broken.setattr(Tracker, "_log_correctness", fail)
            with tracker_of(runs, sweep) as tracker:
                tracker.write(tested)
                tracker.write(other)
        assert tracker.unwritten == 1
        assert [run.data.metrics.get("val_accuracy") is not None for run in found(runs, sweep)] == [True, True]
        assert not any("test_accuracy" in run.data.metrics for run in found(runs, sweep))

        with tracker_of(runs, sweep) as tracker:
            tracker.reconcile([tested, other])
        assert [run.data.metrics.get("test_accuracy") for run in found(runs, sweep)].count(0.5) == 1

    def test_an_unusable_artifact_store_is_reported_once(
        self, runs: Path, sweep: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def fail(*_: object) -> None:
            raise ModuleNotFoundError("No module named 'boto3'")  # as of a bucket whose client is not installed

        def artifacts() -> list[list[str]]:
            client = tracker._client
            return [[file.path for file in client.list_artifacts(run.info.run_id)] for run in found(runs, sweep)]

        records = [record_of(sweep, number, key=f"{number} of {sweep}") for number in range(2)]
        with monkeypatch.context() as broken:
            broken.setattr("sweeps.record.writer.log_files", fail)
            broken.setattr("sweeps.record.parent_run.log_files", fail)
            with tracker_of(runs, sweep) as tracker:
                for record in records:
                    tracker.write(record)
        assert tracker.unwritten == 0
        assert [run.data.metrics.get("val_accuracy") is not None for run in found(runs, sweep)] == [True, True]
        assert caplog.text.count("boto3") == 1
        assert artifacts() == [[], []]

        with tracker_of(runs, sweep) as tracker:
            tracker.reconcile(records)
        assert artifacts() == [["config.yaml"], ["config.yaml"]]

    def test_a_test_taken_after_the_run_is_added(self, runs: Path, sweep: str) -> None:
        with tracker_of(runs, sweep) as tracker:
            tracker.write(record_of(sweep))
        with tracker_of(runs, sweep) as tracker:
            tracker.reconcile([record_of(sweep, test=TestResult(loss=1.0, correct=b"\xc0", count=4))])
        (run,) = found(runs, sweep)
        assert run.data.metrics["test_accuracy"] == 0.5
        correct = MlflowReader(runs).correctness(run.info.run_id)
        assert correct is not None
        assert correct.tolist() == [True, True, False, False]

    def test_values_that_are_not_finite_are_no_metrics_and_are_read_back(self, runs: Path, sweep: str) -> None:
        last = epoch_of(2, val_loss=math.inf, train_loss=math.nan)
        with tracker_of(runs, sweep) as tracker:
            tracker.write(dataclasses.replace(record_of(sweep, outcome=Outcome.DIVERGED), epochs=(epoch_of(1), last)))
        (run,) = found(runs, sweep)
        assert history(runs, run.info.run_id, "val_loss") == [(1, 1.5)]
        assert history(runs, run.info.run_id, "train_loss") == [(1, 2.0)]
        curve = MlflowReader(runs).curve(run.info.run_id)
        assert curve[1].metrics["val_loss"] == math.inf
        assert math.isnan(curve[1].metrics["train_loss"])

    def test_more_values_than_a_batch_takes_are_all_written(self, runs: Path, sweep: str) -> None:
        epochs = tuple(epoch_of(epoch, val_accuracy=epoch / 200) for epoch in range(1, 201))
        environment = {f"fact_{number}": "x" for number in range(150)}
        with tracker_of(runs, sweep) as tracker:
            tracker.write(dataclasses.replace(record_of(sweep, environment=environment), epochs=epochs))
        (run,) = found(runs, sweep)
        assert MlflowReader(runs).curve(run.info.run_id) == list(epochs)
        assert environment.items() <= run.data.tags.items()

    def test_a_trial_is_a_child_run_named_by_sweep_and_number(self, runs: Path, sweep: str) -> None:
        with tracker_of(runs, sweep) as tracker:
            tracker.write(record_of(sweep, 7))
            tracker.write(record_of(sweep, 8, rung=RungLabel(name="wider", index=8, parent="base")))
        (parent,) = found(runs, sweep, kind="sweep")
        children = {run.info.run_name: run.data.tags["mlflow.parentRunId"] for run in found(runs, sweep)}
        assert children == {f"{sweep}-007": parent.info.run_id, "wider": parent.info.run_id}

    def test_artifacts_are_in_the_runs_folder(self, runs: Path, sweep: str) -> None:
        with tracker_of(runs, sweep):
            (parent,) = found(runs, sweep, kind="sweep")
        assert parent.info.artifact_uri.startswith((runs / "artifacts").as_uri())

    def test_values_and_names_are_cut_to_what_mlflow_takes(self) -> None:
        params = params_of({"model": {"a=b": "x" * 7000}, "plan": [1, "M"], "width": None})
        assert params["model.a_b"] == "x" * 5999 + "…"
        assert (params["plan"], params["width"]) == ('[1, "M"]', "null")
        tags = tags_of(record_of("s", error="y" * 9000, environment={"key": "mine", "host": "here"}))
        assert len(tags["error"]) == 8000
        assert (tags["key"], tags["fact.key"], tags["host"]) == (f"{0:016x}", "mine", "here")

    @pytest.mark.parametrize(
        ("value", "read"), [(8, 8), (0.5, 0.5), (True, True), (None, None), ([1], "[1]"), ("none", "none")]
    )
    def test_a_param_is_read_as_number_bool_none_or_text(self, value: object, read: object) -> None:
        assert parse_param(params_of({"name": value})["name"]) == read

    @pytest.mark.parametrize("text", ["NaN", "Infinity", '"quoted"', "{}"])
    def test_a_param_that_only_looks_like_json_stays_text(self, text: str) -> None:
        assert parse_param(text) == text

    def test_an_epoch_trained_again_is_written_and_its_twin_is_not(self) -> None:
        child = ChildRun(run_id="r", name="n", status="RUNNING", written=record_of("s", epochs=2))
        again = epoch_of(2, finished_at=STARTED + 50)
        record = dataclasses.replace(record_of("s", epochs=2), epochs=(epoch_of(1), again))
        steps = {point.step for point in child.missing_metrics(record) if point.step}
        assert steps == {2}
        assert len(epoch_metrics((again,))) == 7


class TestParentRun:
    def test_has_the_best_value_and_the_counts_of_outcomes(self, runs: Path, sweep: str) -> None:
        objective = Objective("val_accuracy", maximize=True)
        ends = [(0.3, Outcome.COMPLETE), (0.9, Outcome.PRUNED), (0.5, Outcome.COMPLETE), (0.4, Outcome.COMPLETE)]
        records = [
            record_of(
                sweep, number, key=f"{number} of {sweep}", outcome=outcome, finished=STARTED + 10 * number,
                epochs=3,
            )
            for number, (_, outcome) in enumerate(ends)
        ]  # fmt: skip
        records = [
            replace(record, epochs=(*record.epochs[:-1], epoch_of(3, val_accuracy=accuracy)))
            for record, (accuracy, _) in zip(records, ends, strict=True)
        ]
        for first in (2, 4, 4):  # a second start goes on, a third has nothing to say
            with Tracker(
                RecordedStudy(sweep=sweep, name=f"{sweep}-1f"), runs=runs, environment={}, objective=objective
            ) as tracker:
                tracker.reconcile(records[:first])

        (parent,) = found(runs, sweep, kind="sweep")
        assert history(runs, parent.info.run_id, "best_val_accuracy") == [(1, 0.3), (2, 0.3), (3, 0.5), (4, 0.5)]
        assert history(runs, parent.info.run_id, "trials_pruned") == [(1, 0), (2, 1), (3, 1), (4, 1)]
        assert parent.data.metrics["trials_ended"] == 4
        assert parent.info.end_time == milliseconds(STARTED + 30)

    def test_has_the_curve_of_the_ends_after_a_crash_too(self, runs: Path, sweep: str) -> None:
        objective = Objective("val_accuracy", maximize=True)
        # The second trial ended first, and the driver was killed before it was recorded.
        ends = [(0.16, 20), (0.28, 10), (0.5, 30)]
        records = [
            replace(
                record_of(sweep, number, key=f"{number} of {sweep}", finished=STARTED + seconds),
                epochs=(epoch_of(1, val_accuracy=accuracy),),
            )
            for number, (accuracy, seconds) in enumerate(ends)
        ]
        for known in (records[:2], records):
            with Tracker(
                RecordedStudy(sweep=sweep, name=f"{sweep}-1f"), runs=runs, environment={}, objective=objective
            ) as tracker:
                tracker.reconcile(known)

        (parent,) = found(runs, sweep, kind="sweep")
        assert history(runs, parent.info.run_id, "best_val_accuracy") == [(1, 0.28), (2, 0.28), (3, 0.5)]

    def test_counts_a_trial_once_that_was_tried_again_under_another_number(self, runs: Path, sweep: str) -> None:
        key = f"first of {sweep}"
        failed = record_of(sweep, 0, key=key, outcome=Outcome.FAILED, finished=STARTED + 1)
        other = record_of(sweep, 1, key=f"other of {sweep}", finished=STARTED + 2, epochs=3)
        again = record_of(sweep, 2, key=key, finished=STARTED + 3, epochs=3)
        with tracker_of(runs, sweep) as tracker:
            tracker.reconcile([failed, other])
        with tracker_of(runs, sweep) as tracker:
            tracker.reconcile([failed, other])
            tracker.write(again)

        (parent,) = found(runs, sweep, kind="sweep")
        assert parent.data.metrics["trials_ended"] == 2
        assert parent.data.metrics["trials_failed"] == 0
        assert parent.data.metrics["trials_complete"] == 2

    def test_keeps_the_best_value_after_a_repair_by_the_doctor(self, runs: Path, sweep: str) -> None:
        record = record_of(sweep, 0, finished=STARTED + 1, epochs=3)
        write_missing_runs(runs, [record], sweep=sweep, study=f"{sweep}-1f", title=sweep, review=RecordReview(runs))
        objective = Objective("val_accuracy", maximize=True)
        with Tracker(
            RecordedStudy(sweep=sweep, name=f"{sweep}-1f"), runs=runs, environment={}, objective=objective
        ) as tracker:
            tracker.reconcile([record])

        (parent,) = found(runs, sweep, kind="sweep")
        assert parent.data.metrics["best_val_accuracy"] == record.epochs[-1].metrics["val_accuracy"]

    def test_never_ends_before_it_begins_nor_before_an_interrupted_trial(self, runs: Path, sweep: str) -> None:
        with tracker_of(runs, sweep) as tracker:
            tracker.write(record_of(sweep, started=1e9, finished=1e9 + 1))  # in 2001: the record was lost since
        (parent,) = found(runs, sweep, kind="sweep")
        assert parent.info.end_time == parent.info.start_time

        later = STARTED + 3600
        stopped = record_of(sweep, 1, key=f"other of {sweep}", outcome=Outcome.INTERRUPTED, epochs=2, finished=later)
        with tracker_of(runs, sweep) as tracker:
            tracker.write(stopped)
        (parent,) = found(runs, sweep, kind="sweep")
        assert parent.info.end_time == milliseconds(later)

    def test_of_which_every_trial_failed_has_failed(self, runs: Path, sweep: str) -> None:
        with tracker_of(runs, sweep) as tracker:
            tracker.write(record_of(sweep, outcome=Outcome.FAILED))

        (parent,) = found(runs, sweep, kind="sweep")
        assert parent.info.status == "FAILED"

    def test_is_shown_by_mlflow_as_training_with_who_ran_what(self, runs: Path, sweep: str) -> None:
        facts = {"user": "ada", "git_sha": "0123456789ab"}
        with Tracker(
            RecordedStudy(sweep=sweep, name=f"{sweep}-1f", command="sweeps run a.yaml"), runs=runs, environment=facts
        ) as tracker:
            tracker.write(record_of(sweep))

        for kind in ("sweep", "trial"):
            (run,) = found(runs, sweep, kind=kind)
            assert run.data.tags["mlflow.user"] == "ada"
            assert run.data.tags["mlflow.source.name"] == "sweeps run a.yaml"
            assert run.data.tags["mlflow.source.git.commit"] == "0123456789ab"
        from mlflow import MlflowClient

        experiment = MlflowClient(tracking_uri=store_uri(runs)).get_experiment(run.info.experiment_id)
        assert experiment.tags["mlflow.experimentKind"] == "custom_model_development"

    def test_a_stopped_trial_once_written_as_killed_becomes_a_normal_end(self, runs: Path, sweep: str) -> None:
        record = record_of(sweep, outcome=Outcome.PRUNED)
        with tracker_of(runs, sweep) as tracker:
            tracker.write(record)
        (run,) = found(runs, sweep)
        from mlflow import MlflowClient

        MlflowClient(tracking_uri=store_uri(runs)).set_terminated(run.info.run_id, "KILLED", end_time=run.info.end_time)

        with tracker_of(runs, sweep) as tracker:
            tracker.reconcile([record])

        (after,) = found(runs, sweep)
        assert (after.info.status, after.info.end_time) == ("FINISHED", run.info.end_time)


class TestStore:
    def test_a_store_that_cannot_be_created_is_an_error_with_advice(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("no folder")
        with pytest.raises(RecordError, match=r"file/runs/mlflow\.db cannot be used.*MLFLOW_TRACKING_URI"):
            tracker_of(tmp_path / "file" / "runs", "s")

    def test_a_named_file_that_is_not_a_database_is_refused_and_kept(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        text = "not a database, but long enough to be taken for one" * 100
        (tmp_path / "notes.db").write_text(text)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'notes.db'}")
        with pytest.raises(RecordError, match=r"damaged.*rename the file"):
            tracker_of(tmp_path, "s")
        with pytest.raises(RecordError, match="damaged"):
            MlflowReader(tmp_path).runs()
        assert (tmp_path / "notes.db").read_text() == text

    @pytest.mark.parametrize("content", [b"", b"no database" * 1000], ids=["of 0 bytes", "of something else"])
    def test_a_damaged_default_record_is_renamed_and_rebuilt(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "mlflow.db").write_bytes(content)
        with pytest.raises(RecordError, match=r"mlflow\.db is damaged .*doctor --fix"):
            MlflowReader(tmp_path).runs()
        with tracker_of(tmp_path, "s") as tracker:
            assert tracker.reconcile([record_of("s")])
        assert MlflowReader(tmp_path).runs().values("trial") == [0]
        (aside,) = tmp_path.glob("mlflow.db.damaged-*")
        assert aside.read_bytes() == content

    def test_an_unreachable_server_is_reported_in_seconds(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://user:secret@127.0.0.1:9")
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
        with pytest.raises(
            RecordError, match=r"http://127\.0\.0\.1:9 cannot be used: it does not answer \(Connection refused\)"
        ) as error:
            tracker_of(tmp_path, "s")
        assert "secret" not in str(error.value)

    def test_an_outage_of_the_store_loses_nothing(self, runs: Path, sweep: str) -> None:
        with tracker_of(runs, sweep) as tracker:
            with away(runs):
                tracker.write(record_of(sweep, 0, epochs=1))
                tracker.write(record_of(sweep, 1, epochs=1))
                assert not tracker.flush(timeout=0.5)
                tracker.write(record_of(sweep, 0))
            assert tracker.flush()
        outcomes = {run.data.tags["trial"]: run.data.tags["outcome"] for run in found(runs, sweep)}
        assert outcomes == {"0": "complete", "1": "running"}
        assert tracker.unwritten == 0

    def test_unwritten_trials_are_counted_and_written_later(self, runs: Path, sweep: str) -> None:
        tracker = tracker_of(runs, sweep)
        with away(runs):
            tracker.write(record_of(sweep))
            tracker.close()
        assert tracker.unwritten == 1
        assert found(runs, sweep) == []
        with tracker_of(runs, sweep) as tracker:
            assert tracker.reconcile([record_of(sweep)])
        assert tracker.unwritten == 0
        assert len(found(runs, sweep)) == 1

    def test_a_run_deleted_meanwhile_does_not_hold_up_the_others(self, runs: Path, sweep: str) -> None:
        with tracker_of(runs, sweep) as tracker:
            tracker.write(record_of(sweep, 0, epochs=1))
            tracker.flush()
            tracker._client.delete_run(found(runs, sweep)[0].info.run_id)
            tracker.write(record_of(sweep, 0))
            tracker.write(record_of(sweep, 1))
        assert tracker.unwritten == 1
        assert [run.data.tags["trial"] for run in found(runs, sweep)] == ["1"]

    def test_a_deleted_sweep_is_gone_from_the_record_and_others_stay(self, runs: Path, sweep: str) -> None:
        for name in (sweep, f"{sweep}-2"):
            with tracker_of(runs, name) as tracker:
                tracker.write(record_of(name, 0))
                tracker.write(record_of(name, 1))
        assert delete_sweep(runs, sweep, NOTHING_KNOWN) == 3
        assert found(runs, sweep) == []
        assert len(MlflowReader(runs).runs(sweep=f"{sweep}-2").rows) == 2

    def test_all_pages_of_a_search_are_read(self, runs: Path, sweep: str, monkeypatch: pytest.MonkeyPatch) -> None:
        with tracker_of(runs, sweep) as tracker:
            for number in range(5):
                tracker.write(record_of(sweep, number, epochs=0))
        monkeypatch.setattr("sweeps.record.client._PAGE", 2)
        assert sorted(MlflowReader(runs).runs(sweep=sweep).values("trial")) == [0, 1, 2, 3, 4]

    def test_reading_or_deleting_from_a_missing_store_creates_nothing(self, tmp_path: Path) -> None:
        reader = MlflowReader(tmp_path / "runs")
        assert not reader.runs().rows
        assert CompleteResults(reader).complete_result("any") is None
        assert delete_sweep(tmp_path / "runs", "s", NOTHING_KNOWN) == 0
        assert list(tmp_path.iterdir()) == []

    def test_importing_the_modules_takes_neither_mlflow_nor_pandas_nor_torch(self) -> None:
        code = (
            "import sys, sweeps.record, sweeps.views.leaderboard, sweeps.record.ui, json;"
            "print(json.dumps([name for name in ('mlflow', 'pandas', 'torch', 'scipy') if name in sys.modules]))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
        assert json.loads(done.stdout) == []

    @pytest.mark.slow
    def test_no_usage_statistics_are_sent(self, tmp_path: Path) -> None:
        # In a new process, since another test may have imported MLflow.
        code = (
            "import sys; from pathlib import Path; from sweeps.record.parent_run import RecordedStudy;"
            "from sweeps.record.writer import Tracker;"
            "Tracker(RecordedStudy(sweep='s', name='s'), runs=Path('runs'), environment={}).close();"
            "from mlflow.telemetry.client import get_telemetry_client;"
            "from mlflow.telemetry.utils import is_telemetry_disabled;"
            "sys.exit(not is_telemetry_disabled() or get_telemetry_client() is not None)"
        )
        environment = {name: value for name, value in os.environ.items() if "TELEMETRY" not in name}
        environment.pop("DO_NOT_TRACK", None)
        done = subprocess.run(
            [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


class TestQueue:
    def test_only_the_newest_state_of_a_number_is_written(self) -> None:
        written: list[str] = []

        def write(item: str) -> None:
            time.sleep(0.05)
            written.append(item)

        queue = LatestQueue(write, name="test")
        queue.put(0, "first")
        time.sleep(0.01)
        for state in ("second", "third", "fourth"):
            queue.put(0, state)
        assert queue.close(timeout=5.0) == 0
        assert written == ["first", "fourth"]

    def test_a_newer_state_is_not_replaced_by_one_that_failed(self) -> None:
        written: list[str] = []

        def write(item: str) -> None:
            if item == "old":
                queue.put(0, "new")
                raise ConnectionError("away")
            written.append(item)

        queue = LatestQueue(write, name="test", first_pause=0.01)
        queue.put(0, "old")
        assert queue.close(timeout=5.0) == 0
        assert written == ["new"]

    def test_one_warning_is_given_for_one_absence(self, caplog: pytest.LogCaptureFixture) -> None:
        def write(_: str) -> None:
            raise ConnectionError("the server is away")

        queue = LatestQueue(write, name="test", first_pause=0.01, longest_pause=0.02)
        queue.put(0, "state")
        assert queue.close(timeout=0.3) == 1
        assert caplog.text.count("the server is away") == 1

    def test_an_item_that_cannot_be_written_is_dropped_and_counted(self) -> None:
        def write(item: str) -> None:
            if item == "bad":
                raise PermanentError(item)

        queue = LatestQueue(write, name="test")
        queue.put(0, "bad")
        queue.put(1, "good")
        assert queue.flush(timeout=5.0)
        assert queue.close(timeout=5.0) == 1

    def test_a_write_that_hangs_does_not_keep_the_driver_from_ending(self) -> None:
        queue = LatestQueue(lambda _: time.sleep(3.0), name="test")
        queue.put(0, "state")
        begun = time.monotonic()
        assert queue.close(timeout=0.1) == 1
        assert time.monotonic() - begun < 2.0
