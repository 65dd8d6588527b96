"""Small data sets of synthetic photos: every image is another one, of another size."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

CLASSES = ("cats", "dogs", "emus")


def photo(seed: int, *, width: int = 40, height: int = 40) -> Image.Image:
    """Return a picture of smooth random colours: no two seeds look alike."""
    colours = np.random.default_rng(seed).integers(0, 256, (5, 5, 3), dtype=np.uint8)
    return Image.fromarray(colours).resize((width, height), Image.Resampling.BICUBIC)


def array_of(seed: int, *, size: int = 32) -> npt.NDArray[np.uint8]:
    return np.asarray(photo(seed, width=size, height=size))


def write_folder(root: Path, *, images: int = 8, classes: tuple[str, ...] = CLASSES, first_seed: int = 0) -> Path:
    """Write `images` photos of many sizes for each class."""
    for number, name in enumerate(classes):
        (root / name).mkdir(parents=True, exist_ok=True)
        for index in range(images):
            seed = first_seed + 1000 * number + index
            picture = photo(seed, width=36 + 3 * (seed % 7), height=36 + 2 * (seed % 11))
            picture.save(root / name / f"{index:03}.png")
    return root
