"""What a source of CIFAR-10 has to do. Nothing here or in a source imports numpy before it fetches."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cifar_core.data.images import LabelledImages
    from cifar_core.data.progress import Reporter


@dataclass(frozen=True, eq=False, kw_only=True)
class FetchedImages:
    """What a source brings, not yet checked against the fingerprints."""

    train: LabelledImages
    test: LabelledImages


class SourceFailedError(Exception):
    """A source could not bring the data. The message says why in one line; the next source is tried."""


class Source(Protocol):
    """A way to get CIFAR-10 in the official order."""

    @property
    def name(self) -> str:
        """Return the name that users see, and that is recorded beside the data."""

    @property
    def choice(self) -> str:
        """Return what a user chooses to try this source and those of the same kind, and no other."""

    def fetch(self, directory: Path, *, scratch: Path, reporter: Reporter) -> FetchedImages:
        """Bring the data. Gives up by itself when nothing answers.

        Args:
            directory: where the prepared data will lie, and a user may have put an archive; not written to.
            scratch: an empty folder on the same file system, for downloads; removed afterwards.
            reporter: told what takes time.

        Raises:
            SourceFailedError: if the data cannot be had from here.
        """
