"""The data in Ray's object store, one copy per node: the parts for trials, and the test set."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import ray

from sweeps.backends.cluster.node_checks import WorkerSetup
from sweeps.backends.slots import Slots
from sweeps.core.errors import SweepError
from sweeps.core.results import TestResult
from sweeps.core.task import AnyTask, Parts, TaskConfig
from sweeps.tasks.registry import task_named
from sweeps.worker.measure import Measurement, measure_on_test

Reference = Any
"""Reference to an object in Ray's object store."""


@dataclass(frozen=True, kw_only=True)
class SharedByTrials:
    """Data for all trials of a sweep. It never contains the test set."""

    parts: Reference
    setup: WorkerSetup | None
    """None on the driver's own machine."""

    def load_parts(self) -> Parts:
        """Return the data, mapped from this node's store without a copy."""
        parts: Any = ray.get(self.parts)
        return parts  # type: ignore[no-any-return]


class SharedData:
    """The data of one connection to Ray. Ray copies it to a node once, when a worker needs it."""

    def __init__(self, task: AnyTask, parts: Parts, *, setup: WorkerSetup | None) -> None:
        """Store the data of trials. The test set is loaded for the first evaluation.

        Args:
            task: Task of the sweep.
            parts: Training and validation data.
            setup: Requirements for workers of a cluster.
        """
        self.for_trials = SharedByTrials(parts=ray.put(parts), setup=setup)
        self._task = task
        self._test: Reference = None

    def measure(self, checkpoint: str, config: TaskConfig, *, slots: Slots) -> Measurement:
        """Start the evaluation of a checkpoint's run in a worker, the only kind that receives the test set."""
        try:
            test = self._test_set(config)
        except Exception as error:
            return functools.partial(_raise, error)
        task = ray.remote(num_cpus=slots.cpus, num_gpus=slots.gpus, resources=dict(slots.custom))(_measured)
        result = task.remote(self._task.name, checkpoint, config, slots, test, self.for_trials)

        def measurement() -> TestResult | None:
            ready, _ = ray.wait([result], timeout=0)
            return ray.get(result) if ready else None

        return measurement

    def _test_set(self, config: TaskConfig) -> Reference:
        if self._test is None:  # all runs of a sweep have the same data
            self._test = ray.put(self._task.load_test(config))
        return self._test


def _raise(error: Exception) -> TestResult | None:
    """Raise the error of a failed start when the evaluation is polled, so that others are not affected."""
    raise error


def _measured(
    name: str, checkpoint: str, config: TaskConfig, slots: Slots, test: Any, shared: SharedByTrials
) -> TestResult:
    """Evaluate in a worker."""
    task = task_named(name)
    task.enter(cpus=slots.cpus, device=slots.device, gpu_share=1.0)
    if shared.setup is not None:
        shared.setup.enter()
        if refusal := shared.setup.refusal():
            raise SweepError(refusal)
    return measure_on_test(
        task,
        checkpoint,
        config=config,
        device=slots.device,
        test=test,
        part_of=lambda config: shared.load_parts()[task.part_name(config)],
    )
