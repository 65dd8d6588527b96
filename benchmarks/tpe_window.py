"""Maximise a synthetic accuracy with TPE over the full history and over windows: best accuracy, time of a proposal.

The space is that of experiments/search.yaml. The accuracy is a formula with typical properties: networks of different
quality, an optimal learning rate that depends on network, width and batch size, an optimal decay of the learning rate,
augmentation that helps larger networks more, and noise. Nothing is trained or stored.

    python benchmarks/tpe_window.py --trials 2000 --seeds 10 --processes 2
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
import zlib
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import optuna

from sweeps.files.space import SearchSpace
from sweeps.files.sweep import load_spec
from sweeps.search.proposers import make_sampler
from sweeps.search.tpe import Window

SPACE = Path(__file__).parents[1] / "experiments" / "search.yaml"
WINDOWS: Mapping[str, tuple[int, int] | None] = {
    "whole history": (10**9, 0),
    "best 100, newest 900": (100, 900),
    "best 100, newest 400": (100, 400),
    "best 50, newest 200": (50, 200),
    "random": None,
}
MARKS = (100, 500, 1000, 2000, 3000)


def accuracy(found: Mapping[str, Any]) -> float:
    """Return the noise-free accuracy of a configuration."""
    network, width = found["model.name"], found.get("model.width", 64)
    size = {"simple": 0.70, "deep": 0.80, "resnet": 0.90, "vgg": 0.87}[network] + 0.02 * math.log2(width / 64)
    scale = {"simple": 0.0, "deep": -0.3, "resnet": 0.3, "vgg": -0.1}[network]
    best_rate = -1.6 + scale + 0.5 * math.log10(found["data.batch_size"] / 64) - 0.3 * math.log2(width / 64)
    rate = -0.06 * (math.log10(found["optimizer.lr"]) - best_rate) ** 2
    # Orders of magnitude by which the rate decays in 40 epochs; 2.5 is optimal.
    drops = 40 / found["schedule.step_size"] * -math.log10(found["schedule.gamma"])
    schedule = -0.02 * min(abs(drops - 2.5), 4) ** 1.5 / 4
    augmentation = {"none": 0.0, "flip-crop": 0.03, "flip-erase-crop": 0.035, "pad-flip-gray-crop": 0.02}
    helped = augmentation[found["data.augmentation"]] * (1.2 if network in ("resnet", "vgg") else 0.5)
    batch = -0.003 * abs(math.log2(found["data.batch_size"] / 64))
    return size + rate + schedule + helped + batch + (-0.01 if found["data.normalization"] == "none" else 0.0)


def noise(seed: int, number: int) -> float:
    """Return the noise of a trial: the same for every sampler, with a standard deviation of 0.3 points."""
    ones = (zlib.crc32(f"{seed} {number} {part}".encode()) / 2**32 - 0.5 for part in range(12))
    return 0.003 * sum(ones)


def search(name: str, seed: int, trials: int) -> dict[str, Any]:
    """Search once; return at each mark the true accuracies of the best and the last 100, and the ms of a proposal."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space: SearchSpace = load_spec(SPACE).space
    sizes = WINDOWS[name]
    window = None if sizes is None else Window(best=sizes[0], newest=sizes[1])
    study = optuna.create_study(direction="maximize")
    best, true, times, at_marks = -math.inf, -math.inf, [], {}
    proposed: list[float] = []
    for number in range(trials):
        started = time.process_time()
        trial = study.ask()
        study.sampler = make_sampler("random" if sizes is None else "bayes", seed=seed, number=number, window=window)
        found = space.suggest(trial)
        times.append(time.process_time() - started)
        proposed.append(accuracy(found))
        value = proposed[-1] + noise(seed, number)
        study.tell(trial, value)
        if value > best:
            best, true = value, proposed[-1]
        if number + 1 in MARKS:
            late = statistics.mean(proposed[-100:])
            at_marks[number + 1] = (true, late, 1000 * statistics.median(times[-100:]))
    return {"name": name, "seed": seed, "marks": at_marks}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=2000)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--windows", nargs="+", default=list(WINDOWS), choices=list(WINDOWS))
    options = parser.parse_args()
    found: dict[str, list[dict[int, tuple[float, float, float]]]] = {name: [] for name in options.windows}
    with ProcessPoolExecutor(options.processes) as pool:
        tasks = [
            pool.submit(search, name, seed, options.trials) for seed in range(options.seeds) for name in options.windows
        ]
        for task in tasks:
            result = task.result()
            found[result["name"]].append(result["marks"])
            marks = ", ".join(
                f"{100 * true:.2f} % ({100 * late:.2f} %) after {mark:,}"
                for mark, (true, late, _) in result["marks"].items()
            )
            print(f"seed {result['seed']}, {result['name']}: {marks}", flush=True)
    print(
        f"true accuracy of the best trial and of the last 100 proposals (mean and standard error of {options.seeds} "
        "seeds), CPU time of a proposal"
    )
    for name, runs in found.items():
        for mark in (mark for mark in MARKS if mark <= options.trials):
            best, late = (_mean([100 * run[mark][index] for run in runs]) for index in (0, 1))
            took = statistics.median(run[mark][2] for run in runs)
            print(f"{name:24s} after {mark:5,} trials: {best}, last 100 {late}, {took:6.1f} ms", flush=True)


def _mean(values: list[float]) -> str:
    error = statistics.stdev(values) / len(values) ** 0.5 if len(values) > 1 else math.nan
    return f"{statistics.mean(values):6.2f} ± {error:.2f} %"


if __name__ == "__main__":
    main()
