"""Predictions of a training function's complete run, by the function `predict` of its module."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cifar_core.common.errors import UserError
from sweeps.core.errors import SweepError
from sweeps.record.reader import RecordReader
from sweeps.tasks.registry import task_of
from sweeps.use.weights import find_checkpoint
from sweeps.worker.fault import user_traceback


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """The predictions of one run."""

    run: str
    """Its display name."""
    rows: tuple[Mapping[str, Any], ...]
    """One per input: its text under `input`, and the values of its prediction by name."""


def predict_with_function(
    reader: RecordReader, name: str, inputs: Sequence[str], *, runs: Path, device: str = "auto"
) -> Predictions:
    """Return the predictions of a run, or of the best run of a sweep.

    Args:
        reader: of the record.
        name: as in `find_named`.
        inputs: texts that the function `predict` receives unchanged.
        runs: the runs folder.
        device: `cpu`, `cuda` or `auto`.

    Raises:
        SweepError: the run has no checkpoint, its module has no `predict`, or that raised an error.
        CheckpointError: the checkpoint is damaged.
        ModelError: `predict` did not return a prediction for each input.
    """
    found = find_checkpoint(reader, name, runs=runs)
    task = task_of(found.config)
    if (fault := task.predict_fault(found.config)) is not None:
        raise SweepError(f"{found.run} cannot predict: {fault}.")
    try:
        predicted = task.predict(found.path, found.config, inputs, device=device)
    except UserError:
        raise
    except (Exception, SystemExit) as error:
        text = user_traceback(error, f"{type(error).__name__}: {error}")
        raise SweepError(f"the predict function of {task.label(found.config)} failed:\n{text}") from error
    rows = ({"input": text, **values} for text, values in zip(inputs, predicted, strict=True))
    return Predictions(run=found.run, rows=tuple(rows))
