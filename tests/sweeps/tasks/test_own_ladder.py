"""Ladders, ablations and retrained runs of a training function and of a program, compared by their metric."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sweep_fakes import Cli, write_yaml

import sweeps
from sweeps.core.errors import SpecError
from sweeps.files.ladder_file import load_ladder
from sweeps.record.reader import MlflowReader

FUNCTION = """
import random

def train(trial, *, rate: float, depth: int = 1, epochs: int = 4):
    for epoch in range(trial.epoch, epochs):
        trial.save(None)
        yield {"val_loss": 1000 * rate / depth / (epoch + 1) + random.Random(f"{trial.seed} {rate}").random()}
"""
PROGRAM = """
import argparse, random, os, sweeps
parser = argparse.ArgumentParser()
parser.add_argument("--rate", type=float, default=0.5)
parser.add_argument("--depth", type=int, default=1)
parser.add_argument("--epochs", type=int, default=4)
given = parser.parse_args()
for epoch in range(given.epochs):
    noise = random.Random(os.environ["SWEEPS_SEED"] + str(given.rate)).random()
    sweeps.report(val_loss=1000 * given.rate / given.depth / (epoch + 1) + noise)
"""
RUNGS = [{"name": "start"}, {"name": "slower", "rate": 0.3}, {"name": "worse", "rate": 0.9}]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "steps_of.py").write_text(FUNCTION, encoding="utf-8")
    (tmp_path / "train.py").write_text(PROGRAM, encoding="utf-8")
    yield tmp_path
    sys.modules.pop("steps_of", None)


def ladder(**changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": "steps",
        "train": "steps_of:train",
        "metric": {"name": "val_loss", "goal": "minimize"},
        "seeds": 3,
        "base": {"rate": 0.5},
        "rungs": RUNGS,
    }
    return {key: value for key, value in (content | changes).items() if value is not None}


CODES = {"function": {}, "program": {"train": None, "program": "train.py"}}
INLINE = ("--backend", "inline", "--runs", "runs")


@pytest.mark.parametrize("code", CODES)
def test_rungs_are_compared_by_the_metric_and_its_goal(project: Path, cli: Cli, code: str) -> None:
    file = write_yaml(project, ladder(**CODES[code]))
    assert "compared by val_loss after the last epoch (lower is better)" in cli("plan", file).stdout

    result = cli("ladder", file, *INLINE)

    assert result.exit_code == 0, result.output
    steps = sweeps.ladder(file, runs="runs", backend="inline").steps.set_index("rung")
    assert list(steps["finding"]) == ["start", "better", "worse"]
    assert list(steps["metric"]) == ["val_loss"] * 3
    assert steps["difference"]["slower"] == pytest.approx(-50, abs=1)
    assert re.search(r"-(49|50)\.\d+ val_loss, significant at the 5 % level \(paired t over 3 seeds\)", result.stdout)
    assert "params M" not in result.stdout
    (rows,) = [list(csv.DictReader(path.open(encoding="utf-8"))) for path in Path("runs").rglob("ladder.csv")]
    assert [float(row["val_loss"]) for row in rows] == pytest.approx(list(steps["value"]), rel=1e-3)
    assert float(rows[1]["difference"]) == pytest.approx(-50, abs=1)
    board = sweeps.leaderboard("steps", runs="runs")
    assert list(board["rung"]) == ["slower", "start", "worse"]
    assert list(board["measured_on"].unique()) == ["metric"]
    assert cli("report", "steps", "--runs", "runs").exit_code == 0
    assert "The lowest mean is that of slower with val_loss" in Path("runs/reports/steps.html").read_text("utf-8")


@pytest.mark.parametrize("code", CODES)
def test_a_run_is_ablated_and_trained_longer(project: Path, cli: Cli, code: str) -> None:
    sweep = {
        "name": "search",
        "method": "grid",
        "train": "steps_of:train",
        "metric": {"name": "val_loss", "goal": "minimize"},
        "base": {"depth": 2, "epochs": 3},
        "parameters": {"rate": {"values": [0.3]}},
    } | CODES[code]
    file = write_yaml(project, {key: value for key, value in sweep.items() if value is not None})
    assert cli("run", file, *INLINE, "--no-report").exit_code == 0

    ablated = cli("ablate", "search-000", "--seeds", 1, *INLINE)
    longer = cli("retrain", "search-000", "--epochs", 6, *INLINE)
    again = cli("retrain", "search-000", "--epochs", 6, *INLINE)

    assert ablated.exit_code == 0, ablated.output
    depth = "depth 2 → 1" if code == "function" else "depth 2 → unset"
    assert f"from whole: {depth}" in ablated.stdout
    assert ("without-rate" in ablated.stdout) == (code == "program"), "a required keyword has no default"
    assert "without-epochs" not in ablated.stdout
    assert longer.exit_code == 0, longer.output
    assert "Nothing to train" in again.stdout
    (run,) = sweeps.leaderboard("retrained-search", runs="runs")["run_id"]
    assert len(MlflowReader(Path("runs")).curve(run)) == 6
    refused = cli("retrain", "search-000", "--train-size", 500, *INLINE)
    assert (refused.exit_code, "is for networks" in refused.stderr) == (2, True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"metric": None}, "metric: required for steps_of:train"),
        ({"evaluate": "validation"}, "evaluate: is for networks. The rungs of steps_of:train are compared by metric"),
        ({"scale": {"lr": 2.0}}, "scale.lr: is for networks"),
        ({"base": {}}, "rungs[0].rate: required by steps_of:train"),
        ({"rungs": [{"name": "a", "ratte": 1}]}, "unknown key 'ratte': did you mean 'rate'?"),
        ({"train": None}, "metric: needs train or program"),
        ({"metric": {"name": "val_loss", "target": 1}}, "metric.target: has no effect in a ladder"),
        ({"program": "train.py"}, "program: cannot be combined with train"),
        ({"train": None, "program": "trian.py"}, "program: there is no file 'trian.py'"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_wrong_ladder_of_a_function_is_refused_by_key(project: Path, changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SpecError) as refused:
        load_ladder(write_yaml(project, ladder(**changes)))

    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        (["--train-size", "500"], "--train-size is for networks"),
        (["--final"], "compares a training of your own by its metric"),
        (["--epochs-scale", "0.5"], "--epochs-scale needs the number of results"),
    ],
)
def test_a_budget_without_effect_is_refused(project: Path, cli: Cli, option: list[str], said: str) -> None:
    result = cli("ladder", write_yaml(project, ladder(**CODES["program"])), *option, *INLINE)

    assert (result.exit_code, said in result.stderr) == (2, True), result.output
