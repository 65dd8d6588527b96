"""The used fields of a configuration, defined once, and everything that derives from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from cifar_core.config import EPOCH_FIELDS, FIELDS_OF_KIND, TRAIN_IMAGES, TrainingConfig, fields_of_kind

VALUES: dict[str, Any] = {
    "schedule.step_size": 3, "schedule.gamma": 0.7, "schedule.min_lr": 0.001, "schedule.warmup": 0.2,
    "optimizer.lr": 0.05, "optimizer.momentum": 0.9, "optimizer.nesterov": True, "optimizer.weight_decay": 0.01,
    "model.width": 8, "model.plan": (8, "M"), "model.head": (16,), "model.activation": "relu", "model.dropout": 0.2,
    "model.regularize_logits": True, "model.last_layer": "append", "model.weights": "a.pt",
    "model.channel_dropout": 0.1, "model.squeeze_excitation": True, "model.stochastic_depth": 0.2, "model.depth": 22,
    "model.widen_factor": 2, "schedule.start_factor": 0.1, "schedule.end_factor": 0.3, "optimizer.bias_lr_factor": 4.0,
    "optimizer.sgd_lr": 0.3, "optimizer.sgd_momentum": 0.5, "optimizer.clip_norm": 1.0, "optimizer.sam_rho": 0.05,
}  # fmt: skip
"""A non-default value of each field."""

KINDS = [(block, kind) for block, kinds in FIELDS_OF_KIND.items() for kind in kinds]


def config(**content: Any) -> TrainingConfig:
    return TrainingConfig.model_validate(content)


def filled(block: str, kind: str) -> TrainingConfig:
    """Return a configuration with every field of a block set, used by its kind or not."""
    fields = {path.partition(".")[2]: value for path, value in VALUES.items() if path.startswith(f"{block}.")}
    return config(**{block: {"name": kind, **fields}})


@pytest.mark.parametrize(
    ("model", "start_size", "reason"),
    [
        ("resnet", 24, "'resnet' needs images of at least 32 pixels. For smaller ones use lean \\(at least 10"),
        ("lean", 8, "'lean' needs images of at least 10 pixels"),
        ("lean", 25, "multiple of 2"),
    ],
)
def test_a_size_that_a_network_does_not_accept_is_rejected(model: str, start_size: int, reason: str) -> None:
    content = {"model": {"name": model}, "data": {"start_size": start_size}}
    with pytest.raises(ValidationError, match=reason):
        TrainingConfig.model_validate(content)
    assert TrainingConfig.model_validate(content | {"model": {"name": "nets:Tiny"}, "data": {"start_size": 24}})


@pytest.mark.parametrize(("block", "kind"), KINDS)
def test_the_record_shows_the_fields_that_a_kind_uses_and_no_others(block: str, kind: str) -> None:
    assert set(filled(block, kind).resolved()[block]) == {"name", *fields_of_kind(block, kind)}


@pytest.mark.parametrize(("block", "kind"), KINDS)
def test_a_field_decides_the_identity_only_where_its_kind_uses_it(block: str, kind: str) -> None:
    plain = config(**{block: {"name": kind, "momentum": 0.5} if block == "optimizer" else {"name": kind}})
    for path, value in VALUES.items():
        if path.startswith(f"{block}."):
            field = path.partition(".")[2]
            changed = plain.model_copy(update={block: getattr(plain, block).model_copy(update={field: value})})
            assert (changed.config_id() != plain.config_id()) == (field in fields_of_kind(block, kind)), path


def test_every_field_of_a_block_with_kinds_is_used_by_one() -> None:
    for block, kinds in FIELDS_OF_KIND.items():
        fields = set(type(getattr(TrainingConfig(), block)).model_fields) - {"name"}
        of_libraries = set(fields_of_kind("model", "timm:resnet18")) if block == "model" else set()
        assert fields == {field for used in kinds.values() for field in used} | of_libraries


def test_nesterov_without_momentum_is_left_out() -> None:
    assert config(optimizer={"nesterov": True}).config_id() == TrainingConfig().config_id()


def test_a_custom_network_uses_only_its_options() -> None:
    own = config(model={"name": "nets:Tiny", "options": {"name": "mine", "depth": 3}, "width": 8})

    assert fields_of_kind("model", "nets:Tiny") == ("options",)
    assert own.resolved()["model"] == {"name": "nets:Tiny", "depth": 3}
    assert own.canonical()["model"] == {"name": "nets:Tiny", "options": {"name": "mine", "depth": 3}}


@given(st.integers(1, 200), st.integers(1, 50), st.floats(0.01, 1))
def test_a_shorter_run_keeps_its_schedule_in_proportion(epochs: int, step_size: int, scale: float) -> None:
    whole = config(epochs=epochs, schedule={"name": "step", "step_size": step_size})

    shorter = whole.shortened(scale)

    assert EPOCH_FIELDS == ("schedule.step_size",)
    assert shorter.epochs == max(1, round(epochs * scale))
    assert shorter.schedule.step_size == max(1, round(step_size * scale))
    assert shorter.model_copy(update={"epochs": epochs, "schedule": whole.schedule}) == whole


@pytest.mark.parametrize(
    ("data", "images"),
    [({}, TRAIN_IMAGES), ({"validation_size": 5000}, 45_000), ({"train_size": 100, "validation_size": 5000}, 100)],
)
def test_the_images_of_an_epoch_are_resolved(data: dict[str, int], images: int) -> None:
    assert config(data=data).train_images() == images


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ({"model": {"name": "wide_resnet", "depth": 20}}, "depth 20: wide_resnet has 6n \\+ 4 layers. Use 16 or 22"),
        ({"model": {"name": "resnet", "residual": False, "stochastic_depth": 0.1}}, "stochastic_depth needs residual"),
        ({"optimizer": {"clip_norm": 0}}, "clip_norm\n  Input should be greater than 0"),
        ({"data": {"mixup": -1}}, "mixup\n  Input should be greater than or equal to 0"),
    ],
)
def test_values_that_exclude_each_other_are_rejected_with_the_reason(content: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        config(**content)


def test_the_depth_of_a_network_that_ignores_it_is_not_checked() -> None:
    assert config(model={"name": "resnet", "depth": 20}).config_id() == config(model={"name": "resnet"}).config_id()


LATER = (
    "model.channel_dropout", "model.squeeze_excitation", "model.stochastic_depth", "model.depth", "model.widen_factor",
    "data.mixup", "data.cutmix", "optimizer.sgd_lr", "optimizer.sgd_momentum", "optimizer.clip_norm",
    "optimizer.sam_rho",
)  # fmt: skip
"""Fields that records of earlier versions lack."""


def test_later_fields_are_shown_but_not_stored_at_their_defaults() -> None:
    plain = config(model={"name": "resnet"})
    stored = plain.model_dump(mode="json")

    assert not [path for path in LATER if path.partition(".")[2] in stored[path.partition(".")[0]]]
    assert {"data.mixup", "optimizer.clip_norm", "model.stochastic_depth"} <= plain.dotted().keys()


IDENTITIES = Path(__file__).parents[1] / "fixtures" / "identities.json"


def test_a_configuration_keeps_its_keys_for_ever() -> None:
    # Another key would train recorded runs again.
    for was in json.loads(IDENTITIES.read_text(encoding="utf-8")):
        config = TrainingConfig.model_validate(was["input"])

        assert (config.config_id(), config.key(data_fingerprint="abc")) == (was["config_id"], was["key"]), was
        assert config.key(data_fingerprint="abc", source_hash="def") == was["key_with_source"], was
        assert TrainingConfig.model_validate_json(config.model_dump_json()) == config
