"""A prepared data set on disk: arrays for each part that are memory-mapped, and a `meta.json`, written last."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import platformdirs

from cifar_core.common.files import atomic_write, can_create
from cifar_core.datasets.about import DataAbout
from cifar_core.datasets.errors import DataError
from cifar_core.datasets.reader import DataPart

FORMAT = 1
"""Version of the files. Increase it when their shape or meaning changes: data of another version is prepared again."""
META = "meta.json"
CHUNK = 256
"""Number of images to copy at once."""
VARIABLE = "SWEEPS_DATA_DIR"


@dataclass(frozen=True, kw_only=True)
class Report:
    """What a source contained, for `sweeps data`."""

    source: str
    image_size: int
    test_share: float | None
    """Share that was split off as the test part; None for the source's own test part."""
    counts: Sequence[Sequence[int]]
    """Images of each class in each part, in the order of `partition.PARTS`."""
    widths: Sequence[int]
    """Smallest, median and largest width of the original images."""
    heights: Sequence[int]
    unreadable: Sequence[Sequence[str]]
    """Name of each image that cannot be read, and why."""
    copies: int
    """Images that are exact copies of an earlier one."""
    near_copies: int
    """Images that are near-duplicates of an earlier one."""
    shared: Sequence[Sequence[str]]
    """Pairs of a test image and a training or validation image that show the same. Only a source's own test part has
    any."""
    contradictory: Sequence[Sequence[str]]
    """Pairs of images of two classes that show the same."""
    notes: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class Prepared:
    """A prepared data set."""

    folder: Path
    about: DataAbout
    report: Report
    already_there: bool = True


@dataclass(frozen=True, kw_only=True, eq=False)
class PartArrays:
    """The arrays of one part."""

    images_NHWC: npt.NDArray[np.uint8]
    labels_N: npt.NDArray[np.int64]
    order_N: npt.NDArray[np.uint64]
    """Sort key of each image for splits, from the content of its group."""


def default_root() -> Path:
    """Return the folder of prepared data: `SWEEPS_DATA_DIR` if set, else `sweeps-data` in the user's cache folder."""
    with contextlib.suppress(RuntimeError):  # there is no home folder
        if chosen := os.environ.get(VARIABLE):
            return Path(chosen).expanduser().absolute()
        usual = platformdirs.user_cache_path("sweeps-data", appauthor=False)
        if usual.is_dir() or can_create(usual):
            return usual
    return Path(tempfile.gettempdir()) / f"sweeps-data-{os.getuid()}"


def folder_of(fingerprint: str) -> Path:
    """Return the folder of the prepared data with a fingerprint; it may not exist."""
    return default_root() / fingerprint


def new_array(file: Path, *, dtype: npt.DTypeLike, shape: tuple[int, ...]) -> np.memmap[Any, np.dtype[Any]]:
    """Return a new array of zeros that is mapped to a file, with its space on the disk.

    Raises:
        OSError: the disk is full. Without the space, writing to the array would end the process.
    """
    array = np.lib.format.open_memmap(file, mode="w+", dtype=dtype, shape=shape)
    with file.open("r+b") as stored:
        os.posix_fallocate(stored.fileno(), 0, file.stat().st_size)
    return array


def write_part(
    folder: Path,
    part: DataPart,
    images_NHWC: npt.NDArray[np.uint8],
    indices_M: npt.NDArray[np.int64],
    *,
    labels_M: npt.NDArray[np.int64],
    order_M: npt.NDArray[np.uint64],
    places: Sequence[str],
) -> npt.NDArray[np.uint8]:
    """Write the arrays of a part, and the names of its images, into a folder; return the images as they are mapped.

    Args:
        folder: where to write.
        part: name of the part.
        images_NHWC: the images of all parts.
        indices_M: of the part's images.
        labels_M: of the part's images.
        order_M: sort keys of the part's images.
        places: names of the part's images.
    """
    shape = (len(indices_M), *images_NHWC.shape[1:])
    stored = new_array(folder / f"{part}_images.npy", dtype=np.uint8, shape=shape)
    for begin in range(0, len(indices_M), CHUNK):
        stored[begin : begin + CHUNK] = images_NHWC[indices_M[begin : begin + CHUNK]]
    stored.flush()
    np.save(folder / f"{part}_labels.npy", labels_M)
    np.save(folder / f"{part}_order.npy", order_M)
    (folder / f"{part}_names.json").write_text(json.dumps(list(places), ensure_ascii=False), encoding="utf-8")
    return stored


def write_meta(folder: Path, about: DataAbout, report: Report) -> None:
    """Write `meta.json`, with the size and the checksum of every array of the folder."""
    arrays = {file.name: [file.stat().st_size, checksum(file)] for file in sorted(folder.glob("*.npy"))}
    meta = {"format": FORMAT, "about": about.model_dump(mode="json"), "report": asdict(report), "arrays": arrays}
    (folder / META).write_text(json.dumps(meta, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def read_prepared(folder: Path) -> Prepared | None:
    """Return the prepared data in a folder; None if there is none of this format, or a file is missing or truncated."""
    try:
        meta = json.loads((folder / META).read_bytes())
        if meta["format"] != FORMAT:
            return None
        if any((folder / name).stat().st_size != size for name, (size, _) in meta["arrays"].items()):
            return None
        about, report = DataAbout.model_validate(meta["about"]), Report(**meta["report"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Prepared(folder=folder, about=about, report=report)


def read_part(folder: Path, part: DataPart) -> PartArrays:
    """Return a part, its content verified, images mapped read-only from the file. No other part is opened.

    Raises:
        DataError: a file is missing or damaged.
    """
    try:
        meta = json.loads((folder / META).read_bytes())
        return PartArrays(
            images_NHWC=_mapped(folder / f"{part}_images.npy", meta),
            labels_N=_mapped(folder / f"{part}_labels.npy", meta),
            order_N=_mapped(folder / f"{part}_order.npy", meta),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(
            f"the prepared data in {folder} cannot be read ({error}): delete the folder, and run `sweeps data` again"
        ) from None


def read_names(folder: Path, part: DataPart) -> list[str]:
    """Return the name of each image of a part."""
    names: list[str] = json.loads((folder / f"{part}_names.json").read_text(encoding="utf-8"))
    return names


def checksum(file: Path) -> str:
    """Return the MD5 of a file, 32 hexadecimal digits."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _mapped(file: Path, meta: dict[str, Any]) -> npt.NDArray[Any]:
    size, expected = meta["arrays"][file.name]
    if file.stat().st_size != size or checksum(file) != expected:
        raise ValueError(f"{file.name} is damaged: its checksum is wrong")
    # A plain view: every later slice would otherwise be of the subclass np.memmap.
    view: npt.NDArray[Any] = np.load(file, mmap_mode="r").view(np.ndarray)
    return view


def note_source(key: str, content: dict[str, Any]) -> None:
    """Remember which prepared data belong to a source."""
    with atomic_write(default_root() / "sources" / f"{key}.json") as file:
        file.write(json.dumps(content, indent=2).encode())


def noted_source(key: str) -> dict[str, Any] | None:
    """Return the noted data of a source; None if nothing is noted."""
    try:
        content: dict[str, Any] = json.loads((default_root() / "sources" / f"{key}.json").read_bytes())
    except (OSError, ValueError):
        return None
    return content if isinstance(content, dict) else None
