"""The pictures of a complete run in MLflow: its curve, confusion matrix, inputs and mistakes."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest
from PIL import Image
from sweep_fakes import Cli, tiny, write_yaml

from sweeps.record.files import RunFiles
from sweeps.use import run_pictures
from sweeps.use.run_pictures import log_pictures


@pytest.fixture
def recorded(tmp_path: Path, recorded_runs: Path, cli: Cli) -> Path:
    """Two complete trials without pictures, because their training was too short."""
    (recorded_runs / "artifacts").mkdir()
    content = tiny(base=tiny()["base"] | {"epochs": 1})
    result = cli("run", write_yaml(tmp_path, content), "--runs", recorded_runs, "--backend", "inline")
    assert result.exit_code == 0, result.output
    return recorded_runs


def pictures(runs: Path) -> list[list[str]]:
    """Return the names of each run's pictures, after opening each."""
    found = []
    for folder in sorted((runs / "artifacts").glob("*/artifacts")):
        names = sorted(path.name for path in folder.glob("*.png"))
        for name in names:
            with Image.open(folder / name) as picture:
                picture.verify()
        found.append(names)
    return [names for names in found if names]


def test_each_complete_run_gets_its_pictures_once(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert pictures(recorded) == [], "short runs get no pictures"
    monkeypatch.setattr(run_pictures, "LEAST_SECONDS", 0.0)

    assert log_pictures("tiny", runs=recorded) == 2
    assert log_pictures("tiny", runs=recorded) == 0

    assert pictures(recorded) == [["confusion.png", "inputs.png", "learning-curve.png", "mistakes.png"]] * 2


def test_without_weights_there_is_all_but_the_mistakes(recorded: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run_pictures, "LEAST_SECONDS", 0.0)
    shutil.rmtree(recorded / "sweeps" / "tiny" / "checkpoints")

    log_pictures("tiny", runs=recorded)

    assert pictures(recorded) == [["confusion.png", "inputs.png", "learning-curve.png"]] * 2


def test_an_unwritable_store_is_logged_and_not_raised(
    recorded: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(run_pictures, "LEAST_SECONDS", 0.0)
    shutil.rmtree(recorded / "artifacts")
    (recorded / "artifacts").touch()

    with caplog.at_level(logging.WARNING):
        assert log_pictures("tiny", runs=recorded) == 0

    assert "could not store pictures of the runs of tiny in MLflow" in caplog.text
    run_id = RunFiles(recorded, sweep="tiny").run_without(
        next(iter(RunFiles(recorded, sweep="tiny")._runs)), tag=run_pictures.PICTURED
    )
    assert run_id is not None, "the next start tries again"
