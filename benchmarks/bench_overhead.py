"""Overhead of a trial: searches of trials that sleep 0, 1 and 10 s, with this project and with other tools.

Each tool runs in a process of its own, on the same number of slots, and keeps a record of each trial: MLflow on SQLite
(this project, Ray Tune with its MLflow callback), a study on SQLite (Optuna), files (Syne Tune). The trials note their
own moments. The overhead of a trial is the time of the slots between the first step and the last in which no trial
slept, divided by the number of trials. `pausing` trials have epochs of 0.5 s and pause at the milestones of ASHA; their
overhead is divided by the number of starts: of new trials and of paused ones that continue.

    python benchmarks/bench.py --only overhead
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from trial_of_seconds import moments

HERE = Path(__file__).parent
ENVIRONMENTS = Path.home() / ".cache" / "cifar-sweeps" / "rivals"
SLOTS = 2
TRIALS: Mapping[float, int] = {0.0: 100, 1.0: 60, 10.0: 12}
"""Seconds of a trial to the number of trials."""
QUICK: Mapping[float, int] = {0.0: 4}
PAUSING_TRIALS, PAUSING_EPOCHS, PAUSING_SECONDS = 40, 9, 0.5


def sweep_file(folder: Path, *, seconds: float, trials: int, **changes: Any) -> Path:
    """Write a sweep's file for trials that sleep, and return its path."""
    content: dict[str, Any] = {
        "name": "overhead",
        "train": "trial_of_seconds:train",
        "metric": {"name": "loss", "goal": "minimize"},
        "method": "bayes",
        "run_cap": trials,
        "limits": {"max_concurrent_trials": SLOTS},
        "base": {"seconds": seconds, "times": str(folder / "times")},
        "parameters": {"x": {"min": 0.0, "max": 1.0}},
    }
    path = folder / "overhead.yaml"
    path.write_text(json.dumps(content | changes), encoding="utf-8")
    return path


def ours(folder: Path, *, seconds: float, trials: int, backend: str, **changes: Any) -> None:
    """Run `sweeps run`."""
    file = sweep_file(folder, seconds=seconds, trials=trials, **changes)
    command = [sys.executable, "-c", "from sweeps.cli.main import main; main()"]
    options = ["run", str(file), "--runs", str(folder / "runs"), "--backend", backend, "--no-report"]
    subprocess.run([*command, *options], cwd=HERE, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def pausing(folder: Path, *, trials: int) -> dict[str, Any]:
    """Run trials that pause at milestones; return the number of starts and the overhead of each."""
    base = {"seconds": PAUSING_SECONDS, "times": str(folder / "times"), "epochs": PAUSING_EPOCHS}
    changes = {"train": "trial_of_seconds:train_epochs", "early_terminate": {"type": "asha", "min_epochs": 1}}
    ours(folder, seconds=PAUSING_SECONDS, trials=trials, backend="ray", base=base, **changes)
    times = moments(folder / "times")
    starts = [int(line) for line in (folder / "times-starts").read_text(encoding="ascii").splitlines()]
    idle = result_of(times, started=0.0, slots=SLOTS)["overhead"] * len(times)
    return {"starts": len(starts), "resumed": sum(epoch > 0 for epoch in starts), "overhead": idle / len(starts)}


def ray_tune(folder: Path, *, seconds: float, trials: int, reuse: bool) -> None:
    """Run Ray Tune with Optuna's search and the MLflow callback, as its documentation shows."""
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.search.optuna import OptunaSearch

    times = str(folder / "times")
    here = str(HERE)

    def train(config: dict[str, float]) -> None:
        sys.path.insert(0, here)
        from trial_of_seconds import sleep_and_note

        sleep_and_note(seconds, times)
        tune.report({"loss": config["x"]})

    ray.init(num_cpus=SLOTS, logging_level="ERROR", log_to_driver=False)
    callback = MLflowLoggerCallback(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}", experiment_name="overhead")
    tune.Tuner(
        train,
        param_space={"x": tune.uniform(0, 1)},
        tune_config=tune.TuneConfig(
            metric="loss",
            mode="min",
            search_alg=OptunaSearch(),
            num_samples=trials,
            max_concurrent_trials=SLOTS,
            reuse_actors=reuse,
        ),
        run_config=tune.RunConfig(storage_path=str(folder / "ray"), callbacks=[callback], verbose=0),
    ).fit()


def optuna_sqlite(folder: Path, *, seconds: float, trials: int) -> None:
    """Run `study.optimize` with a thread per slot on SQLite."""
    import optuna
    from trial_of_seconds import sleep_and_note

    optuna.logging.set_verbosity(optuna.logging.ERROR)

    def objective(trial: optuna.Trial) -> float:
        x = trial.suggest_float("x", 0, 1)
        sleep_and_note(seconds, str(folder / "times"))
        return x

    study = optuna.create_study(storage=f"sqlite:///{folder / 'study.db'}")
    study.optimize(objective, n_trials=trials, n_jobs=SLOTS)


def syne_tune(folder: Path, *, seconds: float, trials: int) -> None:
    """Run Syne Tune's local backend in its environment."""
    script = HERE / "bench_overhead_syne.py"
    options = [str(folder), str(seconds), str(trials), str(SLOTS)]
    subprocess.run(
        [str(ENVIRONMENTS / "syne" / "bin" / "python"), str(script), *options],
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"SYNETUNE_FOLDER": str(folder)},
    )


TOOLS: Mapping[str, Callable[..., None]] = {
    "cifar-sweeps": lambda folder, **options: ours(folder, backend="ray", **options),
    "cifar-sweeps, inline (one slot)": lambda folder, **options: ours(folder, backend="inline", **options),
    "Ray Tune": lambda folder, **options: ray_tune(folder, reuse=False, **options),
    "Ray Tune, reuse_actors": lambda folder, **options: ray_tune(folder, reuse=True, **options),
    "Optuna on SQLite": optuna_sqlite,
    "Syne Tune, local": syne_tune,
}


def result_of(times: Sequence[tuple[float, float]], *, started: float, slots: int) -> dict[str, float]:
    """Return overhead of a trial, seconds to the first step, and the share of the time in which slots slept."""
    span = max(end for _, end in times) - times[0][0]
    slept = sum(end - begin for begin, end in times)
    return {
        "trials": len(times),
        "overhead": (span * slots - slept) / len(times),
        "first_step": times[0][0] - started,
        "busy": slept / (span * slots) if span else 1.0,
    }


def measure(*, quick: bool) -> dict[str, Any]:
    """Return the results of each tool for each length of a trial."""
    found: dict[str, Any] = {"slots": SLOTS, "tools": {}}
    tools = list(TOOLS) if (ENVIRONMENTS / "syne").exists() else [name for name in TOOLS if "Syne" not in name]
    for name in [tools[1], tools[4]] if quick else tools:
        found["tools"][name] = {}
        for seconds, trials in (QUICK if quick else TRIALS).items():
            with tempfile.TemporaryDirectory() as folder:
                started = time.time()
                options = ["--tool", name, "--seconds", str(seconds), "--trials", str(trials), "--folder", folder]
                done = subprocess.run([sys.executable, __file__, *options], capture_output=True, text=True)
                if done.returncode:
                    raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
                slots = 1 if "inline" in name else SLOTS
                result = result_of(moments(Path(folder) / "times"), started=started, slots=slots)
            found["tools"][name][f"{seconds:g}"] = result
            print(f"{name}, {seconds:g} s: {result}", file=sys.stderr, flush=True)
    if not quick:
        with tempfile.TemporaryDirectory() as folder:
            found["pausing"] = pausing(Path(folder), trials=PAUSING_TRIALS)
    return found


def table(found: Mapping[str, Any]) -> str:
    """Return the results as a table."""
    lengths = list(next(iter(found["tools"].values())))
    head = ["tool", *(f"overhead, {each} s" for each in lengths), "first step", f"slots busy, {lengths[-1]} s"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for name, of_lengths in found["tools"].items():
        cells = [f"{of_lengths[each]['overhead']:.3f} s" for each in lengths]
        last = of_lengths[lengths[-1]]
        cells += [f"{last['first_step']:.1f} s", f"{100 * last['busy']:.1f} %"]
        lines.append(f"| {' | '.join([name, *cells])} |")
    if paused := found.get("pausing"):
        lines += ["", f"Pausing: {paused['overhead']:.3f} s of overhead for each of {paused['starts']} starts, "]
        lines[-1] += f"{paused['resumed']} of them of paused trials."
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", choices=TOOLS, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--trials", type=int, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    options = parser.parse_args()
    TOOLS[options.tool](options.folder, seconds=options.seconds, trials=options.trials)


if __name__ == "__main__":
    main()
