"""Ladders on validation images: the test set stays sealed until the final evaluation."""

from __future__ import annotations

import csv
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
from sweep_fakes import Cli, write_yaml, written

import cifar_core.data.load
from sweeps.core.errors import SpecError, SweepError
from sweeps.core.trial import MeasuredOn
from sweeps.driver.plan import plan_of_ladder
from sweeps.files.ladder_file import load_ladder
from sweeps.search.state import read_state
from sweeps.store.access_log import ACCESS_LOG, read_accesses

BASE: dict[str, Any] = {
    "epochs": 1,
    "model": {"width": 16},
    "data": {"train_size": 1000, "validation_size": 100, "batch_size": 16, "normalization": "cifar10"},
    "optimizer": {"momentum": 0.9},
}
"""Learns enough in a second to be told from chance."""
RUNGS = [{"name": "a"}, {"name": "b", "optimizer": {"lr": 0.02}}]


def chosen(**more: Any) -> dict[str, Any]:
    return {"name": "steps", "evaluate": "validation", "base": BASE, "rungs": RUNGS} | more


@pytest.fixture
def runs(recorded_runs: Path) -> Path:
    return recorded_runs


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The accesses to the test images."""
    looks: list[str] = []
    load = cifar_core.data.load.load_test_images

    def counting(*arguments: Any, **options: Any) -> Any:
        looks.append("opened")
        return load(*arguments, **options)

    monkeypatch.setattr(cifar_core.data.load, "load_test_images", counting)
    return looks


def test_rungs_are_compared_on_validation_images_and_the_test_set_stays_sealed(
    tmp_path: Path, runs: Path, cli: Cli, opened: list[str]
) -> None:
    result = cli("ladder", write_yaml(tmp_path, chosen(seeds=3)), "--runs", runs, "--backend", "inline", "--report")

    assert result.exit_code == 0, result.output
    assert opened == []
    assert not (runs / ACCESS_LOG).exists()
    assert not any("test" in metric for run in written(runs, sweep="steps") for metric in run.steps)
    assert "validation accuracy %" in result.stdout
    assert "test accuracy" not in result.stdout
    rows = list(csv.DictReader((runs / "sweeps" / "steps" / "ladder.csv").open(encoding="utf-8")))
    assert [row["interval"] for row in rows] == ["t, 3 seeds"] * 2
    assert "test_accuracy_percent" not in rows[0]
    means: dict[str, list[float]] = {}
    for record in read_state(runs, "steps").records:
        accuracy = record.epochs[-1].metrics["val_accuracy"]
        assert record.rung is not None
        assert accuracy is not None
        means.setdefault(record.rung.name, []).append(accuracy)
    for row in rows:
        mean = sum(means[row["rung"]]) / 3
        assert float(row["val_accuracy_percent"]) == pytest.approx(100 * mean, abs=0.005)
    assert not (runs / "sweeps" / "steps" / "ladder.html").exists()  # one page per ladder
    for page in (runs / "reports" / "steps.html",):
        text = re.sub(r"<style>.*?</style>|data:image\S+|<script.*?</script>", "", page.read_text(), flags=re.DOTALL)
        assert not re.search(r"test acc", text, re.IGNORECASE), page


def test_one_run_has_a_wilson_interval_on_its_validation_images(tmp_path: Path, runs: Path, cli: Cli) -> None:
    cli("ladder", write_yaml(tmp_path, chosen()), "--runs", runs, "--backend", "inline")

    rows = list(csv.DictReader((runs / "sweeps" / "steps" / "ladder.csv").open(encoding="utf-8")))

    assert [row["interval"] for row in rows] == ["Wilson, one run"] * 2
    assert "2 more common seeds needed" in rows[1]["verdict"]
    assert all(float(row["ci_high_percent"]) - float(row["ci_low_percent"]) > 10 for row in rows), "100 images, wide"


def test_the_final_measurement_tests_each_rung_once_and_is_logged(
    tmp_path: Path, runs: Path, cli: Cli, opened: list[str]
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
    (look,) = read_accesses(runs, sweep="steps-final")
    assert set(look.runs) == {run.tags["key"] for run in final}
    assert "the test set was opened once for steps-final" in result.stdout

    again = cli("ladder", path, "--final", "--runs", runs, "--backend", "inline")

    assert (again.exit_code, len(opened)) == (0, 2)
    assert len(list(read_accesses(runs))) == 1


def test_the_final_measurement_trains_on_the_validation_images(tmp_path: Path) -> None:
    base = {"epochs": 1, "data": {"validation_size": 5000}}

    final = load_ladder(write_yaml(tmp_path, chosen(base=base))).final()

    assert [rung.config.train_images() for rung in final.rungs] == [50_000, 50_000]
    all_that_is_left = base | {"data": {"validation_size": 5000, "train_size": 45_000}}
    same = load_ladder(write_yaml(tmp_path, chosen(base=all_that_is_left))).final()
    assert [rung.config for rung in same.rungs] == [rung.config for rung in final.rungs]
    fewer = load_ladder(write_yaml(tmp_path, chosen())).final()
    assert [rung.config.train_images() for rung in fewer.rungs] == [1000, 1000], "a size of its own stays"
    assert (final.name, final.measured_on) == ("steps-final", MeasuredOn.TEST)
    assert [[str(change) for change in rung.changes] for rung in final.rungs][1] == ["optimizer.lr 0.01 → 0.02"]
    plan = plan_of_ladder(final)
    assert (plan.tested, plan.part, plan.command) == (True, "ladder", "sweeps ladder steps.yaml --final")
    assert "final evaluation" in plan.description


@pytest.mark.parametrize(
    "sized",
    [
        {},
        {"base": {"epochs": 2, "data": {"train_size": 45_000, "validation_size": 5000}}},
        {"base": {"epochs": 2, "data": {"validation_size": 5000}}, "scale": {"train_size": 45_000}},
        {"base": {"epochs": 2, "data": {"validation_size": 5000}}, "scale": {"train_size": 300, "epochs": 0.5}},
    ],
)
def test_the_recorded_final_measurement_needs_no_other_file(sized: dict[str, Any], tmp_path: Path) -> None:
    final = load_ladder(write_yaml(tmp_path, chosen(**sized))).final()
    recorded = tmp_path / "recorded.yaml"
    recorded.write_text(final.text, encoding="utf-8")

    again = load_ladder(recorded)

    assert (again.name, again.measured_on, again.rungs) == (final.name, final.measured_on, final.rungs)


def test_a_ladder_named_like_a_final_measurement_is_rejected(tmp_path: Path, runs: Path, cli: Cli) -> None:
    base = {"epochs": 1, "model": {"width": 4}, "data": {"train_size": 200}}
    content = {"name": "steps-final", "base": base, "rungs": RUNGS[:1]}
    assert cli("ladder", write_yaml(tmp_path, content), "--runs", runs, "--backend", "inline").exit_code == 0

    result = cli("ladder", write_yaml(tmp_path, chosen()), "--final", "--runs", runs, "--backend", "inline")

    assert result.exit_code == 2
    assert "final: was false, is true" in result.stderr


@pytest.mark.parametrize("cut", [("--epochs-scale", "0.5"), ("--train-size", "100")])
def test_the_final_measurement_needs_the_full_budget(
    cut: tuple[str, str], tmp_path: Path, runs: Path, cli: Cli
) -> None:
    result = cli("ladder", write_yaml(tmp_path, chosen()), "--final", *cut, "--runs", runs)

    assert result.exit_code == 2
    assert "--final needs the full budget" in result.stderr
    assert not (runs / "sweeps").exists()


def test_ablating_a_rung_on_validation_images_opens_no_test_images(
    tmp_path: Path, runs: Path, cli: Cli, opened: list[str]
) -> None:
    assert cli("ladder", write_yaml(tmp_path, chosen()), "--runs", runs, "--backend", "inline").exit_code == 0

    result = cli("ablate", "steps/1", "--seeds", "3", "--runs", runs, "--backend", "inline")

    assert result.exit_code == 0, result.output
    assert "validation accuracy %" in result.stdout
    assert opened == []


def test_finalize_of_a_ladder_names_the_right_command(tmp_path: Path, runs: Path, cli: Cli) -> None:
    assert cli("ladder", write_yaml(tmp_path, chosen()), "--runs", runs, "--backend", "inline").exit_code == 0

    result = cli("finalize", "steps", "--runs", runs)

    assert result.exit_code == 2
    assert "Run `sweeps ladder FILE` to evaluate its rungs" in result.stderr


def test_a_plan_shows_the_compared_images_and_the_final_command(tmp_path: Path, cli: Cli) -> None:
    path = write_yaml(tmp_path, chosen(base={"epochs": 1, "data": {"validation_size": 5000}}))

    chosen_by, last = cli("plan", path, "--no-probe"), cli("plan", path, "--final", "--no-probe")

    assert "compared on 5,000 validation images" in " ".join(chosen_by.stdout.split())
    assert "steps-final: " in last.stdout
    assert "validation_size" not in last.stdout
    assert last.stdout.endswith(f"To start it, run:\n  sweeps ladder {path} --final\n")


def test_a_ladder_on_validation_images_is_a_ladder_and_is_not_tested(tmp_path: Path) -> None:
    plan = plan_of_ladder(load_ladder(write_yaml(tmp_path, chosen())))

    assert (plan.tested, plan.part, plan.metric.name) == (False, "ladder", "val_accuracy")


def test_final_is_rejected_for_a_ladder_on_test_images(tmp_path: Path, runs: Path, cli: Cli) -> None:
    path = write_yaml(tmp_path, {"name": "steps", "base": BASE, "rungs": RUNGS})

    with pytest.raises(SweepError, match="already evaluated on the test images"):
        load_ladder(path).final()
    result = cli("ladder", path, "--final", "--runs", runs)
    assert result.exit_code == 2
    assert "evaluate: validation" in result.stderr


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no images aside": (
        {"base": {"epochs": 1}},
        "2 of the rungs have no validation images. Set base.data.validation_size, such as 5000",
    ),
    "other images aside": (
        {"rungs": [{"name": "a"}, {"name": "b", "data": {"validation_size": 50}}]},
        "the rungs a and b have different validation images. Set data.validation_size and data.split_seed in base only",
    ),
    "unknown images": ({"evaluate": "train"}, "evaluate: "),
    "a long name": ({"name": "n" * 60}, "more than 64 characters"),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_file_without_common_validation_images_is_rejected(case: str, tmp_path: Path) -> None:
    changes, words = WRONG[case]

    with pytest.raises(SpecError, match=re.escape(words)):
        load_ladder(write_yaml(tmp_path, chosen(**changes)))


def test_another_evaluate_under_the_same_name_is_rejected(tmp_path: Path, runs: Path, cli: Cli) -> None:
    tested = write_yaml(tmp_path, chosen(evaluate="test"))
    assert cli("ladder", tested, "--runs", runs, "--backend", "inline").exit_code == 0

    result = cli("ladder", write_yaml(tmp_path, chosen()), "--runs", runs, "--backend", "inline")

    assert result.exit_code == 2
    assert 'evaluate: was "test", is "validation"' in result.stderr
    assert "Undo the change, or change `name` in the file." in result.stderr
    assert "--new" not in result.stderr


def test_a_file_that_differs_from_its_commit_is_warned_of(tmp_path: Path, runs: Path, cli: Cli) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=tmp_path, check=True)

    path = write_yaml(tmp_path, chosen(rungs=RUNGS[:1]))
    git("init", "--quiet")
    changed = cli("ladder", path, "--final", "--runs", runs, "--backend", "inline")
    git("add", path.name)
    git("commit", "--quiet", "--message", "frozen")
    frozen = cli("ladder", path, "--final", "--runs", runs, "--backend", "inline")
    by_hand = cli("ladder", path, "--final", "--set", "seeds=1", "--runs", runs, "--backend", "inline")

    assert f"warning: {path} has uncommitted changes. Commit the file before" in changed.stderr
    assert "commit" not in frozen.stderr
    assert "warning: --set changes the committed file" in by_hand.stderr


def test_an_uncommitted_change_of_the_extended_file_is_a_warning(tmp_path: Path, runs: Path, cli: Cli) -> None:
    def git(*arguments: str) -> None:
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=tmp_path, check=True)

    write_yaml(tmp_path, chosen(rungs=RUNGS[:1]), name="whole.yaml")
    path = write_yaml(tmp_path, {"name": "small", "extends": "whole.yaml"}, name="[small].yaml")
    git("init", "--quiet")
    git("add", ".")
    git("commit", "--quiet", "--message", "frozen")
    write_yaml(tmp_path, chosen(rungs=RUNGS[:1], seeds=1), name="whole.yaml")

    result = cli("ladder", path, "--final", "--runs", runs, "--backend", "inline")

    assert f"warning: {tmp_path / 'whole.yaml'} has uncommitted changes" in result.stderr


def test_rungs_on_other_validation_images_are_not_compared(tmp_path: Path, runs: Path, cli: Cli) -> None:
    path = write_yaml(tmp_path, chosen())
    assert cli("ladder", path, "--runs", runs, "--backend", "inline").exit_code == 0
    other = ("--set", "base.data.split_seed=5", "--rungs", "b")

    result = cli("ladder", path, *other, "--runs", runs, "--backend", "inline")

    assert result.exit_code == 0, result.output
    assert "not compared: a was evaluated on other validation images" in " ".join(result.stdout.split())


def test_a_rung_that_is_no_longer_in_the_file_is_listed(tmp_path: Path, runs: Path, cli: Cli) -> None:
    assert cli("ladder", write_yaml(tmp_path, chosen()), "--runs", runs, "--backend", "inline").exit_code == 0

    path = write_yaml(tmp_path, chosen(rungs=RUNGS[:1]))
    result = cli("ladder", path, "--runs", runs, "--backend", "inline")

    assert "recorded, but not in the file any more: b" in result.stdout


def test_the_leaderboard_separates_rungs_of_the_final_measurement(tmp_path: Path, runs: Path, cli: Cli) -> None:
    path = write_yaml(tmp_path, chosen(rungs=RUNGS[:1]))
    for final in ((), ("--final",)):
        assert cli("ladder", path, *final, "--runs", runs, "--backend", "inline").exit_code == 0

    both, one = cli("leaderboard", "--runs", runs), cli("leaderboard", "steps", "--runs", runs)

    assert {"steps/a", "steps-final/a"} <= set(both.stdout.split())
    assert "a" in one.stdout.split()


def test_two_rungs_with_the_same_run_are_a_warning(tmp_path: Path, runs: Path, cli: Cli) -> None:
    path = write_yaml(tmp_path, chosen(rungs=[{"name": "a"}, {"name": "b", "schedule": {"min_lr": 0.001}}]))
    words = f"warning: {path}: rung b is not run: its configuration equals that of rung a"

    assert words in cli("plan", path, "--no-probe").stderr
    assert words in cli("ladder", path, "--runs", runs, "--backend", "inline").stderr


def test_a_renamed_rung_is_listed_under_its_old_name(tmp_path: Path, runs: Path, cli: Cli) -> None:
    assert cli("ladder", write_yaml(tmp_path, chosen()), "--runs", runs, "--backend", "inline").exit_code == 0
    renamed = [RUNGS[0], RUNGS[1] | {"name": "faster"}]

    result = cli("ladder", write_yaml(tmp_path, chosen(rungs=renamed)), "--runs", runs, "--backend", "inline")

    assert "recorded, but not in the file any more: b\n" in result.stdout
    assert "faster has the same configuration as b. Its runs are recorded and shown there.\n" in result.stdout

    more = write_yaml(tmp_path, chosen(rungs=renamed, seeds=2))
    result = cli("ladder", more, "--runs", runs, "--backend", "inline")

    assert re.search(r"^faster .* 1 ", result.stdout, flags=re.MULTILINE), "its new seed stands under its new name"
    assert "faster has the same configuration as b. Its runs are recorded and shown there.\n" in result.stdout


def test_a_reduced_budget_does_not_change_full_results(tmp_path: Path, runs: Path, cli: Cli) -> None:
    before = write_yaml(tmp_path, chosen(base=BASE | {"epochs": 2}))
    edited = write_yaml(
        tmp_path, chosen(base=BASE | {"epochs": 2}, rungs=[RUNGS[0], {"name": "b", "optimizer": {"lr": 0.05}}]),
        name="edited.yaml",
    )  # fmt: skip
    inline = ("--runs", runs, "--backend", "inline")
    for start in ([before], [edited, "--rungs", "b"], [before, "--rungs", "a", "--epochs-scale", "0.5"]):
        assert cli("ladder", *start, *inline).exit_code == 0

    rows = list(csv.DictReader((runs / "sweeps" / "steps" / "ladder.csv").open(encoding="utf-8")))

    (full,) = [row for row in rows if row["rung"] == "b"]
    assert full["change"] == "optimizer.lr 0.01 → 0.02"
    assert full["status"] == "complete; excludes 1 run of an earlier configuration"


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (("--epochs-scale", "nan"), "--epochs-scale (epochs_scale) is nan"),
        (("--seeds", "100000000"), "between 1 and 1000"),
        (("--seeds", "2", "--set", "base.seed=4294967295"), "exceed the largest seed, 4294967295"),
        (("--rungs", ","), "--rungs ',' names no rung"),
        (("--rungs", ""), "--rungs '' names no rung"),
    ],
)
@pytest.mark.parametrize("verb", ["plan", "ladder"])
def test_an_invalid_part_is_rejected_before_anything_is_written(
    verb: str, said: tuple[str, ...], words: str, tmp_path: Path, runs: Path, cli: Cli
) -> None:
    more = ("--no-probe",) if verb == "plan" else ("--runs", runs, "--backend", "inline")

    result = cli(verb, write_yaml(tmp_path, chosen()), *said, *more)

    assert result.exit_code == 2
    assert words in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not (runs / "sweeps" / "steps").exists()


def test_a_plan_counts_a_run_of_two_rungs_once(tmp_path: Path, cli: Cli) -> None:
    rungs = [*RUNGS, {"name": "c", "from": "a", "seed": 1}]

    result = cli("plan", write_yaml(tmp_path, chosen(rungs=rungs, seeds=2)), "--no-probe")

    assert "3 rungs under 2 seeds each, 6 runs, 1 of them equal to another and trained once, 5 epochs on" in " ".join(
        result.stdout.split()
    )
