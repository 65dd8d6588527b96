"""The prepared form on disk: four `.npy` files that are memory-mapped, and a `meta.json`, written last."""

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
"""Raised when the files change shape or meaning; other numbers are prepared again."""

META = "meta.json"
PARTS: tuple[Part, ...] = ("train", "test")
FILES = tuple(f"{part}_{kind}.npy" for part in PARTS for kind in ("images", "labels"))


class AbsentError(Exception):
    """Nothing is prepared there."""


class BrokenError(Exception):
    """Something is there, but not the whole data set as it was written. The message names the file."""


def write(folder: Path, images: FetchedImages, *, source: str, fingerprints: Fingerprints) -> None:
    """Write all files into `folder`; they count for nothing before `publish` has moved them."""
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
    """Move the files of `folder` into `directory`, over what is there. Maps of the old files stay valid."""
    for name in (*FILES, META):
        (folder / name).replace(directory / name)


def read(directory: Path, part: Part, *, fingerprints: Fingerprints) -> LabelledImages:
    """Return a part, content checked, images mapped read-only from the file. The other part stays closed.

    Raises:
        AbsentError: if nothing is prepared there.
        BrokenError: if a file is missing, cut off, changed, or of another format.
    """
    meta = read_meta(directory)
    images_md5, labels_md5 = fingerprints.of(part)
    images_NHWC = _read_array(directory / f"{part}_images.npy", meta, images_md5)
    labels_N = _read_array(directory / f"{part}_labels.npy", meta, labels_md5)
    try:
        return LabelledImages(images_NHWC, labels_N.astype(np.int64))
    except ValueError as error:
        raise BrokenError(f"the {part} files in {directory} are damaged: {error}") from error


def read_meta(directory: Path) -> dict[str, Any]:
    """Return what `meta.json` says.

    Raises:
        AbsentError: if nothing is prepared there.
        BrokenError: if it cannot be read, or describes another format.
    """
    path = directory / META
    try:
        meta = json.loads(path.read_bytes())
    except FileNotFoundError:
        if any((directory / name).exists() for name in FILES):
            raise BrokenError(f"{path} is missing: the data beside it was not written to its end") from None
        raise AbsentError(f"no prepared data in {directory}") from None
    except NotADirectoryError:
        raise AbsentError(f"no prepared data in {directory}") from None
    except (OSError, ValueError) as error:
        raise BrokenError(f"{path} cannot be read: {error}") from error
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise BrokenError(f"{path} describes another format than {FORMAT}")
    return meta


def _read_array(path: Path, meta: dict[str, Any], expected: str) -> npt.NDArray[np.uint8]:
    try:
        size = path.stat().st_size
        if size != meta["bytes"][path.name]:
            raise BrokenError(f"{path} has {size} bytes, but {meta['bytes'][path.name]} were written")
        array = np.load(path, mmap_mode="r")
    except (OSError, EOFError, ValueError, KeyError, TypeError) as error:
        raise BrokenError(f"{path} cannot be read: {error}") from error
    # The whole content, every time: 0.3 s for a fault that no later step could notice.
    if array.dtype != np.uint8 or not array.flags.c_contiguous or fingerprint(array) != expected:
        raise BrokenError(f"{path} is damaged: its content is not what was written")
    # A plain view: the subclass np.memmap would follow through every later slice.
    view: npt.NDArray[np.uint8] = array.view(np.ndarray)
    return view
