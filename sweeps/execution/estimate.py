"""What a sweep would do and cost, from a measured probe, without starting it."""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from dataclasses import dataclass

from cifar_core.config import TrainingConfig
from sweeps.spec import EarlyTerminate, SweepSpec
from sweeps.study import expected_epochs, proposer_of

PREVIEW = 10
"""First configurations shown. TPE draws as many at random before it looks at results, so these are what will run."""

PROBE_SECONDS = 20.0
PROBE_BATCH = 32
PROBE_STEPS = 3


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What a number of trials costs."""

    trials: int
    trial_epochs: float
    """Epochs over all trials, as the early stopping leaves them in the long run."""
    max_trial_epochs: int
    """The same if nothing is stopped early."""
    seconds: float
    """On all slots, start-up and evaluation not counted."""
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


def some_combinations(spec: SweepSpec) -> list[TrainingConfig]:
    """Return the configurations of a finite space, a thousand at most: what could be proposed beyond the first few."""
    if spec.space.cardinality is None:
        return []
    listed = itertools.islice(spec.space.assignments(), 1000)
    return [spec.space.config(assignment) for assignment in listed if spec.space.allows(assignment)]


def trial_count(spec: SweepSpec) -> int:
    """Return the trials the sweep ends with: `run_cap`, or fewer where the space has fewer combinations."""
    combinations = spec.space.cardinality
    bounds = [bound for bound in (spec.run_cap, combinations) if bound is not None]
    return min(bounds)


def estimate_cost(
    configs: Sequence[TrainingConfig],
    *,
    trials: int,
    early: EarlyTerminate,
    slots: int,
    threads: int = 1,
    device: str = "auto",
) -> Estimate:
    """Return what `trials` like these cost, from steps timed here on random images."""
    probe = Probe(threads=threads, device=device)
    deadline = time.monotonic() + PROBE_SECONDS
    seconds = [probe.seconds(config) for config in configs if probe.knows(config) or time.monotonic() < deadline]
    full = [config.epochs for config in configs]
    kept = [expected_epochs(config.epochs, early) for config in configs]
    share = sum(kept) / sum(full)
    return Estimate(
        trials=trials,
        trial_epochs=sum(kept) / len(kept) * trials,
        max_trial_epochs=round(sum(full) / len(full) * trials),
        seconds=sum(seconds) / len(seconds) * trials * share / slots,
        full_run_seconds=sum(seconds) / len(seconds),
        probed=probe.networks,
    )


def makespan(seconds: Sequence[float], *, slots: int) -> float:
    """Return how long runs take together that begin longest first, each on the slot that is free first."""
    ends = [0.0] * slots
    for run in sorted(seconds, reverse=True):
        ends[ends.index(min(ends))] += run
    return max(ends)


class Probe:
    """Times train steps of each network once."""

    def __init__(self, *, threads: int = 1, device: str = "auto") -> None:
        """Time nothing yet.

        Args:
            threads: of a run.
            device: as of `cifar_core.train`.
        """
        self._threads = threads
        self._device = device
        self._timed: dict[str, float] = {}

    @property
    def networks(self) -> int:
        """Networks timed so far."""
        return len(self._timed)

    def knows(self, config: TrainingConfig) -> bool:
        """Return whether a configuration's network was timed already."""
        return self._kind(config) in self._timed

    def seconds(self, config: TrainingConfig) -> float:
        """Return the seconds that a whole run takes on one slot, evaluation not counted."""
        kind = self._kind(config)
        if kind not in self._timed:
            self._timed[kind] = seconds_per_image(config, threads=self._threads, device=self._device)
        return self._timed[kind] * config.train_images() * config.epochs

    @staticmethod
    def _kind(config: TrainingConfig) -> str:
        return f"{config.model.model_dump_json()} {config.precision}"


def seconds_per_image(config: TrainingConfig, *, threads: int = 1, device: str = "auto") -> float:
    """Time some train steps on random images, and return the seconds that one image takes."""
    import numpy as np
    import torch

    from cifar_core.data import LabelledImages
    from cifar_core.device import on_device
    from cifar_core.training import start, train_steps

    generator = np.random.default_rng(0)
    count = PROBE_BATCH * (PROBE_STEPS + 1)
    images = LabelledImages(
        images_NHWC=generator.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8),
        labels_N=generator.integers(0, 10, count),
    )
    batch = config.model_copy(update={"data": config.data.model_copy(update={"batch_size": PROBE_BATCH})})
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        state = start(batch, train_size=count, device=device)
        steps = train_steps(state, on_device(images, state.device))
        next(steps).loss.item()
        began = time.perf_counter()
        for step in steps:
            step.loss.item()
        return (time.perf_counter() - began) / (PROBE_BATCH * PROBE_STEPS)
    finally:
        torch.set_num_threads(before)
