"""A training function of the user's own runs as networks do: searched, resumed, confirmed, shown, run again."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sweep_fakes import Cli, write_yaml

import sweeps
from sweeps.core.errors import SpecError
from sweeps.files.sweep import load_spec
from sweeps.record.reader import MlflowReader

FORMULA = Path(__file__).parent / "formula.py"


def spec(**changes: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "name": "curve",
        "method": "random",
        "run_cap": 4,
        "train": "formula:train",
        "metric": {"name": "val_loss", "goal": "minimize"},
        "parameters": {
            "rate": {"min": 0.001, "max": 1.0, "distribution": "log_uniform_values"},
            "depth": {"values": [1, 2, 3]},
        },
    }
    return content | changes


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a training function, in which a person stands."""
    shutil.copy(FORMULA, tmp_path / "formula.py")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("formula", None)


def test_a_search_over_a_function_is_trained_ranked_and_shown(project: Path, cli: Cli) -> None:
    file = write_yaml(project, spec())

    result = cli("run", file, "--backend", "inline", "--runs", "runs")

    assert result.exit_code == 0, result.output
    board = sweeps.leaderboard("curve", runs="runs")
    assert list(board["rank"]) == [1, 2, 3, 4]
    assert list(board["metric_value"]) == sorted(board["metric_value"])
    assert {"rate", "depth"} <= set(board.columns)
    run = board["run_id"].iloc[0]
    assert [epoch.epoch for epoch in MlflowReader(Path("runs")).curve(run)] == [1, 2, 3, 4]
    shown = cli("show", "curve-000", "--runs", "runs")
    assert "score" in shown.stdout
    assert cli("status", "curve", "--runs", "runs").exit_code == 0
    assert cli("report", "curve", "--runs", "runs").exit_code == 0
    assert cli("doctor", "--runs", "runs").exit_code == 0


def test_a_function_is_planned_replicated_and_rerun_but_not_ablated(project: Path, cli: Cli) -> None:
    file = write_yaml(project, spec())
    assert cli("plan", file).exit_code == 0
    assert cli("run", file, "--backend", "inline", "--runs", "runs").exit_code == 0

    replicated = cli("replicate", "curve", "--top", 2, "--seeds", 2, "--backend", "inline", "--runs", "runs")
    again = cli("rerun", "curve-001", "--runs", "runs")
    ablated = cli("ablate", "curve-001", "--runs", "runs")
    retrained = cli("retrain", "curve-001", "--epochs", 8, "--runs", "runs")

    assert replicated.exit_code == 0, replicated.output
    assert "bit for bit" in again.stdout, again.output
    assert (ablated.exit_code, retrained.exit_code) == (2, 2)
    assert "is for networks" in ablated.stderr
    assert "is for networks" in retrained.stderr


def test_a_function_that_is_killed_resumes_after_the_epoch_that_it_saved(project: Path, cli: Cli) -> None:
    source = FORMULA.read_text(encoding="utf-8")
    dies = "        if trial.epoch == 0 and _ == 2:\n            os.kill(os.getpid(), 9)\n"
    dying = source.replace("        yield {", f"{dies}        yield {{")
    (project / "formula.py").write_text(dying.replace("import math\n", "import math\nimport os\n"), encoding="utf-8")
    file = write_yaml(project, spec(run_cap=1))
    code = "from sweeps.cli.main import main; main()"
    command = [sys.executable, "-c", code, "run", str(file), "--backend", "inline", "--runs", "runs"]

    first = subprocess.run(command, capture_output=True, text=True, check=False)
    second = subprocess.run(command, capture_output=True, text=True, check=False)

    assert first.returncode != 0
    assert second.returncode == 0, second.stdout + second.stderr
    (log,) = Path("runs/sweeps/curve/logs").iterdir()
    assert "going on after epoch 2" in log.read_text(encoding="utf-8")


def test_no_torch_is_loaded_for_a_function(project: Path) -> None:
    file = write_yaml(project, spec(run_cap=1))
    code = (
        "import sys, sweeps; from sweeps.cli.main import sweeps as cli\n"
        f"cli(['run', {str(file)!r}, '--backend', 'inline', '--runs', 'runs'], standalone_mode=False)\n"
        "print('torch' in sys.modules)"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert said.stdout.splitlines()[-1] == "False"


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": "formula:trian"}, "did you mean 'train'"),
        ({"train": "nowhere:train"}, "there is no module 'nowhere'"),
        ({"parameters": {"ratte": {"values": [1]}}}, "did you mean 'rate'"),
        ({"parameters": {"depth": {"values": [1]}}}, "parameters.rate: formula:train needs it"),
        ({"parameters": {"rate": {"values": ["high"]}}}, "should be a number"),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value)[:20],
)
def test_a_wrong_file_of_a_function_is_refused_before_anything_runs(
    project: Path, changes: dict[str, Any], said: str
) -> None:
    file = write_yaml(project, spec(**changes))

    with pytest.raises(SpecError) as refused:
        load_spec(file)

    assert said in str(refused.value)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("yield {'val_loss': float('nan')}", "diverged"),
        ("yield 3", "yield a dictionary"),
        ("yield {'val_loss': 1.0}", "of 4 that `epochs` says"),
        ("return 3", "returned a int"),
        ("yield {'val_los': 1.0}", "did you mean 'val_los'"),
    ],
)
def test_what_a_function_yields_wrongly_is_said(project: Path, cli: Cli, body: str, said: str) -> None:
    text = f"def train(trial, *, rate: float, depth: int = 2, epochs: int = 4):\n    {body}\n"
    (project / "formula.py").write_text(text, encoding="utf-8")
    file = write_yaml(project, spec(run_cap=1))

    result = cli("run", file, "--backend", "inline", "--runs", "runs")

    (log,) = Path("runs/sweeps/curve/logs").iterdir()
    assert said in result.output + log.read_text(encoding="utf-8")
