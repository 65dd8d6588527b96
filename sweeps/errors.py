"""Every exception of `sweeps` that speaks to a user. Each message says what to do next."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


class SweepError(Exception):
    """Base of the errors that a user can act on; the command line prints it and exits with code 2."""


class SpecError(SweepError):
    """A file that says what to run is wrong. Lists every mistake with its key, value and what is allowed."""

    def __init__(self, path: Path | str, mistakes: Sequence[str]) -> None:
        self.path = str(path)
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(f"{self.path}: {mistake}" for mistake in self.mistakes))


class StudyChangedError(SweepError):
    """A sweep of this name was begun with another space, base or metric."""


class SweepBusyError(SweepError):
    """Another driver runs this sweep."""


class NoSuchSweepError(SweepError):
    """There is no sweep of this name under the runs folder."""


class StoreError(SweepError):
    """A folder or a file of the sweep cannot be written."""
