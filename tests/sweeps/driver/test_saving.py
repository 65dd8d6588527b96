"""Kept weights, artifacts and data set in MLflow, and the winner as a logged model."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
import yaml
from click.testing import CliRunner
from mlflow import MlflowClient
from sweep_fakes import Cli, book, epoch, epoch_with, next_trial, own_net, tiny, write_yaml, written

import sweeps
from cifar_core.data.images import CLASS_NAMES
from cifar_core.data.load import load_training_images, training_fingerprint
from sweeps.cli.main import sweeps as command
from sweeps.core.trial import Outcome
from sweeps.driver.kept_checkpoints import CheckpointCleanup
from sweeps.driver.plan import plan_of_sweep
from sweeps.files.sweep import load_spec
from sweeps.record.store import store_uri
from sweeps.search.state import read_state
from sweeps.store.checkpoints import SweepCheckpoints
from sweeps.store.folder import SweepFolder
from sweeps.use.winner import log_winner

pytestmark = pytest.mark.trains  # a model in MLflow needs weights

GRID: dict[str, Any] = {
    "method": "grid",
    "run_cap": None,
    "parameters": {"optimizer.lr": {"values": [0.01, 0.05, 0.1, 1e20]}},
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs folder of three complete trials and a diverged one, the best confirmed with one seed."""
    folder = tmp_path_factory.mktemp("saving")
    path = write_yaml(folder, tiny(**GRID, replicates={"top": 1, "seeds": 1}, keep={"best": 1}))
    result = CliRunner().invoke(command, ["run", str(path), "--runs", str(folder / "runs"), "--backend", "inline"])
    assert result.exit_code == 0, result.output
    assert "Logged the winner as an MLflow model: models:/m-" in result.stdout
    return folder / "runs"


@pytest.fixture
def client(trained: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=store_uri(trained))


@pytest.fixture
def images() -> np.ndarray:
    return np.array(load_training_images(progress=False)[0].images_NHWC[:5])


def artifacts(client: MlflowClient, run_id: str) -> list[str]:
    return sorted(file.path for file in client.list_artifacts(run_id))


def parent_of(client: MlflowClient, title: str) -> Any:
    experiment = client.get_experiment_by_name("cifar10")
    assert experiment is not None
    (run,) = client.search_runs([experiment.experiment_id], f"tags.kind = 'sweep' and tags.mlflow.runName = '{title}'")
    return run


def models_of(runs: Path) -> list[tuple[str, str]]:
    """Return name and stage of every logged model."""
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database:
        return list(database.execute("SELECT name, lifecycle_stage FROM logged_models ORDER BY name"))


class TestKeep:
    def test_weights_of_the_best_and_of_all_replicates_are_kept(self, trained: Path) -> None:
        state = read_state(trained, "tiny")
        best = state.best()
        assert best is not None
        kept = {folder.name for folder in (trained / "sweeps" / "tiny" / "checkpoints").iterdir()}

        assert len(state.records) == 4
        assert kept == {best.key, *(record.key for record in state.replicates)}

    @pytest.mark.parametrize(("best", "kept"), [("all", 3), (2, 2), (0, 0), (None, 3)])
    def test_the_number_of_kept_weights_is_that_of_the_file(
        self, best: object, kept: int, tmp_path: Path, recorded_runs: Path, cli: Cli
    ) -> None:
        keep = None if best is None else {"best": best}
        path = write_yaml(tmp_path, tiny(**GRID, keep=keep))

        assert cli("run", path, "--runs", recorded_runs, "--backend", "inline").exit_code == 0

        assert len(list(recorded_runs.glob("sweeps/tiny/checkpoints/*/state.pt"))) == kept

    def test_the_best_by_the_metric_and_largest_budget_are_kept(self, tmp_path: Path) -> None:
        loss = {"name": "val_loss", "goal": "minimize"}
        plan = plan_of_sweep(load_spec(write_yaml(tmp_path, tiny(metric=loss, keep={"best": 2}))))
        made = next_trial(book(tmp_path / "runs").open())
        ends = [(0.25, 2, "a"), (0.125, 2, "a"), (0.1875, 2, "b"), (0.1875, 2, "c"), (0.01, 1, "d"), (0.3, 2, "e")]
        records = [
            replace(
                made, key=f"{number:016x}", number=number, outcome=Outcome.COMPLETE, config_id=config_id,
                epochs=(epoch_with(1, val_accuracy=0.9 - loss, val_loss=loss, train_loss=1.0, train_accuracy=0.2),),
                config=made.config.model_copy(update={"epochs": epochs, "seed": number}),
            )
            for number, (loss, epochs, config_id) in enumerate(ends)
        ]  # fmt: skip
        folder = SweepFolder(tmp_path / "runs", "tiny")
        for record in records:
            (folder.checkpoints / record.key).mkdir(parents=True)
        cleaning = CheckpointCleanup(records[:-1], plan=plan, checkpoints=SweepCheckpoints(folder))

        cleaning.on_change(records[-1])

        # Both seeds of a, with mean 0.1875 too; of three equal ones the two that started first.
        assert [(folder.checkpoints / record.key).exists() for record in records] == [True] * 3 + [False] * 3

    def test_the_best_of_earlier_starts_are_kept(self, tmp_path: Path) -> None:
        plan = plan_of_sweep(load_spec(write_yaml(tmp_path, tiny(keep={"best": 2}))))
        made = next_trial(book(tmp_path / "runs").open())
        ends = [
            replace(
                made, key=f"{number:016x}", config_id=f"{number:016x}", number=number, outcome=Outcome.COMPLETE,
                epochs=(epoch(1, accuracy),),
            )
            for number, accuracy in enumerate([0.5, 0.2, 0.4, 0.1, 0.6, 0.3])
        ]  # fmt: skip
        folder = SweepFolder(tmp_path / "runs", "tiny")
        for record in ends:
            (folder.checkpoints / record.key).mkdir(parents=True)
        cleaning = CheckpointCleanup(ends[:3], plan=plan, checkpoints=SweepCheckpoints(folder))

        kept = []
        for record in ends[3:]:
            cleaning.on_change(replace(record, outcome=Outcome.RUNNING))
            cleaning.on_change(record)
            kept.append([(folder.checkpoints / each.key).exists() for each in ends[: record.number + 1]])

        assert kept == [
            [True, False, True, False],
            [True, False, False, False, True],
            [True, False, False, False, True, False],
        ]

    def test_keep_best_is_a_number_or_all(self, tmp_path: Path, cli: Cli) -> None:
        result = cli("plan", write_yaml(tmp_path, tiny(**GRID, keep={"best": -1})))

        assert result.exit_code == 2
        assert "keep.best" in result.stderr


class TestFiles:
    def test_a_complete_run_has_its_configuration_and_log_as_artifacts(
        self, client: MlflowClient, trained: Path
    ) -> None:
        run = next(run for run in written(trained) if run.tags["outcome"] == "complete" and run.name == "tiny-000")

        assert artifacts(client, run.run_id) == ["config.yaml", "trial.log"]
        folder = Path(client.download_artifacts(run.run_id, ""))
        config = yaml.safe_load((folder / "config.yaml").read_text(encoding="utf-8"))
        assert config["optimizer"]["lr"] == 0.01
        assert "epoch 2/2" in (folder / "trial.log").read_text(encoding="utf-8")

    def test_a_trial_that_was_stopped_early_has_no_artifacts(
        self, tmp_path: Path, recorded_runs: Path, cli: Cli
    ) -> None:
        content = tiny(
            method="grid", run_cap=None, parameters={"optimizer.lr": {"values": [0.05, 0.03, 1e-6, 1e-7]}},
            metric={"name": "train_loss", "goal": "minimize"},
            early_terminate={"type": "asha", "min_epochs": 1, "reduction_factor": 2},
        )  # fmt: skip
        assert cli("run", write_yaml(tmp_path, content), "--runs", recorded_runs, "--backend", "inline").exit_code == 0
        client = MlflowClient(tracking_uri=store_uri(recorded_runs))
        stopped = [run for run in written(recorded_runs) if run.tags["outcome"] == Outcome.PRUNED]

        assert stopped
        assert [artifacts(client, run.run_id) for run in stopped] == [[]] * len(stopped)
        assert [client.get_run(run.run_id).inputs.dataset_inputs for run in stopped] == [[]] * len(stopped)

    def test_the_parent_run_has_the_sweep_file(self, tmp_path: Path, recorded_runs: Path, cli: Cli) -> None:
        path = write_yaml(tmp_path, tiny(**GRID))
        arguments = ["--set", "base.epochs=1", "--runs", recorded_runs, "--backend", "inline"]
        assert cli("run", path, *arguments).exit_code == 0
        client = MlflowClient(tracking_uri=store_uri(recorded_runs))

        run = parent_of(client, "tiny")

        assert "tiny.yaml" in artifacts(client, run.info.run_id)
        stored = Path(client.download_artifacts(run.info.run_id, "tiny.yaml"))
        assert load_spec(stored) == load_spec(path, overrides=["base.epochs=1"])
        assert load_spec(stored) != load_spec(path)

    def test_the_data_set_is_an_input_with_its_fingerprint(self, client: MlflowClient, trained: Path) -> None:
        (run,) = (run for run in written(trained) if run.name == "tiny-000")

        inputs = client.get_run(run.run_id).inputs.dataset_inputs

        assert {each.dataset.digest for each in inputs} == {training_fingerprint()}
        rows = {each.tags[0].value: json.loads(each.dataset.profile)["rows"] for each in inputs}
        config = read_state(trained, "tiny").records[0].config
        assert rows == {"training": config.train_images(), "validation": config.data.validation_size}
        assert {each.dataset.name.split(" (")[0] for each in inputs} == {"CIFAR-10 training", "CIFAR-10 validation"}
        (whole,) = parent_of(client, "tiny").inputs.dataset_inputs
        assert (whole.dataset.name, json.loads(whole.dataset.profile)) == ("CIFAR-10", {"rows": 50_000})

    def test_the_description_has_space_winner_and_command(self, client: MlflowClient) -> None:
        said = parent_of(client, "tiny").data.tags["mlflow.note.content"]

        assert said.startswith("**Winner**: `tiny-00")
        assert "`sweeps run tiny.yaml`" in said
        assert "3 complete, 1 diverged" in said
        assert "optimizer.lr:" in said
        confirmed = parent_of(client, "tiny replicates").data.tags["mlflow.note.content"]
        assert confirmed.startswith("**Winner**")
        assert "`sweeps replicate tiny --top 1 --seeds 1`" in confirmed

    def test_the_winner_stays_in_the_description_when_the_search_resumes(
        self, trained: Path, tmp_path: Path, cli: Cli
    ) -> None:
        runs = tmp_path / "runs"
        shutil.copytree(trained, runs)
        path = write_yaml(tmp_path, tiny(**GRID))
        # The record lost the end of the search's parent run: the start has something to write.
        with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database:
            database.execute("UPDATE runs SET status = 'RUNNING' WHERE name = 'tiny'")
            database.commit()

        assert cli("run", path, "--runs", runs, "--backend", "inline").exit_code == 0

        said = parent_of(MlflowClient(tracking_uri=store_uri(runs)), "tiny").data.tags["mlflow.note.content"]
        assert said.startswith("**Winner**: `tiny-00")
        assert said.count("**Winner**") == 1


class TestModel:
    def test_both_mlflow_flavors_predict_like_the_confirmed_network(
        self, trained: Path, client: MlflowClient, images: np.ndarray, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        uri = log_winner("tiny", runs=trained)
        assert uri is not None
        wanted = sweeps.load_model("tiny", runs=trained, device="cpu")(torch.from_numpy(images)).softmax(1)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", store_uri(trained))

        as_function, as_network = mlflow.pyfunc.load_model(uri), mlflow.pytorch.load_model(uri)

        for given in (images, images[:1]):
            assert np.allclose(as_function.predict(given), wanted[: len(given)].detach(), atol=1e-6)
            assert torch.allclose(as_network(torch.from_numpy(given)), wanted[: len(given)], atol=1e-6)
        with pytest.raises(mlflow.exceptions.MlflowException):
            as_function.predict(images.astype(np.float32) / 255)
        about = as_function.metadata
        assert about.metadata["class_names"] == list(CLASS_NAMES)
        assert "normalisation" in about.metadata["preprocessing"]
        assert about.signature is not None
        assert about.saved_input_example_info is not None
        confirmed = next(run for run in written(trained) if "replicate_of" in run.tags)
        assert about.run_id == confirmed.run_id
        (output,) = client.get_run(confirmed.run_id).outputs.model_outputs
        assert f"models:/{output.model_id}" == uri

    def test_the_model_is_stored_once(self, trained: Path, tmp_path: Path, cli: Cli) -> None:
        runs = tmp_path / "runs"
        shutil.copytree(trained, runs)
        first = log_winner("tiny", runs=runs)
        with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database:
            database.execute("DELETE FROM tags WHERE key = 'logged_model'")
            database.commit()

        assert log_winner("tiny", runs=runs) == first
        assert log_winner("tiny", runs=runs) == first
        assert [stage for _, stage in models_of(runs)] == ["active"]
        shown = cli("show", models_of(runs)[0][0], "--runs", runs).stdout
        assert f"model in MLflow: {first}" in shown

    def test_a_partially_stored_model_is_stored_again(self, trained: Path, tmp_path: Path) -> None:
        runs = tmp_path / "runs"
        shutil.copytree(trained, runs)
        first = log_winner("tiny", runs=runs)
        with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database:
            database.execute("DELETE FROM tags WHERE key = 'logged_model'")
            database.execute("UPDATE logged_models SET status = 1")  # PENDING
            database.commit()

        again = log_winner("tiny", runs=runs)

        assert again not in (None, first)
        assert sorted(stage for _, stage in models_of(runs)) == ["active", "deleted"]

    def test_a_deleted_model_is_stored_again(self, trained: Path, tmp_path: Path) -> None:
        runs = tmp_path / "runs"
        shutil.copytree(trained, runs)
        first = log_winner("tiny", runs=runs)
        assert first is not None
        MlflowClient(tracking_uri=store_uri(runs)).delete_logged_model(first.removeprefix("models:/"))

        again = log_winner("tiny", runs=runs)

        assert again not in (None, first)
        assert sorted(stage for _, stage in models_of(runs)) == ["active", "deleted"]

    def test_the_model_follows_the_runs_folder_and_is_deleted_with_its_sweep(
        self, trained: Path, tmp_path: Path, cli: Cli, images: np.ndarray
    ) -> None:
        runs = tmp_path / "elsewhere"
        shutil.copytree(trained, runs)
        before = sorted((trained / "artifacts").rglob("*"))
        with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database:
            database.execute("UPDATE runs SET status = 'RUNNING' WHERE name = 'tiny'")
            database.commit()
        path = write_yaml(tmp_path, tiny(**GRID))
        assert cli("run", path, "--runs", runs, "--backend", "inline").exit_code == 0
        with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database:
            ((location,),) = database.execute("SELECT artifact_location FROM logged_models")
        assert location.startswith((runs / "artifacts").resolve().as_uri())

        assert cli("rm", "tiny", "--yes", "--runs", runs).exit_code == 0

        assert [stage for _, stage in models_of(runs)] == ["deleted"]
        assert sorted((trained / "artifacts").rglob("*")) == before

    def test_without_a_confirmed_configuration_there_is_no_model(
        self, tmp_path: Path, recorded_runs: Path, cli: Cli
    ) -> None:
        path = write_yaml(tmp_path, tiny(**GRID))
        assert cli("run", path, "--runs", recorded_runs, "--backend", "inline").exit_code == 0

        assert log_winner("tiny", runs=recorded_runs) is None
        assert models_of(recorded_runs) == []

    def test_a_name_that_mlflow_refuses_still_gives_a_model(
        self, tmp_path: Path, recorded_runs: Path, cli: Cli
    ) -> None:
        content = tiny(name="v1.2", run_cap=1, replicates={"top": 1, "seeds": 1})

        result = cli("run", write_yaml(tmp_path, content), "--runs", recorded_runs, "--backend", "inline")

        assert "Logged the winner as an MLflow model: models:/m-" in result.stdout, result.output
        assert [name for name, _ in models_of(recorded_runs)] == ["v1-2-000-s1"]

    def test_a_failed_storing_of_the_model_is_reported(
        self, tmp_path: Path, recorded_runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, caplog: Any
    ) -> None:
        def fail(*_: object, **__: object) -> None:
            raise ModuleNotFoundError("No module named 'boto3'")

        monkeypatch.setattr("sweeps.use.winner.log_model", fail)
        content = tiny(run_cap=1, replicates={"top": 1, "seeds": 1})

        result = cli("run", write_yaml(tmp_path, content), "--runs", recorded_runs, "--backend", "inline")

        assert result.exit_code == 0, result.output
        assert "could not store the winner of tiny as a model in MLflow: No module named 'boto3'" in caplog.text

    def test_missing_weights_are_reported_without_stopping(
        self, trained: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        runs = tmp_path / "runs"
        shutil.copytree(trained, runs)
        shutil.rmtree(runs / "sweeps" / "tiny" / "checkpoints")
        with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database:
            database.execute("DELETE FROM tags WHERE key = 'logged_model'")
            database.commit()

        assert log_winner("tiny", runs=runs) is None

        assert "could not store the winner of tiny as a model in MLflow: the weights of" in caplog.text

    def test_a_network_without_a_graph_is_reported(
        self, tmp_path: Path, recorded_runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, caplog: Any
    ) -> None:
        # It uses the number of images in a way that a graph with a dynamic batch size cannot express.
        base = own_net(tmp_path, module="net_without_graph", hook="pass")
        path = tmp_path / "net_without_graph.py"
        counted = "images[: int(images.sum() * 0) + len(images)].flatten(1))"
        path.write_text(path.read_text(encoding="utf-8").replace("images.flatten(1))", counted), encoding="utf-8")
        monkeypatch.syspath_prepend(tmp_path)
        content = tiny(base=base, run_cap=1, replicates={"top": 1, "seeds": 1})

        result = cli("run", write_yaml(tmp_path, content), "--runs", recorded_runs, "--backend", "inline")

        assert result.exit_code == 0, result.output
        assert "tiny replicates: 1 complete" in result.stdout
        assert "could not store the winner of tiny as a model in MLflow: the network cannot be stored" in caplog.text
        assert "models:/" not in result.stdout
        with contextlib.closing(sqlite3.connect(recorded_runs / "mlflow.db")) as database:
            assert database.execute("SELECT status FROM logged_models").fetchall() == [(3,)]  # FAILED

    @pytest.mark.slow
    def test_mlflow_serves_it(self, trained: Path, images: np.ndarray) -> None:
        uri = log_winner("tiny", runs=trained)
        beside = Path(sys.executable).parent
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        server = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "mlflow",
                "models",
                "serve",
                "-m",
                str(uri),
                "-p",
                str(port),
                "--env-manager",
                "local",
            ],
            # MLflow searches the path for uvicorn, which is next to this Python, as in an activated environment.
            env={**os.environ, "MLFLOW_TRACKING_URI": store_uri(trained), "PATH": f"{beside}:{os.environ['PATH']}"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            answer = _ask(f"http://127.0.0.1:{port}/invocations", {"inputs": images.tolist()})
        finally:
            os.killpg(server.pid, signal.SIGTERM)
            server.wait(timeout=30)

        wanted = sweeps.load_model("tiny", runs=trained, device="cpu")(torch.from_numpy(images)).softmax(1)
        assert np.allclose(answer["predictions"], wanted.detach(), atol=1e-6)


def _ask(url: str, question: dict[str, Any]) -> Any:
    """Return a server's answer as soon as it is up."""
    request = urllib.request.Request(url, json.dumps(question).encode(), {"Content-Type": "application/json"})
    deadline = time.monotonic() + 120
    while True:
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return json.load(answer)
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(1)


class TestClasses:
    def test_an_untested_run_shows_its_classes_on_validation_images(self, trained: Path, cli: Cli) -> None:
        result = cli("show", "tiny-000", "--runs", trained)

        assert "val acc %" in result.stdout
        shown = {line.split()[0] for line in result.stdout.splitlines() if line.strip()}
        assert set(CLASS_NAMES) <= shown

    def test_the_counts_are_those_of_the_last_epochs_validation(self, trained: Path) -> None:
        for record in read_state(trained, "tiny").records_and_replicates:
            if record.outcome is not Outcome.COMPLETE:
                continue
            first, last = record.epochs
            assert first.val_confusion is None
            assert last.val_confusion is not None
            total = sum(map(sum, last.val_confusion))
            right = sum(last.val_confusion[k][k] for k in range(10))
            assert right / total == last.metrics["val_accuracy"]

    def test_two_runs_are_compared_by_class_on_the_same_validation_images(self, trained: Path, cli: Cli) -> None:
        assert "val acc % of" in cli("compare", "tiny-000", "tiny-001", "--runs", trained).stdout
