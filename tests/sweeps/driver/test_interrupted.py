"""A signal during a run from Python: epochs are saved, KeyboardInterrupt is raised, and the same call resumes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from sweep_fakes import TINY, write_yaml

import sweeps
from sweeps.core.trial import TrialMessage
from sweeps.driver.options import RunSummary
from sweeps.record import timeouts
from sweeps.worker.session import TrialSession

StopAt = Callable[[int], None]


@pytest.fixture
def stop_at(monkeypatch: pytest.MonkeyPatch) -> StopAt:
    """Send this process a signal at the start of an epoch, as Jupyter's Stop does."""

    def stop(epoch: int, *, number: signal.Signals = signal.SIGINT) -> None:
        step, begun = TrialSession.step, 0

        def counting(session: TrialSession) -> TrialMessage:
            nonlocal begun
            begun += 1
            if begun == epoch:
                os.kill(os.getpid(), number)
            return step(session)

        monkeypatch.setattr(TrialSession, "step", counting)

    return stop


@pytest.mark.slow
def test_jupyters_stop_raises_keyboard_interrupt_and_the_same_cell_resumes(tmp_path: Path, recorded_runs: Path) -> None:
    write_yaml(tmp_path, TINY)
    cell = """
import os, signal, sweeps
from sweeps.worker.session import TrialSession

step, begun = TrialSession.step, 0

def counting(session):
    global begun
    begun += 1
    if begun == 3:
        os.kill(os.getpid(), signal.SIGINT)
    return step(session)

TrialSession.step = counting
sweep = sweeps.Sweep.from_file("sweep.yaml")
for attempt in range(2):
    try:
        result = sweep.run(backend="inline")
    except KeyboardInterrupt as stop:
        print("stopped:", stop)
        print(sweep)
print("trained again:", result.summary.trained)
print(sweep)
"""
    environment = {name: value for name, value in os.environ.items() if name != "MLFLOW_TRACKING_URI"}
    done = subprocess.run(
        [sys.executable, "-c", cell], cwd=tmp_path, capture_output=True, text=True, env=environment, check=True
    )

    first, _, second = done.stdout.partition("trained again: 1")
    assert "stopped: 1 trial ended, 1 interrupted." in first
    assert "tiny: interrupted after 1 of 2 started trials" in first, "the sweep itself says so"
    assert "tiny: 2 trials done" in second


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP], ids=lambda number: number.name)
def test_sigterm_and_sighup_are_interrupts(
    tmp_path: Path, recorded_runs: Path, stop_at: Callable[..., None], number: signal.Signals
) -> None:
    sweep = sweeps.Sweep.from_file(write_yaml(tmp_path, TINY), overrides=["run_cap=1"])
    stop_at(1, number=number)

    before = signal.signal(number, signal.SIG_DFL)  # SIGHUP that is ignored, as under nohup, stays ignored
    try:
        with pytest.raises(KeyboardInterrupt) as stopped:
            sweep.run(runs=recorded_runs, backend="inline")
    finally:
        signal.signal(number, before)

    assert isinstance(stopped.value, sweeps.Interrupted)
    assert [record.outcome for record in stopped.value.summary.records] == ["interrupted"]
    assert sweep.result is not None
    assert sweep.result.is_interrupted
    assert "interrupted after 0 of 1 started trial" in sweep.result._repr_html_()


def test_ladders_and_retrainings_are_interrupted_too(tmp_path: Path, recorded_runs: Path, stop_at: StopAt) -> None:
    base = TINY["base"] | {"data": {"train_size": 200}}
    ladder = sweeps.load_ladder(write_yaml(tmp_path, {"name": "steps", "base": base, "rungs": [{"name": "a"}]}))

    stop_at(1)
    with pytest.raises(sweeps.Interrupted, match="0 trials ended, 1 interrupted"):
        sweeps.run(ladder, runs=recorded_runs, backend="inline")
    summary = sweeps.run(ladder, runs=recorded_runs, backend="inline")
    assert [(record.outcome, len(record.epochs)) for record in summary.records] == [("complete", 2)]

    stop_at(1)
    with pytest.raises(sweeps.Interrupted, match="0 trials ended, 1 interrupted"):
        sweeps.retrain("steps/a", epochs=3, runs=recorded_runs, backend="inline")


def test_replicates_that_are_interrupted_leave_the_search_complete_and_are_resumed(
    tmp_path: Path, recorded_runs: Path, stop_at: StopAt
) -> None:
    path = write_yaml(tmp_path, TINY | {"run_cap": 1, "replicates": {"top": 1, "seeds": 2}})
    sweep = sweeps.Sweep.from_file(path)
    stop_at(5)

    with pytest.raises(sweeps.Interrupted, match="1 trial ended, 1 interrupted"):
        sweep.run(runs=recorded_runs, backend="inline")
    assert sweep.result is not None
    assert sweep.result.ending.startswith("tiny: interrupted after 1 of 2 started replicates")

    again = sweep.run(runs=recorded_runs, backend="inline").summary
    assert again.confirmed is not None
    assert (again.trained, again.confirmed.trained) == (0, 1)


@pytest.mark.parametrize("is_interrupted", [False, True])
def test_an_unreachable_record_hides_neither_result_nor_interrupt(
    is_interrupted: bool, tmp_path: Path, recorded_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = sweeps.Sweep.from_file(write_yaml(tmp_path, TINY), overrides=["run_cap=1"])
    monkeypatch.setattr(timeouts, "END_SECONDS", 1.0)
    step = TrialSession.step

    def breaking(session: TrialSession) -> TrialMessage:
        (recorded_runs / "mlflow.db").write_bytes(b"no database" * 1000)
        if is_interrupted:
            os.kill(os.getpid(), signal.SIGINT)
        return step(session)

    monkeypatch.setattr(TrialSession, "step", breaking)

    with pytest.raises(sweeps.Interrupted) if is_interrupted else contextlib.nullcontext():
        sweep.run(runs=recorded_runs, backend="inline")

    assert sweep.result is not None
    assert sweep.result.leaderboard.empty
    assert "rank" in sweep.result.leaderboard
    assert ("interrupted" if is_interrupted else "1 trial done") in sweep.result._repr_html_()
    assert "tiny" in str(sweep.result)


def test_ipython_shows_an_interrupt_in_one_line() -> None:
    stop = sweeps.Interrupted(RunSummary(records=(), trained=0, begun=0, reused=0, seconds=1.0, stopped_by="signal"))

    assert isinstance(stop, KeyboardInterrupt)
    assert stop._render_traceback_() == [f"Interrupted: {stop}"]
