"""One configuration with overrides."""

from __future__ import annotations

import pytest

from cifar_core.config import TrainingConfig
from cifar_core.recipes import RECIPES
from sweeps.use.single_config import single_config

LIST = ["normalize", "flip", {"erase": {"p": 0.2}}, {"crop": {"padding": 2}}]


@pytest.mark.parametrize("augmentation", [*RECIPES, LIST])
def test_a_complete_configuration_stays_unchanged(augmentation: str | list[object]) -> None:
    fields = {"model": {"name": "resnet", "width": 8}, "data": {"augmentation": augmentation}, "epochs": 3}
    config = TrainingConfig.model_validate(fields)

    again = single_config(config)

    assert again.dotted() == config.dotted()


def test_a_change_leaves_the_operations_of_an_augmentation_alone() -> None:
    config = TrainingConfig.model_validate({"data": {"augmentation": LIST}})

    changed = single_config(config, overrides=["base.epochs=7"])

    assert (changed.data, changed.epochs) == (config.data, 7)
