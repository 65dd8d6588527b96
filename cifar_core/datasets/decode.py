"""Decoding of a source's images into one array on disk; interrupted, it resumes after the last chunk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cifar_core.datasets.reader import Listing
from cifar_core.datasets.stored import new_array
from cifar_core.errors import ImageError
from cifar_core.image_file import ImageSource, read_image_and_size

CHUNK = 256
"""Images per chunk. An interrupted decoding resumes at a chunk."""

_FACTS = np.dtype([("status", "u1"), ("width", "u4"), ("height", "u4"), ("high", "u8"), ("low", "u8")])
_PENDING, _READ, _UNREADABLE = range(3)
_IMAGES, _TABLE, _ABOUT, _FAULTS = "images.npy", "facts.npy", "about.json", "faults.jsonl"


@dataclass(frozen=True, kw_only=True, eq=False)
class Decoded:
    """The readable images of a source, in its order."""

    images_NHWC: npt.NDArray[np.uint8]
    """Pixels of all entries; unreadable images are black."""
    is_readable_N: npt.NDArray[np.bool_]
    widths_N: npt.NDArray[np.int64]
    heights_N: npt.NDArray[np.int64]
    hashes_N: npt.NDArray[np.uint64]
    """First half of the hash of each image's content."""
    digests_N: npt.NDArray[np.void]
    """The whole hash of each image's content."""
    faults: dict[int, str]
    """Index of each unreadable image → why it cannot be read."""


def decode(
    listing: Listing, scratch: Path, *, image_size: int, stamp: str, on_image: Callable[[], None] = lambda: None
) -> Decoded:
    """Decode all images of a listing, cropped and scaled to squares.

    Args:
        listing: of the source.
        scratch: a folder for the arrays. What an earlier call has left there for the same stamp is used.
        image_size: side of the squares in pixels.
        stamp: of the source.
        on_image: called for each image.
    """
    count = len(listing.entries)
    images, stored = _arrays(scratch, count, image_size=image_size, stamp=stamp)
    facts = np.array(stored)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as workers, (scratch / _FAULTS).open("a") as faults:
        for begin in range(0, count, CHUNK):
            chunk = range(begin, min(begin + CHUNK, count))
            pending = [index for index in chunk if facts["status"][index] == _PENDING]
            for _ in range(len(chunk) - len(pending)):
                on_image()
            sources = [listing.read(index) for index in pending]
            for index, found in zip(
                pending, workers.map(lambda each: _decoded(each, image_size), sources), strict=True
            ):
                pixels, size, digest, fault = found
                high, low = np.frombuffer(digest, dtype=">u8")
                if pixels is not None:
                    images[index] = pixels
                    facts[index] = (_READ, *size, high, low)
                else:
                    facts[index] = (_UNREADABLE, 0, 0, high, low)
                    faults.write(json.dumps([index, fault]) + "\n")
                on_image()
            if pending:
                images.flush()  # before the facts, which say that the images are there
                faults.flush()
                stored[chunk.start : chunk.stop] = facts[chunk.start : chunk.stop]
                stored.flush()
    noted = [json.loads(line) for line in (scratch / _FAULTS).read_text().splitlines()]
    return Decoded(
        images_NHWC=images,
        is_readable_N=np.asarray(facts["status"] == _READ),
        widths_N=np.asarray(facts["width"], dtype=np.int64),
        heights_N=np.asarray(facts["height"], dtype=np.int64),
        hashes_N=np.array(facts["high"]),
        digests_N=np.ascontiguousarray(np.stack([facts["high"], facts["low"]], axis=1)).view("V16").reshape(-1),
        faults={index: fault for index, fault in noted if facts["status"][index] == _UNREADABLE},
    )


def already_decoded(scratch: Path) -> int:
    """Return the number of images that an interrupted call has decoded."""
    try:
        return int((np.load(scratch / _TABLE, mmap_mode="r")["status"] != _PENDING).sum())
    except (OSError, ValueError):
        return 0


def _arrays(
    scratch: Path, count: int, *, image_size: int, stamp: str
) -> tuple[np.memmap[Any, np.dtype[np.uint8]], np.memmap[Any, np.dtype[np.void]]]:
    """Return the arrays of images and facts, those of an interrupted call where they are for the same source."""
    scratch.mkdir(parents=True, exist_ok=True)
    about = {"count": count, "image_size": image_size, "stamp": stamp}
    try:
        if json.loads((scratch / _ABOUT).read_bytes()) == about:
            images = np.load(scratch / _IMAGES, mmap_mode="r+")
            facts = np.load(scratch / _TABLE, mmap_mode="r+")
            if images.shape == (count, image_size, image_size, 3) and facts.shape == (count,):
                return images, facts
    except (OSError, ValueError):
        pass
    for name in (_ABOUT, _FAULTS):
        (scratch / name).unlink(missing_ok=True)
    shape = (count, image_size, image_size, 3)
    images = new_array(scratch / _IMAGES, dtype=np.uint8, shape=shape)
    facts = new_array(scratch / _TABLE, dtype=_FACTS, shape=(count,))
    (scratch / _ABOUT).write_text(json.dumps(about))
    return images, facts


def _decoded(
    source: ImageSource, image_size: int
) -> tuple[npt.NDArray[np.uint8] | None, tuple[int, int], bytes, str | None]:
    """Return pixels, original width and height, hash of the content, and why it cannot be read."""
    digest = hashlib.blake2b(digest_size=16)
    try:
        if isinstance(source, np.ndarray):
            digest.update(repr(source.shape).encode())
            digest.update(source.tobytes())
        else:
            source = Path(source).read_bytes() if isinstance(source, str | Path) else source
            assert isinstance(source, bytes), "readers return paths, bytes and arrays"
            digest.update(source)
        pixels, size = read_image_and_size(source, size=image_size)
    except OSError as error:
        return None, (0, 0), digest.digest(), error.strerror or str(error)
    except ImageError as error:
        return None, (0, 0), digest.digest(), str(error)
    return pixels, size, digest.digest(), None
