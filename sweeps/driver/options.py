"""What a start of a sweep is told, and what it says at its end."""

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
    """What every function and verb that trains takes beside the runs folder: the fields of `RunOptions`, each optional.

    A new option of a run is a line here, a line there, and its flag in `sweeps.cli.options`.
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
    """How a sweep is carried out, apart from what it is."""

    runs: Path
    """Folder for all that runs leave behind."""
    backend: BackendName = "ray"
    """`ray`, or `inline` for one trial after the other in this process."""
    address: str | None = None
    """Of a running Ray cluster, `HOST:PORT`; None starts Ray on this machine."""
    storage: str | None = None
    """Of checkpoints and logs: a folder, or a URL; None asks the environment, then the file (`core/storages.py`)."""
    study_storage: str | None = None
    """Of the study: a database's URL; None as for `storage`."""
    new: bool = False
    """Whether to begin anew although the sweep of this name had another space."""
    retry_failed: bool = False
    """Whether to try again the trials that failed."""
    tensorboard: bool = False
    """Whether each trial writes curves for TensorBoard; no part of what is trained."""
    notify: Sequence[str] = ()
    """Web addresses and commands that are told how it goes, beside those in the file."""

    @property
    def ray_address(self) -> str | None:
        """Of the cluster to run on, None for this machine."""
        return self.address or os.environ.get("RAY_ADDRESS") or None


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """How a start of a sweep went."""

    records: tuple[TrialRecord, ...]
    trained: int
    """Trials that this start trained at least an epoch of."""
    begun: int
    """Trials that this start began, whether or not an epoch of them ended."""
    reused: int
    """Trials whose result this start took over from an earlier run."""
    seconds: float
    stopped_by: StopReason | None = None
    details: str = ""
    """What to do about the reason, where it does not say so itself."""
    unwritten: int = 0
    """Trials that could not be written to MLflow yet."""
    gave_up_at: int | None = None
    """Trials after which nothing new was proposed, although there is budget left; None where that is not so."""
    confirmed: RunSummary | None = None
    """Of a search with replicates: how those went; None where there are none, or they were not begun."""
    model: str | None = None
    """Of replicates: the address of the model in MLflow that the winner is stored as; None where there is none."""
    opened_record: bool = True
    """Whether the record may have changed: a start with nothing to do, and nothing to write, does not open it."""

    @property
    def has_changed(self) -> bool:
        """Whether the leaderboard may be another one now."""
        return self.opened_record or (self.confirmed is not None and self.confirmed.has_changed)

    def count(self, outcome: Outcome) -> int:
        return sum(record.outcome is outcome for record in self.records)


class Interrupted(KeyboardInterrupt):
    """A signal (Jupyter's Stop, Ctrl-C, `sweeps stop`) ended a run. What it trained is saved; the same call resumes it.

    Attributes:
        summary: how far it came.
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
        """Return what IPython prints: the line alone, since nothing went wrong."""
        return [f"{type(self).__name__}: {self}"]
