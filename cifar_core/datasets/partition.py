"""The test part of a data set that has none: by a hash of the content, so that another image moves no other one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from cifar_core.datasets.errors import DataError
from cifar_core.datasets.reader import DataPart

PARTS: tuple[DataPart, ...] = ("train", "validation", "test")
LEAST_TRAINED = 2
"""Smallest number of training images per class, so that one can be held out for validation."""


def parts_of(
    given: Sequence[DataPart | None],
    *,
    labels_N: npt.NDArray[np.int64],
    hashes_N: npt.NDArray[np.uint64],
    groups_N: npt.NDArray[np.int64],
    test_share: float,
) -> npt.NDArray[np.int8]:
    """Return the part of each image, an index into `PARTS`.

    The source's own test part stays as it is. Without one, an image is tested if the smallest hash of its group is
    below the share: near-duplicates stay together, and the part of a group does not depend on any other group. Only in
    a class that would have no test image, or fewer than `LEAST_TRAINED` training images, the groups with the smallest
    hashes are tested, and the others are not. A group with an image of the source's own validation part is not tested.

    Args:
        given: part of each image as the source has it; None if it has no parts.
        labels_N: class of each image.
        hashes_N: hash of each image's content.
        groups_N: group of each image, from `duplicates.group_images`.
        test_share: share of the images to test.
    """
    parts_N = np.array([PARTS.index(part or "train") for part in given], dtype=np.int8)
    if "test" in given:
        return parts_N
    key_N = group_hashes(hashes_N, groups_N)
    is_free_N = ~np.isin(groups_N, groups_N[parts_N == PARTS.index("validation")])
    is_tested_N = is_free_N & (key_N < np.uint64(int(test_share * 2**64)))
    for k in np.unique(labels_N):
        members = np.flatnonzero((labels_N == k) & is_free_N)
        tested = int(is_tested_N[members].sum())
        ordered = groups_N[members[np.argsort(key_N[members], kind="stable")]]
        if not tested and len(members) > LEAST_TRAINED:
            is_tested_N |= groups_N == ordered[0]
        for group in ordered[::-1]:
            trained = int(((labels_N == k) & ~is_tested_N & (parts_N == PARTS.index("train"))).sum())
            if trained < LEAST_TRAINED and group != ordered[0]:
                is_tested_N &= groups_N != group
    parts_N[is_tested_N] = PARTS.index("test")
    return parts_N


def group_hashes(hashes_N: npt.NDArray[np.uint64], groups_N: npt.NDArray[np.int64]) -> npt.NDArray[np.uint64]:
    """Return the smallest hash of the group of each image."""
    smallest_N = np.full(len(hashes_N), np.iinfo(np.uint64).max, dtype=np.uint64)
    np.minimum.at(smallest_N, groups_N, hashes_N)
    return smallest_N[groups_N]


def require_every_class(
    counts_PK: npt.NDArray[np.int64], class_names: Sequence[str], *, source: str, share: float | None
) -> None:
    """Raise unless every class can be trained and tested.

    Args:
        counts_PK: images of each class in each part.
        class_names: of the classes.
        source: as the user wrote it.
        share: of the test part, if it was split off; None for the source's own.

    Raises:
        DataError: a class has too few images; names all of them with their counts.
    """
    train_K, _, test_K = counts_PK
    total_K = counts_PK.sum(axis=0)
    few = [
        f"{name!r} has {total} image{'' if total == 1 else 's'} ({train} to train, {test} to test)"
        for name, total, train, test in zip(
            class_names, total_K.tolist(), train_K.tolist(), test_K.tolist(), strict=True
        )
        if train < LEAST_TRAINED or (share is not None and test == 0)
    ]
    if few:
        shown = "; ".join(few[:5]) + (f"; and {len(few) - 5} more classes" if len(few) > 5 else "")
        remedy = (
            "add images to its train part"
            if share is None
            else "add images, raise data.test_share, or give the data a test part"
        )
        raise DataError(
            f"{source} has too few images: {shown}. Each class needs {LEAST_TRAINED} to train"
            f"{'' if share is None else ' and one to test'}: {remedy}"
        )
