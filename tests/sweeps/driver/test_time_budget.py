"""Sweeps with a time budget, really run: what is complete and confirmed at its end, and what a kill keeps."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sweep_fakes import Cli, sweeps_process, write_yaml

from sweeps.backends.inline import InlineBackend
from sweeps.core.errors import SweepError
from sweeps.core.trial import Outcome
from sweeps.driver.time_budget import ENDED, SPENT
from sweeps.search.confirming import LikelyReplicates
from sweeps.search.opening import read_study
from sweeps.search.replicates import candidates_to_confirm
from sweeps.search.state import read_state
from sweeps.store.folder import SweepFolder

SLEEPER = """
import time

def train(trial, *, rate: float, epochs: int = 4):
    for epoch in range(trial.epoch, epochs):
        time.sleep(0.1)
        trial.save(epoch)
        yield {"val_loss": abs(rate - 0.3) + 0.1 / (epoch + 1) + 0.01 * trial.seed}
"""
SWEEP: dict[str, Any] = {
    "name": "timed",
    "train": "sleeper:train",
    "metric": {"name": "val_loss", "goal": "minimize"},
    "early_terminate": {"type": "asha", "reduction_factor": 2},
    "replicates": {"top": 1, "seeds": 2},
    "base": {"epochs": 4},
    "parameters": {"rate": {"min": 0.0, "max": 1.0}},
}


def write(folder: Path, **changes: Any) -> Path:
    (folder / "sleeper.py").write_text(SLEEPER, encoding="utf-8")
    return write_yaml(folder, SWEEP | changes, name="timed.yaml")


def start(runs: Path, folder: Path, *arguments: str, **changes: Any) -> Any:
    return sweeps_process("run", write(folder, **changes), "--runs", runs, *arguments, cwd=folder)


@pytest.fixture
def runs(recorded_runs: Path) -> Path:
    return recorded_runs


def spent(runs: Path) -> float:
    return float(read_study(SweepFolder(runs, "timed")).user_attrs.get(SPENT, 0.0))


def check_confirmed(runs: Path) -> None:
    state = read_state(runs, "timed")
    [best, *_] = candidates_to_confirm(state.records, metric=_metric(), top=1)
    seeds = {r.config.seed for r in state.replicates if r.replicate_of == best.trial and r.outcome is Outcome.COMPLETE}
    assert best.outcome is Outcome.COMPLETE
    assert len(seeds) == 2
    assert len(state.records) > 4


def _metric() -> Any:
    from sweeps.files.settings import Metric

    return Metric(name="val_loss", goal="minimize")


@pytest.fixture
def inline(tmp_path: Path, runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Return a function that runs the sweep in this process."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)  # type: ignore[no-untyped-call]

    def run(**changes: Any) -> Any:
        return cli("run", write(tmp_path, **changes), "--runs", runs, "--backend", "inline")

    return run


@pytest.mark.slow
def test_at_the_end_the_best_is_complete_and_confirmed(runs: Path, inline: Callable[..., Any]) -> None:
    began = time.monotonic()
    result = inline(budget="20s")

    assert result.exit_code == 0, result.output
    assert time.monotonic() - began < 40  # on a loaded machine
    assert "of the time budget of 20 s spent" in result.stdout
    assert "under 2 of 2 new seeds" in result.stdout
    check_confirmed(runs)
    again = inline(budget="20s")
    assert "To continue the search, raise budget" in again.stdout
    before = len(read_state(runs, "timed").records)
    more = inline(budget="32s")
    assert more.exit_code == 0, more.output
    assert len(read_state(runs, "timed").records) > before
    study = read_study(SweepFolder(runs, "timed"))
    assert study.user_attrs[ENDED] == 32
    assert 20 < study.user_attrs[SPENT] < 38


@pytest.mark.slow
def test_a_killed_driver_keeps_the_time_that_it_spent(tmp_path: Path, runs: Path) -> None:
    process = start(runs, tmp_path, "--backend", "inline", budget="30s")
    limit = time.monotonic() + 60
    while "budget_spent" not in _journal(runs) and time.monotonic() < limit:
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    before = spent(runs)
    assert 5 <= before < 30

    resumed = start(runs, tmp_path, "--backend", "inline", budget="30s")
    output, _ = resumed.communicate(timeout=120)

    assert resumed.returncode == 0, output
    assert before < spent(runs) <= 32
    check_confirmed(runs)


def _journal(runs: Path) -> str:
    path = runs / "sweeps" / "timed" / "journal.log"
    return path.read_text(encoding="utf-8") if path.exists() else ""


@pytest.mark.slow
def test_under_ray_replicates_are_trained_in_the_same_start(tmp_path: Path, runs: Path) -> None:
    process = start(runs, tmp_path, budget="90s")
    output, _ = process.communicate(timeout=240)

    assert process.returncode == 0, output
    check_confirmed(runs)
    assert spent(runs) < 95
    assert {record.outcome for record in read_state(runs, "timed").replicates} == {Outcome.COMPLETE}


def test_an_error_does_not_use_up_the_budget(
    runs: Path, inline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: InlineBackend, *arguments: object, **options: object) -> None:
        raise SweepError("Ray cannot be reached")

    monkeypatch.setattr(InlineBackend, "train", fail)

    result = inline(budget="20s")

    assert result.exit_code == 2
    study = read_study(SweepFolder(runs, "timed"))
    assert ENDED not in study.user_attrs
    assert study.user_attrs[SPENT] < 20


def test_replicates_that_are_missing_at_a_start_are_trained(
    runs: Path, inline: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(LikelyReplicates, "_next", lambda self: None)
        assert inline(budget="90s", run_cap=5).exit_code == 0
    assert not read_state(runs, "timed").replicates

    assert inline(budget="90s", run_cap=5).exit_code == 0

    check_confirmed(runs)
    study = read_study(SweepFolder(runs, "timed"))
    assert ENDED not in study.user_attrs, "there is time for more trials"
    assert "Nothing to train" in inline(budget="90s", run_cap=5).output


def test_a_run_needs_a_number_of_trials_or_a_time(inline: Callable[..., Any]) -> None:
    result = inline()

    assert result.exit_code == 2
    assert "run_cap: 24, or a time, such as budget: 20m" in result.stderr
