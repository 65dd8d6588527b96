"""Evaluation of a complete run on the test set, once. It is the only step that reads the test set.

Trials never receive the test set. The weights are read from the checkpoint, and only the result goes to the ledger.
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
from sweeps.core.task import FILES
from sweeps.store.checkpoints import SweepCheckpoints, find_checkpoints
from sweeps.worker.trial_files import local_checkpoint

if TYPE_CHECKING:
    from sweeps.core.task import AnyTask, Part, TaskConfig

Measurement = Callable[[], TestResult | None]
"""Returns the result, or None while the evaluation runs. Raises its exceptions."""


def measure_on_test(
    task: AnyTask,
    checkpoint: str,
    *,
    config: TaskConfig,
    device: str = "auto",
    test: Any = None,
    part_of: Callable[[TaskConfig], Part] | None = None,
) -> TestResult:
    """Evaluate the complete run of a checkpoint on the test set of its task.

    Args:
        task: Task of the run.
        checkpoint: Path or URL of the checkpoint.
        config: Configuration of the run.
        device: Device of the evaluation.
        test: The test set; None loads it.
        part_of: Returns the training data of a configuration, needed if the checkpoint is damaged; None loads it.
    """
    with tempfile.TemporaryDirectory(prefix="sweeps-test-") as scratch:
        return task.measure(
            local_checkpoint(checkpoint, to=Path(scratch)),
            task.load_test(config) if test is None else test,
            device=device,
            part_of=part_of or (lambda config: task.load_parts([config])[task.part_name(config)]),
        )


def fetch_weights(task: AnyTask, key: str, *, runs: Path, to: SweepCheckpoints) -> bool:
    """Copy the checkpoint of a complete run from any sweep; return whether there is one.

    With it a ladder evaluates results of searches, which have no test result, without training them again.

    Args:
        task: Task of the run.
        key: Key of the run.
        runs: The runs folder.
        to: Checkpoints of the sweep that needs it.
    """
    # If a storage cannot be read the run is trained again.
    with contextlib.suppress(StoreError):
        for found in find_checkpoints(runs, key):
            with contextlib.suppress(CheckpointError, SourceChangedError):
                if not task.is_complete(found):
                    continue
                if not to.belongs_to_sweep(found, key):
                    to.put(key, found.read_bytes(), files=found.parent / FILES)
                return True
    return False
