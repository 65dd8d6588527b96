"""An augmentation is written as a name or a list, and is read from a record unchanged."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifar_core.config import TrainingConfig
from cifar_core.operations.crop import Crop
from cifar_core.operations.erase import Erase
from cifar_core.operations.flip import Flip
from cifar_core.operations.grayscale import Grayscale
from cifar_core.operations.normalize import Normalize
from cifar_core.operations.pad import Pad
from cifar_core.operations.registry import OPERATIONS
from cifar_core.recipes import RECIPES, canonical_augmentation, operations_of, parse_augmentation

SHARE = st.floats(0, 1)


def ordered(least: float, most: float) -> st.SearchStrategy[list[float]]:
    return st.lists(st.floats(least, most), min_size=2, max_size=2).map(sorted)


@st.composite
def operation_lists(draw: st.DrawFn) -> list[Any]:
    """Return a list as a file may contain it: every spelling, exactly one `normalize`, a crop to 32 at the end."""
    before = draw(st.sampled_from([[], [{"pad": {"pixels": 2}}], [{"pad": None}], ["pad"]]))
    any_order = st.one_of(
        st.just("flip"),
        SHARE.map(lambda p: {"flip": {"p": p}}),
        SHARE.map(lambda p: {"op": "grayscale", "p": p}),
        st.builds(
            lambda p, scale, ratio: {"erase": {"p": p, "scale": scale, "ratio": ratio}},
            SHARE, ordered(0, 1), ordered(0.1, 9),
        ),
    )  # fmt: skip
    return [
        *before,
        "normalize",
        *draw(st.lists(any_order, max_size=4)),
        {"crop": {"padding": draw(st.integers(0, 16))}},
    ]


@given(operation_lists())
def test_a_list_comes_back_from_its_canonical_form_as_the_same_operations(written: list[Any]) -> None:
    operations = parse_augmentation(written)

    assert parse_augmentation(operations) == operations
    assert operations_of(parse_augmentation(canonical_augmentation(operations))) == operations
    assert [op.op for op in operations] == [
        entry if isinstance(entry, str) else entry.get("op", next(iter(entry))) for entry in written
    ]


@given(operation_lists(), operation_lists())
def test_two_lists_have_one_key_exactly_where_they_are_the_same_operations(first: list[Any], second: list[Any]) -> None:
    ids = [TrainingConfig.model_validate({"data": {"augmentation": it}}).config_id() for it in (first, second)]

    assert (ids[0] == ids[1]) == (parse_augmentation(first) == parse_augmentation(second))


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_a_recipe_is_its_name_also_where_it_is_written_out(recipe: str) -> None:
    assert parse_augmentation(recipe) == recipe
    assert operations_of(recipe) == RECIPES[recipe]
    assert parse_augmentation(RECIPES[recipe]) == RECIPES[recipe]
    assert canonical_augmentation(recipe) == recipe
    assert canonical_augmentation(RECIPES[recipe]) == recipe


def test_the_augmented_images_are_normalised_flipped_erased_cropped() -> None:
    erase = Erase(p=0.5, scale=(0.04, 0.2), ratio=(0.5, 2.0))
    assert RECIPES["flip-erase-crop"] == (Normalize(), Flip(p=0.5), erase, Crop(size=32, padding=4))


def test_the_regularized_images_are_padded_normalised_flipped_grayed_cropped() -> None:
    expected = (Pad(pixels=4), Normalize(), Flip(p=0.5), Grayscale(p=0.1), Crop(size=32, padding=4))
    assert RECIPES["pad-flip-gray-crop"] == expected


def test_the_canonical_form_of_an_unnamed_list_is_plain_records() -> None:
    assert canonical_augmentation((Normalize(), Flip(p=0.25))) == [{"op": "normalize"}, {"op": "flip", "p": 0.25}]


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_every_operation_is_found_by_its_name(name: str) -> None:
    assert OPERATIONS[name]().op == name  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("written", "message"),
    [
        ("flip-cropp", "unknown augmentation 'flip-cropp': did you mean 'flip-crop'?"),
        (3, "augmentation must be the name of a recipe or a list of operations, not 3"),
        (["normalize", "flipp"], "unknown operation 'flipp' in augmentation: did you mean 'flip'?"),
        (["normalize", 3], "unknown operation 3 in augmentation"),
        (["normalize", {"flip": {}, "crop": {}}], "unknown operation {'flip': {}, 'crop': {}} in augmentation"),
        (["normalize", {"op": "flipp"}], "unknown operation 'flipp'"),
        (["normalize", {"flip": 0.5}], "operation 'flip' takes arguments by name, such as {p: ...}, not 0.5"),
        (["flip"], "exactly one `normalize`, which has no effect with normalization none"),
        (["normalize", "normalize"], "exactly one `normalize`"),
        (["normalize", {"pad": {"pixels": 2}}], "augmentation results in images of 36×36: end it with a crop to 32"),
        (["normalize", {"crop": {"size": 30, "padding": 0}}], "augmentation results in images of 30×30"),
        (
            ["normalize", {"crop": {"size": 16, "padding": 0}}, {"crop": {"size": 32, "padding": 7}}],
            "crop to 32 from an image of 16 padded by 7",
        ),
        (["normalize", "trivial_augment"], "trivial_augment after normalize: it is defined on pixels"),
        (["normalize", {"rand_augment": {"magnitude": 31}}], "rand_augment: magnitude: should be less than or equal"),
        (["normalize", {"erase": {"scale": [0.2, 0.1]}}], "[minimum, maximum] between 0 and 1, not [0.2, 0.1]"),
        (["normalize", {"erase": {"scale": [-0.1, 0.1]}}], "scale of erase is"),
        (["normalize", {"erase": {"scale": [0.5, 1.1]}}], "scale of erase is"),
        (["normalize", {"erase": {"ratio": [2.0, 0.5]}}], "ratio of erase is [minimum, maximum] above 0, not [2"),
        (["normalize", {"erase": {"ratio": [0.0, 0.5]}}], "ratio of erase is"),
        (["normalize", {"erase": {"ratio": [0.5, float("inf")]}}], "ratio of erase is"),
    ],
)  # fmt: skip
def test_an_impossible_augmentation_is_rejected_with_the_remedy(written: Any, message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_augmentation(written)


@pytest.mark.parametrize(
    "written",
    [
        ["normalize", {"crop": {"size": 32, "padding": 0}}],
        [{"pad": {"pixels": 4}}, "normalize", {"crop": {"size": 40, "padding": 0}}, {"crop": {"padding": 0}}],
        ["normalize", {"crop": {"size": 16, "padding": 0}}, {"crop": {"size": 32, "padding": 8}}],
        ["normalize", {"erase": {"scale": [0, 1], "ratio": [1, 1]}}],
    ],
)
def test_images_that_come_out_at_32_by_32_are_allowed(written: list[Any]) -> None:
    assert len(parse_augmentation(written)) == len(written)
