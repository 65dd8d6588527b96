"""CIFAR-10 from the university's server: torchvision downloads, verifies and reads the official archive."""

from __future__ import annotations

import io
import socket
import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from cifar_core.data.sources.contract import FetchedImages, SourceFailedError

if TYPE_CHECKING:
    from cifar_core.common.progress import Reporter
    from cifar_core.data.images import LabelledImages

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
    """Timeout of the server's first response, name resolution and redirects included."""
    stall_seconds: float = 30
    """Longest pause in the download."""
    dataset_class: type[Any] | None = None
    """A class like `torchvision.datasets.CIFAR10`, which is the default."""

    def fetch(self, directory: Path, *, scratch: Path, reporter: Reporter) -> FetchedImages:
        _probe(self.url, seconds=self.probe_seconds)
        reporter.info(f"fetching {self.url} (170 MB)")
        # torchvision draws its progress bar even where there is no terminal.
        bar: AbstractContextManager[Any] = nullcontext() if reporter.draws_bars else redirect_stderr(io.StringIO())
        with bar, _socket_timeout(self.stall_seconds):
            return read_with_torchvision(self.dataset_class, scratch)


def read_with_torchvision(dataset_class: type[Any] | None, scratch: Path) -> FetchedImages:
    """Return the images of the archive in `scratch`, which torchvision downloads if it is missing.

    Raises:
        SourceFailedError: the archive cannot be downloaded, or is not valid.
    """
    import http.client
    import tarfile

    dataset_class = dataset_class or _torchvision_class()
    try:
        train = dataset_class(root=scratch, train=True, download=True)
        test = dataset_class(root=scratch, train=False)
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
    # Imported here, because it imports torch, which takes seconds and npm does not need.
    from torchvision.datasets import CIFAR10

    return cast(type[Any], CIFAR10)


def _labelled(dataset: Any) -> LabelledImages:
    import numpy as np

    from cifar_core.data.images import LabelledImages

    return LabelledImages(np.ascontiguousarray(dataset.data), np.asarray(dataset.targets, dtype=np.int64))


def _probe(url: str, *, seconds: float) -> None:
    """Raise `SourceFailedError` unless the server responds in time."""
    import http.client
    import urllib.request

    outcome: list[str] = []

    def request_head() -> None:
        request = urllib.request.Request(url, method="HEAD")
        try:
            with urllib.request.urlopen(request, timeout=seconds):
                outcome.append("")
        except (OSError, http.client.HTTPException) as error:
            outcome.append(str(error) or type(error).__name__)

    # In a thread, because a socket's timeout does not cover name resolution.
    thread = threading.Thread(target=request_head, daemon=True, name="cifar10-probe")
    thread.start()
    thread.join(seconds)
    if not outcome:
        raise SourceFailedError(f"{url} did not respond within {seconds:g} s")
    if outcome[0]:
        raise SourceFailedError(f"{url} is unreachable: {outcome[0]}")


@contextmanager
def _socket_timeout(seconds: float) -> Iterator[None]:
    # torchvision sets no timeout: a stalled connection would block forever.
    before = socket.getdefaulttimeout()
    socket.setdefaulttimeout(seconds)
    try:
        yield
    finally:
        socket.setdefaulttimeout(before)
