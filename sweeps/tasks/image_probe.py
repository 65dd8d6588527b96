"""Estimates of a run's duration from a few timed steps on random images."""

from __future__ import annotations

import time
from dataclasses import dataclass

from cifar_core.config import TrainingConfig

PROBE_BATCH = 128
"""Maximum batch size of a timed step. Larger batches are not faster per image."""
PROBE_STEPS = 3
RUN_SECONDS = 1.0
"""Overhead of a run: placing it, building the network, recording the result."""
EPOCH_SECONDS = 0.15
"""Overhead of an epoch: checkpoint and report."""
TEST_SECONDS = 1.0
"""Overhead of an evaluation on the test images: reading the weights, waiting for a slot."""


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Seconds per image of a network on one slot without other load."""

    train: float
    """Augmentation, forward, backward, and a share of the optimizer step."""
    evaluate: float


class ImageProbe:
    """Times train steps and an evaluation of each network once."""

    def __init__(self, *, threads: int = 1, device: str = "auto") -> None:
        """Create a probe.

        Args:
            threads: Threads of a run.
            device: See `cifar_core.train`.
        """
        self._threads = threads
        self._device = device
        self._timed: dict[str, Timed] = {}

    @property
    def timed(self) -> int:
        """Number of networks timed so far."""
        return len({kind.partition("\n")[0] for kind in self._timed})

    def is_timed(self, config: TrainingConfig) -> bool:
        """Return whether the steps of a configuration are already timed."""
        return self._kind(config) in self._timed

    def seconds(self, config: TrainingConfig) -> float:
        """Return the estimated seconds of a full run on one slot: epochs with evaluations and checkpoints."""
        timed = self._of(config)
        # With a start_size images grow; they were timed at the size of the first epoch.
        grown = sum((config.image_size(epoch) / config.image_size(1)) ** 2 for epoch in range(1, config.epochs + 1))
        evaluated = config.data.validation_size * config.epochs * timed.evaluate
        return RUN_SECONDS + EPOCH_SECONDS * config.epochs + config.train_images() * grown * timed.train + evaluated

    def test_seconds(self, config: TrainingConfig) -> float:
        """Return the estimated seconds of an evaluation on the test images on one slot."""
        return TEST_SECONDS + config.data.test_images * self._of(config).evaluate

    def _of(self, config: TrainingConfig) -> Timed:
        kind = self._kind(config)
        if kind not in self._timed:
            self._timed[kind] = time_images(config, threads=self._threads, device=self._device)
        return self._timed[kind]

    @staticmethod
    def _kind(config: TrainingConfig) -> str:
        data = config.data
        shape = [] if data.about is None else [data.image_size, data.classes]
        batch = min(data.batch_size, PROBE_BATCH)
        step = [config.precision, batch, data.augmentation, data.start_size, config.test_time_augmentation, *shape]
        return f"{config.model.model_dump_json()}\n{step} {config.optimizer.name} {config.averaging}"


def time_images(config: TrainingConfig, *, threads: int = 1, device: str = "auto") -> Timed:
    """Time some train steps and an evaluation on random images."""
    import numpy as np
    import torch

    from cifar_core.data.images import LabelledImages
    from cifar_core.device import on_device
    from cifar_core.evaluation import evaluate
    from cifar_core.training import start, train_steps

    size = min(config.data.batch_size, PROBE_BATCH)
    generator, side = np.random.default_rng(0), config.data.image_size
    count = size * (PROBE_STEPS + 1)
    images = LabelledImages(
        images_NHWC=generator.integers(0, 256, (count, side, side, 3), dtype=np.uint8),
        labels_N=generator.integers(0, config.data.classes, count),
    )
    batch = config.model_copy(update={"data": config.data.model_copy(update={"batch_size": size})})
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        state = start(batch, train_size=count, device=device)
        # CPU time on a CPU, since it does not depend on other processes.
        clock, share = (time.process_time, threads) if state.device.type == "cpu" else (time.perf_counter, 1)
        here = on_device(images, state.device)
        steps = train_steps(state, here)
        next(steps).loss.item()
        began = clock()
        for step in steps:
            step.loss.item()
        trained = (clock() - began) / share
        evaluate(state.model, here, config=batch)
        began = clock()
        evaluate(state.model, here, config=batch)
        evaluated = (clock() - began) / share
        return Timed(train=trained / (size * PROBE_STEPS), evaluate=evaluated / count)
    finally:
        torch.set_num_threads(before)
