"""The data set of a run in MLflow's format: name, fingerprint, and number of images used."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sweeps.core.task import DatasetPart

if TYPE_CHECKING:
    from mlflow.entities import DatasetInput


@dataclass(frozen=True, kw_only=True)
class RecordedData:
    """The data of a sweep, stored in its parent run."""

    fingerprint: str
    parts: Sequence[DatasetPart]


def dataset_inputs(fingerprint: str, parts: Sequence[DatasetPart]) -> list[DatasetInput]:
    """Return the dataset inputs of a run or a sweep.

    Args:
        fingerprint: Fingerprint of the training data.
        parts: Parts of the data with different names: MLflow identifies a data set by name and digest.
    """
    return [_input(part, fingerprint) for part in parts]


def _input(part: DatasetPart, fingerprint: str) -> DatasetInput:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    dataset = Dataset(
        name=part.name,
        digest=fingerprint,
        source_type="http",
        source=json.dumps({"url": part.url}),
        schema=json.dumps(dict(part.schema)),
        profile=json.dumps({"rows": part.rows}),
    )
    return DatasetInput(dataset, tags=[InputTag("mlflow.data.context", part.context)])
