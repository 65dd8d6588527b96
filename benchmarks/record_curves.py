"""Record learning curves of a thinned `quick.yaml` space on real CIFAR-10, for replaying searches without training.

A full factorial of 384 configurations, and a random sample of 96 of them under three more seeds: 672 runs of 7 epochs.
Half the learning rates come first, then the other half, then the further seeds. A run computes bit for bit the same as
in `cifar_core.train`, although it is evaluated within epochs. Each finished run is written to the file before its
process starts the next one. The same command resumes; at most the current runs are lost.

    nice -n 19 python benchmarks/record_curves.py                 # records missing runs
    python benchmarks/record_curves.py --status                   # prints the number of recorded runs
"""

from __future__ import annotations

import argparse
import copy
import functools
import itertools
import multiprocessing
import os
import random
import signal
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import Tensor, nn

from cifar_core import TrainingConfig, split_train_validation
from cifar_core.common.errors import DivergedError
from cifar_core.data.load import load_training_images, training_fingerprint
from cifar_core.device import DeviceImages, on_device
from cifar_core.evaluation import evaluate
from cifar_core.training import StepResult, TrainingState, start, train_epoch

CURVES = Path(__file__).parent / "curves.parquet"
EPOCHS = 7
EIGHTHS = 8
MILESTONES = (1 / 8, 1 / 4, 1 / 2, *range(1, EPOCHS + 1))
"""Epochs after which a network is evaluated."""
NETWORKS = ({"name": "simple", "width": 16}, *({"name": name, "width": 8} for name in ("deep", "resnet", "vgg")))
BATCH_SIZES = (64, 256)
AUGMENTATIONS = ("none", "flip-crop")
RATES = tuple(round(float(rate), 6) for rate in np.geomspace(0.001, 0.3, 8))
SCHEDULES = ((1, 0.8), (2, 0.4), (4, 0.2))
"""`step_size` in epochs, and `gamma`."""
SEARCH_SEED = 0
FURTHER_SEEDS = (1, 2, 3)
AVERAGED_OVER = 1 / 4
"""Mean age of the exponential average of weights, in epochs."""


def configurations() -> list[dict[str, Any]]:
    """Return the 672 runs in the order in which they are recorded, as arguments of `TrainingConfig`."""
    grid = itertools.product(NETWORKS, BATCH_SIZES, AUGMENTATIONS, enumerate(RATES), SCHEDULES)
    first, second = [], []
    for network, batch_size, augmentation, (index, rate), (step_size, gamma) in grid:
        (second if index % 2 else first).append(
            {
                "epochs": EPOCHS,
                "seed": SEARCH_SEED,
                "model": network,
                "data": {
                    "train_size": 10_000,
                    "validation_size": 2_000,
                    "normalization": "cifar10",
                    "batch_size": batch_size,
                    "augmentation": augmentation,
                },
                "optimizer": {"lr": rate, "momentum": 0.9},
                "schedule": {"name": "step", "step_size": step_size, "gamma": gamma},
            }
        )
    draw = random.Random(0)
    for half in (first, second):
        draw.shuffle(half)
    quarter = draw.sample(first + second, (len(first) + len(second)) // 4)
    return first + second + [chosen | {"seed": seed} for seed in FURTHER_SEEDS for chosen in quarter]


@functools.cache
def images() -> tuple[DeviceImages, DeviceImages]:
    """Return training and validation images, the same for all configurations."""
    train, validation = split_train_validation(load_training_images()[0], TrainingConfig(**configurations()[0]).data)
    assert validation is not None
    return on_device(train, torch.device("cpu")), on_device(validation, torch.device("cpu"))


class Average:
    """An exponential average of a network's weights and running statistics."""

    def __init__(self, model: nn.Module, *, steps_per_epoch: int) -> None:
        self.model = copy.deepcopy(model)
        self._pairs = [
            (average, live)
            for average, live in zip(self.model.state_dict().values(), model.state_dict().values(), strict=True)
            if live.is_floating_point()
        ]
        self._reach = max(1.0, steps_per_epoch * AVERAGED_OVER)
        self._step = 0

    @torch.no_grad()
    def end_step(self) -> None:
        """Update the average. The first steps have equal weight, so that no initial weight stays in the average."""
        self._step += 1
        share = 1 / min(self._step, self._reach)
        for average, live in self._pairs:
            average.lerp_(live, share)


CURVES_OF_A_RUN = ("val_loss", "val_accuracy", "averaged_val_loss", "averaged_val_accuracy", "train_loss", "seconds")


class Recorder:
    """Evaluates a run at each eighth of an epoch, between two steps."""

    def __init__(self, state: TrainingState, validation: DeviceImages, *, steps_per_epoch: int) -> None:
        self.curves: dict[str, list[float]] = {name: [] for name in CURVES_OF_A_RUN}
        self._state, self._validation, self._steps = state, validation, steps_per_epoch
        self._average = Average(state.model, steps_per_epoch=steps_per_epoch)
        self._ends = {round(steps_per_epoch * eighth / EIGHTHS): eighth for eighth in range(1, EIGHTHS + 1)}
        self._step = 0
        self._losses: list[Tensor] = []
        self._seconds, self._started = 0.0, time.perf_counter()

    def __call__(self, step: StepResult) -> None:
        self._average.end_step()
        self._losses.append(step.loss)
        self._step = self._step % self._steps + 1
        if self._step in self._ends:
            self._seconds += time.perf_counter() - self._started
            self.curves["train_loss"].append(float(torch.stack(self._losses).mean()))
            self._losses.clear()
            if self._state.epoch + self._ends[self._step] / EIGHTHS in MILESTONES:
                self._measure()
            self._started = time.perf_counter()

    def _measure(self) -> None:
        self.curves["seconds"].append(self._seconds)
        for prefix, network in (("", self._state.model), ("averaged_", self._average.model)):
            measured = evaluate(network, self._validation, config=self._state.config)
            self.curves[f"{prefix}val_loss"].append(measured.loss)
            self.curves[f"{prefix}val_accuracy"].append(measured.accuracy)


def record(arguments: dict[str, Any]) -> dict[str, Any]:
    """Train one configuration and return its row. If it diverged, its curves end where the loss was not finite."""
    config = TrainingConfig(**arguments)
    train, validation = images()
    state = start(config, train_size=len(train.labels_N), device="cpu")
    recorder = Recorder(state, validation, steps_per_epoch=-(-len(train.labels_N) // config.data.batch_size))
    diverged = False
    try:
        for _ in range(EPOCHS):
            train_epoch(state, train, on_step=recorder)
    except DivergedError:
        diverged = True
    return {
        "key": config.key(data_fingerprint=training_fingerprint()),
        "config_id": config.config_id(),
        "network": config.model.name,
        "batch_size": config.data.batch_size,
        "augmentation": arguments["data"]["augmentation"],
        "lr": config.optimizer.lr,
        "step_size": config.schedule.step_size,
        "gamma": config.schedule.gamma,
        "seed": config.seed,
        "diverged": diverged,
        **recorder.curves,
    }


SCHEMA = pa.schema(
    [
        *((name, pa.string()) for name in ("key", "config_id", "network", "augmentation")),
        *((name, pa.int32()) for name in ("batch_size", "step_size", "seed")),
        *((name, pa.float64()) for name in ("lr", "gamma")),
        ("diverged", pa.bool_()),
        *((name, pa.list_(pa.float32())) for name in CURVES_OF_A_RUN),
    ],
    metadata={
        "milestones": ",".join(map(str, MILESTONES)),
        "torch": torch.__version__,
        "seconds": "of training alone, on one thread; other work may have run at the same time",
    },
)


def read() -> list[dict[str, Any]]:
    """Return the recorded rows."""
    return pq.read_table(CURVES).to_pylist() if CURVES.exists() else []


def write(rows: list[dict[str, Any]]) -> None:
    """Replace the file atomically."""
    temporary = CURVES.with_suffix(".new")
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), temporary, compression="zstd")
    temporary.replace(CURVES)


def _prepare() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    torch.set_num_threads(1)
    images()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="concurrent runs, one thread each")
    parser.add_argument("--runs", type=int, help="number of runs to record; by default all missing ones")
    parser.add_argument("--status", action="store_true", help="print the number of recorded runs, and train nothing")
    options = parser.parse_args()
    rows, planned = read(), configurations()
    fingerprint = training_fingerprint()
    recorded = {row["key"] for row in rows}
    missing = [each for each in planned if TrainingConfig(**each).key(data_fingerprint=fingerprint) not in recorded]
    if options.status:
        grid = sum(row["seed"] == SEARCH_SEED for row in rows)
        of_grid = sum(each["seed"] == SEARCH_SEED for each in planned)
        further = f"{len(rows) - grid} of {len(planned) - of_grid} under further seeds"
        print(f"{len(rows)} of {len(planned)} runs: {grid} of {of_grid} of the grid, {further}")
        return
    for number in (signal.SIGINT, signal.SIGTERM):  # SIGINT is ignored in background processes of a script
        signal.signal(number, signal.default_int_handler)
    todo = iter(missing[: options.runs])
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.processes, mp_context=spawn, initializer=_prepare) as pool:
        running: set[Future[dict[str, Any]]] = {
            pool.submit(record, each) for each in itertools.islice(todo, options.processes)
        }
        try:
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                rows += [future.result() for future in done]
                write(rows)
                running |= {pool.submit(record, each) for each in itertools.islice(todo, len(done))}
                print(f"{len(rows)} of {len(planned)} runs recorded", flush=True)
        except KeyboardInterrupt:
            print(f"Stopped with {len(rows)} of {len(planned)} runs recorded. Run the same command again to resume.")
            for process in pool._processes.values():
                process.terminate()


if __name__ == "__main__":
    main()
