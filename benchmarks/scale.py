"""Time a sweep of 10,000 trials of zero length: the driver's cost of a trial, and its growth with their number.

Everything but the training is real: the sweep's file, proposer, ledger, journal, MLflow on SQLite, the runner's
observers, the reading verbs. A fake trial reports its epochs at once, and writes a log and a small file instead of a
checkpoint. With `--backend ray` the training is real too: the smallest network trains on 32 images in Ray's workers.

    python benchmarks/scale.py --methods random grid bayes --trials 10000
    python benchmarks/scale.py --methods bayes --trials 3000 --epochs 9 --early asha --unrecorded
    python benchmarks/scale.py --methods random --trials 1000 --backend ray
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

WINDOW = 100
"""Number of trials whose median is printed."""
BACKLOG = 5
"""Largest number of trials that MLflow's writer may lag behind, so that the two sides are timed separately."""

PARAMETERS: dict[str, Any] = {
    "model.name": {"values": ["simple", "deep", "resnet", "vgg"]},
    "model.width": {"values": [32, 64, 96], "when": {"model.name": ["deep", "resnet", "vgg"]}},
    "data.batch_size": {"values": [32, 64, 128, 256]},
    "data.normalization": {"values": ["none", "cifar10", "imagenet"]},
    "data.augmentation": {"values": ["none", "flip-crop", "flip-erase-crop", "pad-flip-gray-crop"]},
    "optimizer.lr": {"min": 0.001, "max": 0.3, "distribution": "log_uniform_values"},
    "schedule.step_size": {"min": 2, "max": 20},
    "schedule.gamma": {"min": 0.1, "max": 0.9},
}
"""The space of experiments/search.yaml."""
FINITE: dict[str, Any] = {
    "optimizer.lr": {"values": [0.003, 0.01, 0.03, 0.1, 0.3]},
    "schedule.gamma": {"values": [0.1, 0.5]},
}
"""Parameters that differ for a grid, which has 91,200 combinations."""
SMALLEST: dict[str, Any] = {
    "epochs": 1,
    "model": {"name": "simple", "width": 1},
    "data": {"train_size": 32, "validation_size": 32, "batch_size": 32, "normalization": "none"},
}
"""The base of the trials that Ray trains."""


def sweep_file(
    folder: Path, *, method: str, trials: int, epochs: int, early: str, backend: str, name: str = "scale"
) -> Path:
    """Write the sweep's file and return its path."""
    parameters = PARAMETERS | (FINITE if method == "grid" else {})
    base: dict[str, Any] = {"epochs": epochs, "data": {"validation_size": 5000}, "schedule": {"name": "step"}}
    if backend == "ray":
        kept = ("optimizer.lr", "schedule.gamma")
        parameters = {path: parameter for path, parameter in parameters.items() if path in kept}
        base = SMALLEST | {"epochs": epochs, "schedule": {"name": "step"}}
    content: dict[str, Any] = {
        "name": name,
        "method": method,
        "run_cap": trials,
        "base": base,
        "parameters": parameters,
        "early_terminate": {"type": early},
    }
    path = folder / f"{name}.yaml"
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def value_of(config: Any) -> float:
    """Return an accuracy for a configuration: smooth, with one maximum, the same in every process."""
    from zlib import crc32

    distance = (math.log10(config.optimizer.lr) + 1.5) ** 2 + (config.schedule.gamma - 0.4) ** 2
    distance += {"simple": 0.6, "deep": 0.3, "resnet": 0.0, "vgg": 0.1}[config.model.name]
    noise = crc32(config.model_dump_json().encode()) / 2**32 * 0.01
    return float(0.95 * math.exp(-distance) - noise)


class Clock:
    """The cost of each trial in the driver's thread and in the thread that writes MLflow."""

    def __init__(self) -> None:
        self.trials: list[tuple[float, float]] = []
        """Wall and CPU seconds of the driver's thread for each trial."""
        self.writes: list[tuple[float, float]] = []
        """The same for the thread that writes MLflow."""
        self.memory: list[float] = []
        """Memory of the driver after each trial, in MB."""
        self.waited = 0.0
        self._since: tuple[float, float] | None = None
        self._written: dict[int, tuple[float, float]] = {}
        self._lock = threading.Lock()

    def start_trial(self) -> None:
        """Record that the driver's thread starts a trial, which ends the cost of the previous one."""
        now = (time.perf_counter(), time.thread_time())
        if self._since is not None:
            wall, cpu = now[0] - self._since[0] - self.waited, now[1] - self._since[1]
            self.trials.append((wall, cpu))
            self.memory.append(resident())
        self._since, self.waited = now, 0.0

    @contextlib.contextmanager
    def writing(self, number: int) -> Iterator[None]:
        """Add the block's time to the writing time of a trial."""
        before = (time.perf_counter(), time.thread_time())
        yield
        with self._lock:
            wall, cpu = self._written.get(number, (0.0, 0.0))
            self._written[number] = (wall + time.perf_counter() - before[0], cpu + time.thread_time() - before[1])

    def written(self) -> list[tuple[float, float]]:
        """Return wall and CPU seconds of the writing thread for each trial."""
        with self._lock:
            return [self._written[number] for number in sorted(self._written)]


def resident() -> float:
    """Return the memory of this process in MB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / 1e6


CLOCK = Clock()


def make_instant(*, recorded: bool) -> None:
    """Replace the training by the fake, and time the real parts."""
    from sweeps.backends import inline as inline_backend
    from sweeps.core.job import Job
    from sweeps.core.results import EpochResult
    from sweeps.core.trial import Outcome, TrialMessage, TrialRecord
    from sweeps.driver import runner
    from sweeps.record.writer import Tracker
    from sweeps.store.folder import CHECKPOINT_FILE
    from sweeps.tasks.registry import read_config

    class TimedTracker(Tracker):
        """A tracker that times the writing of each trial."""

        current: TimedTracker

        def __init__(self, *arguments: Any, **options: Any) -> None:
            super().__init__(*arguments, **options)
            TimedTracker.current = self

        def write(self, record: TrialRecord) -> None:
            if recorded:
                super().write(record)

        def _write(self, record: TrialRecord) -> None:
            with CLOCK.writing(record.number):
                super()._write(record)

        @property
        def behind(self) -> int:
            return 0 if self._is_closed else len(self._queue._pending) + len(self._queue._in_flight)

    class InstantTrial:
        """A fake session: no image is loaded, and each step is an epoch."""

        def __init__(self, job: Job, splits: object, **options: object) -> None:
            before = time.perf_counter()
            while TimedTracker.current.behind > BACKLOG:
                time.sleep(0.001)
            CLOCK.waited += time.perf_counter() - before
            CLOCK.start_trial()
            self._job, self._config, self._epoch = job, read_config(job.config), 0
            Path(job.log).write_text(f"trial {job.number}\n", encoding="utf-8")

        def step(self) -> TrialMessage:
            self._epoch += 1
            of = self._config.epochs
            accuracy = value_of(self._config) * (0.5 + 0.5 * self._epoch / of)
            epoch = EpochResult(
                epoch=self._epoch,
                seconds=0.001,
                finished_at=time.time(),
                metrics={
                    "train_loss": 2.0 - accuracy,
                    "train_accuracy": accuracy,
                    "val_loss": 2.0 - accuracy,
                    "val_accuracy": accuracy,
                    "learning_rate": self._config.optimizer.lr,
                    "images_per_second": 45e6,
                },
            )
            if self._epoch == 1:
                checkpoint = Path(self._job.checkpoint)
                checkpoint.mkdir(parents=True, exist_ok=True)
                (checkpoint / CHECKPOINT_FILE).write_bytes(b"no weights")
            return TrialMessage(
                epoch=epoch,
                outcome=Outcome.COMPLETE if self._epoch == of else None,
                parameters=1000,
                environment={"host": "benchmark", "device": "cpu (none)", "threads": "1", "torch": "none"},
            )

    inline_backend.TrialSession = InstantTrial  # type: ignore[misc,assignment]
    runner.Tracker = TimedTracker  # type: ignore[misc]


def time_ray() -> None:
    """Time the driver's part of trials under Ray."""
    from sweeps.backends.ray import tune as ray_tune

    before = ray_tune.LedgerCalls.next_job

    def next_job(self: Any, job_of: Any) -> Any:
        found = before(self, job_of)
        if type(found).__name__ == "Job":
            CLOCK.start_trial()
        return found

    ray_tune.LedgerCalls.next_job = next_job  # type: ignore[method-assign]


def run_sweep(file: Path, *, runs: Path, backend: str, recorded: bool) -> dict[str, Any]:
    """Run the sweep in this process, and return the measurements."""
    started = time.perf_counter()
    from sweeps.driver.options import RunOptions
    from sweeps.driver.plan import plan_of_sweep
    from sweeps.driver.runner import run
    from sweeps.files.sweep import load_spec

    if backend == "ray":
        time_ray()
    else:
        make_instant(recorded=recorded)
    plan = plan_of_sweep(load_spec(file))
    first: list[float] = []
    start_trial = CLOCK.start_trial

    def start_and_time_first() -> None:
        if not first:
            first.append(time.perf_counter() - started)
        start_trial()

    CLOCK.start_trial = start_and_time_first  # type: ignore[method-assign]
    summary = run(plan, RunOptions(runs=runs, backend="ray" if backend == "ray" else "inline"))
    CLOCK.start_trial()
    return {
        "seconds": summary.seconds,
        "begun": summary.begun,
        "unwritten": summary.unwritten,
        "first": first[0] if first else None,
        "trials": CLOCK.trials,
        "writes": CLOCK.written(),
        "memory": CLOCK.memory,
    }


def in_a_process(*options: str) -> dict[str, Any]:
    """Run this script with options in a separate process, and return its measurements."""
    with tempfile.NamedTemporaryFile(suffix=".json") as out:
        command = [sys.executable, __file__, "--out", out.name, *options]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        if done.returncode:
            sys.exit(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}")
        found: dict[str, Any] = json.loads(Path(out.name).read_text(encoding="utf-8"))
        return found


def verb_seconds(*words: str, runs: Path, times: int = 3) -> float:
    """Return the shortest wall time of `times` starts of a verb, in seconds."""
    found = []
    for _ in range(times):
        start = time.perf_counter()
        command = [sys.executable, "-c", "from sweeps.cli.main import main; main()", *words, "--runs", str(runs)]
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        found.append(time.perf_counter() - start)
    return min(found)


def windows(count: int) -> list[tuple[str, slice]]:
    """Return the label and the slice of each group of trials that is printed."""
    found = [("first 100", slice(0, WINDOW))]
    for at in (1000, 3000, 5000):
        if at + WINDOW < count - WINDOW:
            found.append((f"from {at:,}", slice(at, at + WINDOW)))
    return [*found, ("last 100", slice(max(0, count - WINDOW), count))]


def print_costs(found: dict[str, Any], *, method: str, runs: Path) -> None:
    """Print the cost of a sweep's trials."""
    trials, writes, memory = found["trials"], found["writes"], found["memory"]
    print(f"\n{method}: {len(trials):,} trials in {found['seconds']:,.0f} s ({found['unwritten']} unwritten in MLflow)")
    print(f"{'trials':12s} {'driver ms':>10s} {'CPU ms':>10s} {'MLflow ms':>10s} {'CPU ms':>10s} {'RSS MB':>8s}")
    for name, where in windows(len(trials)):
        driver = [statistics.median(each[index] for each in trials[where]) * 1000 for index in (0, 1)]
        writer = [statistics.median([each[index] for each in writes[where]] or [0]) * 1000 for index in (0, 1)]
        print(
            f"{name:12s} {driver[0]:10.1f} {driver[1]:10.1f} {writer[0]:10.1f} {writer[1]:10.1f} "
            f"{memory[where][-1]:8.0f}",
            flush=True,
        )
    journal = runs / "sweeps" / "scale" / "journal.log"
    print(
        f"journal {journal.stat().st_size / 1e6:.1f} MB ({journal.stat().st_size / len(trials) / 1000:.1f} kB a trial),"
        f" mlflow.db {(runs / 'mlflow.db').stat().st_size / 1e6:.1f} MB"
    )


def measure(options: argparse.Namespace, method: str, folder: Path) -> None:
    """Run one method's sweep, then the verbs that read it."""
    runs = folder / "runs"

    def written(trials: int) -> Path:
        return sweep_file(
            folder,
            method=method,
            trials=trials,
            epochs=options.epochs,
            early=options.early,
            backend=options.backend,
        )

    part = ["--runs", str(runs), "--backend", options.backend, *(["--unrecorded"] if options.unrecorded else [])]
    print_costs(in_a_process("--part", str(written(options.trials)), *part), method=method, runs=runs)
    if options.unrecorded:
        return
    done = in_a_process("--part", str(written(options.trials)), *part)
    print(f"same command again, nothing left to do: {done['seconds']:.1f} s in the runner", flush=True)
    more = in_a_process("--part", str(written(options.trials + 1)), *part)
    print(
        f"same command with one more trial: its training starts after {more['first']:.1f} s, "
        f"the runner takes {more['seconds']:.1f} s",
        flush=True,
    )
    for verb in (("leaderboard",), ("leaderboard", "--by", "model.name"), ("status", "scale"), ("list",)):
        print(f"sweeps {' '.join(verb)}: {verb_seconds(*verb, runs=runs):.1f} s", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trials", type=int, default=10_000)
    parser.add_argument("--methods", nargs="+", default=["random", "grid", "bayes"])
    parser.add_argument("--epochs", type=int, default=1)
    parser.add_argument("--early", choices=["none", "asha", "hyperband", "median"], default="none")
    parser.add_argument("--backend", choices=["inline", "ray"], default="inline")
    parser.add_argument("--unrecorded", action="store_true", help="write no trial to MLflow: time the driver only")
    parser.add_argument(
        "--keep", type=Path, help="folder in which to keep the runs folders; by default a temporary one"
    )
    parser.add_argument("--part", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--runs", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        found = run_sweep(options.part, runs=options.runs, backend=options.backend, recorded=not options.unrecorded)
        options.out.write_text(json.dumps(found), encoding="utf-8")
        return
    for method in options.methods:
        with tempfile.TemporaryDirectory() as temporary:
            folder = (options.keep or Path(temporary)) / method
            folder.mkdir(parents=True, exist_ok=True)
            measure(options, method, folder)


if __name__ == "__main__":
    main()
