"""A data set of a few images, and sources that return it, for tests that damage it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cifar_core.common.progress import Reporter
from cifar_core.data.images import Fingerprints, LabelledImages, fingerprint
from cifar_core.data.sources.contract import FetchedImages, SourceFailedError


def random_images(count: int, *, seed: int) -> LabelledImages:
    rng = np.random.default_rng(seed)
    images_NHWC = rng.integers(0, 256, size=(count, 32, 32, 3), dtype=np.uint8)
    return LabelledImages(images_NHWC, np.arange(count, dtype=np.int64) % 10)


def tiny_cifar() -> FetchedImages:
    return FetchedImages(train=random_images(100, seed=0), test=random_images(20, seed=1))


def fingerprints_of(images: FetchedImages) -> Fingerprints:
    return Fingerprints(
        train_images=fingerprint(images.train.images_NHWC),
        train_labels=fingerprint(images.train.labels_N.astype(np.uint8)),
        test_images=fingerprint(images.test.images_NHWC),
        test_labels=fingerprint(images.test.labels_N.astype(np.uint8)),
    )


@dataclass(frozen=True, kw_only=True)
class TinySource:
    """Returns a tiny data set, and counts calls in a file, which other processes share."""

    log: Path
    name: str = "tiny"
    choice: str = "tiny"
    images: FetchedImages = field(default_factory=tiny_cifar)
    seconds: float = 0

    def fetch(self, directory: Path, *, scratch: Path, reporter: Reporter) -> FetchedImages:
        with self.log.open("a") as log:
            log.write("fetched\n")
        (scratch / "download").write_bytes(b"half of it")
        time.sleep(self.seconds)
        return self.images

    @property
    def times(self) -> int:
        return len(self.log.read_text().splitlines()) if self.log.exists() else 0


@dataclass(frozen=True, kw_only=True)
class DeadSource:
    """Always fails."""

    name: str = "dead"
    choice: str = "dead"
    reason: str = "the line is cut"

    def fetch(self, directory: Path, *, scratch: Path, reporter: Reporter) -> FetchedImages:
        raise SourceFailedError(self.reason)
