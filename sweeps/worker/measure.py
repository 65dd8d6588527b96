"""The one step that receives the sealed part of the data: measures a complete run on it, once.

A trial never gets it. The weights come from the trial's checkpoint, and only the result goes to the ledger.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cifar_core.common.errors import CheckpointError, SourceChangedError
from sweeps.core.errors import StoreError
from sweeps.core.results import TestResult
from sweeps.store.checkpoints import SweepCheckpoints, find_checkpoints
from sweeps.worker.trial_files import local_checkpoint

if TYPE_CHECKING:
    from sweeps.core.task import AnyTask, Part, TaskConfig

Measurement = Callable[[], TestResult | None]
"""Gives the result, or None while there is none yet. Raises as measuring."""


def measure_on_test(
    task: AnyTask,
    checkpoint: str,
    *,
    config: TaskConfig,
    device: str = "auto",
    test: Any = None,
    part_of: Callable[[TaskConfig], Part] | None = None,
) -> TestResult:
    """Return what the complete run in a checkpoint does on the sealed part of its task's data.

    Args:
        task: the run's.
        checkpoint: path, or URL, of its file.
        config: the run's.
        device: where to compute.
        test: the sealed part where it is at hand; None opens it.
        part_of: gives the data of a configuration, for a checkpoint that is damaged; None loads it.
    """
    with tempfile.TemporaryDirectory(prefix="sweeps-test-") as scratch:
        return task.measure(
            local_checkpoint(checkpoint, to=Path(scratch)),
            task.load_test(config) if test is None else test,
            device=device,
            part_of=part_of or (lambda config: task.load_parts([config])[task.part_name(config)]),
        )


def fetch_weights(task: AnyTask, key: str, *, runs: Path, to: SweepCheckpoints) -> bool:
    """Copy the checkpoint of a complete run, of whichever sweep, and return whether there is one.

    A search's results are recorded without a test: with its weights a ladder tests them, and trains nothing again.

    Args:
        task: of the run.
        key: of the run.
        runs: the runs folder.
        to: the checkpoints of the sweep that needs it.
    """
    # Weights that cannot be had now are as those that are gone: the run is trained again.
    with contextlib.suppress(StoreError):
        for found in find_checkpoints(runs, key):
            with contextlib.suppress(CheckpointError, SourceChangedError):
                if not task.is_complete(found):
                    continue
                if not to.belongs_to_sweep(found, key):
                    to.put(key, found.read_bytes())
                return True
    return False
