"""Fields of training configurations that the task of images scales, warns about, or knows by other names."""

from __future__ import annotations

from typing import Any

import pytest

from cifar_core.config import TrainingConfig
from sweeps.tasks.image_classification import ImageClassification
from sweeps.tasks.image_names import path_of_name, value_of_name

TASK = ImageClassification()


def config(**content: Any) -> TrainingConfig:
    return TrainingConfig.model_validate(content)


@pytest.mark.parametrize(("name", "sgd_lr"), [("muon", 0.05), ("sgd", 0.1)])
def test_both_rates_of_muon_are_scaled_and_unused_ones_are_not(name: str, sgd_lr: float) -> None:
    scaled = TASK.scaled(config(optimizer={"name": name, "lr": 0.24}), lr=0.5, width={})

    assert (scaled.optimizer.lr, scaled.optimizer.sgd_lr) == (0.12, sgd_lr)


@pytest.mark.parametrize("schedule", ["cosine", "warmup_cosine"])
def test_a_cosine_that_would_raise_the_rate_is_warned_about(schedule: str) -> None:
    (warning,) = TASK.config_warnings(config(schedule={"name": schedule, "min_lr": 0.5}))

    assert warning.startswith("schedule.min_lr: 0.5 is above optimizer.lr 0.01")


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("max_grad_norm", "optimizer.clip_norm"),
        ("mixup_alpha", "data.mixup"),
        ("drop_path_rate", "model.stochastic_depth"),
    ],
)
def test_names_of_other_tools_are_known(name: str, path: str) -> None:
    assert path_of_name(name) == path


def test_muon_is_known_under_the_name_of_torchs_class() -> None:
    assert value_of_name("optimizer.name", "torch.optim.Muon") == "muon"
