"""The wall: a search is planned, run, confirmed, shown and tidied up where torch is not installed."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from sweep_fakes import TINY, write_yaml, written

HERE = Path(__file__).parent
SEARCH: dict[str, Any] = {
    "method": "random",
    "run_cap": 4,
    "early_terminate": {"type": "asha", "min_epochs": 1, "reduction_factor": 2},
    "replicates": {"top": 1, "seeds": 2},
}
IMAGES: dict[str, Any] = {
    "name": "images",
    "base": TINY["base"] | {"epochs": 4},
    "parameters": {"optimizer.lr": {"min": 0.001, "max": 0.1}},
}
FUNCTION: dict[str, Any] = {
    "name": "curve",
    "train": "formula:train",
    "metric": {"name": "val_loss", "goal": "minimize"},
    "parameters": {"rate": {"min": 0.001, "max": 1.0}, "depth": {"values": [1, 2, 3]}},
}
VERBS = [
    verb.format(name)
    for name in ("images", "curve")
    for verb in (
        "run {0}.yaml --backend inline --report",
        "leaderboard {0}",
        "show {0}-000",
        "status {0}",
        "effects {0}",
        "doctor",
        "gc --yes",
    )
]
NO_TORCH = "import traceback; traceback.print_stack(); raise ImportError('torch is imported')"
"""In the place of torch: what tries to import it is seen on standard error, also where it goes on without."""
CODE = f"""
import pytest
from instant_training import train_instantly
from sweeps.cli.main import sweeps
train_instantly(pytest.MonkeyPatch())
for verb in {VERBS!r}:
    assert not sweeps([*verb.split(), "--runs", "runs"], standalone_mode=False), verb
"""


def test_searches_run_from_start_to_end_without_torch(
    tmp_path: Path, recorded_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "torch.py").write_text(NO_TORCH, encoding="utf-8")
    for task in (IMAGES, FUNCTION):
        write_yaml(tmp_path, SEARCH | task, name=f"{task['name']}.yaml")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(map(str, (HERE, HERE / "tasks", HERE.parents[1]))))

    process = subprocess.run([sys.executable, "-c", CODE], cwd=tmp_path, capture_output=True, text=True, check=False)

    assert process.returncode == 0, process.stdout + process.stderr
    assert "torch" not in process.stderr
    for name in ("images", "curve"):
        ends = [run.tags["outcome"] for run in written(recorded_runs, sweep=name)]
        assert sorted({*ends}) == ["complete", "pruned"]
        assert len(ends) == 4 + 2, "each trial, and the best one under two other seeds"
        assert (recorded_runs / "reports" / f"{name}.html").is_file()
