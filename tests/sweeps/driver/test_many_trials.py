"""The driver's cost per trial does not depend on the number of earlier trials, except for a look at each paused one.

The cost is counted in executed lines of this project, which is independent of the machine's load. Training is a stub.
"""

from __future__ import annotations

import statistics
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from sweep_fakes import Cli, epoch, tiny, write_yaml

import sweeps
from sweeps.backends import inline as inline_backend
from sweeps.core.trial import Outcome, TrialMessage
from sweeps.tasks.registry import read_config

CODE = str(Path(sweeps.__file__).parent)
TRIALS = 80
SPACE = {
    "optimizer.lr": {"min": 0.001, "max": 0.3, "distribution": "log_uniform_values"},
    "data.batch_size": {"values": [32, 64, 128]},
}
GRID = {
    "optimizer.lr": {"min": 0.001, "max": 0.1, "q": 0.001, "distribution": "q_uniform"},
    "data.batch_size": {"values": [32, 64, 128]},
}


class LineCounter:
    """Counts the lines of this project that the driver's thread executes between the starts of two trials."""

    def __init__(self) -> None:
        self.of_trials: list[int] = []
        self._lines = 0

    def begins(self) -> None:
        self.of_trials.append(self._lines)
        self._lines = 0

    def __call__(self, frame: FrameType, event: str, argument: object) -> Any:
        return self._line if frame.f_code.co_filename.startswith(CODE) else None

    def _line(self, frame: FrameType, event: str, argument: object) -> Any:
        self._lines += event == "line"
        return self._line


@pytest.mark.slow
@pytest.mark.parametrize(
    ("lines", "method"),
    [
        # TPE receives each paused trial as a pruned one: a microsecond per trial.
        (6, {"method": "bayes", "parameters": SPACE, "early_terminate": {"type": "asha"}}),
        (0.25, {"method": "bayes", "parameters": SPACE, "early_terminate": {"type": "asha", "mode": "stop"}}),
        (0.25, {"method": "grid", "parameters": GRID, "keep": {"best": "all"}}),
    ],
    ids=["bayes", "bayes that stops", "grid"],
)
def test_the_last_trial_costs_the_driver_as_much_as_the_first(
    lines: float, method: dict[str, Any], cli: Cli, recorded_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counter = LineCounter()

    class Instant:
        """A trial with epochs of no duration. Each trial is better than all earlier ones."""

        def __init__(self, job: Any, splits: object, **options: Any) -> None:
            counter.begins()
            self._accuracy, self._of, self._epoch = job.number / 1000, read_config(job.config).epochs, 0

        def step(self) -> TrialMessage:
            self._epoch += 1
            done = Outcome.COMPLETE if self._epoch == self._of else None
            return TrialMessage(epoch=epoch(self._epoch, self._accuracy), outcome=done)

        def close(self) -> None:
            pass

    monkeypatch.setattr(inline_backend, "TrialSession", Instant)
    file = write_yaml(tmp_path, tiny(run_cap=TRIALS, **method))
    sys.settrace(counter)
    try:
        result = cli("run", file, "--runs", recorded_runs, "--backend", "inline")
    finally:
        sys.settrace(None)

    assert result.exit_code == 0
    assert len(counter.of_trials) == TRIALS
    # Skip the first trials: only then the three best weights exist.
    early, late = counter.of_trials[20:30], counter.of_trials[-10:]
    assert statistics.median(late) < statistics.median(early) + lines * TRIALS
