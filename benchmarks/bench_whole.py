"""A whole search in minutes, in turns with raw Ray Tune: true accuracy of what both would hand over after 2, 4, 8 min.

Both search the space of experiments/quick.yaml on all cores from a cold start, without a first trial by hand, until
the time is over, and record in MLflow on SQLite. Ray Tune has OptunaSearch, ASHA (epochs 1, 3, 7) and its MLflow
callback; its trials train with `cifar_core` too, so that search, early stopping and overhead are compared, not the
train loop. The complete trial with the best validation accuracy is handed over. Each configuration handed over is
trained again under four seeds that no search used; the mean of their validation accuracies counts.

    python benchmarks/bench.py --only whole
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

HERE = Path(__file__).parent
QUICK = HERE.parent / "experiments" / "quick.yaml"
MINUTES = (2.0, 4.0, 8.0)
SEARCH_SEEDS = (0, 1, 2)
NEW_SEEDS = (1001, 1002, 1003, 1004)
SMALL: dict[str, Any] = {"epochs": 2, "data": {"train_size": 200, "validation_size": 100}}
"""Overrides of `base` for a smoke run."""


def definition(seed: int, *, minutes: float, small: bool) -> dict[str, Any]:
    """Return the sweep's file."""
    content: dict[str, Any] = yaml.safe_load(QUICK.read_text(encoding="utf-8"))
    for key in ("start_with", "confirm"):
        content.pop(key)
    content |= {"seed": seed, "run_cap": 1_000, "limits": {"timeout": f"{round(60 * minutes)}s"}}
    if small:
        content["base"] |= SMALL
    return content


def ours(folder: Path, seed: int, minutes: float, small: bool) -> None:
    """Run `sweeps run`, and write its trials as `trials.jsonl`."""
    file = folder / "quick.yaml"
    file.write_text(yaml.safe_dump(definition(seed, minutes=minutes, small=small)), encoding="utf-8")
    command = [sys.executable, "-c", "from sweeps.cli.main import main; main()", "run", str(file)]
    subprocess.run([*command, "--runs", str(folder / "runs"), "--no-report"], stdout=sys.stderr, check=False)

    from sweeps.search.opening import read_studies
    from sweeps.search.stored_trials import read_records
    from sweeps.store.folder import SweepFolder

    name = definition(seed, minutes=minutes, small=small)["name"]
    study = read_studies(SweepFolder(folder / "runs", name)).search
    with (folder / "trials.jsonl").open("w", encoding="utf-8") as out:
        for record in read_records(study, sweep=name):
            line = {
                "config": record.config.model_dump(mode="json", exclude_unset=True),
                "epochs": [[each.finished_at, each.seconds, each.metrics["val_accuracy"]] for each in record.epochs],
                "complete": record.outcome.value == "complete",
            }
            out.write(json.dumps(line) + "\n")


@dataclass(frozen=True)
class Space:
    """The parameters of a sweep's file for `OptunaSearch`, which pickles it."""

    parameters: Mapping[str, Any]

    def __call__(self, trial: Any) -> None:
        for path, each in self.parameters.items():
            if "when" in each:
                [(other, values)] = each["when"].items()
                if trial.params[other] not in values:
                    continue
            if "values" in each:
                trial.suggest_categorical(path, each["values"])
            elif isinstance(each["min"], int):
                trial.suggest_int(path, each["min"], each["max"])
            else:
                trial.suggest_float(path, each["min"], each["max"], log="log" in each.get("distribution", ""))


def ray_tune(folder: Path, seed: int, minutes: float, small: bool) -> None:
    """Run Ray Tune as its documentation shows. Each trial appends its epochs to `epochs.jsonl`."""
    started = time.time()
    import ray
    from ray import tune
    from ray.air.integrations.mlflow import MLflowLoggerCallback
    from ray.tune.schedulers import ASHAScheduler
    from ray.tune.search.optuna import OptunaSearch

    content = definition(seed, minutes=minutes, small=small)
    base, parameters = content["base"], content["parameters"]
    times = str(folder / "epochs.jsonl")

    def train(config: dict[str, Any]) -> None:
        from cifar_core import TrainingConfig, split_train_validation
        from cifar_core import train as train_network
        from cifar_core.data.load import load_training_images

        merged = json.loads(json.dumps(base))
        for path, value in config.items():
            block = merged
            *blocks, name = path.split(".")
            for each in blocks:
                block = block.setdefault(each, {})
            block[name] = value
        configuration = TrainingConfig(**merged)
        trial = tune.get_context().get_trial_id()
        for epoch in train_network(
            configuration, *split_train_validation(load_training_images()[0], configuration.data), device="cpu"
        ):
            line = {"trial": trial, "config": merged, "epoch": [time.time(), epoch.seconds, epoch.val_accuracy]}
            file = os.open(times, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(file, (json.dumps(line) + "\n").encode())
            os.close(file)
            tune.report({"val_accuracy": epoch.val_accuracy, "val_loss": epoch.val_loss})

    ray.init(logging_level="ERROR", log_to_driver=False)
    tune.Tuner(
        train,
        tune_config=tune.TuneConfig(
            metric="val_accuracy",
            mode="max",
            search_alg=OptunaSearch(space=Space(parameters), metric="val_accuracy", mode="max", seed=seed),
            scheduler=ASHAScheduler(max_t=base["epochs"], grace_period=1, reduction_factor=3),
            num_samples=-1,
            max_concurrent_trials=len(os.sched_getaffinity(0)),
            time_budget_s=60 * minutes - (time.time() - started),
        ),
        run_config=tune.RunConfig(
            storage_path=str(folder / "ray"),
            verbose=0,
            callbacks=[MLflowLoggerCallback(tracking_uri=f"sqlite:///{folder / 'mlflow.db'}", experiment_name="quick")],
        ),
    ).fit()
    trials: dict[str, dict[str, Any]] = {}
    for line in Path(times).read_text(encoding="utf-8").splitlines():
        each = json.loads(line)
        trials.setdefault(each["trial"], {"config": each["config"], "epochs": []})["epochs"].append(each["epoch"])
    with (folder / "trials.jsonl").open("w", encoding="utf-8") as out:
        for trial in trials.values():
            out.write(json.dumps(trial | {"complete": len(trial["epochs"]) == base["epochs"]}) + "\n")


TOOLS = {"cifar-sweeps": ours, "Ray Tune": ray_tune}


def search(tool: str, seed: int, *, minutes: tuple[float, ...], small: bool) -> dict[str, Any]:
    """Run a search in a process of its own. Return its handed-over configurations and how its slots were used."""
    with tempfile.TemporaryDirectory() as folder:
        started = time.time()
        options = ["--tool", tool, "--seed", str(seed), "--minutes", str(minutes[-1]), "--folder", folder]
        done = subprocess.run(
            [sys.executable, __file__, *options, *(["--small"] if small else [])], capture_output=True, text=True
        )
        if done.returncode:
            raise SystemExit(f"{tool} failed:\n{done.stderr[-3000:]}")
        lines = (Path(folder) / "trials.jsonl").read_text(encoding="utf-8").splitlines()
    trials = [json.loads(line) for line in lines]
    epochs = [each for trial in trials for each in trial["epochs"]]
    if not epochs:
        raise SystemExit(f"{tool} trained no epoch in {minutes[-1]:g} min:\n{done.stderr[-3000:]}")
    begin, end = min(at - seconds for at, seconds, _ in epochs), max(at for at, _, _ in epochs)
    slots = len(os.sched_getaffinity(0))
    handed_over = []
    for limit in minutes:
        complete = [each for each in trials if each["complete"] and each["epochs"][-1][0] - started <= 60 * limit]
        best = max(complete, key=lambda each: each["epochs"][-1][2], default=None)
        handed_over.append(None if best is None else best["config"])
    return {
        "tool": tool,
        "seed": seed,
        "first_step": begin - started,
        "trials": len(trials),
        "complete": sum(each["complete"] for each in trials),
        "epochs": len(epochs),
        "busy": sum(seconds for _, seconds, _ in epochs) / (slots * (end - begin)),
        "handed_over": handed_over,
    }


def accuracy(config: dict[str, Any], seed: int) -> float:
    """Train a configuration under a seed on one thread; return its last validation accuracy."""
    import torch

    from cifar_core import TrainingConfig, split_train_validation, train
    from cifar_core.data.load import load_training_images

    torch.set_num_threads(1)
    configuration = TrainingConfig(**config | {"seed": seed})
    images = split_train_validation(load_training_images()[0], configuration.data)
    last = [epoch.val_accuracy for epoch in train(configuration, *images, device="cpu")][-1]
    assert last is not None
    return last


def measure(*, quick: bool) -> dict[str, Any]:
    """Return each search, and the mean accuracy of its configurations under new seeds."""
    minutes = (1.0,) if quick else MINUTES
    searches = []
    for seed in SEARCH_SEEDS[:1] if quick else SEARCH_SEEDS:
        for tool in TOOLS:  # A B A B
            searches.append(search(tool, seed, minutes=minutes, small=quick))
            print(f"whole: {searches[-1]}", file=sys.stderr, flush=True)
    unique = {json.dumps(config, sort_keys=True) for each in searches for config in each["handed_over"] if config}
    pairs = [(config, seed) for config in sorted(unique) for seed in (NEW_SEEDS[:1] if quick else NEW_SEEDS)]
    with ProcessPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        found = list(pool.map(accuracy, [json.loads(config) for config, _ in pairs], [seed for _, seed in pairs]))
    of: dict[str, list[float]] = {}
    for (config, _), value in zip(pairs, found, strict=True):
        of.setdefault(config, []).append(value)
    for each in searches:
        each["accuracy"] = [
            statistics.fmean(of[json.dumps(config, sort_keys=True)]) if config else None
            for config in each["handed_over"]
        ]
    return {"minutes": minutes, "searches": searches}


def table(found: Mapping[str, Any]) -> str:
    """Return the results as a table."""
    head = ["tool", "seed", *(f"{each:g} min" for each in found["minutes"]), "trials", "complete", "epochs"]
    head += ["first step", "slots busy"]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for each in sorted(found["searches"], key=lambda each: each["tool"]):
        values = ["none" if value is None else f"{100 * value:.2f} %" for value in each["accuracy"]]
        cells = [
            each["tool"],
            str(each["seed"]),
            *values,
            *(str(each[name]) for name in ("trials", "complete", "epochs")),
        ]
        cells += [f"{each['first_step']:.1f} s", f"{100 * each['busy']:.1f} %"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tool", choices=TOOLS, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--minutes", type=float, required=True)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--small", action="store_true")
    options = parser.parse_args()
    TOOLS[options.tool](options.folder, options.seed, options.minutes, options.small)


if __name__ == "__main__":
    main()
