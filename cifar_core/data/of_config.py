"""The images of a configuration: of CIFAR-10, or of a custom data set."""

from __future__ import annotations

from collections.abc import Sequence

from cifar_core.config import DataConfig
from cifar_core.data import load as cifar10
from cifar_core.data.images import LabelledImages
from cifar_core.data.split import split_train_validation
from cifar_core.datasets.errors import DataError
from cifar_core.datasets.prepare import prepare
from cifar_core.datasets.reader import DataPart
from cifar_core.datasets.stored import Prepared, folder_of, read_part, read_prepared
from cifar_core.errors import DataMismatchError

Split = tuple[LabelledImages, LabelledImages | None]
"""Training and validation images."""


def load_splits(configs: Sequence[DataConfig]) -> list[Split]:
    """Return the training and validation images of configurations of one data set, which is read once.

    Raises:
        DataUnavailableError: the data cannot be fetched, or are not those of the configurations.
        DataMismatchError: a class has no image in a part.
    """
    if not configs:
        return []
    images = load_part(configs[0], "train")
    own = load_part(configs[0], "validation") if configs[0].has_own_validation else None
    splits = [split_train_validation(images, data, own_validation=own) for data in configs]
    for data, split in zip(configs, splits, strict=True):
        if data.about is not None:
            _require_classes(split, data.about.class_names, data)
    return splits


def load_part(data: DataConfig, part: DataPart) -> LabelledImages:
    """Return a part of the data set of a configuration. The files of other parts are not opened.

    Raises:
        DataUnavailableError: the data cannot be fetched, or are not those of the configuration.
    """
    if data.about is None:
        if part == "test":
            return cifar10.load_test_images(progress=False)
        return cifar10.load_training_images(progress=False)[0]
    arrays = read_part(prepared_of(data).folder, part)
    return LabelledImages(arrays.images_NHWC, arrays.labels_N, arrays.order_N)


def prepared_of(data: DataConfig) -> Prepared:
    """Return the prepared data of a configuration with a custom data set; prepare it where this machine lacks it.

    Raises:
        DataError: the source is not here, or contains other images.
    """
    about = data.about
    assert about is not None, "CIFAR-10 is not prepared like this"
    prepared = read_prepared(folder_of(about.fingerprint))
    if prepared is not None:
        return prepared
    try:
        prepared = prepare(data.source, image_size=data.image_size, test_share=data.test_share)
    except DataError as error:
        raise DataError(
            f"the data of this run, {data.source} with the fingerprint {about.fingerprint[:8]}, are not on this "
            f"machine: {error}"
        ) from None
    if prepared.about.fingerprint != about.fingerprint:
        raise DataError(
            f"{data.source} contains other images than this run was trained on: its fingerprint is "
            f"{prepared.about.fingerprint[:8]}, not {about.fingerprint[:8]}. Restore the images, or start a new sweep"
        )
    return prepared


def _require_classes(split: Split, class_names: Sequence[str], data: DataConfig) -> None:
    for name, images in zip(("train_size", "validation_size"), split, strict=True):
        if images is None:
            continue
        missing = sorted(set(range(len(class_names))) - set(images.labels_N.tolist()))
        if missing:
            what = "training" if name == "train_size" else "validation"
            raise DataMismatchError(
                f"no {what} image of class {class_names[missing[0]]!r} among {len(images)} ({data.source}): raise "
                f"data.{name}, or add images"
            )
