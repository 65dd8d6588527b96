"""The data on which replicates are compared: how many images, why none, and what a file must not request."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError
from sweep_fakes import tiny

from sweeps.files.confirmation import ConfirmationPart
from sweeps.files.settings import Confirm
from sweeps.files.sweep import SweepSpec


def spec(*, data: dict[str, Any], confirm: dict[str, Any] | None = None, **changes: Any) -> SweepSpec:
    base = tiny()["base"] | {"data": data}
    return SweepSpec.model_validate(tiny(base=base, confirm=confirm or {}, **changes))


def part(train: int | None, validation: int, **settings: Any) -> ConfirmationPart:
    found = spec(data={"train_size": train, "validation_size": validation}, confirm=settings).confirmation
    assert found is not None
    return found


def error_of(**changes: Any) -> str:
    with pytest.raises(ValidationError) as found:
        SweepSpec.model_validate(tiny(**changes))
    return str(found.value)


def test_as_many_images_as_are_left_at_most_ten_thousand() -> None:
    assert part(10_000, 2_000).examples == 10_000
    assert part(43_000, 2_000).examples == 5_000
    assert part(43_000, 2_000, images=4_000).examples == 4_000


def test_too_few_images_leave_the_validation_images_of_the_search() -> None:
    for train in (None, 48_000, 47_500):
        found = part(train, 2_000)
        assert found.examples == 0
        assert "on the validation data of the search, because training and validation in the search" in found.sentence
    assert part(47_500, 2_000, images=500).examples == 500, "requested"
    assert part(10_000, 2_000, images=0).sentence.endswith("because images is 0.")


def test_every_size_that_is_searched_leaves_these_images() -> None:
    sizes = {"parameters": {"data.train_size": {"values": [1_000, 44_000]}}}
    found = spec(data={"validation_size": 2_000}, **sizes).confirmation

    assert found == ConfirmationPart(examples=4_000)


def test_a_metric_of_the_training_has_no_confirmation_part() -> None:
    data = {"train_size": 1_000, "validation_size": 500}
    found = spec(data=data, metric={"name": "train_loss"}).confirmation

    assert found is not None
    assert found.reason == "train_loss is not measured on validation images"


def test_more_images_than_are_left_are_refused_with_the_number() -> None:
    base = tiny()["base"] | {"data": {"train_size": 45_000, "validation_size": 2_000}}

    assert "confirm.images 10000: training and validation in the search leave 3,000" in error_of(
        base=base, confirm={"images": 10_000}
    )
    assert "replicates.images 10000" in error_of(base=base, replicates={"images": 10_000})


def test_replicates_and_confirm_together_are_refused() -> None:
    assert "confirm: cannot be combined with replicates" in error_of(confirm={}, replicates={})


@pytest.mark.parametrize(
    "wrong",
    [{"top": 1}, {"until": 0.5}, {"until": 1}, {"until": 95}, {"at_most": "soon"}, {"at_most": None}, {"seeds": 2}],
)
def test_values_without_a_meaning_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Confirm.model_validate(wrong)


def test_the_definition_of_a_study_is_the_same_with_any_confirmation() -> None:
    without = SweepSpec.model_validate(tiny()).definition()

    for settings in ({"confirm": {"images": 9}}, {"replicates": {"images": 9}}):
        assert SweepSpec.model_validate(tiny(**settings)).definition() == without
