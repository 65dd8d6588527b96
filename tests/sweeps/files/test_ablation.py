"""An ablation removes one change at a time, and keeps budget and images."""

from __future__ import annotations

from typing import Any

import pytest

from cifar_core.config import TrainingConfig
from sweeps.core.errors import SweepError
from sweeps.files.ablation import ablation_of

TRICKS: dict[str, Any] = {
    "model": {"name": "vgg", "width": 8, "dropout": 0.1},
    "data": {"train_size": 1000, "validation_size": 200, "batch_size": 32, "augmentation": "flip-crop"},
    "optimizer": {"lr": 0.05, "momentum": 0.9},
    "schedule": {"name": "step", "gamma": 0.5, "step_size": 2},
    "epochs": 4,
    "seed": 3,
}


def variants(content: dict[str, Any]) -> dict[str, TrainingConfig]:
    ladder = ablation_of(TrainingConfig.model_validate(content), run="quick/3", key="0123456789abcdef")
    return {rung.name: rung.config for rung in ladder.rungs}


def test_the_full_configuration_comes_first() -> None:
    whole = variants(TRICKS)["whole"]

    assert whole.canonical() == TrainingConfig.model_validate(TRICKS).canonical()
    assert whole.seed == 3


def test_each_change_is_removed_once_and_blocks_as_one_change() -> None:
    assert list(variants(TRICKS)) == [
        "whole", "without-model", "without-data.batch-size", "without-data.augmentation", "without-optimizer.lr",
        "without-optimizer.momentum", "without-schedule",
    ]  # fmt: skip


LEFT_OUT = {
    "without-data.batch-size": ("data", {"batch_size": 64}),
    "without-data.augmentation": ("data", {"augmentation": "none"}),
    "without-optimizer.lr": ("optimizer", {"lr": 0.01}),
    "without-optimizer.momentum": ("optimizer", {"momentum": 0.0}),
}


@pytest.mark.parametrize("name", LEFT_OUT)
def test_removing_one_change_keeps_all_others(name: str) -> None:
    block, plain = LEFT_OUT[name]
    wanted = TrainingConfig.model_validate(TRICKS | {block: TRICKS[block] | plain})

    assert variants(TRICKS)[name].canonical() == wanted.canonical()


@pytest.mark.parametrize(("name", "block"), [("without-model", "model"), ("without-schedule", "schedule")])
def test_removing_a_network_or_schedule_removes_its_fields(name: str, block: str) -> None:
    wanted = TrainingConfig.model_validate({key: value for key, value in TRICKS.items() if key != block})

    assert variants(TRICKS)[name].canonical() == wanted.canonical()


def test_a_custom_network_is_removed_with_its_options() -> None:
    own = {"model": {"name": "nets:Tiny", "options": {"hidden": 8}}, "optimizer": {"lr": 0.05}}

    rungs = variants(own)

    assert rungs["whole"].model.options == {"hidden": 8}
    assert rungs["without-optimizer.lr"].model.options == {"hidden": 8}
    assert rungs["without-model"].model.name == "simple"


def test_a_default_configuration_cannot_be_ablated() -> None:
    with pytest.raises(SweepError, match="no change to remove"):
        variants({"epochs": 3, "data": {"train_size": 100}})


def test_every_variant_is_compared_with_the_full_configuration() -> None:
    ladder = ablation_of(TrainingConfig.model_validate(TRICKS), run="quick/3", key="0123456789abcdef")

    assert [rung.parent for rung in ladder.rungs] == [None] + ["whole"] * 6
    assert [rung.index for rung in ladder.rungs] == list(range(7))
    assert {rung.note for rung in ladder.rungs} == {""}
    assert list(map(str, ladder.rungs[2].changes)) == ["data.batch_size 32 → 64"]


def test_an_ablation_is_named_after_its_run() -> None:
    ladder = ablation_of(TrainingConfig.model_validate(TRICKS), run="quick/3", key="0123456789abcdef")

    assert (ladder.name, ladder.description) == ("ablate-01234567", "quick/3 without each of its changes")


def test_removing_the_network_keeps_fields_outside_its_block() -> None:
    whole = TrainingConfig.model_validate(TRICKS)

    without = variants(TRICKS)["without-model"]

    assert (without.data, without.optimizer, without.schedule) == (whole.data, whole.optimizer, whole.schedule)
