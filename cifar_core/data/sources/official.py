"""CIFAR-10 from the university's server: torchvision downloads, checks and reads the official archive."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cifar_core.data.sources.contract import FetchedImages, SourceFailedError

if TYPE_CHECKING:
    from cifar_core.data.images import LabelledImages
    from cifar_core.data.progress import Reporter

ARCHIVE_URL = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
ARCHIVE_NAME = "cifar-10-python.tar.gz"
ARCHIVE_MD5 = "c58f30108f718f92721af3b95e74349a"


@dataclass(frozen=True, kw_only=True)
class OfficialArchive:
    """The official archive, from the university's server."""

    name: str = "official"
    choice: str = "official"
    url: str = ARCHIVE_URL
    probe_seconds: float = 15
    """How long the server may take to answer at all, name look-up and redirects included."""
    stall_seconds: float = 30
    """How long the download may stand still."""
    dataset_class: type[Any] | None = None
    """A class like `torchvision.datasets.CIFAR10`, which is the default."""

    def fetch(self, directory: Path, *, scratch: Path, reporter: Reporter) -> FetchedImages:
        _probe(self.url, seconds=self.probe_seconds)
        reporter.say(f"fetching {self.url} (170 MB)")
        # torchvision draws a bar of its own, terminal or not.
        bar = _unchanged() if reporter.draws_bars else redirect_stderr(io.StringIO())
        with bar, _socket_timeout(self.stall_seconds):
            return through_torchvision(self.dataset_class, scratch)


def through_torchvision(dataset_class: type[Any] | None, scratch: Path) -> FetchedImages:
    """Return what the archive in `scratch` holds; torchvision downloads one where there is none.

    Raises:
        SourceFailedError: it cannot be had, or is not what it should be.
    """
    import http.client
    import tarfile

    opened = dataset_class or _torchvision_class()
    try:
        train = opened(root=scratch, train=True, download=True)
        test = opened(root=scratch, train=False)
        return FetchedImages(train=_labelled(train), test=_labelled(test))
    except (
        OSError,
        RuntimeError,
        ValueError,
        EOFError,
        http.client.HTTPException,
        tarfile.TarError,
    ) as error:
        raise SourceFailedError(str(error) or type(error).__name__) from error


def _torchvision_class() -> type[Any]:
    # Here, because it imports torch, which takes seconds; the other source does without.
    from torchvision.datasets import CIFAR10

    return cast(type[Any], CIFAR10)


def _labelled(dataset: Any) -> LabelledImages:
    import numpy as np

    from cifar_core.data.images import LabelledImages

    return LabelledImages(np.ascontiguousarray(dataset.data), np.asarray(dataset.targets, dtype=np.int64))


def _probe(url: str, *, seconds: float) -> None:
    """Raise `SourceFailedError` unless the server answers in time."""
    import http.client
    import urllib.request

    outcome: list[str] = []

    def ask() -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=seconds):
                outcome.append("")
        except (OSError, http.client.HTTPException) as error:
            outcome.append(str(error) or type(error).__name__)

    # In a thread, because no timeout of a socket covers the look-up of a name.
    thread = threading.Thread(target=ask, daemon=True, name="cifar10-probe")
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise SourceFailedError(f"{url} gave no answer within {seconds:g} s")
    if outcome[0]:
        raise SourceFailedError(f"{url} cannot be reached: {outcome[0]}")


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    # torchvision sets no timeout, so a connection that goes silent would be waited for without end.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)


@contextmanager
def _unchanged() -> Iterator[None]:
    yield
