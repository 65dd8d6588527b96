"""Which training images are trained on, and which are set aside for validation."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from cifar_core.config import TRAIN_IMAGES, DataConfig
from cifar_core.data.images import CLASS_NAMES, LabelledImages
from cifar_core.errors import DataMismatchError


def split_train_validation(images: LabelledImages, data: DataConfig) -> tuple[LabelledImages, LabelledImages | None]:
    """Return the images to train on and the images to validate on, as `split_indices` chooses them.

    Where nothing is set aside, at `validation_size` 0, the second is None. Nothing is copied where everything is
    trained on.

    Args:
        images: the training images of CIFAR-10, or any others.
        data: gives `train_size`, `validation_size` and `split_seed`.

    Raises:
        ValueError: if more images are asked for than there are.
    """
    train_T, validation_V = split_indices(images.labels_N, data)
    if len(train_T) == len(images):
        return images, None
    return images.subset(train_T), images.subset(validation_V) if len(validation_V) else None


def require_split(data: DataConfig, *, train: LabelledImages, validation: LabelledImages | None) -> None:
    """Refuse images that `split_train_validation` would not have made of CIFAR-10, by their number.

    Data of one's own passes: fewer images than CIFAR-10 has where `train_size` is None, and a validation set where
    `validation_size` is 0.

    Raises:
        DataMismatchError: there is nothing to train on; or `train_size` or `validation_size` says another number;
            or the images to train on are more than validation leaves; or a label is of no class.
    """
    train_size, validation_size = len(train), 0 if validation is None else len(validation)
    left = TRAIN_IMAGES - data.validation_size
    if train_size == 0:
        raise _mismatch("there are no images to train on")
    if data.train_size is not None and train_size != data.train_size:
        raise _mismatch(f"data.train_size is {data.train_size}, but there are {train_size} images to train on")
    if data.validation_size and validation_size != data.validation_size:
        raise _mismatch(
            f"data.validation_size is {data.validation_size}, but there are {validation_size} images to validate on"
        )
    for part in (train, validation):
        if part is not None and len(part) and not 0 <= part.labels_N.min() <= part.labels_N.max() < len(CLASS_NAMES):
            raise DataMismatchError(
                f"labels go from {part.labels_N.min()} to {part.labels_N.max()}, and a network tells "
                f"{len(CLASS_NAMES)} classes apart: number the classes from 0 to {len(CLASS_NAMES) - 1}"
            )
    if train_size > left:
        raise _mismatch(
            f"data.validation_size {data.validation_size} leaves {left} images to train on, but there are {train_size}"
        )


def split_indices(
    labels_N: npt.NDArray[np.int64], data: DataConfig
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the ascending indices of the images to train on and to validate on.

    All images stand in one order, drawn from `split_seed`, in which the classes take turns. Validation takes
    the first of them and training the next. So the validation images do not depend on `train_size`, a smaller
    training set is part of a larger one, and where the classes are equally large, as in CIFAR-10, their
    counts differ by at most one in either part.

    Raises:
        ValueError: if more images are asked for than there are.
    """
    count = len(labels_N)
    validation_size = data.validation_size
    train_size = count - validation_size if data.train_size is None else data.train_size
    if validation_size > count or train_size + validation_size > count:
        raise ValueError(
            f"data.train_size {data.train_size} and data.validation_size {validation_size} ask for more than "
            f"the {count} images there are"
        )
    order_N = _order_in_turns(labels_N, seed=data.split_seed)
    validation_V = np.sort(order_N[:validation_size])
    train_T = np.sort(order_N[validation_size : validation_size + train_size])
    return train_T, validation_V


def _order_in_turns(labels_N: npt.NDArray[np.int64], *, seed: int) -> npt.NDArray[np.int64]:
    """Return a random order of all images whose every stretch holds the classes in their proportions."""
    rng = np.random.default_rng(seed)
    shuffled_N = rng.permutation(len(labels_N))
    classes_K, class_of_N = np.unique(labels_N, return_inverse=True)
    # Which class is served first in each turn; the same in all turns, or a stretch could start with one class
    # at the end of a turn and end with it at the beginning of another, and hold it twice too often.
    rank_of_class_K = rng.permutation(len(classes_K))
    # The images of a class are spread evenly over 0 to 1; classes of one size meet at the same points.
    position_N = np.empty(len(labels_N))
    for k in range(len(classes_K)):
        members = shuffled_N[class_of_N[shuffled_N] == k]
        position_N[members] = (np.arange(len(members)) + 0.5) / len(members)
    return np.lexsort((rank_of_class_K[class_of_N], position_N))


def _mismatch(what: str) -> DataMismatchError:
    return DataMismatchError(
        f"{what}: train on what the configuration says with "
        "train(config, *split_train_validation(load_cifar10().train, config.data)), or change config.data"
    )
