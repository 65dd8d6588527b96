"""The one record of a trial that the ledger holds, the tracker writes and people read."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from cifar_core.config import TrainingConfig
from cifar_core.results import EpochResult, TestResult


class Outcome(StrEnum):
    """How a trial ended, or that it has not."""

    RUNNING = "running"
    COMPLETE = "complete"
    """Its last epoch is the configuration's `epochs`."""
    PRUNED = "pruned"
    """The pruner stopped it."""
    DIVERGED = "diverged"
    """Its loss was not finite."""
    FAILED = "failed"
    """An error."""
    INTERRUPTED = "interrupted"
    """Everything else: it goes on at the next start."""

    @property
    def is_final(self) -> bool:
        return self not in (Outcome.RUNNING, Outcome.INTERRUPTED)


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial of one sweep, as the ledger knows it now."""

    sweep: str
    study: str
    """The sweep's name and a hash of its space, base and metric."""
    number: int
    """Counted from 0 in the order of proposal."""
    key: str
    """Identity of configuration, seed and data."""
    config_id: str
    """Identity of the configuration without its seed."""
    config: TrainingConfig
    outcome: Outcome
    epochs: tuple[EpochResult, ...] = ()
    started: float
    """Unix time in seconds."""
    finished: float | None = None
    """Unix time in seconds; None while running or interrupted."""
    error: str | None = None
    """One line that says why it failed or diverged."""
    log: str | None = None
    """Path of the trial's own log file, relative to the runs folder."""
    parameters: int | None = None
    """Trainable parameters of the network."""
    reused_from: str | None = None
    """MLflow run whose result was taken over: nothing was trained for this one."""
    rung: str | None = None
    """Ladder only: the rung's name."""
    place: int | None = None
    """Ladder only: the rung's place in its file, counted from 0."""
    came_from: str | None = None
    """Ladder only: the rung that gains are taken against."""
    reduced: str | None = None
    """How the budget was cut (`epochs × 0.1, 5,000 images`), None for the full one."""
    protocol: str = ""
    """Equal for runs that may be ranked against each other: same validation images, same budget."""
    test: TestResult | None = None
    facts: dict[str, str] = field(default_factory=dict)
    """Where it ran: host, device, versions."""
