"""What a trial is told: plain values, so that they go through Ray, and a driver knows them without torch."""

from __future__ import annotations

import json
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a trial is told; goes through Ray as plain values."""

    number: int
    task: str
    """Name of its task."""
    config: str
    """A configuration of the task, as JSON."""
    checkpoint: str
    """Folder of the trial's checkpoint."""
    log: str
    """File for everything the trial says."""
    cpus: int
    device: str
    gpu_share: float = 0.0
    """Of one GPU's memory; below 1 where several trials share it."""
    attempt: int = 0
    """Grows with each time that the trial is handed out: of two workers that both believe it theirs, the later one."""
    source: str | None = None
    """As JSON: the files of a user's own that it is trained with, with their hashes (`models.source.Source`)."""
    curves: str | None = None
    """Folder of the trial's curves for TensorBoard; None for none."""

    @property
    def source_files(self) -> dict[str, str] | None:
        """Return what `source` says."""
        return None if self.source is None else json.loads(self.source)
