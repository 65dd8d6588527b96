"""The data set of a run as MLflow's pages know one: its name, its fingerprint, how many of its images were used."""

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
    """The data of a sweep, as its own run names them."""

    fingerprint: str
    parts: Sequence[DatasetPart]


def dataset_inputs(fingerprint: str, parts: Sequence[DatasetPart]) -> list[DatasetInput]:
    """Return the inputs of a run, or of a sweep.

    Args:
        fingerprint: of the training data.
        parts: of the data, each with a name of its own: MLflow knows a data set by its name and its digest.
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
