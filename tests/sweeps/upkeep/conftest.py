"""Intact runs folders, of which each test damages a copy."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from sweep_fakes import Cli, Doctor, MadeOnce, Record, tiny, write_yaml, written

from sweeps.use.winner import log_winner


@pytest.fixture(scope="module", autouse=True)
def _no_trial_trains(instant_training: None) -> None:
    """See there."""


@pytest.fixture(scope="session")
def whole_sweep() -> dict[str, Any]:
    """Content of the sweep file of `whole`."""
    return tiny(
        base=tiny()["base"] | {"epochs": 3, "data": tiny()["base"]["data"] | {"train_size": 2000}},
        method="grid",
        run_cap=None,
        parameters={"optimizer.lr": {"values": [0.05, 0.01, 1e-7, 1e-8, 1e-9, 1e18]}},
        early_terminate={"type": "asha", "min_epochs": 1, "reduction_factor": 2},
        replicates={"top": 1, "seeds": 2},
    )


@pytest.fixture(scope="session")
def whole(made_once: MadeOnce, record: Record, whole_sweep: dict[str, Any]) -> Path:
    """The runs folder of a search with replicates, with pruned trials and a diverged one."""

    def make(folder: Path) -> None:
        runs = record(folder, ["run", write_yaml(folder, whole_sweep), "--backend", "inline"], weights=True)
        log_winner("tiny", runs=runs)
        assert any("logged_model" in run.tags for run in written(runs)), "the winner is a model in MLflow"

    return made_once("whole", make) / "runs"


@pytest.fixture
def runs(whole: Path, tmp_path: Path) -> Path:
    """A copy of `whole`."""
    shutil.copytree(whole, tmp_path / "runs")
    return tmp_path / "runs"


@pytest.fixture
def doctor(cli: Cli) -> Doctor:
    """Run the doctor; return verdict → lines, and the exit code under `exit`."""

    def run(runs: Path, *options: str) -> dict[str, list[str]]:
        result = cli("doctor", "--runs", runs, *options)
        said: dict[str, list[str]] = {"ok": [], "note": [], "problem": [], "repaired": []}
        for line in result.stdout.splitlines():
            verdict, text = line.split(maxsplit=1)
            said[verdict].append(text)
        assert result.exit_code == bool(said["problem"]), result.output
        return said

    return run
