"""The data set of a training function: loaded once, part of the identity, its test part sealed."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sweep_fakes import Cli, write_yaml

from cifar_core.common.errors import ModelError
from sweeps.core.task import AnyTask
from sweeps.tasks.function_data import SealedDataError, TrialData
from sweeps.tasks.registry import task_named

MODULE = """
import numpy as np

CALLS = []

def data():
    CALLS.append(1)
    return {
        "train": {"x": np.arange(6.0).reshape(3, 2), "names": ["a", "b"]},
        "validation": (np.ones(2), None, True, 0.5),
        "test": np.full(2, 7.0),
    }

def train(trial, *, rate: float = 0.1, epochs: int = 2):
    for epoch in range(trial.epoch, epochs):
        trial.save(epoch)
        yield {"val_loss": rate * float(trial.data["train"]["x"].sum()) + trial.seed + epoch}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("measured", None)


def write(project: Path, text: str = MODULE) -> AnyTask:
    (project / "measured.py").write_text(text, encoding="utf-8")
    return task_named("measured:train")


def first_epoch(task: AnyTask) -> dict[str, float]:
    config = task.config_type.model_validate({"train": task.name})
    training = task.start(config, task.load_parts([config])[task.part_name(config)], device="cpu")
    return dict(next(training.epochs(on_step=lambda loss: None)).metrics)


def fingerprint(task: AnyTask) -> str:
    return task.data_fingerprint(task.config_type.model_validate({"train": task.name}))


def test_trials_receive_all_parts_but_the_test_part_loaded_once(project: Path) -> None:
    task = write(project)

    parts = task.load_parts([])[None]

    assert first_epoch(task) == {"val_loss": pytest.approx(1.5)}
    assert set(parts) == {"train", "validation"}
    assert not parts["train"]["x"].flags.writeable
    assert task.size_of({None: parts}) == 8 * 8
    assert len(sys.modules["measured"].CALLS) == 1


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("np.arange(6.0)", "(np.arange(6.0) + 1e-9)"),
        ("np.arange(6.0).reshape(3, 2)", "np.arange(6.0).reshape(2, 3)"),
        ("np.ones(2)", "np.ones(2, dtype=np.float32)"),
        ("np.full(2, 7.0)", "np.full(2, 8.0)"),
        ('["a", "b"]', '["ab"]'),
        ("True, 0.5", "1, 0.5"),
    ],
)
def test_any_change_of_the_data_is_another_identity(project: Path, before: str, after: str) -> None:
    one, same = fingerprint(write(project)), fingerprint(write(project))

    assert one == same
    assert len(one) == 16
    assert fingerprint(write(project, MODULE.replace(before, after))) != one


def test_a_function_without_declared_data_has_no_fingerprint(project: Path) -> None:
    needs_path = MODULE.replace("def data():", "def data(path):").replace('trial.data["train"]["x"].sum()', "1")

    task = write(project, needs_path)

    assert fingerprint(task) == ""
    assert first_epoch(task) == {"val_loss": pytest.approx(0.1)}
    task = write(project, needs_path.replace("* float(1)", "* len(trial.data)"))
    with pytest.raises(ModelError, match=r"trial.data needs a function `data\(\)`"):
        first_epoch(task)


@pytest.mark.parametrize(
    ("read", "said"),
    [
        ('trial.data["test"]', r"must not read data\['test'\]. Write `def test"),
        ('trial.data.get("test")', r"must not read data\['test'\]"),
        ("data()", r"must not call measured.data\(\)"),
    ],
)
def test_a_training_cannot_read_the_test_part(project: Path, read: str, said: str) -> None:
    task = write(project, MODULE.replace('trial.data["train"]["x"].sum()', f"({read})[0]"))

    with pytest.raises(SealedDataError, match=said):
        first_epoch(task)


def test_parts_are_a_mapping_that_names_the_closest_part() -> None:
    data = TrialData({"train": 1, "validation": 2}, module="measured")

    assert (len(data), list(data), "test" in data, data["train"]) == (2, ["train", "validation"], False, 1)
    with pytest.raises(KeyError, match="did you mean 'validation'"):
        data["validaton"]


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("return np.ones(2), np.ones(3)", "returned a tuple. It declares the data set"),
        ("return {}", "returned a dict"),
        ("return open('nowhere.csv')", r"measured.data\(\) raised FileNotFoundError"),
        ("return {'train': (i for i in 'ab')}", "is a generator, which cannot be pickled"),
    ],
)
def test_unusable_data_is_refused_before_anything_starts(project: Path, cli: Cli, body: str, said: str) -> None:
    write(project, f"import numpy as np\ndef data():\n    {body}\n{MODULE[MODULE.index('def train') :]}")
    content: dict[str, Any] = {
        "name": "measured",
        "method": "grid",
        "train": "measured:train",
        "metric": {"name": "val_loss", "goal": "minimize"},
        "parameters": {"rate": {"values": [0.1]}},
    }

    result = cli("run", write_yaml(project, content), "--backend", "inline", "--runs", "runs")

    assert result.exit_code == 2, result.output
    with pytest.raises(ModelError, match=said):
        fingerprint(task_named("measured:train"))
    assert not Path("runs").exists()


def test_contents_of_other_types_are_hashed_by_value(project: Path) -> None:
    def hashed(part: str) -> str:
        declared = f"import numpy as np, pandas as pd, torch\ndef data():\n    return {{'train': {part}}}\n"
        return fingerprint(write(project, declared + MODULE[MODULE.index("def train") :]))

    assert (
        hashed("pd.DataFrame({'a': [1]})") == hashed("pd.DataFrame({'a': [1]})") != hashed("pd.DataFrame({'a': [2]})")
    )
    assert hashed("torch.ones(2)") == hashed("torch.ones(2)") != hashed("torch.zeros(2)")
    assert hashed("{'a', 'b'}") == hashed("{'b', 'a'}") != hashed("{'a'}")
    assert hashed("np.zeros(0)") == hashed("np.zeros(0)")
