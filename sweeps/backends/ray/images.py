"""The images in Ray's object store, one copy a node: those that trials are given, and those of the test step alone."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import ray

from cifar_core.config import DataConfig
from cifar_core.data.images import LabelledImages
from cifar_core.results import TestResult
from sweeps.backends.cluster.fitness import WorkerSetup
from sweeps.backends.slots import Slots
from sweeps.core.errors import SweepError
from sweeps.core.job import Splits, split_name
from sweeps.worker.measure import Measurement, measure_on_test

Reference = Any
"""Ray's name of an object in its store."""


@dataclass(frozen=True, kw_only=True)
class SharedByTrials:
    """What all trials of a sweep are given. Never test images."""

    splits: Reference
    setup: WorkerSetup | None
    """None on the driver's own machine."""

    def load_splits(self) -> Splits:
        """Return the images, mapped from this node's store without a copy."""
        splits: Any = ray.get(self.splits)
        return splits  # type: ignore[no-any-return]


class SharedImages:
    """The images of one connection to Ray. A node takes over what a worker on it asks for, once."""

    def __init__(self, splits: Splits, *, setup: WorkerSetup | None) -> None:
        """Store the images of trials; the test images are not opened before a network is measured.

        Args:
            splits: training and validation images, for each way of splitting.
            setup: what a worker of a cluster is told.
        """
        self.for_trials = SharedByTrials(splits=ray.put(splits), setup=setup)
        self._test: Reference = None

    def measure(self, checkpoint: str, *, slots: Slots) -> Measurement:
        """Begin to measure the network in a checkpoint's file in a worker: the only one that is given test images."""
        try:
            test = self._test_images()
        except Exception as error:
            return functools.partial(_raise, error)
        task = ray.remote(num_cpus=slots.cpus, num_gpus=slots.gpus, resources=dict(slots.custom))(_measured)
        result = task.remote(checkpoint, slots, test, self.for_trials)

        def measurement() -> TestResult | None:
            ready, _ = ray.wait([result], timeout=0)
            return ray.get(result) if ready else None

        return measurement

    def _test_images(self) -> Reference:
        from cifar_core.data.load import load_test_images

        if self._test is None:
            self._test = ray.put(load_test_images(progress=False))
        return self._test


def _raise(error: Exception) -> TestResult | None:
    """Say what kept a measurement from being begun when it is asked for: it costs no other."""
    raise error


def _measured(checkpoint: str, slots: Slots, test: LabelledImages, shared: SharedByTrials) -> TestResult:
    """Measure in a worker."""
    import torch

    torch.set_num_threads(slots.cpus)
    if shared.setup is not None:
        shared.setup.enter()
        if refusal := shared.setup.refusal():
            raise SweepError(refusal)

    def split_of(data: DataConfig) -> tuple[LabelledImages, LabelledImages | None]:
        return shared.load_splits()[split_name(data)]

    return measure_on_test(checkpoint, device=slots.device, test_images=test, split_of=split_of)
