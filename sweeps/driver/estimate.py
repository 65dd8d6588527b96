"""What a sweep would do and cost, from a measured probe, without starting it."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cifar_core.config import TEST_IMAGES, TrainingConfig
from sweeps.files.sweep import SweepSpec
from sweeps.search.proposers import proposer_of
from sweeps.stopping.rule import StoppingRule

PREVIEW = 10
"""First configurations shown. TPE draws as many at random before it looks at results, so these are what will run."""

LISTED = 1000
"""Combinations of a space that are looked at one by one."""

PROBE_SECONDS = 20.0
PROBE_BATCH = 128
"""Images of a timed step at most: what larger ones take is no less an image."""
PROBE_STEPS = 3

START_SECONDS = 15.0
"""Until the first trial trains: Ray and torch start, the images are read, the record is opened."""
RUN_SECONDS = 1.0
"""Of a run beside its epochs: placing it, building the network, recording the result."""
EPOCH_SECONDS = 0.15
"""Of an epoch beside its images: a checkpoint and a report."""
TEST_SECONDS = 1.0
"""Of measuring on the test images beside them: the weights are read, a slot is waited for."""
BESIDE = 1.15
"""How many times slower a slot is where others work beside it: they share memory and caches."""


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a number of trials costs."""

    trials: int
    trial_epochs: float
    """Epochs over all trials, as the early stopping leaves them in the long run."""
    max_trial_epochs: int
    """The same if nothing is stopped early."""
    seconds: float
    """On all slots, from the start to the end."""
    full_run_seconds: float
    """Of one run that nothing stops, on one slot."""
    probed: int
    """Configurations that were timed."""


def preview(spec: SweepSpec, count: int = PREVIEW) -> list[TrainingConfig]:
    """Return the first configurations that the search will propose, from a study in memory."""
    import optuna

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(direction=spec.metric.goal)
    proposer = proposer_of(spec)
    wanted = count if spec.run_cap is None else min(count, spec.run_cap)
    configs: list[TrainingConfig] = []
    seen: set[str] = set()
    for _ in range(3 * wanted):
        proposal = proposer.ask(study, repeats=0)
        if proposal is None or len(configs) == wanted:
            break
        if proposal.config.config_id() not in seen:
            configs.append(proposal.config)
            seen.add(proposal.config.config_id())
    return configs


def is_listed(spec: SweepSpec) -> bool:
    """Return whether `some_combinations` are all that a search may propose."""
    return spec.space.cardinality is not None and spec.space.cardinality <= LISTED


def some_combinations(spec: SweepSpec) -> list[TrainingConfig]:
    """Return the configurations of a finite space, a thousand at most: what could be proposed beyond the first few."""
    if spec.space.cardinality is None:
        return []
    listed = itertools.islice(spec.space.assignments(), LISTED)
    return [spec.space.config(assignment) for assignment in listed if spec.space.allows(assignment)]


def trial_count(spec: SweepSpec) -> int:
    """Return the trials the sweep ends with: `run_cap`, or fewer where the space has fewer different runs."""
    combinations = spec.space.cardinality
    if combinations is not None and combinations <= LISTED:
        # Of two combinations that differ in what is not used there, one is trained; an impossible one is not.
        combinations = len({(config.config_id(), config.seed) for config in some_combinations(spec)})
    bounds = [bound for bound in (spec.run_cap, combinations) if bound is not None]
    return min(bounds)


def estimate_cost(
    configs: Sequence[TrainingConfig],
    *,
    trials: int,
    early: StoppingRule,
    slots: int,
    probe: Probe,
) -> Estimate:
    """Return what `trials` like these cost, from steps that the probe times, or has timed."""
    deadline = time.monotonic() + PROBE_SECONDS
    seconds = [probe.seconds(config) for config in configs if probe.knows(config) or time.monotonic() < deadline]
    full = [config.epochs for config in configs]
    kept = [early.expected_epochs(config.epochs) for config in configs]
    share = sum(kept) / sum(full)
    each = sum(seconds) / len(seconds)
    together = makespan([each * share] * trials, slots=slots) if trials <= LISTED else each * share * trials / slots
    return Estimate(
        trials=trials,
        trial_epochs=sum(kept) / len(kept) * trials,
        max_trial_epochs=round(sum(full) / len(full) * trials),
        seconds=START_SECONDS + together * beside(slots),
        full_run_seconds=each * beside(slots),
        probed=probe.networks,
    )


def makespan(seconds: Sequence[float], *, slots: int) -> float:
    """Return how long runs take together that begin longest first, each on the slot that is free first."""
    ends = [0.0] * slots
    for run in sorted(seconds, reverse=True):
        heapq.heapreplace(ends, ends[0] + run)
    return max(ends)


def beside(slots: int) -> float:
    """Return how many times longer work takes on each of so many slots than on one alone."""
    return BESIDE if slots > 1 else 1.0


def whole_seconds(runs: Sequence[float], *, slots: int) -> float:
    """Return how long runs take together from the start to the end, each given as what it takes on a slot alone."""
    return START_SECONDS + makespan(runs, slots=slots) * beside(slots)


@dataclass(frozen=True, kw_only=True)
class Timed:
    """Seconds that a network takes for one image, on one slot with nothing beside it."""

    train: float
    """Forward, backward, the optimizer's share of a step, and what is done to the image before."""
    evaluate: float


class Probe:
    """Times train steps and an evaluation of each network once."""

    def __init__(self, *, threads: int = 1, device: str = "auto") -> None:
        """Time nothing yet.

        Args:
            threads: of a run.
            device: as of `cifar_core.train`.
        """
        self._threads = threads
        self._device = device
        self._timed: dict[str, Timed] = {}

    @property
    def networks(self) -> int:
        """Networks timed so far."""
        return len({kind.partition("\n")[0] for kind in self._timed})

    def knows(self, config: TrainingConfig) -> bool:
        """Return whether a configuration's steps were timed already."""
        return self._kind(config) in self._timed

    def seconds(self, config: TrainingConfig) -> float:
        """Return the seconds of a whole run on one slot: its epochs, each with its evaluation and checkpoint."""
        timed = self._of(config)
        # Images that start smaller grow, and were timed as small as they are in the first epoch.
        grown = sum((config.image_size(epoch) / config.image_size(1)) ** 2 for epoch in range(1, config.epochs + 1))
        evaluated = config.data.validation_size * config.epochs * timed.evaluate
        return RUN_SECONDS + EPOCH_SECONDS * config.epochs + config.train_images() * grown * timed.train + evaluated

    def test_seconds(self, config: TrainingConfig) -> float:
        """Return the seconds that measuring a run on the test images takes on one slot."""
        return TEST_SECONDS + TEST_IMAGES * self._of(config).evaluate

    def _of(self, config: TrainingConfig) -> Timed:
        kind = self._kind(config)
        if kind not in self._timed:
            self._timed[kind] = time_images(config, threads=self._threads, device=self._device)
        return self._timed[kind]

    @staticmethod
    def _kind(config: TrainingConfig) -> str:
        data = config.data
        batch = min(data.batch_size, PROBE_BATCH)
        step = [config.precision, batch, data.augmentation, data.start_size, config.test_time_augmentation]
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
    generator = np.random.default_rng(0)
    count = size * (PROBE_STEPS + 1)
    images = LabelledImages(
        images_NHWC=generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8),
        labels_N=generator.integers(0, 10, count),
    )
    batch = config.model_copy(update={"data": config.data.model_copy(update={"batch_size": size})})
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        state = start(batch, train_size=count, device=device)
        # On a CPU the time that was computed, which whatever else runs at the moment does not stretch.
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
