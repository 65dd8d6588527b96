"""Groups of images that show the same: exact copies, and near-duplicates such as a photo in another size or quality.

Two images are near-duplicates if the means of 8×8 blocks correlate by at least `CORRELATION`, and the colours of 16×16
blocks, at equal brightness and contrast, differ by at most `DIFFERENCE` standard deviations, and the mean colours by at
most `MEAN_COLOUR`.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

CORRELATION = 0.995
DIFFERENCE = 0.15
MEAN_COLOUR = 24.0
"""Largest difference of the mean of a channel, which ranges from 0 to 255."""
FLAT = 8.0
"""Smallest standard deviation that an image is divided by, so that the noise of a uniform image is not amplified."""
MOST_COMPARED = 200_000
"""Largest number of images to search for near-duplicates, which compares all pairs."""
_BLOCK = 2048
_LUMA = np.array([0.2989, 0.587, 0.114], dtype=np.float32)

Step = Callable[[], None]


def group_images(
    images_NHWC: npt.NDArray[np.uint8],
    indices_M: npt.NDArray[np.int64],
    digests_M: npt.NDArray[np.void],
    *,
    on_block: Step = lambda: None,
) -> npt.NDArray[np.int64]:
    """Return the group of each of M images: the number, from 0 to M, of the first image that shows the same.

    Args:
        images_NHWC: all images, N×H×H×3.
        indices_M: of the images to compare.
        digests_M: a hash of the original content of each image to compare.
        on_block: called after each of `blocks_of(N)` blocks.
    """
    parent = np.arange(len(indices_M))
    _, first_K, copy_M = np.unique(digests_M, return_index=True, return_inverse=True)
    for index, first in enumerate(first_K[copy_M.reshape(-1)].tolist()):
        _join(parent, index, first)
    if blocks_of(len(indices_M)):
        for one, other in _near_pairs(images_NHWC, indices_M, on_block=on_block):
            _join(parent, one, other)
    return np.array([_root(parent, index) for index in range(len(parent))], dtype=np.int64)


def blocks_of(count: int) -> int:
    """Return the number of blocks in which this many images are compared."""
    return -(-count // _BLOCK) if 1 < count <= MOST_COMPARED else 0


def _near_pairs(
    images_NHWC: npt.NDArray[np.uint8], indices_M: npt.NDArray[np.int64], *, on_block: Step
) -> list[tuple[int, int]]:
    count = len(indices_M)
    coarse, fine, means = _thumbnails(images_NHWC, indices_M)
    pairs: list[tuple[int, int]] = []
    for begin in range(0, count, _BLOCK):
        for other in range(begin, count, _BLOCK):
            products = coarse[begin : begin + _BLOCK] @ coarse[other : other + _BLOCK].T
            rows, columns = np.nonzero(products >= CORRELATION)
            rows, columns = rows + begin, columns + other
            is_pair = rows < columns
            rows, columns = rows[is_pair], columns[is_pair]
            for start in range(0, len(rows), _BLOCK):
                ones, others = rows[start : start + _BLOCK], columns[start : start + _BLOCK]
                distances = np.sqrt(np.square(fine[ones] - fine[others]).mean(axis=1))
                colours = np.abs(means[ones] - means[others]).max(axis=1)
                near = (distances <= DIFFERENCE) & (colours <= MEAN_COLOUR)
                pairs += zip(ones[near].tolist(), others[near].tolist(), strict=True)
        on_block()
    return pairs


def _thumbnails(
    images_NHWC: npt.NDArray[np.uint8], indices_M: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return unit vectors of 8×8 grey blocks, standardised 16×16 colours, and the mean colours."""
    count, size = len(indices_M), images_NHWC.shape[1]
    coarse = np.empty((count, 64), dtype=np.float32)
    fine = np.empty((count, min(16, size) ** 2 * 3), dtype=np.float32)
    means = np.empty((count, 3), dtype=np.float32)
    for begin in range(0, count, _BLOCK):
        block = images_NHWC[indices_M[begin : begin + _BLOCK]].astype(np.float32)
        means[begin : begin + _BLOCK] = block.mean(axis=(1, 2))
        grey = _pooled(block, 8) @ _LUMA
        grey = grey.reshape(len(block), -1)
        grey -= grey.mean(axis=1, keepdims=True)
        norm = np.maximum(np.linalg.norm(grey, axis=1, keepdims=True), FLAT / 4 * 8)
        coarse[begin : begin + _BLOCK] = grey / norm
        colours = _pooled(block, min(16, size)).reshape(len(block), -1)
        colours -= colours.mean(axis=1, keepdims=True)
        fine[begin : begin + _BLOCK] = colours / np.maximum(colours.std(axis=1, keepdims=True), FLAT)
    return coarse, fine, means


def _pooled(images_NHWC: npt.NDArray[np.float32], side: int) -> npt.NDArray[np.float32]:
    """Return the means of side×side blocks of equal size, up to a pixel."""
    size = images_NHWC.shape[1]
    edges = np.linspace(0, size, side + 1).round().astype(np.int64)
    sums = np.add.reduceat(np.add.reduceat(images_NHWC, edges[:-1], axis=1), edges[:-1], axis=2)
    widths = np.diff(edges).astype(np.float32)
    pooled: npt.NDArray[np.float32] = sums / (widths[:, None, None] * widths[None, :, None])
    return pooled


def _root(parent: npt.NDArray[np.int64], index: int) -> int:
    while parent[index] != index:
        parent[index] = parent[parent[index]]
        index = int(parent[index])
    return index


def _join(parent: npt.NDArray[np.int64], one: int, other: int) -> None:
    first, second = sorted((_root(parent, one), _root(parent, other)))
    parent[second] = first
