"""Reliability of `sweeps effects`, measured on simulated sweeps with known effects.

    python benchmarks/effects_power.py --sweeps 200

For each number of trials it prints the rate of conclusive verdicts on parameters without an effect, the coverage of the
95 % intervals, and the share of effects found. Every sweep is pruned as by ASHA; `adaptive` ones draw later trials near
the best ones, as a sampler does.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cifar_core.config import TrainingConfig
from sweeps.analysis.effects import Effects, ParameterEffect, effects_of
from sweeps.core.results import EpochResult
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.search.recorded_search import RecordedSearch, SearchedParameter
from sweeps.tasks.values import value_text

EPOCHS, MILESTONES, KEPT = 9, (1, 3), 3
"""Epochs of a trial; epochs after which it may be stopped; one of this many continues."""
CHOICES: Mapping[str, tuple[Any, ...]] = {
    "model.name": ("simple", "deep", "resnet", "vgg"),
    "model.width": (8, 16),
    "data.batch_size": (32, 64, 128, 256),
    "data.normalization": (None, "cifar10", "imagenet"),
    "data.augmentation": ("none", "flip-crop", "flip-erase-crop", "pad-flip-gray-crop"),
}
"""The categorical parameters; a learning rate and two of the schedule are drawn from ranges."""
GROWTH = [1 - math.exp(-epoch / 3) for epoch in range(1, EPOCHS + 1)]
"""Share of its final accuracy that a curve has reached after each epoch."""
_CONFIG = TrainingConfig.model_validate({"epochs": EPOCHS, "optimizer": {"lr": 0.1}})


@dataclass(frozen=True, kw_only=True)
class GroundTruth:
    """The model of a simulated sweep, in points of accuracy at a curve's end."""

    adds: Mapping[str, Mapping[Any, float]] = field(default_factory=dict)
    """Path to the effect of each value."""
    lr_slope: float = 0.0
    """Points for a learning rate ten times as large."""
    noise: float = 4.0
    """Standard deviation between trials of one configuration, interactions of parameters included."""
    jitter: float = 0.7
    """Standard deviation between a trial's epochs."""
    collapse: float = 0.0
    """Share of the trials that learn nothing and stay at 10 %."""
    adaptive: bool = False
    """Whether later trials are drawn near the best ones."""

    def effects(self, effects: Effects, parameter: ParameterEffect) -> dict[str, float]:
        """Return the effect of each level relative to the average of the trials, at a curve's end.

        The average effect of the width is attributed to the networks that have one.
        """
        adds = {value_text(value) or "null": added for value, added in self.adds.get(parameter.name, {}).items()}
        added = {level.label: adds.get(level.label, 0.0) for level in parameter.levels}
        if parameter.name == "model.name":
            (width,) = (other for other in effects.parameters if other.name == "model.width")
            pairs = [(self.of("model.width", int(level.label)), level.trials) for level in width.levels]
            mean = sum(add * trials for add, trials in pairs) / max(sum(trials for _, trials in pairs), 1)
            added = {label: add + (label != "simple") * mean for label, add in added.items()}
        trials = {level.label: level.trials for level in parameter.levels}
        average = sum(added[label] * count for label, count in trials.items()) / sum(trials.values())
        # Parameters have no effect in trials that collapse.
        return {label: (1 - self.collapse) * (add - average) for label, add in added.items()}

    def of(self, path: str, value: Any) -> float:
        return self.adds.get(path, {}).get(value, 0.0)


def made_sweep(truth: GroundTruth, *, trials: int, seed: int) -> tuple[list[TrialRecord], RecordedSearch]:
    """Return the records of a sweep that follows the model, and its search space."""
    generator = np.random.default_rng(seed)
    values: dict[int, dict[str, Any]] = {}
    records: list[TrialRecord] = []
    reported: dict[int, list[float]] = {milestone: [] for milestone in MILESTONES}
    for number in range(trials):
        values[number] = _drawn(generator, truth, records, values)
        added = sum(truth.of(path, value) for path, value in values[number].items())
        height = 55.0 + added + truth.lr_slope * math.log10(values[number]["optimizer.lr"] / 0.015)
        height += truth.noise * generator.standard_normal()
        if generator.random() < truth.collapse:
            height = 10.0
        curve = [share * height + truth.jitter * generator.standard_normal() for share in GROWTH]
        reached, outcome = EPOCHS, Outcome.COMPLETE
        for milestone in MILESTONES:
            reported[milestone].append(curve[milestone - 1])
            best = sorted(reported[milestone], reverse=True)[: max(len(reported[milestone]) // KEPT, 1)]
            if curve[milestone - 1] not in best:
                reached, outcome = milestone, Outcome.PRUNED
                break
        records.append(_record(number, curve[:reached], outcome))
    parameters = [
        SearchedParameter(
            path=path, choices=choices, condition="model.name is not simple" if path == "model.width" else None
        )
        for path, choices in CHOICES.items()
    ]
    ranges = ("optimizer.lr", "schedule.step_size", "schedule.gamma")
    parameters += [SearchedParameter(path=path) for path in ranges]
    return records, RecordedSearch(
        sweep="made", metric="val_accuracy", maximize=True, parameters=tuple(parameters), values=values
    )


def _drawn(
    generator: np.random.Generator,
    truth: GroundTruth,
    records: list[TrialRecord],
    values: Mapping[int, Mapping[str, Any]],
) -> dict[str, Any]:
    near: Mapping[str, Any] = {}
    if truth.adaptive and len(records) >= 10 and generator.random() < 0.7:
        ranked = sorted(
            records, key=lambda record: (len(record.epochs), record.epochs[-1].metrics["val_accuracy"]), reverse=True
        )
        near = values[int(generator.choice([record.number for record in ranked[: len(ranked) // 4]]))]
    drawn: dict[str, Any] = {}
    for path, choices in CHOICES.items():
        if path == "model.width" and drawn["model.name"] == "simple":
            continue
        drawn[path] = (
            near[path] if path in near and generator.random() < 0.8 else choices[generator.integers(len(choices))]
        )
    power = (
        math.log10(near["optimizer.lr"]) + 0.2 * generator.standard_normal() if near else generator.uniform(-3, -0.5)
    )
    drawn["optimizer.lr"] = 10 ** min(max(power, -3.0), -0.5)
    drawn["schedule.step_size"] = int(generator.integers(1, 5))
    drawn["schedule.gamma"] = float(generator.uniform(0.1, 0.9))
    return drawn


def _record(number: int, curve: list[float], outcome: Outcome) -> TrialRecord:
    epochs = tuple(
        EpochResult(
            epoch=epoch,
            seconds=1.0,
            finished_at=float(epoch),
            metrics={
                "train_loss": 1.0,
                "train_accuracy": 0.5,
                "val_loss": 1 - value / 100,
                "val_accuracy": value / 100,
                "learning_rate": 0.1 if epoch == 1 else 0.05,
                "images_per_second": 100.0,
            },
        )
        for epoch, value in enumerate(curve, start=1)
    )
    return TrialRecord(
        sweep="made", study="made", number=number, key=f"{number:016x}", config_id=f"{number}", config=_CONFIG,
        outcome=outcome, epochs=epochs, started=0.0, finished=1.0,
    )  # fmt: skip


@dataclass
class Score:
    """Counts over many sweeps."""

    sweeps: int = 0
    wrong_sweeps: int = 0
    """Sweeps with a conclusive verdict on a parameter without an effect."""
    idle: int = 0
    """Parameters without an effect whose importance was estimated."""
    wrong: int = 0
    found: int = 0
    """Conclusive verdicts on parameters with an effect."""
    held: int = 0
    intervals: int = 0
    held_real: int = 0
    intervals_real: int = 0
    importance: dict[str, float] = field(default_factory=dict)

    def add(self, truth: GroundTruth, effects: Effects) -> None:
        """Count one sweep."""
        self.sweeps += 1
        wrong = 0
        for parameter in effects.parameters:
            if parameter.importance is None:
                continue
            self.importance[parameter.name] = self.importance.get(parameter.name, 0.0) + parameter.importance
            is_claimed = parameter.is_conclusive and not parameter.verdict.startswith("no effect larger than")
            if parameter.name in truth.adds:
                self.found += is_claimed
            elif parameter.name != "optimizer.lr" or not truth.lr_slope:
                self.idle += 1
                wrong += is_claimed
            if parameter.name == "optimizer.lr" and truth.lr_slope:
                continue
            share = GROWTH[effects.epochs_used[-1] - 1]
            expected = truth.effects(effects, parameter)
            for level in parameter.levels:
                if level.low is None or level.high is None:
                    continue
                held = level.low <= share * expected[level.label] <= level.high
                self.held += held
                self.intervals += 1
                if parameter.name in truth.adds:
                    self.held_real += held
                    self.intervals_real += 1
        self.wrong += wrong
        self.wrong_sweeps += wrong > 0


def score(truth: GroundTruth, *, trials: int, sweeps: int, seed: int = 0) -> Score:
    """Return the counts over `sweeps` sweeps of `trials` trials."""
    total = Score()
    for index in range(sweeps):
        records, searched = made_sweep(truth, trials=trials, seed=1000 * seed + index)
        total.add(truth, effects_of(records, searched=searched))
    return total


def main() -> None:
    """Print the figures of docs/explanation/effects.md."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sweeps", type=int, default=200, help="sweeps per model")
    parser.add_argument("--trials", type=int, nargs="+", default=[12, 20, 50, 100, 300])
    parser.add_argument("--only", default="", help="only models whose name contains this")
    options = parser.parse_args()
    resnet = {"model.name": {"resnet": 10.0}}
    width = {"model.width": {8: -4.0, 16: 4.0}}
    kinds = {
        "nothing": GroundTruth(),
        "nothing, adaptive": GroundTruth(adaptive=True),
        "nothing, 10 % collapse": GroundTruth(collapse=0.1),
        "resnet +10": GroundTruth(adds=resnet),
        "resnet +10, adaptive": GroundTruth(adds=resnet, adaptive=True),
        "resnet +10, lr, collapse": GroundTruth(adds=resnet, lr_slope=5.0, collapse=0.1, adaptive=True),
        "width -4, +4": GroundTruth(adds=width),
        "every value": GroundTruth(
            adds={path: dict(zip(c, (-4, 0, 4, 2), strict=False)) for path, c in CHOICES.items()}
        ),
    }
    print(f"{'model':26} trials  wrong: parameters  sweeps   coverage: all         real   found  importance  seconds")
    for name, truth in kinds.items():
        if options.only not in name:
            continue
        for trials in options.trials:
            started = time.perf_counter()
            total = score(truth, trials=trials, sweeps=options.sweeps)
            spent = (time.perf_counter() - started) / total.sweeps
            real = next(iter(truth.adds), "model.width")
            print(
                f"{name:26} {trials:6} {total.wrong / max(total.idle, 1):18.1%} "
                f"{total.wrong_sweeps / total.sweeps:7.1%} "
                f"{total.held / max(total.intervals, 1):20.1%} {total.held_real / max(total.intervals_real, 1):6.1%} "
                f"{total.found / total.sweeps / max(len(truth.adds), 1):6.0%} "
                f"{total.importance.get(real, 0) / total.sweeps:11.2f} {spent:8.2f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
