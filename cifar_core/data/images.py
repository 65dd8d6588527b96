"""The loaded CIFAR-10: numpy arrays, class names, and the fingerprints of the official data."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from cifar_core.config import DataConfig, TrainingConfig

Part = Literal["train", "test"]

CLASS_NAMES = (
    "airplane",
    "automobile",
    "bird",
    "cat",
    "deer",
    "dog",
    "frog",
    "horse",
    "ship",
    "truck",
)


def names_of(data: DataConfig) -> tuple[str, ...]:
    """Return the class names of a data set, in the order of the labels."""
    return CLASS_NAMES if data.about is None else data.about.class_names


def class_names_of(config: TrainingConfig) -> tuple[str, ...]:
    """Return the class names of the data set of a configuration, in the order of the labels."""
    return names_of(config.data)


@dataclass(frozen=True, eq=False)
class LabelledImages:
    """Images with their classes, in a fixed order.

    Raises:
        ValueError: the arrays do not have the shape and type given below.
    """

    images_NHWC: npt.NDArray[np.uint8]
    """N×H×H×3, 0 to 255, red green blue; H is 32 for CIFAR-10. May be read-only: mapped from a file, or shared."""
    labels_N: npt.NDArray[np.int64]
    """Class of each image, an index into the class names, `CLASS_NAMES` for CIFAR-10."""
    order_N: npt.NDArray[np.uint64] | None = None
    """Sort key of each image for splits, from its content; None draws an order."""

    def __post_init__(self) -> None:
        images, labels = self.images_NHWC, self.labels_N
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1] != images.shape[2] or images.shape[3] != 3:
            raise ValueError(f"images must be uint8 of shape N×32×32×3, not {images.dtype} {images.shape}")
        if labels.dtype != np.int64 or labels.shape != images.shape[:1]:
            raise ValueError(
                f"labels must be int64, one for each of the {len(images)} images, not {labels.dtype} {labels.shape}"
            )

    def __len__(self) -> int:
        return len(self.labels_N)

    def subset(self, indices: npt.NDArray[np.int64] | slice) -> LabelledImages:
        """Return the images at `indices`, in that order: a copy for an array, a view for a slice."""
        order_N = None if self.order_N is None else self.order_N[indices]
        return LabelledImages(self.images_NHWC[indices], self.labels_N[indices], order_N)


@dataclass(frozen=True, eq=False, kw_only=True)
class Cifar10:
    """The complete data set, in the official order."""

    train: LabelledImages
    """50,000 images, 5,000 of each class."""
    test: LabelledImages
    """10,000 images, 1,000 of each class."""
    fingerprint: str
    """MD5 of the training images; part of every run's key."""
    class_names: tuple[str, ...] = CLASS_NAMES


@dataclass(frozen=True, kw_only=True)
class Fingerprints:
    """MD5 of each array's uint8 bytes in C order: images as NHWC, labels one byte each."""

    train_images: str
    train_labels: str
    test_images: str
    test_labels: str

    def of(self, part: Part) -> tuple[str, str]:
        """Return the fingerprints of a part's images and labels."""
        if part == "train":
            return self.train_images, self.train_labels
        return self.test_images, self.test_labels


CIFAR10_FINGERPRINTS = Fingerprints(
    train_images="17e2cb5a4119d89a4a13e02b91701bff",
    train_labels="69c5f3349be54915edfca558b72ad888",
    test_images="6d2714505047e13831cd876923568712",
    test_labels="251f18ce75337ae9ca5d0dbd7ea62cf4",
)


def fingerprint(array: npt.NDArray[np.uint8]) -> str:
    """Return the MD5 of the array's bytes in C order, 32 hexadecimal digits. 150 MB take about 0.25 s."""
    return hashlib.md5(np.ascontiguousarray(array).data, usedforsecurity=False).hexdigest()
