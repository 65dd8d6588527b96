"""The driver opens the test images once, when the first network is evaluated on Ray."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sweep_fakes import Cli, write_yaml, written

import cifar_core.data.load

pytestmark = [pytest.mark.usefixtures("nothing_of_ray_is_left"), pytest.mark.slow]


@pytest.mark.parametrize(("evaluate", "openings", "tested"), [("test", 1, 1), ("validation", 0, 0)])
def test_the_test_images_are_opened_once_and_only_for_measuring(
    evaluate: str,
    openings: int,
    tested: int,
    tmp_path: Path,
    recorded_runs: Path,
    cli: Cli,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []
    load = cifar_core.data.load.load_test_images

    def counting(*arguments: Any, **options: Any) -> Any:
        opened.append("opened")
        return load(*arguments, **options)

    monkeypatch.setattr(cifar_core.data.load, "load_test_images", counting)
    base = {"epochs": 1, "model": {"width": 4}, "data": {"train_size": 200, "validation_size": 100}}
    rungs = [{"name": "a"}, {"name": "b", "optimizer": {"lr": 0.02}}]
    path = write_yaml(tmp_path, {"name": "steps", "evaluate": evaluate, "base": base, "rungs": rungs})

    result = cli("ladder", path, "--runs", recorded_runs)

    assert result.exit_code == 0, result.output
    assert len(opened) == openings
    assert [len(run.steps.get("test_accuracy", [])) for run in written(recorded_runs, sweep="steps")] == [tested] * 2
