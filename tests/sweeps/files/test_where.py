"""`where` of a sweep file: its names, and what it refuses before anything is trained."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError
from sweep_fakes import tiny

from sweeps.files.definition import contains_point, definition_changes, space_of
from sweeps.files.sweep import SweepSpec

WIDTHS = {"model.name": {"values": ["simple", "vgg"]}, "model.width": {"values": [4, 8, 16, 32]}}
GRID = {"method": "grid", "run_cap": None, "parameters": WIDTHS}


def spec(*where: str, **changes: Any) -> SweepSpec:
    return SweepSpec.model_validate(tiny(**{**GRID, **changes, "where": list(where)}))


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (["model.width < 9", "parameters_milions < 1"], r"where\[1\]: unknown name 'parameters_milions': did you mean"),
        (["width < 9"], r"where\[0\]: unknown name 'width': did you mean 'model.width'"),
        (["model.widht < 9"], "did you mean 'model.width'"),
        (["model.width <"], r"where\[0\]: 'model.width <' is not a condition"),
    ],
)
def test_an_error_names_the_entry_and_the_nearest_name(where: list[str], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        spec(*where)


def test_a_start_that_violates_a_condition_is_an_error() -> None:
    lr = {**WIDTHS, "optimizer.lr": {"min": 0.01, "max": 0.1}}
    bayes = {"method": "bayes", "run_cap": 4, "parameters": lr}
    start = [{"model.name": "vgg", "model.width": 8}, {"model.name": "simple", "model.width": 32}]

    with pytest.raises(ValidationError, match=r"start_with\[1\]: violates where\[0\], 'model.width < 32'"):
        spec("model.width < 32", start_with=start, **bayes)
    # The learning rate of these entries is not known before they are proposed.
    assert spec("optimizer.lr * model.width < 0.3", start_with=start, **bayes).start_with == tuple(start)


def test_conditions_on_metrics_are_measured_and_all_others_known() -> None:
    conditions = spec("val_loss < 2", "parameters_millions < 1", "train_seconds < 60 or epochs > 3").space.conditions

    assert list(conditions.measured) == ["where[0]", "where[2]"]
    assert list(conditions.known) == ["where[1]"]


def test_a_network_is_measured_without_training_it() -> None:
    space = spec("multiply_adds_millions < 1").space

    refused = {(a["model.name"], a["model.width"]) for a in space.assignments() if not space.satisfies(a)}

    assert ("simple", 4) not in refused
    assert {("simple", 32), ("vgg", 32)} <= refused
    assert space.proposals == 8 - len(refused)


def test_the_counted_parameters_are_those_of_the_built_network() -> None:
    from cifar_core.models.build import network_of

    space = spec().space
    for assignment in space.assignments():
        config = space.config(assignment)
        counted = sum(parameter.numel() for parameter in network_of(config).parameters())  # type: ignore[arg-type]
        assert space.task.quantity("parameters_millions", config) == counted / 1e6


def test_a_condition_on_an_unused_field_does_not_apply() -> None:
    space = spec(
        "model.width < 8",
        parameters={
            "model.name": {"values": ["torchvision_vgg16", "simple"]},
            "model.width": {"values": [4, 32], "when": {"model.name": ["simple"]}},
        },
    ).space

    assert [space.satisfies(a) for a in space.assignments()] == [True, True, False]


def test_a_definition_without_conditions_is_that_of_an_earlier_version() -> None:
    assert "where" not in spec().definition()
    assert spec().definition().items() < spec("model.width<9").definition().items()


def test_conditions_belong_to_the_definition_in_a_uniform_spelling() -> None:
    before, same, other = (
        spec(text).definition() for text in ("model.width<9", "(model.width < 9)", "model.width < 8")
    )

    assert definition_changes(before, same) == []
    assert definition_changes(before, other) == ['where: was ["model.width < 9"], is ["model.width < 8"]']


def test_a_stored_definition_contains_only_points_that_it_allows() -> None:
    space = space_of(json.loads(json.dumps(spec("model.width < 9").definition())))
    assert space is not None
    small, large = (spec().space.config({"model.name": "vgg", "model.width": width}) for width in (8, 16))

    assert contains_point(space, small)
    assert not contains_point(space, large)
