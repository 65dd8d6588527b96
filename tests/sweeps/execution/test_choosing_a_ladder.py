"""A ladder that is chosen on validation images: the test set stays sealed until its last measurement."""

from __future__ import annotations

import csv
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sweep_fakes import Cli, write_yaml, written

from cifar_core.data import default_directory
from sweeps.errors import SpecError, SweepError
from sweeps.execution import plan_of_ladder
from sweeps.spec import load_ladder
from sweeps.study import read_state
from sweeps.trial_record import MeasuredOn

BASE: dict[str, Any] = {"epochs": 1, "model": {"width": 4}, "data": {"train_size": 200, "validation_size": 100}}
RUNGS = [{"name": "a"}, {"name": "b", "optimizer": {"lr": 0.02}}]


def chosen(**more: Any) -> dict[str, Any]:
    return {"name": "steps", "evaluate": "validation", "base": BASE, "rungs": RUNGS} | more


@pytest.fixture
def runs(recorded_runs: Path) -> Path:
    return recorded_runs


@pytest.fixture
def sealed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The data without its test images: whoever opens them fails."""
    folder = tmp_path / "cifar10"
    folder.mkdir()
    for file in default_directory().iterdir():
        if not file.name.startswith("test_"):
            (folder / file.name).symlink_to(file)
    monkeypatch.setenv("CIFAR10_DIR", str(folder))


@pytest.mark.usefixtures("sealed")
def test_rungs_are_compared_by_validation_accuracy_and_the_test_images_stay_sealed(
    tmp_path: Path, runs: Path, cli: Cli
) -> None:
    result = cli("ladder", write_yaml(tmp_path, chosen(seeds=3)), "--runs", runs, "--backend", "inline")

    assert result.exit_code == 0, result.output
    assert not any("test" in metric for run in written(runs, sweep="steps") for metric in run.steps)
    assert "validation accuracy %" in result.stdout
    assert "test accuracy" not in result.stdout
    rows = list(csv.DictReader((runs / "sweeps" / "steps" / "ladder.csv").open(encoding="utf-8")))
    assert [row["interval"] for row in rows] == ["t, 3 seeds"] * 2
    assert "test_accuracy_percent" not in rows[0]
    means: dict[str, list[float]] = {}
    for record in read_state(runs, "steps").records:
        accuracy = record.epochs[-1].val_accuracy
        assert record.rung is not None
        assert accuracy is not None
        means.setdefault(record.rung.name, []).append(accuracy)
    for row in rows:
        mean = sum(means[row["rung"]]) / 3
        assert float(row["val_accuracy_percent"]) == pytest.approx(100 * mean, abs=0.005)
    pages = [runs / "sweeps" / "steps" / "ladder.html", runs / "reports" / "steps.html"]
    for page in pages:
        text = re.sub(r"<style>.*?</style>|data:image\S+|<script.*?</script>", "", page.read_text(), flags=re.DOTALL)
        assert not re.search(r"test acc", text, re.IGNORECASE), page


def test_one_run_has_wilsons_interval_on_as_many_images_as_it_set_aside(tmp_path: Path, runs: Path, cli: Cli) -> None:
    cli("ladder", write_yaml(tmp_path, chosen()), "--runs", runs, "--backend", "inline")

    rows = list(csv.DictReader((runs / "sweeps" / "steps" / "ladder.csv").open(encoding="utf-8")))

    assert [row["interval"] for row in rows] == ["Wilson, one run"] * 2
    assert "so it takes 3 seeds" in rows[1]["verdict"]
    assert all(float(row["ci_high_percent"]) - float(row["ci_low_percent"]) > 10 for row in rows), "100 images, wide"


def test_the_last_measurement_trains_on_all_images_and_tests_each_rung_under_a_name_of_its_own(
    tmp_path: Path, runs: Path, cli: Cli
) -> None:
    path = write_yaml(tmp_path, chosen())
    cli("ladder", path, "--runs", runs, "--backend", "inline")

    result = cli("ladder", path, "--final", "--runs", runs, "--backend", "inline")

    assert result.exit_code == 0, result.output
    assert "test accuracy %" in result.stdout
    final = written(runs, sweep="steps-final")
    assert [run.tags["rung"] for run in final] == ["a", "b"]
    assert all(len(run.steps["test_accuracy"]) == 1 and "val_accuracy" not in run.steps for run in final)
    assert not any("test_accuracy" in run.steps for run in written(runs, sweep="steps"))
    assert (runs / "sweeps" / "steps-final" / "ladder.csv").is_file()
    again = cli("ladder", path, "--final", "--runs", runs, "--backend", "inline")
    assert "nothing" in again.output or "2 of 2" in again.output, again.output


def test_the_last_measurement_gives_the_validation_images_back_to_training(tmp_path: Path) -> None:
    base = {"epochs": 1, "data": {"validation_size": 5000}}

    final = load_ladder(write_yaml(tmp_path, chosen(base=base))).final()

    assert [rung.config.train_images() for rung in final.rungs] == [50_000, 50_000]
    assert (final.name, final.measured_on) == ("steps-final", MeasuredOn.TEST)
    assert [[str(change) for change in rung.changes] for rung in final.rungs][1] == ["optimizer.lr 0.01 → 0.02"]
    plan = plan_of_ladder(final)
    assert (plan.tested, plan.part, plan.command) == (True, "ladder", "sweeps ladder steps.yaml --final")


def test_a_ladder_on_validation_images_is_a_ladder_and_is_not_tested(tmp_path: Path) -> None:
    plan = plan_of_ladder(load_ladder(write_yaml(tmp_path, chosen())))

    assert (plan.tested, plan.part, plan.metric.name) == (False, "ladder", "val_accuracy")


def test_a_ladder_that_is_tested_as_it_is_has_no_last_measurement(tmp_path: Path, runs: Path, cli: Cli) -> None:
    path = write_yaml(tmp_path, {"name": "steps", "base": BASE, "rungs": RUNGS})

    with pytest.raises(SweepError, match="measured on the test images as it is"):
        load_ladder(path).final()
    result = cli("ladder", path, "--final", "--runs", runs)
    assert result.exit_code == 2
    assert "evaluate: validation" in result.stderr


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no images aside": (
        {"base": {"epochs": 1}},
        "rung b sets no images aside: give base.data.validation_size, such as 5000",
    ),
    "other images aside": (
        {"rungs": [{"name": "a"}, {"name": "b", "data": {"validation_size": 50}}]},
        "rungs a, b set different images aside",
    ),
    "unknown images": ({"evaluate": "train"}, "evaluate: "),
    "a long name": ({"name": "n" * 60}, "more than 64 characters"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_that_cannot_be_chosen_by_validation_is_refused(case: str, tmp_path: Path) -> None:
    changes, words = WRONG[case]

    with pytest.raises(SpecError, match=re.escape(words)):
        load_ladder(write_yaml(tmp_path, chosen(**changes)))


def test_another_kind_of_measurement_under_the_same_name_is_refused(tmp_path: Path, runs: Path, cli: Cli) -> None:
    tested = write_yaml(tmp_path, chosen(evaluate="test"))
    assert cli("ladder", tested, "--runs", runs, "--backend", "inline").exit_code == 0

    result = cli("ladder", write_yaml(tmp_path, chosen()), "--runs", runs, "--backend", "inline")

    assert result.exit_code == 2
    assert 'evaluate: was null, is "validation"' in result.stderr
    assert "give the file another name, or undo the change" in result.stderr
    assert "--new" not in result.stderr


def test_a_file_that_differs_from_the_commit_is_told_before_its_last_measurement(
    tmp_path: Path, runs: Path, cli: Cli
) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=tmp_path, check=True)

    path = write_yaml(tmp_path, chosen(rungs=RUNGS[:1]))
    git("init", "--quiet")
    changed = cli("ladder", path, "--final", "--runs", runs, "--backend", "inline")
    git("add", path.name)
    git("commit", "--quiet", "--message", "frozen")
    frozen = cli("ladder", path, "--final", "--runs", runs, "--backend", "inline")

    assert "is not what the last commit holds: commit it before its last measurement" in changed.stderr
    assert "commit" not in frozen.stderr
