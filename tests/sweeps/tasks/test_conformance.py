"""Requirements of the runner for all tasks. To add a task, add an entry in `CASES`."""

from __future__ import annotations

import shutil
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from curve_task import CurveTask

from cifar_core.common.errors import CheckpointError
from cifar_core.config import TrainingConfig
from sweeps.core.results import EpochResult
from sweeps.core.task import AnyTask, TaskConfig, Training
from sweeps.tasks.function import FunctionTask
from sweeps.tasks.registry import IMAGES, TASKS, read_config, task_named, task_of

pytestmark = pytest.mark.trains


@dataclass(frozen=True, kw_only=True)
class Case:
    """A task, and a configuration that trains fast."""

    name: str
    values: dict[str, Any]
    other: dict[str, Any]
    """Changes for another configuration."""

    @property
    def task(self) -> AnyTask:
        return task_named(self.name)

    def config(self, **changes: Any) -> TaskConfig:
        config: TaskConfig = self.task.config_type.model_validate(self.values | changes)
        return config


CASES = [
    Case(
        name="image_classification",
        values={"epochs": 3, "model": {"width": 4}, "data": {"train_size": 100, "validation_size": 100}},
        other={"optimizer": {"lr": 0.02}},
    ),
    Case(name="formula:train", values={"rate": 0.05, "epochs": 3}, other={"rate": 0.2}),
    Case(
        name="program",
        values={"program": "descent.py", "result_metric": "val_loss", "rate": 0.05, "epochs": 3, "arg": {"epochs": 3}},
        other={"rate": 0.2},
    ),
    Case(name="curve", values={"rate": 0.05, "epochs": 3}, other={"rate": 0.2}),
]


@pytest.fixture(params=CASES, ids=lambda case: case.name)
def case(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Case]:
    for script in ("formula.py", "descent.py"):
        shutil.copy(Path(__file__).parent / script, tmp_path)
    monkeypatch.setitem(TASKS, "curve", CurveTask())
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield request.param
    sys.modules.pop("formula", None)


def trained(
    case: Case, config: TaskConfig, *, epochs: int | None = None, save: Path | None = None
) -> list[EpochResult]:
    """Return the results of a training from its start, and save it after the last of them."""
    part = case.task.load_parts([config])[case.task.part_name(config)]
    training = case.task.start(config, part, device="cpu")
    use(training, Path(tempfile.mkdtemp(dir=Path.cwd())) if save is None else save.parent)
    results = []
    for result in training.epochs(on_step=lambda loss: None):
        results.append(result)
        if save is not None:
            training.save(save)
        if len(results) == (epochs or config.epochs):
            break
    return results


def use(training: Training, folder: Path) -> None:
    """Give a training a folder and a log, as the runner does."""
    folder.mkdir(exist_ok=True)
    training.use_folders(folder / "files", folder / "artifacts")
    training.use_log(folder / "trial.log")


def numbers(results: list[EpochResult]) -> list[dict[str, float]]:
    return [{name: value for name, value in each.metrics.items() if name != "images_per_second"} for each in results]


def test_a_configuration_survives_the_record(case: Case) -> None:
    config = case.config(seed=3)

    again = read_config(config.model_dump_json())

    assert again.config_id() == config.config_id()
    assert again.key(data_fingerprint="d") == config.key(data_fingerprint="d")
    assert again.dotted() == config.dotted()
    assert task_of(again).name == task_of(config).name == case.name


def test_identity_contains_every_value_and_only_the_key_the_seed(case: Case) -> None:
    config, seeded, other = case.config(), case.config(seed=1), case.config(**case.other)

    assert config.config_id() == seeded.config_id() != other.config_id()
    assert len({each.key(data_fingerprint="d") for each in (config, seeded, other)}) == 3
    assert config.key(data_fingerprint="d") != config.key(data_fingerprint="e")
    assert config.key(data_fingerprint="d") != config.key(data_fingerprint="d", source_hash="s")


def test_an_epoch_has_the_declared_metrics_with_finite_values(case: Case) -> None:
    results = trained(case, case.config())

    assert [result.epoch for result in results] == [1, 2, 3]
    assert all(result.metrics for result in results)
    assert all(set(result.metrics) <= set(case.task.metrics or result.metrics) for result in results)


def test_one_seed_gives_the_same_numbers_and_another_one_others(case: Case) -> None:
    first, again, other = (numbers(trained(case, case.config(seed=seed))) for seed in (1, 1, 2))

    assert first == again != other


def test_a_training_resumed_from_its_checkpoint_gives_what_an_uninterrupted_one_gives(
    case: Case, tmp_path: Path
) -> None:
    config, path = case.config(), tmp_path / "checkpoint" / "state.pt"
    whole = trained(case, config)
    trained(case, config, epochs=2, save=path)
    assert not case.task.is_complete(path)

    training = case.task.load(path, config, case.task.load_parts([config])[case.task.part_name(config)], device="cpu")

    use(training, path.parent)
    assert [result.epoch for result in training.history] == [1, 2]
    assert numbers(list(training.history)) == numbers(whole[:2])
    rest = [next(training.epochs(on_step=lambda loss: None))]
    assert numbers(rest) == numbers(whole[2:])
    training.save(path)
    assert case.task.is_complete(path)


def test_a_checkpoint_that_is_damaged_or_of_another_configuration_is_refused(case: Case, tmp_path: Path) -> None:
    config, path = case.config(), tmp_path / "checkpoint" / "state.pt"
    part = case.task.load_parts([config])[case.task.part_name(config)]
    trained(case, config, epochs=1, save=path)

    with pytest.raises(CheckpointError):
        case.task.load(path, case.config(**case.other), part, device="cpu")
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(CheckpointError):
        case.task.load(path, config, part, device="cpu")


def test_a_description_is_short_and_distinguishes_configurations(case: Case) -> None:
    config, other = case.config(), case.config(**case.other)

    assert case.task.describe(config) != case.task.describe(other)
    assert len(case.task.describe(config)) < 80


def test_tasks_do_not_accept_configurations_of_each_other() -> None:
    assert task_of(TrainingConfig()) is IMAGES
    assert isinstance(task_named("formula:train"), FunctionTask)
