"""The split of a data set's training images into training and validation images."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cifar_core.config import DataConfig
from cifar_core.data.images import LabelledImages
from cifar_core.errors import DataMismatchError


def split_train_validation(
    images: LabelledImages, data: DataConfig, *, own_validation: LabelledImages | None = None
) -> tuple[LabelledImages, LabelledImages | None]:
    """Return the training images and the validation images, as `split_indices` chooses them.

    At `validation_size` 0 the second is None. Where all images of a part are used, nothing is copied.

    Args:
        images: the training images of CIFAR-10, or any others.
        data: its `train_size`, `validation_size` and `split_seed` are used.
        own_validation: the data set's own validation part, from which the validation images are taken; None holds them
            out of the training images.

    Raises:
        ValueError: more images are requested than there are.
    """
    if own_validation is not None:
        chosen = split_first(own_validation, data.validation_size, seed=data.split_seed)
        return split_first(images, data.train_size or len(images), seed=data.split_seed), chosen or None
    train_T, validation_V = split_indices(images.labels_N, data, keys_N=images.order_N)
    if len(train_T) == len(images):
        return images, None
    return images.subset(train_T), images.subset(validation_V) if len(validation_V) else None


def split_first(images: LabelledImages, count: int, *, seed: int) -> LabelledImages:
    """Return a number of images, stratified by class, in the order of the images; a larger number contains them."""
    return images if count == len(images) else images.subset(first_indices(images, count, seed=seed))


def split_last(images: LabelledImages, count: int, *, seed: int) -> LabelledImages:
    """Return a number of images, stratified by class, in the order of the images: the last ones of `split_indices`.

    They are disjoint from the training and validation images of each split with this seed that leaves so many images.
    """
    order_N = _interleaved_order(images.labels_N, seed=seed, keys_N=images.order_N)
    return images.subset(np.sort(order_N[len(order_N) - count :]))


def first_indices(images: LabelledImages, count: int, *, seed: int) -> npt.NDArray[np.int64]:
    """Return the ascending indices of the images that `split_first` returns."""
    return np.sort(_interleaved_order(images.labels_N, seed=seed, keys_N=images.order_N)[:count])


def require_split(data: DataConfig, *, train: LabelledImages, validation: LabelledImages | None) -> None:
    """Raise unless the numbers of images are those that `split_train_validation` makes of CIFAR-10.

    Custom data is accepted: fewer images than CIFAR-10 has where `train_size` is None, and a validation set where
    `validation_size` is 0.

    Raises:
        DataMismatchError: there are no training images; or their number differs from `train_size` or exceeds what
            validation leaves; or the number of validation images differs from `validation_size`; or a label is not a
            class.
    """
    train_size, validation_size = len(train), 0 if validation is None else len(validation)
    left = data.total_images - (0 if data.has_own_validation else data.validation_size)
    if train_size == 0:
        raise _mismatch("there are no images to train on")
    if data.train_size is not None and train_size != data.train_size:
        raise _mismatch(f"data.train_size is {data.train_size}, but there are {train_size} images to train on")
    if data.validation_size and validation_size != data.validation_size:
        raise _mismatch(
            f"data.validation_size is {data.validation_size}, but there are {validation_size} images to validate on"
        )
    for part in (train, validation):
        if part is not None and len(part) and not 0 <= part.labels_N.min() <= part.labels_N.max() < data.classes:
            raise DataMismatchError(
                f"labels range from {part.labels_N.min()} to {part.labels_N.max()}, but there are "
                f"{data.classes} classes: number them from 0 to {data.classes - 1}"
            )
    if train_size > left:
        raise _mismatch(
            f"data.validation_size {data.validation_size} leaves {left} images to train on, but there are {train_size}"
        )


def split_indices(
    labels_N: npt.NDArray[np.int64], data: DataConfig, *, keys_N: npt.NDArray[np.uint64] | None = None
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the ascending indices of the training images and of the validation images.

    `split_seed` gives one order of all images, in which the classes are interleaved. Validation takes the first
    images and training the next. The validation images therefore do not depend on `train_size`, and a smaller training
    set is part of a larger one. Where the classes are equally large, as in CIFAR-10, their counts differ by at most one
    in either part.

    Raises:
        ValueError: more images are requested than there are.
    """
    count = len(labels_N)
    validation_size = data.validation_size
    train_size = count - validation_size if data.train_size is None else data.train_size
    if validation_size > count or train_size + validation_size > count:
        raise ValueError(
            f"data.train_size {data.train_size} and data.validation_size {validation_size} request more than "
            f"the {count} images there are"
        )
    order_N = _interleaved_order(labels_N, seed=data.split_seed, keys_N=keys_N)
    validation_V = np.sort(order_N[:validation_size])
    train_T = np.sort(order_N[validation_size : validation_size + train_size])
    return train_T, validation_V


def _interleaved_order(
    labels_N: npt.NDArray[np.int64], *, seed: int, keys_N: npt.NDArray[np.uint64] | None = None
) -> npt.NDArray[np.int64]:
    """Return a random order of all images in which every interval contains the classes in their proportions.

    With keys the order within a class follows from them and the seed, so that another image changes it little.
    """
    rng = np.random.default_rng(seed)
    if keys_N is None:
        shuffled_N = rng.permutation(len(labels_N))
    else:
        shuffled_N = np.argsort(_mixed(keys_N, rng.integers(2**64, dtype=np.uint64)), kind="stable")
    classes_K, class_of_N = np.unique(labels_N, return_inverse=True)
    # The order of the classes within a round, the same in all rounds. Otherwise an interval that begins at the end of
    # one round and ends at the beginning of another could contain a class twice too often.
    rank_of_class_K = rng.permutation(len(classes_K))
    # The images of a class are spread evenly over 0 to 1; classes of equal size have the same positions.
    position_N = np.empty(len(labels_N))
    for k in range(len(classes_K)):
        members = shuffled_N[class_of_N[shuffled_N] == k]
        position_N[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.lexsort((rank_of_class_K[class_of_N], position_N))


def _mixed(keys_N: npt.NDArray[np.uint64], salt: np.uint64) -> npt.NDArray[np.uint64]:
    """Return a hash of each key and a salt: the finaliser of SplitMix64 (Steele, Lea and Flood 2014)."""
    mixed_N = keys_N ^ salt
    for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
        mixed_N = (mixed_N ^ (mixed_N >> np.uint64(shift))) * np.uint64(factor)
    return mixed_N ^ (mixed_N >> np.uint64(31))


def _mismatch(problem: str) -> DataMismatchError:
    return DataMismatchError(
        f"{problem}: call train(config, *split_train_validation(load_cifar10().train, config.data)), "
        "or change config.data"
    )
