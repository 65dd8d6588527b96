"""Properties of every split, for any sizes and seed."""

from __future__ import annotations

import numpy as np
import pytest
from data_fakes import random_images
from hypothesis import given
from hypothesis import strategies as st

from cifar_core.config import DataConfig
from cifar_core.data.images import LabelledImages
from cifar_core.data.split import require_split, split_indices, split_last, split_train_validation
from cifar_core.errors import DataMismatchError


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, DataConfig]:
    """Labels of ten equally large classes in some order, and sizes that fit."""
    labels_N = np.repeat(np.arange(10), draw(st.integers(1, 30)))
    np.random.default_rng(draw(st.integers(0, 100))).shuffle(labels_N)
    validation_size = draw(st.integers(0, len(labels_N) - 1))
    train_size = draw(st.none() | st.integers(1, len(labels_N) - validation_size))
    seed = draw(st.integers(0, 2**32))
    return labels_N, DataConfig(train_size=train_size, validation_size=validation_size, split_seed=seed)


@given(cases())
def test_parts_are_disjoint_and_have_the_requested_sizes(case: tuple[np.ndarray, DataConfig]) -> None:
    labels_N, data = case
    train, validation = split_indices(labels_N, data)
    wanted = len(labels_N) - data.validation_size if data.train_size is None else data.train_size
    assert (len(train), len(validation)) == (wanted, data.validation_size)
    assert len(np.unique(np.concatenate([train, validation]))) == len(train) + len(validation)


@given(cases())
def test_class_counts_differ_by_at_most_one(case: tuple[np.ndarray, DataConfig]) -> None:
    labels_N, data = case
    for part in split_indices(labels_N, data):
        assert np.ptp(np.bincount(labels_N[part], minlength=10)) <= 1


@given(cases())
def test_indices_keep_the_files_order(case: tuple[np.ndarray, DataConfig]) -> None:
    for part in split_indices(*case):
        assert (np.diff(part) > 0).all()


@given(cases(), st.data())
def test_the_last_images_are_stratified_and_in_no_other_part(
    case: tuple[np.ndarray, DataConfig], data: st.DataObject
) -> None:
    labels_N, config = case
    used_U = np.concatenate(split_indices(labels_N, config))
    count = data.draw(st.integers(0, len(labels_N) - len(used_U)))
    indices_N = np.arange(len(labels_N))
    pixels_NC = np.stack([indices_N // 256, indices_N % 256, indices_N % 256], axis=1).astype(np.uint8)
    images = LabelledImages(pixels_NC[:, None, None, :], labels_N)

    last = split_last(images, count, seed=config.split_seed)

    found_C = 256 * last.images_NHWC[:, 0, 0, 0].astype(int) + last.images_NHWC[:, 0, 0, 1]
    assert len(found_C) == count
    assert not set(found_C) & set(used_U)
    assert (np.diff(found_C) > 0).all()
    np.testing.assert_array_equal(last.labels_N, labels_N[found_C])
    assert np.ptp(np.bincount(last.labels_N, minlength=10)) <= 1


@given(cases())
def test_validation_does_not_depend_on_train_size(case: tuple[np.ndarray, DataConfig]) -> None:
    labels_N, data = case
    everything = data.model_copy(update={"train_size": None})
    np.testing.assert_array_equal(split_indices(labels_N, data)[1], split_indices(labels_N, everything)[1])


@given(cases())
def test_a_smaller_training_set_is_part_of_a_larger_one(case: tuple[np.ndarray, DataConfig]) -> None:
    labels_N, data = case
    train_size = data.train_size or len(labels_N) - data.validation_size
    smaller = data.model_copy(update={"train_size": max(1, train_size // 2)})
    assert np.isin(split_indices(labels_N, smaller)[0], split_indices(labels_N, data)[0]).all()


@given(cases())
def test_the_same_seed_gives_the_same_split(case: tuple[np.ndarray, DataConfig]) -> None:
    first, second = split_indices(*case), split_indices(*case)
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])


@given(st.lists(st.integers(0, 9), min_size=1, max_size=60), st.data())
def test_classes_of_any_size_can_be_split(labels: list[int], data: st.DataObject) -> None:
    size = data.draw(st.integers(0, len(labels)))
    train, validation = split_indices(np.array(labels), DataConfig(validation_size=size))
    assert sorted([*train, *validation]) == list(range(len(labels)))


def test_another_seed_gives_another_split() -> None:
    labels_N = np.arange(1000) % 10
    first, second = (split_indices(labels_N, DataConfig(validation_size=100, split_seed=seed))[1] for seed in (0, 1))
    assert len(np.intersect1d(first, second)) < 50


def test_unequal_classes_keep_their_proportions() -> None:
    labels_N = np.repeat([0, 1], [900, 100])
    _, validation = split_indices(labels_N, DataConfig(validation_size=200))
    assert np.bincount(labels_N[validation]).tolist() == [180, 20]


@pytest.mark.parametrize("train_size", [None, 100])
def test_nothing_is_copied_where_everything_is_trained_on(train_size: int | None) -> None:
    images = random_images(100, seed=0)
    train, validation = split_train_validation(images, DataConfig(train_size=train_size))
    assert train is images
    assert validation is None


def test_without_validation_size_there_are_no_validation_images() -> None:
    train, validation = split_train_validation(random_images(100, seed=0), DataConfig(train_size=50))
    assert len(train) == 50
    assert validation is None


def test_images_stay_with_their_labels() -> None:
    images = random_images(100, seed=0)
    data = DataConfig(train_size=50, validation_size=20)
    for part, indices in zip(split_train_validation(images, data), split_indices(images.labels_N, data), strict=True):
        assert part is not None
        np.testing.assert_array_equal(part.images_NHWC, images.images_NHWC[indices])
        np.testing.assert_array_equal(part.labels_N, images.labels_N[indices])


@pytest.mark.parametrize(
    "data",
    [
        DataConfig(train_size=101),
        DataConfig(validation_size=101),
        DataConfig(train_size=60, validation_size=41),
    ],
)
def test_more_images_than_there_are_is_an_error(data: DataConfig) -> None:
    with pytest.raises(ValueError, match="more than the 100 images there are"):
        split_train_validation(random_images(100, seed=0), data)


def blank_images(count: int) -> LabelledImages:
    """Black images that share the memory of one."""
    images_NHWC = np.broadcast_to(np.zeros((1, 32, 32, 3), np.uint8), (count, 32, 32, 3))
    return LabelledImages(images_NHWC, np.zeros(count, np.int64))


@given(cases())
def test_the_result_of_a_split_matches_its_configuration(case: tuple[np.ndarray, DataConfig]) -> None:
    labels_N, data = case
    train, validation = split_train_validation(LabelledImages(blank_images(len(labels_N)).images_NHWC, labels_N), data)
    require_split(data, train=train, validation=validation)


@pytest.mark.parametrize(
    ("data", "train", "validation"),
    [
        (DataConfig(), 50_000, None),
        (DataConfig(validation_size=5_000), 45_000, 5_000),
        (DataConfig(), 10, None),
        (DataConfig(), 50_000, 10_000),
        (DataConfig(), 10, 0),
        (DataConfig(train_size=10), 10, 3),
    ],
)
def test_cifar10_and_custom_images_are_accepted(data: DataConfig, train: int, validation: int | None) -> None:
    set_aside = None if validation is None else blank_images(validation)
    require_split(data, train=blank_images(train), validation=set_aside)


@pytest.mark.parametrize(
    ("data", "train", "validation", "reason"),
    [
        (DataConfig(), 0, None, "there are no images to train on"),
        (DataConfig(train_size=10), 11, None, "train_size is 10, but there are 11 images"),
        (DataConfig(train_size=10), 9, None, "train_size is 10, but there are 9 images"),
        (DataConfig(validation_size=5), 10, None, "validation_size is 5, but there are 0 images"),
        (DataConfig(validation_size=5), 10, 0, "validation_size is 5, but there are 0 images"),
        (DataConfig(validation_size=5), 10, 6, "validation_size is 5, but there are 6 images"),
        (DataConfig(validation_size=5_000), 45_001, 5_000, "5000 leaves 45000 images to train on, but there are 45001"),
        (DataConfig(), 50_001, None, "0 leaves 50000 images to train on, but there are 50001"),
    ],
)
def test_images_of_another_number_are_refused_with_both_numbers_and_a_remedy(
    data: DataConfig, train: int, validation: int | None, reason: str
) -> None:
    set_aside = None if validation is None else blank_images(validation)
    with pytest.raises(DataMismatchError, match=rf"{reason}.*split_train_validation\(.*config\.data\)"):
        require_split(data, train=blank_images(train), validation=set_aside)


@pytest.mark.parametrize(("label", "words"), [(10, "labels range from 0 to 10"), (-1, "labels range from -1 to 1")])
def test_a_label_of_no_class_is_refused_before_training(label: int, words: str) -> None:
    images = LabelledImages(np.zeros((3, 32, 32, 3), np.uint8), np.array([0, 1, label]))

    with pytest.raises(DataMismatchError, match=words):
        require_split(DataConfig(), train=images, validation=None)
