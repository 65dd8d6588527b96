"""Evaluation of a training function on its sealed test part: `def test(trial, **config)`."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sweep_fakes import Cli, write_yaml

import sweeps
from cifar_core.common.errors import CheckpointError, ModelError
from sweeps.core.results import TestResult
from sweeps.core.task import AnyTask
from sweeps.record.reader import MlflowReader
from sweeps.tasks.registry import task_named

MODULE = """
def data():
    return {"train": [1.0, 2.0], "test": [4.0]}

def train(trial, *, rate: float = 0.1, depth: tuple[int, int] = (1, 2), epochs: int = 3):
    (trial.folder / "own").write_text(str(rate))
    for epoch in range(trial.epoch, epochs):
        trial.save({"epoch": epoch + 1})
        yield {"val_loss": rate + trial.seed / 100 + 1 / (epoch + 1)}

def test(trial, **config):
    own = float((trial.folder / "own").read_text())
    rmse = trial.load()["epoch"] * sum(trial.data["test"]) + own + config["epochs"]
    return {"rmse": rmse, "test_depth": config["depth"][1]}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("sealed", None)


def write(project: Path, text: str = MODULE) -> AnyTask:
    (project / "sealed.py").write_text(text, encoding="utf-8")
    return task_named("sealed:train")


def measured(task: AnyTask, folder: Path, *, saved_epochs: tuple[int, ...] = (2, 3)) -> TestResult:
    """Train a run, keep its checkpoints after some epochs, and measure it."""
    config = task.config_type.model_validate({"train": task.name})
    parts = task.load_parts([config])
    training = task.start(config, parts[None], device="cpu")
    training.use_folders(folder / "files", folder / "artifacts")
    for result in training.epochs(on_step=lambda loss: None):
        if result.epoch in saved_epochs:
            training.save(folder / "state.pt")
        if result.epoch == config.epochs:
            break
    return task.measure(folder / "state.pt", task.load_test(config), device="auto", part_of=lambda config: parts[None])


def test_a_complete_run_is_evaluated_with_its_state_files_and_arguments(project: Path) -> None:
    result = measured(write(project), project / "run")

    assert result.numbers == {"test_rmse": pytest.approx(3 * 4.0 + 0.1 + 3), "test_depth": 2.0}
    assert (result.accuracy, dict(result.recorded)) == (None, dict(result.numbers))


@pytest.mark.parametrize("saved_epochs", [(1, 2), (2,)], ids=["the last is missing", "one"])
def test_a_run_with_a_damaged_last_checkpoint_is_trained_again(project: Path, saved_epochs: tuple[int, ...]) -> None:
    assert measured(write(project), project / "run", saved_epochs=saved_epochs).numbers["test_rmse"] == 15.1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('return {"rmse"', 'return [1]; {"rmse"', r"sealed:test returned \[1\]. Return a dictionary"),
        ('{"rmse": rmse', '{"rm@se": rmse', "a number called 'rm@se'"),
        ('"rmse": rmse', '"rmse": "x", "b": rmse', "rmse='x', which is not a number"),
        ('"rmse": rmse', '"rmse": float("nan"), "b": rmse', "Return a finite number"),
        ('"rmse": rmse', '"accuracy": 93.0, "b": rmse', "Return a share from 0 to 1"),
        ('"val_loss": rate', '"test_rmse": rate', "a number called 'rmse'"),
    ],
)
def test_wrong_numbers_of_a_test_are_refused(project: Path, old: str, new: str, said: str) -> None:
    with pytest.raises(ModelError, match=said):
        measured(write(project, MODULE.replace(old, new)), project / "run")


def test_an_earlier_state_than_that_of_the_last_epoch_is_not_evaluated(project: Path) -> None:
    once = MODULE.replace("        trial.save(", "        if epoch == 0: trial.save(")

    with pytest.raises(CheckpointError, match=r"after epoch 1 of 3\. Call trial.save in the last epoch"):
        measured(write(project, once), project / "run")


@pytest.mark.parametrize("signature", ["def test(model, loader):", "def other(trial):"])
def test_a_function_for_another_purpose_is_no_evaluation(project: Path, signature: str) -> None:
    task = write(project, MODULE.replace("def test(trial, **config):", signature))

    fault = task.test_fault(task.config_type.model_validate({"train": task.name}))

    assert fault is not None
    assert fault.startswith("sealed has no function `test(trial, **config)` that evaluates a complete run. Add it")


def test_confirmed_runs_of_a_function_are_evaluated_once(project: Path, cli: Cli) -> None:
    write(project, MODULE.replace("def test", "def tset"))
    content: dict[str, Any] = {
        "name": "sealed",
        "method": "grid",
        "train": "sealed:train",
        "metric": {"name": "val_loss", "goal": "minimize"},
        "parameters": {"rate": {"values": [0.1, 0.2]}},
        "replicates": {"top": 1, "seeds": 2},
    }
    file = write_yaml(project, content)
    run = ("run", file, "--backend", "inline", "--no-report", "--runs")
    assert cli(*run, "other").exit_code == 0

    refused = cli("finalize", "sealed", "--runs", "other")

    assert refused.exit_code == 2
    assert "cannot be evaluated on a test part: sealed has no function `test(trial, **config)`" in refused.stderr
    assert not Path("other/test_looks.jsonl").exists()
    write(project)
    assert cli(*run, "runs").exit_code == 0
    first, again = (sweeps.finalize("sealed", runs="runs") for _ in range(2))
    row = first.configurations.iloc[0]
    assert (first.measured, again.measured, row["runs"], row["test_depth"]) == (2, 0, 2, 2.0)
    assert row["test_rmse"] == pytest.approx(15.1)
    assert row["val_loss"] == pytest.approx(0.1 + 0.015 + 1 / 3)
    assert "test_rmse" in repr(first)
    assert len(json.loads(Path("runs/test_looks.jsonl").read_text(encoding="utf-8"))["runs"]) == 2
    recorded = [run.metrics.get("test_rmse") for run in MlflowReader(Path("runs")).complete_runs().values()]
    assert sorted(map(str, recorded)) == [*map(str, [row["test_rmse"]] * 2), "None", "None"]
    assert cli("doctor", "--runs", "runs").exit_code == 0
