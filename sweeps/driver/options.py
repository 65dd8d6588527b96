"""Options and summary of one start of a sweep."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypedDict

from sweeps.core.formatting import plural
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.driver.stopping import StopReason

BackendName = Literal["ray", "inline"]


class RunKeywords(TypedDict, total=False):
    """Keyword arguments of every function that trains: the optional fields of `RunOptions`.

    A new option needs a line here, a field in `RunOptions` and a flag in `sweeps.cli.options`.
    """

    backend: BackendName
    address: str | None
    storage: str | None
    study_storage: str | None
    retry_failed: bool
    tensorboard: bool
    notify: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a sweep is run, independent of its file."""

    runs: Path
    """The runs folder."""
    backend: BackendName = "ray"
    """`ray`, or `inline` for one trial at a time in this process."""
    address: str | None = None
    """Address of a running Ray cluster, `HOST:PORT`; None starts Ray on this machine."""
    storage: str | None = None
    """Folder or URL for checkpoints and logs; None reads the environment, then the file (`core/storages.py`)."""
    study_storage: str | None = None
    """Database URL for the study; None as for `storage`."""
    new: bool = False
    """Whether to start a new study if the sweep of this name had another space."""
    widen: bool = False
    """Whether to continue a begun sweep whose file has a wider space now."""
    retry_failed: bool = False
    """Whether to retry failed trials."""
    tensorboard: bool = False
    """Whether each trial writes curves for TensorBoard."""
    notify: Sequence[str] = ()
    """URLs and commands to notify, in addition to those in the file."""

    @property
    def ray_address(self) -> str | None:
        """Address of the Ray cluster; None for this machine."""
        return self.address or os.environ.get("RAY_ADDRESS") or None


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """Summary of one start of a sweep."""

    records: tuple[TrialRecord, ...]
    trained: int
    """Number of trials that this start trained for at least one epoch."""
    begun: int
    """Number of trials that this start began, with or without a finished epoch."""
    reused: int
    """Number of trials whose result this start reused from an earlier run."""
    seconds: float
    stopped_by: StopReason | None = None
    details: str = ""
    """Details about the reason and what to do."""
    unwritten: int = 0
    """Number of trials that are not written to MLflow yet."""
    gave_up_at: int | None = None
    """Number of trials if the search ended early because nothing new could be proposed; None otherwise."""
    ended_because: str | None = None
    """Why the search ended before its number of trials, and how to continue it, in sentences; None if it did not."""
    budget: str | None = None
    """How much of the time budget was spent, and what it has confirmed, in sentences; None without a time budget."""
    race: str | None = None
    """What the race of the best configurations has shown, in sentences; None without a race."""
    confirmed: RunSummary | None = None
    """Summary of the replicates of a search; None if none were started."""
    model: str | None = None
    """For replicates: URI of the winner's logged model in MLflow; None if there is none."""
    opened_record: bool = True
    """Whether the record may have changed: a start with nothing to do does not open it."""

    @property
    def has_changed(self) -> bool:
        """Whether the leaderboard may have changed."""
        return self.opened_record or (self.confirmed is not None and self.confirmed.has_changed)

    def count(self, outcome: Outcome) -> int:
        return sum(record.outcome is outcome for record in self.records)


class Interrupted(KeyboardInterrupt):
    """A signal (Jupyter's Stop, Ctrl-C, `sweeps stop`) ended a run. The same call resumes it after its saved epochs.

    Attributes:
        summary: of the run until the signal.
    """

    def __init__(self, summary: RunSummary) -> None:
        self.summary = summary
        part = summary.confirmed or summary
        done = sum(record.outcome.is_final for record in part.records)
        super().__init__(
            f"{plural(done, 'trial')} ended, {part.count(Outcome.INTERRUPTED)} interrupted. Every finished epoch is "
            "saved: run the same call again to resume."
        )

    def _render_traceback_(self) -> list[str]:
        """Return the message without a traceback, for IPython: an interrupt is not an error."""
        return [f"{type(self).__name__}: {self}"]
