"""The description of a trial that a worker receives."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Job:
    """One trial for a worker, in plain values: Ray can pickle them, and the driver needs no torch."""

    number: int
    task: str
    """Name of the task."""
    config: str
    """A configuration of the task, as JSON."""
    checkpoint: str
    """Folder of the trial's checkpoint."""
    log: str
    """File for the output of the trial."""
    cpus: int
    device: str
    gpu_share: float = 0.0
    """Share of one GPU's memory; below 1 if several trials share the GPU."""
    attempt: int = 0
    """Grows with each assignment of the trial. Of two workers with the same trial, the higher attempt is valid."""
    source: str | None = None
    """Hashes of the custom files that it is trained with, as JSON (`Source.files`)."""
    epochs_known: int = 0
    """Number of epochs that the driver has received."""
    confirm_examples: int = 0
    """Examples of the confirmation part on which the complete run is measured; 0 for none."""
    trial_timeout: float | None = None
    """Seconds that the trial may train; None for no limit."""
    epoch_timeout: float | None = None
    """Seconds that an epoch may take; None for no limit."""
    curves: str | None = None
    """Folder of the TensorBoard curves; None for none."""

    @property
    def source_files(self) -> dict[str, str] | None:
        """The hash of each custom file; None if there are none."""
        return None if self.source is None else json.loads(self.source)
