"""The record of a trial that the ledger holds, the tracker writes and the views show."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from sweeps.core.front import KnownValue
from sweeps.core.identity import Protocol
from sweeps.core.results import ConfirmResult, EpochResult, TestResult
from sweeps.core.task import TaskConfig

FORMAT = 1
"""Version of the storage format: study attributes, and tags, params and metrics of MLflow runs. Increase it if an
earlier version would misread what this one writes. Every version reads all earlier formats."""


def unsupported_format(what: str, found: object) -> str:
    """Return the error message for stored data of another format.

    Args:
        what: the stored data, a singular noun.
        found: its format version; None if it has none.
    """
    version = "has no format version" if found is None else f"has format {found}"
    return (
        f"{what} {version}. This version of sweeps reads format {FORMAT}. Use the version that wrote it, or start "
        "in another runs folder (--runs)."
    )


class Outcome(StrEnum):
    """The state of a trial."""

    RUNNING = "running"
    COMPLETE = "complete"
    """Its last epoch is the configuration's `epochs`."""
    PAUSED = "paused"
    """Early stopping paused it at a milestone, or a person skipped it. It is pruned if the search ends before it is
    continued."""
    PRUNED = "pruned"
    """Early stopping ended it."""
    DIVERGED = "diverged"
    """Its loss was not finite."""
    FAILED = "failed"
    """It raised an error."""
    INTERRUPTED = "interrupted"
    """Stopped from outside. The next start resumes it."""

    @property
    def is_final(self) -> bool:
        return self not in (Outcome.RUNNING, Outcome.PAUSED, Outcome.INTERRUPTED)


class ErrorClass(StrEnum):
    """The cause of a trial's end, other than an exception of the training, which is recorded by its class name."""

    OUT_OF_MEMORY = "out_of_memory"
    """It needs more memory than available."""
    DISK_FULL = "disk_full"
    STORAGE_UNREACHABLE = "storage_away"
    """The storage of its checkpoints does not answer, or refuses access."""
    PROCESS_DIED = "process_died"
    """Its process or its node ended."""
    CODE_CHANGED = "code_changed"
    """The custom code has changed since the sweep was started."""
    UNFIT_NODE = "unfit_node"
    """Its node has other software than the driver, or cannot reach the storage."""
    TRIAL_TIMEOUT = "trial_timeout"
    """It trained longer than `limits.trial_timeout`."""
    EPOCH_TIMEOUT = "epoch_timeout"
    """An epoch took longer than `limits.epoch_timeout`."""
    EXITED = "exited"
    """The training called `sys.exit` or `os._exit`."""


TO_AVOID = frozenset({ErrorClass.OUT_OF_MEMORY, ErrorClass.TRIAL_TIMEOUT, ErrorClass.EPOCH_TIMEOUT})
"""Causes of failures that a sampler receives as bad results: other failures are ignored, and may be proposed again."""


class MeasuredOn(StrEnum):
    """What a ladder compares its rungs by."""

    TEST = "test"
    """Accuracy on the test images."""
    VALIDATION = "validation"
    """Accuracy on images held out of the training images, for choosing while the test set stays sealed."""
    METRIC = "metric"
    """The metric of a custom training, which has no images."""


@dataclass(frozen=True, kw_only=True)
class RungLabel:
    """The rung of a ladder that a trial belongs to."""

    name: str
    index: int
    """Position in the ladder's file, counted from 0."""
    parent: str | None
    """The rung that its gain is relative to; None for a first rung."""
    full_epochs: int | None = None
    """Epochs of the full budget; None if they were not reduced."""
    full_train_images: int | None = None
    """Training images of the full budget; None if they were not reduced."""
    measured_on: MeasuredOn = MeasuredOn.TEST
    """What its ladder compares rungs by."""


@dataclass(frozen=True, kw_only=True)
class TrialRecord:
    """The current state of one trial of one sweep."""

    sweep: str
    study: str
    """Name of the study (`sweeps.core.identity.study_name`)."""
    number: int
    """Number in its study, counted from 0 in the order of proposal."""
    first_number: int = 0
    """Number of trials of the sweep's earlier studies, added to `number` so that names are unique in the sweep."""
    key: str
    """Identity of configuration, seed and data, like the next two fields: see `sweeps.core.identity`."""
    config_id: str
    """Identity of the configuration without its seed."""
    source: str | None = None
    """See `sweeps.core.identity.Identity`."""
    config: TaskConfig
    outcome: Outcome
    epochs: tuple[EpochResult, ...] = ()
    started: float
    """Unix time in seconds."""
    finished: float | None = None
    """Unix time in seconds; None while running or interrupted."""
    error: str | None = None
    """Why it failed or diverged, in one line."""
    error_class: str | None = None
    """An `ErrorClass`, or the class name of the exception that the training raised."""
    traceback: str | None = None
    """Traceback of an exception, in custom code only."""
    log: str | None = None
    """Path of the trial's log file, relative to the runs folder."""
    parameters: int | None = None
    """Trainable parameters of the network."""
    reused_from: str | None = None
    """MLflow run whose result was reused instead of training."""
    rung: RungLabel | None = None
    """None for a trial of a search."""
    metric: str = "val_accuracy"
    """The metric that its search optimises and ranks by. The rungs of a ladder of networks are ranked by accuracy."""
    goal: str | None = None
    """`maximize` or `minimize` for a metric of a custom training function."""
    replicate_of: int | None = None
    """For a replicate: the number in the sweep of the trial whose configuration it repeats."""
    confirm: ConfirmResult | None = None
    """For a complete replicate: its result on the confirmation part; None if it was measured as in the search."""
    names_part: bool = False
    """For a replicate: whether the record names the data that it is compared on. Earlier versions did not."""
    confirm_until: float | None = None
    """For a replicate of a race (`confirm.until`): the probability at which it ends; None otherwise."""
    test: TestResult | None = None
    warning: str | None = None
    """A warning about its training in this start that changes no result. It is not stored."""
    known: tuple[KnownValue, ...] = ()
    """Its objectives that are known before its training; empty for a search with one objective."""
    violated: dict[str, float] = field(default_factory=dict)
    """Measured conditions that the complete training violates, and by how much (`sweeps.files.where`)."""
    proposed_by: str | None = None
    """`person` for a configuration of `sweeps add`; None for one of the search."""
    skipped: bool = False
    """Whether `sweeps skip` has ended it. It can be continued."""
    expected_value: float | None = None
    """Metric after the last epoch as a model of learning curves expects it; None without a model, or before the end."""
    environment: dict[str, str] = field(default_factory=dict)
    """Host, device and versions."""

    @property
    def trial(self) -> int:
        """Its number in its sweep, as shown to users; for a replicate that of the search's trial."""
        return self.first_number + self.number if self.replicate_of is None else self.replicate_of

    @property
    def name(self) -> str:
        """Its name within the sweep: the rung's name, `trial 3`, or `trial 3, seed 1` for a replicate."""
        if self.rung is not None:
            return self.rung.name
        return f"trial {self.trial}" + ("" if self.replicate_of is None else f", seed {self.config.seed}")

    @property
    def protocol(self) -> Protocol:
        return Protocol.of(self.config)

    @property
    def epochs_text(self) -> str:
        """`3 of 10`, or `3` where only the training knows its last epoch."""
        of = f" of {self.config.epochs}" if self.config.epochs else ""
        return f"{len(self.epochs)}{of}"

    @property
    def train_seconds(self) -> float:
        """Wall-clock seconds of all epochs."""
        return sum(epoch.seconds for epoch in self.epochs)


@dataclass(frozen=True, kw_only=True)
class TrialMessage:
    """A report of a trial after an epoch, or at its end."""

    epoch: EpochResult | None = None
    outcome: Outcome | None = None
    """None while it continues; `interrupted` if the machine caused its end."""
    error: str | None = None
    error_class: str | None = None
    traceback: str | None = None
    parameters: int | None = None
    environment: dict[str, str] | None = None
    confirm: ConfirmResult | None = None
    """Result of a replicate on the confirmation part, at its end."""
    warning: str | None = None
    """A warning about something that changes no result, sent once."""


@dataclass(frozen=True, kw_only=True)
class CompleteResult:
    """A complete result that a sweep may reuse instead of training again."""

    run_id: str
    study: str | None
    """The study it was trained in. For that study it is the same run, not a reused one."""
    epochs: tuple[EpochResult, ...]
    parameters: int | None
    test: TestResult | None
    confirm: ConfirmResult | None = None
