"""A custom training function is searched, resumed, replicated, shown and rerun like a network."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from sweep_fakes import Cli, write_yaml

import sweeps
from sweeps.core.errors import SpecError
from sweeps.core.task import Training
from sweeps.files.sweep import load_spec
from sweeps.record.reader import MlflowReader
from sweeps.tasks.function_trial import Trial
from sweeps.tasks.registry import task_named

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
    """A working directory with a training function."""
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
    assert "training images" not in Path("runs/reports/curve.html").read_text(encoding="utf-8")
    assert cli("doctor", "--runs", "runs").exit_code == 0


def test_a_function_is_planned_replicated_rerun_and_compared(project: Path, cli: Cli) -> None:
    file = write_yaml(project, spec())
    assert cli("plan", file).exit_code == 0
    assert cli("run", file, "--backend", "inline", "--runs", "runs").exit_code == 0

    replicated = cli("replicate", "curve", "--top", 2, "--seeds", 2, "--backend", "inline", "--runs", "runs")
    again = cli("rerun", "curve-001", "--runs", "runs")

    assert replicated.exit_code == 0, replicated.output
    assert "bit for bit" in again.stdout, again.output
    assert re.search(r"epoch 4: val_loss [\d.]+, score [\d.]+ \(recorded: val_loss ", again.stdout)
    first, second = (f"curve-{trial:03d}" for trial in sweeps.leaderboard("curve", runs="runs")["trial"][:2])
    compared = cli("compare", first, second, "--runs", "runs").stdout
    assert re.search(rf"^val_loss: {first} [\d.]+ \(2 seeds, 95 % interval ", compared, re.MULTILINE)
    assert f"epoch  val_loss {first}-s" in compared
    assert "val acc" not in compared
    assert "val_loss after epoch" in cli("effects", "curve", "--runs", "runs").stdout
    assert "nats" not in cli("effects", "curve", "--runs", "runs").stdout
    row = sweeps.leaderboard("curve", runs="runs").iloc[0]
    assert row["metric_std"] > 0
    assert (
        f"{first}: val_loss {row['metric_value']:.4f} (mean of 2 new seeds) on the validation data" in replicated.stdout
    )
    assert f"The search's {row['search_value']:.4f} was" in replicated.stdout
    assert "no significance test: two single" in cli("compare", "curve-000-s0", "curve-001-s0", "--runs", "runs").stdout


def test_a_killed_function_resumes_after_its_last_saved_epoch(project: Path, cli: Cli) -> None:
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
    assert "resuming after epoch 2" in log.read_text(encoding="utf-8")


RANDOM = """
import random, numpy, torch
def train(trial, *, rate: float = 0.1, epochs: int = 3):
    start = torch.rand(1).item()
    start = trial.load() or start
    for epoch in range(trial.epoch, epochs):
        trial.save(start)
        yield {"start": start, "python": random.random(), "numpy": numpy.random.rand(), "torch": torch.rand(1).item()}
"""


def test_global_random_generators_continue_after_an_interruption(project: Path) -> None:
    (project / "formula.py").write_text(RANDOM, encoding="utf-8")
    task = task_named("formula:train")
    config = task.config_type.model_validate({"train": "formula:train", "seed": 5})
    path = project / "state.pt"

    def next_epochs(training: Training, count: int) -> list[Mapping[str, float]]:
        results = training.epochs(on_step=lambda loss: None)
        return [next(results).metrics for _ in range(count)]

    whole = next_epochs(task.start(config, None, device="cpu"), 3)
    interrupted = task.start(config, None, device="cpu")
    first = next_epochs(interrupted, 1)
    interrupted.save(path)
    rest = next_epochs(task.load(path, config, None, device="cpu"), 2)

    assert first + rest == whole
    assert len({tuple(each.values()) for each in whole}) == 3


FILES = """
import sys
def train(trial, *, rate: float = 0.1, epochs: int = 3):
    own = trial.folder / "curve.txt"
    for epoch in range(trial.epoch, epochs):
        text = own.read_text() if own.exists() else ""
        own.write_text(text + str(epoch))
        trial.save(epoch)
        if epoch == 1 and not text.endswith("1"):
            sys.exit("stopped")
        yield {"val_loss": float(len(text))}
    trial.log_artifact(own, "plots/curve.txt")
    trial.log_artifact(trial.folder)
"""


def test_a_function_keeps_its_folder_and_logs_artifacts_once(project: Path, cli: Cli) -> None:
    (project / "formula.py").write_text(FILES.replace('sys.exit("stopped")', "os.kill(os.getpid(), 9)"))
    (project / "formula.py").write_text("import os\n" + (project / "formula.py").read_text())
    file = write_yaml(project, spec(run_cap=1, parameters={"rate": {"values": [0.1]}}))
    code = "from sweeps.cli.main import main; main()"
    killed = [sys.executable, "-c", code, "run", str(file), "--backend", "inline", "--runs", "runs"]
    assert subprocess.run(killed, capture_output=True, check=False).returncode == -9

    result = cli("run", file, "--backend", "inline", "--runs", "runs", "--no-report")

    assert result.exit_code == 0, result.output
    artifacts = {path.parts[-2:]: path.read_text() for path in Path("runs/artifacts").rglob("curve.txt")}
    assert artifacts == {("plots", "curve.txt"): "0112", ("files", "curve.txt"): "0112"}
    assert cli("gc", "--runs", "runs").exit_code == 0
    assert next(Path("runs/sweeps/curve/checkpoints").rglob("curve.txt")).exists()


def test_an_artifact_has_a_file_and_a_name_within_the_run(tmp_path: Path) -> None:
    trial = Trial(seed=0, device="cpu", cpus=1, artifacts=tmp_path / "artifacts")
    (tmp_path / "plot.png").write_text("1")

    for name in ("../plot.png", "/plot.png", "config.yaml", ""):
        with pytest.raises(ValueError, match="cannot be the name of an artifact"):
            trial.log_artifact(tmp_path / "plot.png", name)
    with pytest.raises(FileNotFoundError):
        trial.log_artifact(tmp_path / "plt.png")
    trial.log_artifact(tmp_path / "plot.png")

    assert [path.name for path in (tmp_path / "artifacts").iterdir()] == ["plot.png"]


@pytest.mark.parametrize(("goal", "descending"), [("maximize", True), ("minimize", False)])
def test_any_metric_is_searched_ranked_and_compared_by_its_goal(
    project: Path, cli: Cli, goal: str, descending: bool
) -> None:
    text = FORMULA.read_text(encoding="utf-8").replace('{"val_loss": loss, "score": 1 / loss}', '{"score": loss}')
    (project / "formula.py").write_text(text, encoding="utf-8")
    file = write_yaml(project, spec(metric={"name": "score", "goal": goal}))

    result = cli("run", file, "--backend", "inline", "--runs", "runs", "--no-report")

    assert result.exit_code == 0, result.output
    values = list(sweeps.leaderboard("curve", runs="runs")["metric_value"])
    assert len(set(values)) == 4
    assert values == sorted(values, reverse=descending)
    (project / "formula.py").write_text(text.replace("0.9 -", "0.8 -"), encoding="utf-8")
    assert cli("rerun", "curve-001", "--runs", "runs").exit_code == 2, "other code is another run"


def test_a_recorded_result_without_the_metric_fails_that_trial_alone(project: Path, cli: Cli) -> None:
    grid = spec(method="grid", run_cap=None, parameters={"rate": {"values": [0.1]}})
    first = write_yaml(project, {key: value for key, value in grid.items() if value is not None}, name="a.yaml")
    other = grid | {"name": "other", "metric": {"name": "rmse", "goal": "minimize"}}
    second = write_yaml(project, {key: value for key, value in other.items() if value is not None}, name="b.yaml")
    assert cli("run", first, "--backend", "inline", "--runs", "runs", "--no-report").exit_code == 0

    result = cli("run", second, "--backend", "inline", "--runs", "runs", "--no-report")

    assert result.exit_code == 1
    assert "the training yields no rmse" in result.output


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"train": "formula:trian"}, "did you mean 'train'"),
        ({"train": "nowhere:train"}, "train: function 'nowhere:train': there is no module 'nowhere'"),
        ({"train": "broken:train"}, "function 'broken:train': "),
        ({"train": "formula"}, "'formula' is not a training function"),
        ({"parameters": {"ratte": {"values": [1]}}}, "parameters.ratte: unknown key 'ratte': did you mean 'rate'?"),
        (
            {"base": {"deepth": 1}},
            "base.deepth: unknown key 'deepth': did you mean 'depth'? Keywords of formula:train: ",
        ),
        ({"parameters": {"depth": {"values": [1]}}}, "parameters.rate: required by formula:train, which has no"),
        ({"parameters": {"rate": {"values": ["high"]}}}, "should be a number"),
    ],
    ids=lambda value: value if isinstance(value, str) else json.dumps(value)[:20],
)
def test_a_wrong_file_of_a_function_is_refused_before_anything_runs(
    project: Path, changes: dict[str, Any], said: str
) -> None:
    (project / "broken.py").write_text("def train(\n", encoding="utf-8")
    file = write_yaml(project, spec(**changes))

    with pytest.raises(SpecError) as refused:
        load_spec(file)

    assert said in str(refused.value)
    assert "model" not in str(refused.value), "no word about networks, and no errors that only follow"


@pytest.mark.parametrize(
    ("signature", "said"),
    [
        ("trial, *, rate: float, key: int = 2, epochs: int = 4", "the keyword 'key' is reserved"),
        ("trial, *, rate: float, rank: int = 2, epochs: int = 4", "the keyword 'rank' is reserved"),
        ("trial, rate, /, depth=1, *, epochs: int = 4", "rate is not a keyword parameter"),
        ("trial, *, rate: float, depth: int = 1", "needs a keyword `epochs`"),
        ("trial, *, rate: float, depth: int = 1, epochs: int", "parameters.epochs"),
        ("trial, *, rate: 'Nothing', depth: int = 1, epochs: int = 4", "the annotation 'Nothing' of rate"),
        ("*, rate: float", "the first parameter must be the trial"),
    ],
)
def test_a_signature_that_cannot_be_searched_is_refused_by_name(project: Path, signature: str, said: str) -> None:
    (project / "formula.py").write_text(f"def train({signature}):\n    yield {{'val_loss': 1.0}}\n", encoding="utf-8")

    with pytest.raises(SpecError) as refused:
        load_spec(write_yaml(project, spec()))

    assert said in str(refused.value)


def test_a_range_of_integers_stays_one_without_annotation(project: Path) -> None:
    (project / "formula.py").write_text("def train(trial, *, rate=0.1, depth=2, epochs=4):\n    yield {}\n")

    space = load_spec(write_yaml(project, spec(parameters={"depth": {"min": 1, "max": 8}}))).space

    assert space.is_integer("depth")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("yield {'val_loss': float('nan')}", "diverged"),
        ("yield 3", "Yield a dictionary"),
        ("yield {'val_loss': 1.0}", "but `epochs` is 4"),
        ("yield from [{'val_loss': 1.0}] * 5", "yielded more than 4 results"),
        ("return 3", "returned int"),
        ("yield {'test_accuracy': 1.0, 'val_loss': 1.0}", "a metric 'test_accuracy'"),
        ("yield {'acc@1': 1.0, 'val_loss': 1.0}", "a metric 'acc@1'"),
        ("yield {'val_accuracy': 93.0, 'val_loss': 1.0}", "must be between 0 and 1"),
        ("yield {'val_los': 1.0}", "did you mean 'val_los'"),
    ],
)
def test_invalid_results_of_a_function_are_reported(project: Path, cli: Cli, body: str, said: str) -> None:
    text = f"def train(trial, *, rate: float, depth: int = 2, epochs: int = 4):\n    {body}\n"
    (project / "formula.py").write_text(text, encoding="utf-8")
    file = write_yaml(project, spec(run_cap=1))

    result = cli("run", file, "--backend", "inline", "--runs", "runs")

    (log,) = Path("runs/sweeps/curve/logs").iterdir()
    assert said in result.output + log.read_text(encoding="utf-8")
