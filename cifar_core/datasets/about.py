"""`DataAbout`: the properties of a prepared data set that a configuration depends on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from cifar_core.common.validation import StrictModel

CIFAR10 = "cifar10"
"""The source of a configuration that names none."""

Triple = tuple[float, float, float]
"""One value each for red, green and blue."""


class DataAbout(StrictModel):
    """The properties of a prepared data set. Recorded configurations contain them, to be complete without the data."""

    fingerprint: str = Field(pattern=r"^[0-9a-f]{32}$")
    """Hash of all images, labels and class names at this image size; part of every run's key."""
    class_names: Annotated[tuple[str, ...], Field(min_length=2)]
    """In the order of the labels."""
    train_images: int = Field(ge=1)
    """Images to train on. Those held out for validation are among them, unless the data has its own."""
    validation_images: int = Field(default=0, ge=0)
    """Images of the data's own validation part; 0 if it has none."""
    test_images: int = Field(ge=0)
    mean: Triple
    """Mean of the training images' pixels, 0 to 1."""
    std: Triple
    """Standard deviation of the training images' pixels."""

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)
