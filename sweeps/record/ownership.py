"""Assignment of runs to runs folders: on a shared server two folders may have sweeps of the same name.

The studies of a sweep's folder have an id, the owner. It is a tag of all their runs, and a line in the file `owner` of
the folder, so that readers need not open the study. `sweeps import` assigns a new id; `cp -r` of a runs folder copies
it.
"""

from __future__ import annotations

import contextlib
import functools
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

from cifar_core.common.files import move_stray_aside
from sweeps.record.recorded_run import RecordedRun
from sweeps.record.store import uses_default_record

OWNER = "owner"
"""Tag: owner id of a run's study. Versions up to 0.5.0 did not write it."""


def add_owner(runs: Path, sweep: str, owner: str) -> None:
    """Add an owner id to the file `owner` of a sweep."""
    if owner in read_owners(runs, sweep):
        return
    file = _file(runs, sweep)
    with contextlib.suppress(OSError):
        file.parent.mkdir(parents=True, exist_ok=True)
        move_stray_aside(file)  # opening a pipe would block
        with file.open("a", encoding="ascii") as lines:
            lines.write(f"{owner}\n")


def _file(runs: Path, sweep: str) -> Path:
    return runs / "sweeps" / sweep / "owner"


def read_owners(runs: Path, sweep: str) -> frozenset[str]:
    """Return the owner ids of a sweep; empty for a folder of a version without them."""
    file = _file(runs, sweep)
    try:
        return frozenset(file.read_text(encoding="ascii").split()) if file.is_file() else frozenset()
    except (OSError, ValueError):  # damaged: treated as a folder without owners
        return frozenset()


def owner_of_folder(runs: Path, sweep: str) -> str:
    """Return the owner id for a new study of a sweep's folder: an existing one, else a new one, which is stored."""
    owner = min(read_owners(runs, sweep), default=None) or uuid.uuid4().hex
    add_owner(runs, sweep, owner)
    return owner


class Ownership:
    """Decides which runs belong to the sweeps of a runs folder."""

    def __init__(self, runs: Path) -> None:
        # Only this runs folder writes its default record.
        self._is_default = uses_default_record(runs)
        self._owners = functools.cache(functools.partial(read_owners, runs))

    def includes(self, run: RecordedRun) -> bool:
        """Return whether a run counts here; False if it is of another folder and this one has a sweep of its name."""
        owner = run.tags.get(OWNER)
        if self._is_default or owner is None or not _is_name(run.tags.get("sweep", "")):
            return True
        owners: frozenset[str] = self._owners(run.tags["sweep"])
        return not owners or owner in owners

    def belongs_to_folder(self, run: RecordedRun) -> bool:
        """Return whether a run is of this runs folder; also True if it has no owner."""
        owner = run.tags.get(OWNER)
        if self._is_default or owner is None:
            return True
        return _is_name(run.tags.get("sweep", "")) and owner in self._owners(run.tags["sweep"])


def _is_name(sweep: str) -> bool:
    """Return whether a tag is a valid folder name that stays within its parent."""
    return bool(sweep) and "/" not in sweep and "\0" not in sweep and sweep not in (".", "..") and len(sweep) < 200


@dataclass(frozen=True, kw_only=True)
class JournalRuns:
    """Identities of a sweep's runs, from its journal."""

    owners: Collection[str]
    """Owner ids of its studies."""
    keys: Collection[tuple[str, str]]
    """Study and key of each trial, for runs without an owner."""

    def contains(self, run: RecordedRun) -> bool:
        """Return whether a run is of these studies."""
        if OWNER in run.tags:
            return run.tags[OWNER] in self.owners
        study, key = run.tags.get("study", ""), run.tags.get("key")
        if key is not None:
            return (study, key) in self.keys
        return study in {name for name, _ in self.keys}
