"""What a trial is told: plain values, so that they go through Ray, and a driver knows them without torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from cifar_core.config import DataConfig, TrainingConfig
from cifar_core.data.images import LabelledImages

SplitName = tuple[int | None, int, int]
Splits = Mapping[SplitName, tuple[LabelledImages, LabelledImages | None]]
"""Training and validation images for each way of splitting that a sweep uses. Never test images."""


def split_name(data: DataConfig) -> SplitName:
    """Return what decides which images a trial sees."""
    return (data.train_size, data.validation_size, data.split_seed)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a trial is told; goes through Ray as plain values."""

    number: int
    config: str
    """A `TrainingConfig` as JSON."""
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

    def training_config(self) -> TrainingConfig:
        return TrainingConfig.model_validate_json(self.config)
