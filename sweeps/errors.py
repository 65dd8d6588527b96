"""Every exception of `sweeps` that speaks to a user. Each message says what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class SweepError(Exception):
    """Base of the errors that a user can act on; the command line prints it and exits with code 2."""


class SpecError(SweepError):
    """A file that says what to run is wrong. Lists every error with its key, value and what is allowed."""

    def __init__(self, path: Path | str, errors: Sequence[str]) -> None:
        self.path = str(path)
        self.errors = tuple(errors)
        super().__init__("\n".join(f"{self.path}: {error}" for error in self.errors))


class StudyChangedError(SweepError):
    """A sweep of this name was begun with another space, base or metric."""


class SweepBusyError(SweepError):
    """Another driver runs this sweep."""


class NoSuchSweepError(SweepError):
    """There is no sweep of this name under the runs folder."""


class StoreError(SweepError):
    """A folder or a file of the sweep cannot be written."""


class RecordError(SweepError):
    """The record cannot be opened, written or read. The message names the store and what to do."""


class LeaderboardError(SweepError):
    """A filter, a sort order or a limit of the leaderboard that cannot be used. Names the closest known columns."""
