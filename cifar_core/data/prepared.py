"""The prepared data on disk: four `.npy` files that are memory-mapped, and a `meta.json`, written last."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cifar_core.data.images import Fingerprints, LabelledImages, Part, fingerprint
from cifar_core.data.sources.contract import FetchedImages

FORMAT = 1
"""Raised when the files change shape or meaning; data of another format is fetched again."""

META = "meta.json"
PARTS: tuple[Part, ...] = ("train", "test")
FILES = tuple(f"{part}_{kind}.npy" for part in PARTS for kind in ("images", "labels"))


class MissingDataError(Exception):
    """A folder contains no prepared data."""


class DamagedDataError(Exception):
    """The prepared data is incomplete or damaged. The message names the file."""


def write(folder: Path, images: FetchedImages, *, source: str, fingerprints: Fingerprints) -> None:
    """Write all files into `folder`, a scratch folder; `publish` moves them into place."""
    for part in PARTS:
        labelled = images.train if part == "train" else images.test
        np.save(folder / f"{part}_images.npy", labelled.images_NHWC)
        np.save(folder / f"{part}_labels.npy", labelled.labels_N.astype(np.uint8))
    meta = {
        "format": FORMAT,
        "source": source,
        "fingerprints": asdict(fingerprints),
        "bytes": {name: (folder / name).stat().st_size for name in FILES},
    }
    (folder / META).write_text(json.dumps(meta, indent=2) + "\n", encoding="utf-8")


def publish(folder: Path, directory: Path) -> None:
    """Move the files of `folder` into `directory`, replacing existing ones, whose open memory maps stay valid."""
    for name in (*FILES, META):
        (folder / name).replace(directory / name)


def read(directory: Path, part: Part, *, fingerprints: Fingerprints) -> LabelledImages:
    """Return a part, its content verified, images mapped read-only from the file. The other part is not opened.

    Raises:
        MissingDataError: the folder contains no prepared data.
        DamagedDataError: a file is missing, truncated, changed, or of another format.
    """
    meta = read_meta(directory)
    images_md5, labels_md5 = fingerprints.of(part)
    images_NHWC = _read_array(directory / f"{part}_images.npy", meta, images_md5)
    labels_N = _read_array(directory / f"{part}_labels.npy", meta, labels_md5)
    try:
        return LabelledImages(images_NHWC, labels_N.astype(np.int64))
    except ValueError as error:
        raise DamagedDataError(f"the {part} files in {directory} are damaged: {error}") from error


def read_meta(directory: Path) -> dict[str, Any]:
    """Return the content of `meta.json`.

    Raises:
        MissingDataError: the folder contains no prepared data.
        DamagedDataError: `meta.json` cannot be read, or describes another format.
    """
    path = directory / META
    try:
        meta = json.loads(path.read_bytes())
    except FileNotFoundError:
        if any((directory / name).exists() for name in FILES):
            raise DamagedDataError(f"{path} is missing: the data in its folder was not written completely") from None
        raise MissingDataError(f"no prepared data in {directory}") from None
    except NotADirectoryError:
        raise MissingDataError(f"no prepared data in {directory}") from None
    except (OSError, ValueError) as error:
        raise DamagedDataError(f"{path} cannot be read: {error}") from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise DamagedDataError(f"{path} describes another format than {FORMAT}")
    return meta


def _read_array(path: Path, meta: dict[str, Any], expected: str) -> npt.NDArray[np.uint8]:
    try:
        size = path.stat().st_size
        if size != meta["bytes"][path.name]:
            raise DamagedDataError(f"{path} has {size} bytes, but {meta['bytes'][path.name]} were written")
        array = np.load(path, mmap_mode="r")
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise DamagedDataError(f"{path} cannot be read: {error}") from error
    # The complete content, every time: 0.3 s against a fault that no later step could detect.
    if array.dtype != np.uint8 or not array.flags.c_contiguous or fingerprint(array) != expected:
        raise DamagedDataError(f"{path} is damaged: its checksum is wrong")
    # A plain view: every later slice would otherwise be of the subclass np.memmap.
    view: npt.NDArray[np.uint8] = array.view(np.ndarray)
    return view
