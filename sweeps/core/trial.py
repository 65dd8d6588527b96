"""The one record of a trial that the ledger holds, the tracker writes and people read."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from sweeps.core.identity import Protocol
from sweeps.core.results import EpochResult, TestResult
from sweeps.core.task import TaskConfig

FORMAT = 1
"""Of what is stored: the attributes of a study, and the tags, params and metrics of a run. It is raised where an
earlier version would misread what this one writes; every later version reads each format from 1 on."""


def unsupported_format(what: str, found: object) -> str:
    """Return why something stored is not read, and what to do.

    Args:
        what: is not read; a singular.
        found: the format that it says; None for none.
    """
    said = "has no format version" if found is None else f"is of format {found}"
    return (
        f"{what} {said}, and this version of sweeps reads format {FORMAT}: use the version that wrote it, or begin "
        "anew in another runs folder (--runs)"
    )


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


class ErrorClass(StrEnum):
    """What kept a trial from going on, apart from an exception of its own, whose class is that exception's name."""

    OUT_OF_MEMORY = "out_of_memory"
    """It needs more memory than there is, beside others or alone."""
    DISK_FULL = "disk_full"
    STORAGE_UNREACHABLE = "storage_away"
    """What keeps its checkpoints does not answer, or refuses."""
    PROCESS_DIED = "process_died"
    """Its process or its node went away."""
    CODE_CHANGED = "code_changed"
    """The user's own code is not what the sweep was started with."""
    UNFIT_NODE = "unfit_node"
    """The node that it came to has other software than the driver, or does not reach the storage."""
    EXITED = "exited"
    """The training called `sys.exit` or `os._exit`."""


class MeasuredOn(StrEnum):
    """The images that a ladder compares its rungs by."""

    TEST = "test"
    VALIDATION = "validation"
    """Those that each rung sets aside from its training images: for choosing, while the test set stays sealed."""


@dataclass(frozen=True, kw_only=True)
class RungLabel:
    """Which rung of a ladder a trial is of."""

    name: str
    index: int
    """In the ladder's file, counted from 0."""
    parent: str | None
    """The rung that its gain is taken against; None for one that the ladder starts with."""
    full_epochs: int | None = None
    """Of the full budget, where its epochs were cut; None where they were not."""
    full_train_images: int | None = None
    """Of the full budget, where its training images were cut; None where they were not."""
    measured_on: MeasuredOn = MeasuredOn.TEST
    """Which images its ladder compares rungs by."""


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """One trial of one sweep, as the ledger knows it now."""

    sweep: str
    study: str
    """Name of its study (`sweeps.core.identity.study_name`)."""
    number: int
    """In its study, counted from 0 in the order of proposal."""
    first_number: int = 0
    """Trials of the sweep's earlier studies: what its own first one is called, so that no name means two."""
    key: str
    """Identity of configuration, seed and data; as the two below, see `sweeps.core.identity`."""
    config_id: str
    """Identity of the configuration without its seed."""
    source: str | None = None
    """As `sweeps.core.identity.Identity`."""
    config: TaskConfig
    outcome: Outcome
    epochs: tuple[EpochResult, ...] = ()
    started: float
    """Unix time in seconds."""
    finished: float | None = None
    """Unix time in seconds; None while running or interrupted."""
    error: str | None = None
    """One line that says why it failed or diverged."""
    error_class: str | None = None
    """An `ErrorClass`, or the name of the exception that the training raised."""
    traceback: str | None = None
    """Of an exception: the lines of the user's own."""
    log: str | None = None
    """Path of the trial's own log file, relative to the runs folder."""
    parameters: int | None = None
    """Trainable parameters of the network."""
    reused_from: str | None = None
    """MLflow run whose result was taken over: nothing was trained for this one."""
    rung: RungLabel | None = None
    """Of a ladder's trial; None for a search's."""
    metric: str = "val_accuracy"
    """What its search looks at, and orders its configurations by; a ladder's rungs are ordered by their accuracy."""
    goal: str | None = None
    """`maximize` or `minimize`, where the metric is one that only a function of the user's own yields."""
    replicate_of: int | None = None
    """Of a replicate: the number, in the sweep, of the search's trial whose configuration it trains again."""
    test: TestResult | None = None
    warning: str | None = None
    """What a person should know of its training in this start, and what changes no result; it is stored nowhere."""
    environment: dict[str, str] = field(default_factory=dict)
    """Where it ran: host, device, versions."""

    @property
    def trial(self) -> int:
        """Its number in its sweep, as people see it; a replicate's is that of the search's trial."""
        return self.first_number + self.number if self.replicate_of is None else self.replicate_of

    @property
    def name(self) -> str:
        """What people call it within its sweep: the rung's name, `trial 3`, or `trial 3, seed 1` of a replicate."""
        if self.rung is not None:
            return self.rung.name
        return f"trial {self.trial}" + ("" if self.replicate_of is None else f", seed {self.config.seed}")

    @property
    def protocol(self) -> Protocol:
        return Protocol.of(self.config)

    @property
    def train_seconds(self) -> float:
        """Wall-clock seconds of all its epochs."""
        return sum(epoch.seconds for epoch in self.epochs)


@dataclass(frozen=True, kw_only=True)
class TrialMessage:
    """What a trial says after one epoch, or at its end."""

    epoch: EpochResult | None = None
    outcome: Outcome | None = None
    """None while there is more to come; `interrupted` where the machine is to blame."""
    error: str | None = None
    error_class: str | None = None
    traceback: str | None = None
    parameters: int | None = None
    environment: dict[str, str] | None = None
    warning: str | None = None
    """What a person should know, once, of something that changes no result."""


@dataclass(frozen=True, kw_only=True)
class CompleteResult:
    """A full-length result that a sweep may take over instead of training again."""

    run_id: str
    study: str | None
    """Where it was trained: of the very study that asks it is the same run, not one taken over."""
    epochs: tuple[EpochResult, ...]
    parameters: int | None
    test: TestResult | None
