"""CIFAR-10 from the official archive that a user has put into the data folder."""

from __future__ import annotations

import hashlib
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cifar_core.data.sources.contract import FetchedImages, SourceFailedError
from cifar_core.data.sources.official import ARCHIVE_MD5, ARCHIVE_NAME, read_with_torchvision

if TYPE_CHECKING:
    from cifar_core.common.progress import Reporter


@dataclass(frozen=True, kw_only=True)
class LocalArchive:
    """The official archive in the data folder."""

    name: str = "archive"
    choice: str = "official"
    md5: str = ARCHIVE_MD5
    dataset_class: type[Any] | None = None
    """A class like `torchvision.datasets.CIFAR10`, which is the default."""

    def fetch(self, directory: Path, *, scratch: Path, reporter: Reporter) -> FetchedImages:
        archive = directory / ARCHIVE_NAME
        if not archive.is_file():
            raise SourceFailedError(f"no {ARCHIVE_NAME} in {directory}")
        with reporter.stage(f"reading {archive}"):
            try:
                found = _md5(archive)
            except OSError as error:
                raise SourceFailedError(f"{archive} cannot be read: {error}") from error
            if found != self.md5:
                raise SourceFailedError(
                    f"ignored {archive}, which is not the complete official archive: its MD5 is {found}, not {self.md5}"
                )
            _link_or_copy(archive, scratch / ARCHIVE_NAME)
            # torchvision finds the archive there and downloads nothing.
            return read_with_torchvision(self.dataset_class, scratch)


def _md5(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _link_or_copy(origin: Path, copy: Path) -> None:
    try:
        os.link(origin.resolve(), copy)
    except OSError:
        shutil.copyfile(origin, copy)
