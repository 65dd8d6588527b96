"""The code of a custom network belongs to its runs: no verb uses other code, and no trial mixes two versions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sweep_fakes import Cli, outcomes, tiny, write_yaml, written

import sweeps
from cifar_core.common.errors import UserError
from cifar_core.config import TrainingConfig
from cifar_core.data.images import LabelledImages
from cifar_core.data.split import split_train_validation
from cifar_core.models.source import source_of
from sweeps.core.errors import SweepError
from sweeps.core.job import Job
from sweeps.core.trial import ErrorClass, Outcome
from sweeps.tasks.image_classification import ImageClassification
from sweeps.worker.session import TrialSession

TASK = ImageClassification()

NETS = """
from pathlib import Path
from torch import nn
import {part}

class Net(nn.Module):
    def __init__(self, num_classes=10, file=""):
        super().__init__()
        self.layer = nn.Linear(3 * 32 * 32, num_classes)
        self.batches = 0

    def forward(self, images):
        self.batches += self.training
        if self.batches == 5:  # of 10 an epoch: later than a dry run ends
            {hook}
        return self.layer({part}.act(images.flatten(1)))
"""
RELU, SIGMOID = (f"def act(x):\n    return x.{name}()\n" for name in ("relu", "sigmoid"))


class Project:
    """A folder with a network in two files, `NAME.py` and `NAME_part.py`, and a sweep over it."""

    def __init__(self, folder: Path, runs: Path, cli: Cli, *, name: str) -> None:
        self.folder, self.runs, self.cli, self.name = folder, runs, cli, name
        self.part = folder / f"{name}_part.py"
        self.write()

    def write(self, *, hook: str = "pass", part: str = RELU) -> None:
        text = NETS.format(part=self.part.stem, hook=hook)
        (self.folder / f"{self.name}.py").write_text(text, encoding="utf-8")
        self.part.write_text(part, encoding="utf-8")

    def run(self, *options: str, model: dict[str, Any] | None = None, **changes: Any) -> Any:
        base = tiny()["base"] | {"model": {"name": f"{self.name}:Net"} | (model or {})}
        path = write_yaml(self.folder, tiny(base=base, **changes))
        return self.cli("run", path, "--runs", self.runs, "--backend", "inline", *options)


@pytest.fixture
def project(
    tmp_path: Path, recorded_runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Project:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return Project(tmp_path, recorded_runs, cli, name=f"net_{abs(hash(request.node.name))}")


def test_no_verb_uses_a_run_after_a_change_of_its_code(project: Project) -> None:
    assert project.run(run_cap=1).exit_code == 0
    project.part.write_text(SIGMOID, encoding="utf-8")
    runs = project.runs
    verbs: list[tuple[object, ...]] = [
        ("run", project.folder / "sweep.yaml", "--backend", "inline"),
        ("predict", "tiny", project.part),
        ("export", "tiny-000", "--format", "state-dict"),
        ("rerun", "tiny-000"),
        ("retrain", "tiny-000", "--epochs", 3, "--backend", "inline"),
        ("replicate", "tiny", "--backend", "inline"),
        ("ablate", "tiny-000", "--backend", "inline"),
        ("inspect", "summary", "tiny-000"),
        ("inspect", "mistakes", "tiny-000", "--validation"),
    ]
    for verb in verbs:
        result = project.cli(*verb, "--runs", runs)
        assert (result.exit_code, f"{project.part.name} has changed" in result.stderr) == (2, True), (
            verb,
            result.output,
        )
    with pytest.raises((SweepError, UserError), match="has changed"):
        sweeps.load_model("tiny", runs=runs)
    assert outcomes(runs) == [("FINISHED", "complete")]

    (kept,) = (runs / "sweeps" / "tiny" / "code").glob(f"*/{project.part.name}")
    project.part.write_bytes(kept.read_bytes() + b"\n# put back\n")

    sweeps.load_model("tiny", runs=runs)
    assert "Nothing to train" in project.run(run_cap=1).stdout


def test_the_test_set_stays_sealed_for_changed_code(project: Project) -> None:
    assert project.run(run_cap=1).exit_code == 0
    replicate = ("replicate", "tiny", "--top", 1, "--seeds", 1, "--runs", project.runs, "--backend", "inline")
    assert project.cli(*replicate).exit_code == 0
    project.part.write_text(SIGMOID, encoding="utf-8")

    result = project.cli("finalize", "tiny", "--runs", project.runs)

    assert result.exit_code == 2
    assert f"{project.part.name} has changed" in result.stderr
    assert not (project.runs / "test_looks.jsonl").exists()


def test_fixed_code_resumes_a_sweep_in_which_all_failed(project: Project) -> None:
    project.write(hook="raise ValueError('broken')")
    assert project.run().exit_code == 1
    project.write()

    result = project.run("--retry-failed")

    assert result.exit_code == 0, result.output
    assert sorted(run.tags["outcome"] for run in written(project.runs)) == ["complete"] * 2 + ["failed"] * 2
    assert len({run.tags["study"] for run in written(project.runs)}) == 1
    assert len(sweeps.leaderboard("tiny", runs=project.runs).query("status == 'complete'")) == 2
    assert "Nothing to train" in project.run("--retry-failed").stdout


def test_an_edit_while_a_sweep_runs_stops_it_before_the_next_trial(project: Project) -> None:
    edit = f"Path({str(project.part)!r}).write_text({SIGMOID!r})"
    project.write(hook=edit)

    result = project.run()

    assert result.exit_code == 2
    assert f"{project.part.name} has changed" in result.stderr
    assert [run.tags["outcome"] for run in written(project.runs)] == ["complete", "interrupted"]
    assert project.run().exit_code == 2, "the first trial was trained with what it was"

    project.part.write_text(RELU, encoding="utf-8")
    project.run()  # edits it again
    assert [run.tags["outcome"] for run in written(project.runs)] == ["complete"] * 2


def test_an_edit_before_the_first_epoch_is_used(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    start = ImageClassification.start

    def edited(*args: Any, **options: Any) -> Any:
        project.part.write_text(SIGMOID, encoding="utf-8")
        return start(*args, **options)

    with monkeypatch.context() as patched:
        patched.setattr(ImageClassification, "start", edited)
        result = project.run(run_cap=1)
    assert result.exit_code == 2
    assert f"{project.part.name} has changed" in result.stderr
    assert not list((project.runs / "sweeps" / "tiny" / "checkpoints").glob("*/state.pt"))

    result = project.run(run_cap=1)

    assert result.exit_code == 0, result.output
    assert "1 complete" in result.stdout
    sweeps.load_model("tiny", runs=project.runs)


def test_a_file_named_by_an_option_is_part_of_the_run(project: Project) -> None:
    weights = project.folder / "w.pt"
    weights.write_bytes(b"1")
    model = {"options": {"file": "w.pt"}}
    assert project.run(model=model, run_cap=1).exit_code == 0
    weights.write_bytes(b"2")

    result = project.run(model=model, run_cap=1)
    assert result.exit_code == 2
    assert "w.pt has changed" in result.stderr
    assert project.run("--new", model=model, run_cap=1).exit_code == 0
    assert len({run.tags["key"] for run in written(project.runs)}) == 2


def test_a_worker_only_compares_files_of_its_machine(project: Project, tmp_path: Path) -> None:
    extra = f"try:\n    import {project.name}_extra\nexcept ImportError:\n    pass\n"
    project.write(part=extra + RELU)
    model = {"name": f"{project.name}:Net", "options": {"file": "w.pt"}}
    config = TrainingConfig.model_validate(tiny()["base"] | {"model": model})
    images = LabelledImages(np.zeros((500, 32, 32, 3), np.uint8), np.arange(500) % 10)
    parts = {TASK.part_name(config): split_train_validation(images, config.data)}
    (tmp_path / "w.pt").write_bytes(b"1")
    source = source_of(config.model)
    assert source is not None
    (tmp_path / "w.pt").unlink()
    (tmp_path / f"{project.name}_extra.py").touch()
    (tmp_path / "checkpoint").mkdir()

    message = TrialSession(
        Job(
            number=0,
            task=TASK.name,
            config=config.model_dump_json(),
            checkpoint=str(tmp_path / "checkpoint"),
            log=str(tmp_path / "trial.log"),
            cpus=1,
            device="cpu",
            source=json.dumps(dict(source.files)),
        ),
        parts,
        capture_output=False,
    ).step()

    assert message.epoch is not None, message.error


def test_a_trial_resumed_after_an_edit_keeps_its_checkpoint(project: Project, tmp_path: Path) -> None:
    config = TrainingConfig.model_validate(tiny()["base"] | {"model": {"name": f"{project.name}:Net"}})
    images = LabelledImages(np.zeros((500, 32, 32, 3), np.uint8), np.arange(500) % 10)
    parts = {TASK.part_name(config): split_train_validation(images, config.data)}
    source = source_of(config.model)
    assert source is not None
    job = Job(
        number=0,
        task=TASK.name,
        config=config.model_dump_json(),
        checkpoint=str(tmp_path / "checkpoint"),
        log=str(tmp_path / "trial.log"),
        cpus=1,
        device="cpu",
        source=json.dumps(dict(source.files)),
    )
    (tmp_path / "checkpoint").mkdir()
    assert TrialSession(job, parts, capture_output=False).step().epoch is not None
    kept = (tmp_path / "checkpoint" / "state.pt").read_bytes()
    project.part.write_text(SIGMOID, encoding="utf-8")

    message = TrialSession(job, parts, capture_output=False).step()

    assert (message.epoch, message.outcome, message.error_class) == (None, Outcome.INTERRUPTED, ErrorClass.CODE_CHANGED)
    assert f"{project.part.name} has changed" in (message.error or "")
    assert (tmp_path / "checkpoint" / "state.pt").read_bytes() == kept

    project.part.write_text(RELU, encoding="utf-8")
    again = TrialSession(job, parts, capture_output=False)
    assert [again.step().epoch.epoch, again.step().outcome] == [1, Outcome.COMPLETE]  # type: ignore[union-attr]
