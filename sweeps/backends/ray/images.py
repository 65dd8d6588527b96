"""The data in Ray's object store, one copy a node: the parts that trials are given, and the sealed part."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import ray

from sweeps.backends.cluster.fitness import WorkerSetup
from sweeps.backends.slots import Slots
from sweeps.core.errors import SweepError
from sweeps.core.results import TestResult
from sweeps.core.task import AnyTask, Parts, TaskConfig
from sweeps.tasks.registry import task_named
from sweeps.worker.measure import Measurement, measure_on_test

Reference = Any
"""Ray's name of an object in its store."""


@dataclass(frozen=True, kw_only=True)
class SharedByTrials:
    """What all trials of a sweep are given. Never the sealed part of the data."""

    parts: Reference
    setup: WorkerSetup | None
    """None on the driver's own machine."""

    def load_parts(self) -> Parts:
        """Return the data, mapped from this node's store without a copy."""
        parts: Any = ray.get(self.parts)
        return parts  # type: ignore[no-any-return]


class SharedData:
    """The data of one connection to Ray. A node takes over what a worker on it asks for, once."""

    def __init__(self, task: AnyTask, parts: Parts, *, setup: WorkerSetup | None) -> None:
        """Store the data of trials; the sealed part is not opened before a run is measured.

        Args:
            task: of the sweep.
            parts: what its trials are trained and validated on.
            setup: what a worker of a cluster is told.
        """
        self.for_trials = SharedByTrials(parts=ray.put(parts), setup=setup)
        self._task = task
        self._test: Reference = None

    def measure(self, checkpoint: str, config: TaskConfig, *, slots: Slots) -> Measurement:
        """Begin to measure the run in a checkpoint's file in a worker: the only one that is given the sealed part."""
        try:
            test = self._sealed_part(config)
        except Exception as error:
            return functools.partial(_raise, error)
        task = ray.remote(num_cpus=slots.cpus, num_gpus=slots.gpus, resources=dict(slots.custom))(_measured)
        result = task.remote(self._task.name, checkpoint, config, slots, test, self.for_trials)

        def measurement() -> TestResult | None:
            ready, _ = ray.wait([result], timeout=0)
            return ray.get(result) if ready else None

        return measurement

    def _sealed_part(self, config: TaskConfig) -> Reference:
        if self._test is None:  # all runs of a sweep have the same data
            self._test = ray.put(self._task.load_test(config))
        return self._test


def _raise(error: Exception) -> TestResult | None:
    """Say what kept a measurement from being begun when it is asked for: it costs no other."""
    raise error


def _measured(
    name: str, checkpoint: str, config: TaskConfig, slots: Slots, test: Any, shared: SharedByTrials
) -> TestResult:
    """Measure in a worker."""
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
