"""Further test sets in arrays, such as CIFAR-10.1 and CIFAR-10-C, for the classes of a trained network."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cifar_core.data.images import LabelledImages
from cifar_core.datasets.arrays import image_error
from cifar_core.datasets.errors import DataError
from cifar_core.datasets.kinds.npz import named_pair, read_archive
from cifar_core.datasets.reader import existing

SEVERITIES = 5
SEVERITY_IMAGES = 10_000
"""Images of each severity in a file of CIFAR-10-C or CIFAR-100-C, which contains the test images once for each."""
FORMS = "npy:FILE, npy:FOLDER or npz:FILE"


@dataclass(frozen=True, kw_only=True, eq=False)
class FurtherTest:
    """One test set."""

    name: str
    """Name of the file without its suffix: `gaussian_noise`."""
    source: str
    """As a user would write it: `npy:CIFAR-10-C/gaussian_noise.npy`."""
    images: LabelledImages
    severities: int
    """Number of equal blocks, of the severities 1, 2, …; 1 for an ordinary test set."""

    @property
    def fingerprint(self) -> str:
        """Hash of images and labels: 16 hexadecimal digits."""
        digest = hashlib.sha256()
        for begin in range(0, len(self.images), 1000):
            digest.update(np.ascontiguousarray(self.images.images_NHWC[begin : begin + 1000]).tobytes())
        digest.update(self.images.labels_N.tobytes())
        return digest.hexdigest()[:16]


def read_further_tests(
    source: str, *, labels: Path | None, class_names: Sequence[str], image_size: int
) -> list[FurtherTest]:
    """Return the test sets of a source; the images are mapped, not read.

    Args:
        source: `npy:FILE`, `npz:FILE`, or `npy:FOLDER` for all files in it except those of labels.
        labels: file of the labels of an `npy` source; None for the one next to it, `NAME_labels.npy` for
            `NAME_data.npy`, else `labels.npy`.
        class_names: of the network, in the order of its outputs.
        image_size: side of the images that it takes, in pixels.

    Raises:
        DataError: a file does not exist or cannot be read; images have another type, shape or size; or labels are
            missing or out of range.
    """
    kind, colon, argument = source.partition(":")
    if not colon and Path(source).suffix in (".npy", ".npz"):
        kind, argument = Path(source).suffix[1:], source
    if kind not in ("npy", "npz") or not argument:
        raise DataError(f"{source!r} is no test set in arrays: write {FORMS}")
    if kind == "npz" and labels is not None:
        raise DataError(f"{source}: labels of an npz archive are in the archive: leave --labels out")
    path = existing(argument, kind=kind)
    read = _of_archive if kind == "npz" else _of_file
    files = _files_in(path) if path.is_dir() else [path]
    if path.is_dir() and kind == "npz":
        raise DataError(f"{source} is a folder: name a file, such as npz:{Path(argument) / 'test.npz'}")
    return [
        _checked(f"{kind}:{file}", file.stem, *read(file, labels, class_names), class_names, image_size)
        for file in files
    ]


def _files_in(folder: Path) -> list[Path]:
    files = [file for file in sorted(folder.glob("*.npy")) if not file.stem.endswith("labels")]
    if not files:
        raise DataError(f"npy:{folder} contains no file of images: *.npy")
    return files


def _of_file(file: Path, labels: Path | None, class_names: Sequence[str]) -> tuple[Any, Any]:
    return _array(file), _array(labels or _labels_next_to(file))


def _labels_next_to(file: Path) -> Path:
    names = (f"{file.stem.removesuffix('_data')}_labels.npy", "labels.npy")
    for name in names:
        if file.with_name(name).is_file():
            return file.with_name(name)
    raise DataError(f"npy:{file} has no labels next to it ({' or '.join(names)}): name their file with --labels")


def _array(file: Path) -> npt.NDArray[Any]:
    try:
        found: npt.NDArray[Any] = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        reason = "it contains Python objects" if "pickle" in str(error) else str(error)
        raise DataError(f"npy:{file} cannot be read ({reason}): save it with np.save") from None
    return found


def _of_archive(file: Path, labels: Path | None, class_names: Sequence[str]) -> tuple[Any, Any]:
    source = f"npz:{file}"
    arrays = read_archive(file, source)
    pair = named_pair(arrays, "test") or named_pair(arrays, None)
    if pair is None:
        raise DataError(
            f"{source} contains {', '.join(sorted(arrays)) or 'no array'}: save it as "
            "np.savez(FILE, images=images, labels=labels)"
        )
    images, given = pair
    names = arrays.get("class_names")
    return images, given if names is None else _renumbered(given, names.astype(str).tolist(), class_names, source)


def _renumbered(labels: Any, names: Sequence[str], class_names: Sequence[str], source: str) -> Any:
    """Return labels in the order of the network's classes."""
    if unknown := [name for name in names if name not in class_names]:
        raise DataError(f"{source}: {unknown[0]!r} is no class of this network: {', '.join(class_names[:10])}")
    if labels.dtype.kind not in "iu" or labels.min(initial=0) < 0 or labels.max(initial=0) >= len(names):
        return labels
    return np.array([class_names.index(name) for name in names], dtype=np.int64)[labels]


def _checked(
    source: str, name: str, images: Any, labels: Any, class_names: Sequence[str], image_size: int
) -> FurtherTest:
    fail: Callable[[str], DataError] = lambda reason: DataError(f"{source}: {reason}")  # noqa: E731
    if (error := image_error(images)) is not None:
        raise fail(error)
    if images.shape[1:3] != (image_size, image_size):
        height, width = images.shape[1:3]
        raise fail(
            f"images have {width}×{height} pixels, but the network takes {image_size}×{image_size}: scale them first"
        )
    if images.ndim == 3 or images.shape[3] == 1:
        images = np.repeat(images.reshape(*images.shape[:3], 1), 3, axis=3)
    if labels.shape == (len(images), 1):
        labels = labels[:, 0]
    if labels.shape != (len(images),):
        raise fail(f"{len(images):,} images, but labels of shape {labels.shape}: give one label per image")
    if labels.dtype.kind in "SU":
        labels = np.array([_number(str(label), class_names, fail) for label in labels.astype(str).tolist()])
    if labels.dtype.kind not in "iu":
        raise fail(f"labels are {labels.dtype}: give whole numbers from 0 to {len(class_names) - 1}, or class names")
    wrong_M = np.flatnonzero((labels < 0) | (labels >= len(class_names)))
    if len(wrong_M):
        raise fail(
            f"label {labels[wrong_M[0]]} of image {wrong_M[0]} is out of range: the network has {len(class_names)} "
            f"classes, 0 to {len(class_names) - 1}"
        )
    labels_N = np.array(labels, dtype=np.int64)
    return FurtherTest(
        name=name,
        source=source,
        images=LabelledImages(images_NHWC=images, labels_N=labels_N),
        severities=SEVERITIES if _has_severities(labels_N) else 1,
    )


def _number(label: str, class_names: Sequence[str], fail: Callable[[str], DataError]) -> int:
    if label not in class_names:
        raise fail(f"{label!r} is no class of this network: {', '.join(class_names[:10])}")
    return class_names.index(label)


def _has_severities(labels_N: npt.NDArray[np.int64]) -> bool:
    """Return whether the labels of the test images are repeated for each severity."""
    if len(labels_N) != SEVERITIES * SEVERITY_IMAGES:
        return False
    blocks = labels_N.reshape(SEVERITIES, SEVERITY_IMAGES)
    return bool((blocks == blocks[0]).all())
