"""`sweeps check` on loops that keep and break each promise of a training."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from sweep_fakes import Cli, write_yaml

from sweeps.driver import check as check_module
from sweeps.driver.check import Line, check_of_file
from sweeps.driver.check_process import Observed, Order, Trained

LOOPS = """
import os, random
import numpy as np
SEEN = []

def data():
    return {"noise": np.ones(1), "test": np.zeros(1)}

def good(trial, *, rate: float = 0.1, epochs: int = 5):
    rng = np.random.default_rng(trial.seed)
    weight = rng.normal()
    if saved := trial.load():
        weight, rng.bit_generator.state = saved
    for epoch in range(trial.epoch, epochs):
        weight = weight * (1 - rate) + rng.normal() + random.random() * trial.data["noise"][0]
        (trial.folder / "weight").write_text(str(weight))
        trial.save((weight, rng.bit_generator.state))
        yield {"val_loss": weight**2}

def bad(trial, *, rate: float = 0.1, epochs: int = 5):
    rng = np.random.default_rng(1)
    SEEN.append(rate)
    os.environ["BAD_LOOP"] = str(len(SEEN))
    for epoch in range(trial.epoch, epochs):
        np.save("weights.npy", np.zeros(2))
        trial.save(epoch)
        yield {"val_loss": len(SEEN) // 2 + rng.normal()}
"""


@pytest.fixture
def loops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "loops.py").write_text(LOOPS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("loops", None)


def file_of(folder: Path, function: str) -> Path:
    content: dict[str, Any] = {
        "name": "loop",
        "method": "grid",
        "train": f"loops:{function}",
        "metric": {"name": "val_loss", "goal": "minimize"},
        "parameters": {"rate": {"values": [0.1, 0.2]}},
    }
    return write_yaml(folder, content)


def test_a_loop_that_keeps_every_promise_passes(loops: Path, cli: Cli) -> None:
    result = cli("check", file_of(loops, "good"), "--json")

    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert {each["verdict"] for each in report["promises"]} == {"ok"}
    assert (report["code"], report["epochs"]) == ("loops:good", 3)
    assert report["seconds_per_epoch"] > 0
    assert report["memory_bytes"] > 1e6
    assert sorted(path.name for path in loops.iterdir() if path.suffix) == ["loops.py", "sweep.yaml"]


def test_each_broken_promise_is_named_with_its_line_and_advice(loops: Path, cli: Cli) -> None:
    result = cli("check", file_of(loops, "bad"))

    assert result.exit_code == 1, result.output
    failed = [line for line in result.stdout.splitlines() if line.startswith("FAILED")]
    assert len(failed) == 4, result.stdout
    assert "wrote weights.npy (loops.py, line 25). Write to trial.folder" in failed[0]
    assert "resumed after an interruption. Save everything that the next epoch depends on" in failed[1]
    assert "all numbers are equal under seeds 0 and 1. Use trial.seed" in failed[2]
    assert "after two other trials. Create models" in failed[3]
    assert "environment variable BAD_LOOP" in failed[3]


def lines_of(loops: Path, monkeypatch: pytest.MonkeyPatch, *processes: Observed) -> dict[str, Line]:
    """Return the lines for observations of processes that are not started."""
    remaining = list(processes)

    def observe(task: object, orders: list[Order], **how: Any) -> Observed:
        return remaining.pop(0)

    monkeypatch.setattr(check_module, "observe", observe)
    return {line.promise: line for line in check_of_file(file_of(loops, "good")).run()}


DONE = Trained(epochs=[{"val_loss": 1.0}, {"val_loss": 2.0}], seconds=[1.0, 2.0], outcome="complete", seals_data=True)
OTHER = replace(DONE, epochs=[{"val_loss": 1.0}, {"val_loss": 2.5}])


def one(training: Trained, **observed: Any) -> Observed:
    return Observed(trainings=[training], **observed)


def test_numbers_that_differ_only_under_other_hashes_depend_on_a_set(
    loops: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = Observed(trainings=[OTHER, DONE, DONE])

    lines = lines_of(loops, monkeypatch, one(DONE), one(OTHER), one(DONE), one(DONE), together)

    assert lines["same_seed"].verdict == "FAILED"
    assert "val_loss of epoch 2 is 2.0 in one process and 2.5 in another" in lines["same_seed"].text
    assert "the order of a set" in lines["same_seed"].text
    assert lines["process"].verdict == "ok"


def test_without_equal_numbers_under_one_seed_the_rest_is_skipped(loops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_of(loops, monkeypatch, one(DONE), one(OTHER), one(OTHER))

    assert "trial.seed" in lines["same_seed"].text
    assert [name for name, line in lines.items() if line.verdict == "skipped"] == ["resumes", "other_seed", "process"]


def test_reading_the_test_part_is_its_own_line(loops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    read = Trained(outcome="failed", error="SealedDataError: no", error_class="SealedDataError", seals_data=True)

    lines = lines_of(loops, monkeypatch, one(read))

    assert {name: line.verdict.value for name, line in lines.items()} == {"numbers": "skipped", "test_part": "FAILED"}
    assert lines["test_part"].text == "SealedDataError: no"


@pytest.mark.parametrize(
    ("training", "ended", "said"),
    [
        (Trained(outcome="failed", error="KeyError: 'x'", traceback="  File\nKeyError: 'x'"), None, "KeyError: 'x'"),
        (Trained(outcome="diverged", error="val_loss was nan"), None, "it failed: val_loss was nan"),
        (
            Trained(epochs=[{"val_loss": 1.0}], seconds=[1.0]),
            "its process ended with signal 11",
            "after 1 epoch: its p",
        ),
        (replace(DONE, epochs=[{"loss": 1.0}] * 2), None, "it yields loss, and the file's metric.name is val_loss"),
    ],
)
def test_a_training_without_its_numbers_fails_with_the_cause(
    loops: Path, monkeypatch: pytest.MonkeyPatch, training: Trained, ended: str | None, said: str
) -> None:
    together = Observed(trainings=[training] * 3)

    lines = lines_of(loops, monkeypatch, one(training, ended=ended), *[one(training)] * 2, together)

    assert lines["numbers"].verdict == "FAILED"
    assert said in lines["numbers"].text


def test_a_training_that_saves_nothing_or_leaves_files_fails(loops: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    restarted = replace(DONE, seconds=[1.5, 2.0])
    moved = replace(DONE, changed_state=["working directory"])

    lines = lines_of(loops, monkeypatch, one(DONE), one(DONE), one(restarted), Observed(trainings=[OTHER, moved, DONE]))

    assert "started again at epoch 1" in lines["resumes"].text
    assert "changes the working directory" in lines["process"].text
    assert lines["other_seed"].verdict == "ok"


PROGRAM = """
import os, random
from pathlib import Path
import sweeps

random.seed(SEED)
checkpoint, start = Path(os.environ["SWEEPS_TRIAL_DIR"], "epoch"), 0
total = 0.0
if checkpoint.exists():
    start, total = int(checkpoint.read_text().split()[0]), float(checkpoint.read_text().split()[1])
    [random.random() for _ in range(SKIPPED)]
big = bytearray(150_000_000)
for epoch in range(start, 100_000):
    total += random.random()
    sweeps.report(epoch=epoch, val_loss=total)
    checkpoint.write_text(f"{epoch + 1} {total}")
"""


def checked_program(
    folder: Path, cli: Cli, *, seed: str, skipped: str = "start", text: str = PROGRAM
) -> dict[str, Any]:
    text = text.replace("SEED)", f"{seed})").replace("SKIPPED", skipped)
    (folder / "train.py").write_text(text, encoding="utf-8")
    content = {
        "name": "program",
        "method": "grid",
        "program": "train.py",
        "metric": {"name": "val_loss", "goal": "minimize"},
        "parameters": {"rate": {"values": [0.1, 0.2]}},
    }
    report: dict[str, Any] = json.loads(cli("check", write_yaml(folder, content), "--json").stdout)
    return report


def test_a_program_is_checked_on_three_results_and_stopped_in_between(loops: Path, cli: Cli) -> None:
    report = checked_program(loops, cli, seed='os.environ["SWEEPS_SEED"]')

    verdicts = {each["promise"]: (each["verdict"], each["text"]) for each in report["promises"]}
    assert {name: verdict for name, (verdict, _) in verdicts.items()} == {
        "numbers": "ok", "test_part": "skipped", "files": "ok", "same_seed": "ok", "resumes": "ok", "other_seed": "ok",
        "cost": "ok",
    }  # fmt: skip
    assert "not checked, because a program reads its data itself" in verdicts["test_part"][1]
    assert verdicts["resumes"][1] == "equal after it was stopped"
    assert report["epochs"] == 3
    assert report["memory_bytes"] > 150e6, "that of the program"


def test_a_program_that_loses_its_state_is_told_the_remedy(loops: Path, cli: Cli) -> None:
    report = checked_program(loops, cli, seed="1", skipped="0")

    failed = {each["promise"]: each["text"] for each in report["promises"] if each["verdict"] == "FAILED"}
    assert set(failed) == {"resumes", "other_seed"}
    assert "val_loss of epoch 3 is" in failed["resumes"]
    assert "checkpoint in SWEEPS_TRIAL_DIR, with its epoch, right after each report" in failed["resumes"]
    assert "Use int(os.environ['SWEEPS_SEED'])" in failed["other_seed"]


def test_a_program_that_starts_again_keeps_the_promise_with_a_remark(loops: Path, cli: Cli) -> None:
    report = checked_program(loops, cli, seed="1", text=PROGRAM.replace("    checkpoint.write_text", "    str"))

    (line,) = [each for each in report["promises"] if each["promise"] == "resumes"]
    assert line["verdict"] == "ok"
    assert "starts again at its first epoch. To continue instead, keep a checkpoint" in line["text"]
