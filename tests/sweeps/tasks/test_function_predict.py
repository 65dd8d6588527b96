"""Predictions of a complete run of a training function: `def predict(trial, inputs, **config)`."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweep_fakes import Cli, write_yaml

MODULE = """
import numpy as np

def data():
    return {"train": [1.0], "test": [2.0]}

def train(trial, *, rate: float = 0.1, epochs: int = 2):
    (trial.folder / "own").write_text("7")
    for epoch in range(trial.epoch, epochs):
        trial.save(epoch + 1)
        yield {"val_loss": rate}

def predict(trial, inputs, rate, epochs):
    own = int((trial.folder / "own").read_text())
    return [{"sum": np.float64(float(each) + trial.load() + own + rate), "epochs": epochs} for each in inputs]
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("predicts", None)


def trained(project: Path, cli: Cli, text: str = MODULE) -> None:
    (project / "predicts.py").write_text(text, encoding="utf-8")
    content = {
        "name": "own",
        "method": "grid",
        "train": "predicts:train",
        "metric": {"name": "val_loss", "goal": "minimize"},
        "parameters": {"rate": {"values": [0.5]}},
    }
    result = cli("run", write_yaml(project, content), "--backend", "inline", "--runs", "runs", "--no-report")
    assert result.exit_code == 0, result.output


def test_a_run_predicts_with_its_last_state_files_and_arguments(project: Path, cli: Cli) -> None:
    trained(project, cli)

    table = cli("predict", "own", "1", "2", "--runs", "runs")
    as_json = cli("predict", "own-000", "1", "--json", "--runs", "runs")
    assert cli("predict", "own", "1", "--csv", "out.csv", "--runs", "runs").exit_code == 0

    assert table.exit_code == 0, table.output
    assert [line.split() for line in table.stdout.splitlines()] == [
        ["input", "sum", "epochs"], ["1", "10.5", "2"], ["2", "11.5", "2"], ["by", "own-000"]
    ]  # fmt: skip
    assert json.loads(as_json.stdout) == [{"input": "1", "sum": 10.5, "epochs": 2}]
    lines = Path("out.csv").read_text(encoding="utf-8").splitlines()
    assert list(csv.DictReader(lines)) == [{"input": "1", "sum": "10.5", "epochs": "2"}]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return [1]", "returned 1 predictions for 2 inputs"),
        ("return {'a': 1}", "Return a list with one prediction for each of `inputs`"),
        ("return [int('x')]", "the predict function of predicts:train failed:\n  File "),
        ("return trial.data['train']", "predict has no trial.data. Save what it needs"),
    ],
)
def test_wrong_predictions_are_one_error(project: Path, cli: Cli, body: str, said: str) -> None:
    trained(project, cli, MODULE.partition("def predict")[0] + f"def predict(trial, inputs, **config):\n    {body}\n")

    result = cli("predict", "own", "1", "2", "--runs", "runs")

    assert (result.exit_code, result.stdout) == (2, "")
    assert said in result.stderr


def test_verbs_for_networks_name_the_function_and_its_alternative(project: Path, cli: Cli) -> None:
    trained(project, cli, MODULE.partition("def predict")[0])

    for verb in (["export", "own", "--format", "onnx"], ["inspect", "mistakes", "own"], ["inspect", "summary", "own"]):
        result = cli(*verb, "--runs", "runs")
        assert result.exit_code == 2, result.output
        assert "trained by predicts:train, and this command is for networks" in result.stderr
        assert "trial.log_artifact" in result.stderr
    without = cli("predict", "own", "1", "--runs", "runs")
    options = cli("predict", "own", "1", "--top", "2", "--runs", "runs")

    assert "predicts has no function `predict(trial, inputs, **config)`" in without.stderr
    assert "--top and --labels are for networks" in options.stderr
    assert (without.exit_code, options.exit_code) == (2, 2)
