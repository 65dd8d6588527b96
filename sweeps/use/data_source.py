"""The data set that a command names, prepared."""

from __future__ import annotations

from pydantic import ValidationError

from cifar_core.common.progress import Reporter
from cifar_core.common.validation import explain
from cifar_core.config import TEST_SHARE, DataConfig
from cifar_core.datasets.about import CIFAR10
from cifar_core.datasets.known import prepare_source
from sweeps.core.errors import SweepError


def prepared_data(source: str, *, image_size: int) -> DataConfig:
    """Return the configuration of a data set, which is prepared first if it is a custom one.

    Args:
        source: as in `sweeps data`.
        image_size: side of custom images in pixels.

    Raises:
        SweepError: the image size is not possible.
        DataError: the source cannot be read, or cannot be trained on.
    """
    if source == CIFAR10:
        return DataConfig()
    if image_size % 2:
        raise SweepError(f"--image-size {image_size}: use an even number")
    prepare_source(source, image_size=image_size, test_share=TEST_SHARE, reporter=Reporter())
    try:
        return DataConfig.model_validate({"source": source, "image_size": image_size})
    except ValidationError as error:
        raise SweepError(f"{source}: {'; '.join(explain(error))}") from None
