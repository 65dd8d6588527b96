"""A minimal task is searched, pruned, resumed, replicated, ranked, shown and reported like the others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from curve_task import CurveTask
from sweep_fakes import Cli, write_yaml

import sweeps
from sweeps.tasks import registry

SPEC: dict[str, Any] = {
    "name": "curves",
    "method": "random",
    "run_cap": 8,
    "train": "curve",
    "metric": {"name": "loss", "goal": "minimize"},
    "early_terminate": {"type": "asha", "min_epochs": 1, "reduction_factor": 2},
    "base": {"epochs": 4},
    "parameters": {"rate": {"min": 0.001, "max": 1.0, "distribution": "log_uniform_values"}},
    "replicates": {"top": 2, "seeds": 2},
}


@pytest.fixture(autouse=True)
def _registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.TASKS, "curve", CurveTask())


def test_a_sweep_of_it_is_searched_stopped_early_replicated_and_ranked(tmp_path: Path, cli: Cli) -> None:
    runs = tmp_path / "runs"

    result = cli("run", write_yaml(tmp_path, SPEC), "--backend", "inline", "--runs", runs)

    assert result.exit_code == 0, result.output
    board = sweeps.leaderboard("curves", runs=runs)
    assert set(board["status"]) == {"complete", "pruned"}
    assert board["metric_value"].iloc[0] == board.loc[board["replicates"].notna(), "metric_value"].min()
    for command in (["report", "curves"], ["show", "curves-000"], ["status", "curves"], ["doctor"], ["gc"]):
        assert cli(*command, "--runs", runs).exit_code == 0, command
    assert "bit for bit" in cli("rerun", "curves-000", "--runs", runs).stdout


def test_an_unknown_task_is_an_error_before_the_start(tmp_path: Path, cli: Cli) -> None:
    result = cli("run", write_yaml(tmp_path, SPEC | {"train": "curves"}), "--runs", tmp_path / "runs")

    assert result.exit_code == 2
    assert "'curves' is not a training function. Write 'module:function'" in result.output
    assert not (tmp_path / "runs").exists()
