"""Reading the SQLite file directly gives the same as MLflow's client, also after the file was moved."""

from __future__ import annotations

import dataclasses
import shutil
import sqlite3
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from mlflow.tracking._tracking_service.client import utils as mlflow_utils

from cifar_core.config import TrainingConfig
from sweeps.core.errors import RecordError
from sweeps.core.results import EpochResult, TestResult
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.record import sqlite_store
from sweeps.record.client import connect
from sweeps.record.client_store import ClientStore
from sweeps.record.ownership import JournalRuns
from sweeps.record.parent_run import RecordedStudy
from sweeps.record.reader import MlflowReader, delete_sweep
from sweeps.record.recorded_run import RunStore
from sweeps.record.sqlite_store import EmptyStore, SqliteStore, relocate_artifacts
from sweeps.record.store import store_uri
from sweeps.record.stores import open_store
from sweeps.record.writer import Tracker


@pytest.fixture(autouse=True)
def _own_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def record(number: int, **changes: Any) -> TrialRecord:
    config = TrainingConfig(seed=number)
    epochs = tuple(
        EpochResult(
            epoch=epoch,
            seconds=2.0,
            finished_at=1000.0 + 10 * number + epoch,
            metrics={
                "train_loss": 2.0 / epoch,
                "train_accuracy": 0.3,
                "val_loss": 1.5,
                "val_accuracy": 0.4 + number / 100,
                "learning_rate": 0.1,
                "images_per_second": 5000.0,
            },
        )
        for epoch in (1, 2)
    )
    given = TrialRecord(
        sweep="s",
        study="s-1",
        number=number,
        key=f"key{number}",
        config_id="c",
        config=config,
        outcome=Outcome.COMPLETE,
        epochs=epochs,
        started=1000.0 + 10 * number,
        finished=1009.0 + 10 * number,
        parameters=62_006,
        environment={"host": "here"},
    )
    return dataclasses.replace(given, **changes)


def write(runs: Path, *records: TrialRecord) -> None:
    with Tracker(RecordedStudy(sweep="s", name="s-1"), runs=runs, environment={}) as tracker:
        for each in records:
            tracker.write(each)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("written") / "runs of a person"
    test = TestResult(loss=0.75, correct=np.packbits([True, False, True]).tobytes(), count=3)
    write(runs, record(0), record(1, test=test), record(2, outcome=Outcome.FAILED, error="no"), record(3))
    client = ClientStore(store_uri(runs))
    client.delete([run.run_id for run in client.runs({"trial": "3"})])
    return runs


@pytest.fixture
def runs(written: Path, tmp_path: Path) -> Path:
    """A copy in another folder."""
    return Path(shutil.copytree(written, tmp_path / "copy"))


def both(runs: Path) -> tuple[RunStore, RunStore]:
    direct = open_store(runs)
    assert isinstance(direct, SqliteStore)
    return direct, ClientStore(store_uri(runs))


@pytest.mark.parametrize("tags", [{}, {"kind": "trial"}, {"kind": "trial", "outcome": "complete"}, {"sweep": "no"}])
def test_the_same_runs_are_found_as_by_mlflows_client(written: Path, tags: dict[str, str]) -> None:
    direct, client = both(written)

    found = direct.runs(tags)

    assert {run.run_id: run for run in found} == {run.run_id: run for run in client.runs(tags)}
    assert len(found) == {(): 4, ("kind",): 3, ("kind", "outcome"): 2, ("sweep",): 0}[tuple(tags)]


def test_a_run_without_its_sweeps_name_is_found_by_mlflows_client_too(runs: Path) -> None:
    direct, client = both(runs)
    (nameless,) = direct.runs({"trial": "1"})
    connect(store_uri(runs)).delete_tag(nameless.run_id, "sweep")
    stranger = direct.runs({"trial": "2"})[0].run_id
    for tag, value in (("study", "s-other-1"), ("sweep", "s-other")):
        connect(store_uri(runs)).set_tag(stranger, tag, value)
    connect(store_uri(runs)).delete_tag(stranger, "sweep")

    found = {run.run_id for run in client.runs({"sweep": "s"}, or_without="sweep")}

    assert nameless.run_id in found
    assert stranger not in found, "the sweep s-other is another one"
    assert nameless.run_id in {run.run_id for run in direct.runs({"sweep": "s"}, or_without="sweep")}


def test_runs_curves_and_files_are_the_same_as_by_mlflows_client(written: Path) -> None:
    direct, client = both(written)
    (tested,) = direct.runs({"trial": "1"})

    assert direct.run(tested.run_id) == client.run(tested.run_id)
    assert set(client.history(tested.run_id)) < set(direct.history(tested.run_id))
    assert direct.artifact(tested.run_id, "test_correct.npy") == client.artifact(tested.run_id, "test_correct.npy")
    assert direct.artifact(tested.run_id, "other.npy") is client.artifact(tested.run_id, "other.npy") is None
    with pytest.raises(RecordError, match="no run nowhere"):
        direct.run("nowhere")


def test_a_directly_deleted_run_is_deleted_for_mlflow(runs: Path) -> None:
    _, client = both(runs)

    assert delete_sweep(runs, "s", JournalRuns(owners=(), keys=())) == 4
    assert client.runs({}) == []


def test_unknown_tables_are_read_by_mlflows_client(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_store, "READABLE_REVISIONS", frozenset())

    assert isinstance(open_store(runs), ClientStore)


def test_tables_of_a_newer_mlflow_are_an_error_with_the_version(runs: Path, written: Path) -> None:
    with sqlite3.connect(runs / "mlflow.db") as database:
        database.execute("UPDATE alembic_version SET version_num = 'abcdef123456'")
        database.execute("INSERT INTO tags SELECT 'mlflow', '99.1.0', run_uuid FROM runs LIMIT 1")
    database.close()

    with pytest.raises(RecordError, match=r"pip install mlflow==99\.1\.0"):
        MlflowReader(runs).runs()
    with pytest.raises(RecordError, match=r"pip install mlflow==99\.1\.0"):
        write(runs, record(0))


def test_a_store_without_the_experiment_is_empty(tmp_path: Path) -> None:
    for half in ("CREATE TABLE alembic_version (version_num)", "CREATE TABLE experiments (name)"):
        with sqlite3.connect(tmp_path / "mlflow.db") as database:
            database.execute(half)
        database.close()
        assert isinstance(open_store(tmp_path), EmptyStore)


class TestMoved:
    def test_the_files_of_a_copy_are_read_from_the_copy(self, runs: Path, written: Path) -> None:
        (tested,) = open_store(runs).runs({"trial": "1"})
        for file in (runs / "artifacts").rglob("*.npy"):
            np.save(file, np.array([False]))

        correct = MlflowReader(runs).correctness(tested.run_id)

        assert correct is not None
        assert correct.tolist() == [False]

    def test_a_copy_writes_into_its_own_folder(self, runs: Path, written: Path) -> None:
        before = sorted(written.rglob("*"))
        # MLflow caches where a run's files are, so that this needs a new process.
        mlflow_utils._artifact_repos_cache.clear()

        write(runs, record(0, test=TestResult(loss=1.0, correct=b"\xc0", count=2)), record(1))

        assert sorted(written.rglob("*")) == before
        (late,) = open_store(runs).runs({"trial": "0"})
        assert ClientStore(store_uri(runs)).artifact(late.run_id, "test_correct.npy") is not None
        assert len(list((runs / "artifacts").rglob("*.npy"))) == 2
        (early,) = open_store(runs).runs({"trial": "1"})
        shutil.rmtree(written / "artifacts")
        assert ClientStore(store_uri(runs)).artifact(early.run_id, "test_correct.npy") is not None

    def test_a_record_elsewhere_keeps_its_artifacts_in_the_runs_folder(
        self, runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        apart, elsewhere = tmp_path / "apart", tmp_path / "elsewhere"
        apart.mkdir()
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{apart / 'mlflow.db'}")
        tested = record(0, test=TestResult(loss=1.0, correct=b"\xc0", count=2))
        write(elsewhere, tested)
        write(elsewhere, tested, record(1))

        (run,) = open_store(elsewhere).runs({"trial": "0"})
        correct = MlflowReader(elsewhere).correctness(run.run_id)
        assert correct is not None
        assert correct.tolist() == [True, True]
        assert len(list((elsewhere / "artifacts").rglob("*.npy"))) == 1
        assert not (apart / "artifacts").exists()

    def test_a_move_is_followed_in_tables_of_another_version_too(self, runs: Path, written: Path) -> None:
        with sqlite3.connect(runs / "mlflow.db") as database:
            database.execute("UPDATE alembic_version SET version_num = 'of a later MLflow'")
        database.close()

        relocate_artifacts(runs / "mlflow.db")

        with sqlite3.connect(runs / "mlflow.db") as database:
            where = database.execute("SELECT artifact_location FROM experiments WHERE name = 'cifar10'").fetchone()
        database.close()
        assert where == ((runs / "artifacts").resolve().as_uri(),)

    def test_artifacts_that_were_not_next_to_the_record_are_not_relocated(self, runs: Path) -> None:
        with sqlite3.connect(runs / "mlflow.db") as database:
            database.execute("UPDATE experiments SET artifact_location = 's3://b/artifacts' WHERE name = 'cifar10'")
        database.close()

        relocate_artifacts(runs / "mlflow.db")

        with sqlite3.connect(runs / "mlflow.db") as database:
            where = database.execute("SELECT artifact_location FROM experiments WHERE name = 'cifar10'").fetchone()
        database.close()
        assert where == ("s3://b/artifacts",)


@pytest.mark.parametrize(
    ("code", "heavy"),
    [
        (
            "from sweeps.record.reader import MlflowReader as R; assert len(R(Path(FOLDER)).runs().rows) == 3",
            {"scipy"},
        ),
        ("from sweeps.cli.main import sweeps; sweeps(['leaderboard', '--runs', FOLDER], standalone_mode=False)", set()),
    ],
    ids=["reader", "leaderboard"],
)
def test_a_table_is_read_and_shown_without_heavy_libraries(written: Path, code: str, heavy: set[str]) -> None:
    import subprocess

    heavy = heavy | {"mlflow", "torch", "optuna", "pandas", "pyarrow"}
    script = (
        f"import sys; from pathlib import Path; FOLDER = {str(written)!r}; {code}; print({heavy} & set(sys.modules))"
    )
    said = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert said.stdout.splitlines()[-1] == "set()"
