"""Whose a run is: on a server two runs folders may each have a sweep of one name.

The studies of a sweep's folder have an id. It is a tag of all their runs, and a line of the file `owner` in the folder:
readers open no study. What `import` takes over gets another id than it has there; `cp -r` of a runs folder copies it.
"""

from __future__ import annotations

import contextlib
import functools
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from cifar_core.common.files import make_way
from sweeps.record.recorded_run import RecordedRun
from sweeps.record.store import is_own

OWNER = "owner"
"""Tag: the id of the study that a run is of. Version 0.5.0 and those before wrote none."""


def note_owner(runs: Path, sweep: str, owner: str) -> None:
    """Note that a study is of a sweep of this runs folder."""
    if owner in noted_owners(runs, sweep):
        return
    file = _file(runs, sweep)
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        make_way(file)  # a pipe would be waited for
        with file.open("a", encoding="ascii") as lines:
            lines.write(f"{owner}\n")


def _file(runs: Path, sweep: str) -> Path:
    return runs / "sweeps" / sweep / "owner"


def noted_owners(runs: Path, sweep: str) -> frozenset[str]:
    """Return the ids of a sweep's studies as they are noted; none of a folder from before there were any."""
    file = _file(runs, sweep)
    try:
        return frozenset(file.read_text(encoding="ascii").split()) if file.is_file() else frozenset()
    except (OSError, ValueError):  # damaged: as a folder from before there were owners
        return frozenset()


def owner_of_folder(runs: Path, sweep: str) -> str:
    """Return the id that a new study of a sweep's folder gets: one that is noted, else a new one, which is noted."""
    owner = min(noted_owners(runs, sweep), default=None) or uuid.uuid4().hex
    note_owner(runs, sweep, owner)
    return owner


class Ownership:
    """Tells the runs of a runs folder's sweeps from another folder's of the same name."""

    def __init__(self, runs: Path) -> None:
        # The record in the runs folder has one writer.
        self._is_own = is_own(runs)
        self._owners = functools.cache(functools.partial(noted_owners, runs))

    def takes(self, run: RecordedRun) -> bool:
        """Return whether a run is to be counted here: False for another folder's, of a sweep that is here too."""
        owner = run.tags.get(OWNER)
        if self._is_own or owner is None or not _is_name(run.tags.get("sweep", "")):
            return True
        owners: frozenset[str] = self._owners(run.tags["sweep"])
        return not owners or owner in owners

    def is_ours(self, run: RecordedRun) -> bool:
        """Return whether a run says that it is of this runs folder, or nothing that speaks against it."""
        owner = run.tags.get(OWNER)
        if self._is_own or owner is None:
            return True
        return _is_name(run.tags.get("sweep", "")) and owner in self._owners(run.tags["sweep"])


def _is_name(sweep: str) -> bool:
    """Return whether a tag can be the name of a folder, and leads nowhere else."""
    return bool(sweep) and "/" not in sweep and "\0" not in sweep and sweep not in (".", "..") and len(sweep) < 200


@dataclass(frozen=True, kw_only=True)
class OwnRuns:
    """What a sweep's journals know of its runs."""

    owners: Collection[str]
    """Of its studies."""
    keys: Collection[tuple[str, str]]
    """Study and key of each of its trials: by them a run is known that says no owner."""

    def has(self, run: RecordedRun) -> bool:
        """Return whether a run is of these studies."""
        if OWNER in run.tags:
            return run.tags[OWNER] in self.owners
        study, key = run.tags.get("study", ""), run.tags.get("key")
        if key is not None:
            return (study, key) in self.keys
        return study in {name for name, _ in self.keys}
