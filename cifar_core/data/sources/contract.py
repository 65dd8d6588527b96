"""The interface of a source of CIFAR-10. Neither this module nor a source imports numpy before it fetches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cifar_core.common.progress import Reporter
    from cifar_core.data.images import LabelledImages


@dataclass(frozen=True, eq=False, kw_only=True)
class FetchedImages:
    """The images that a source returned, not yet verified."""

    train: LabelledImages
    test: LabelledImages


class SourceFailedError(Exception):
    """A source could not return the data. The message gives the reason in one line; the next source is tried."""


class Source(Protocol):
    """A source of CIFAR-10, in the official order."""

    @property
    def name(self) -> str:
        """Return the name that is shown and recorded with the data."""

    @property
    def choice(self) -> str:
        """Return the value of `--source` that selects this source and those of the same kind."""

    def fetch(self, directory: Path, *, scratch: Path, reporter: Reporter) -> FetchedImages:
        """Return the data; give up after a timeout.

        Args:
            directory: the data folder, which may contain an archive; not written to.
            scratch: an empty folder on the same file system, for downloads; removed afterwards.
            reporter: receives the progress.

        Raises:
            SourceFailedError: the data cannot be fetched from this source.
        """
