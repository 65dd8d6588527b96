"""The data set of a run as MLflow's pages know one: its name, its fingerprint, how many of its images were used."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput

    from cifar_core.config import TrainingConfig

SOURCE = "https://www.cs.toronto.edu/~kriz/cifar.html"
"""The page of those who made CIFAR-10."""


def dataset_inputs(fingerprint: str, config: TrainingConfig | None = None) -> list[DatasetInput]:
    """Return the inputs of a run, or of a sweep.

    Args:
        fingerprint: MD5 of the training images.
        config: of a run; None for a sweep, whose trials may split the images in several ways.
    """
    if config is None:
        return [_input("CIFAR-10", fingerprint, rows=50_000, context="training")]
    data = config.data
    parts = {"training": config.train_images(), "validation": data.validation_size}
    return [
        # MLflow knows a data set by its name and its digest, and keeps what it was told first: each part has its own.
        _input(f"CIFAR-10 {part} ({rows} images, split {data.split_seed})", fingerprint, rows=rows, context=part)
        for part, rows in parts.items()
        if rows
    ]


def _input(name: str, fingerprint: str, *, rows: int, context: str) -> DatasetInput:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    schema = {"images": "uint8 (N, 32, 32, 3)", "labels": "int64 (N)"}
    dataset = Dataset(
        name=name,
        digest=fingerprint,
        source_type="http",
        source=json.dumps({"url": SOURCE}),
        schema=json.dumps(schema),
        profile=json.dumps({"rows": rows}),
    )
    return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", context)])
