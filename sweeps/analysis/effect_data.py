"""At which epochs the trials of a search can be compared, and what each had there.

A pruner stops a trial for a value that is on record, so what it leaves at a later epoch is chosen by earlier ones.
Trials are therefore compared at the earliest epoch at which any of them was stopped, which all of them reached. A later
epoch is looked at in steps, each from the epoch at which trials were stopped to the next: what a trial has there, given
what it had before, is not changed by that choice.

Source: Anderson, Journal of the American Statistical Association 52 (1957) 200-203, for values that are missing in
steps; Rubin, Biometrika 63 (1976) 581-592, for when the reason may be passed over.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweeps.core.chance import CLASSES, has_learned
from sweeps.core.trial import Outcome, TrialRecord

LEAST_TRIALS = 6
"""That are compared at all."""
LEAST_TRIALS_LATER = 30
"""Of those that went on, for a later epoch to be spoken of."""
MOST_STAGES = 6
"""Epochs at which trials were stopped that are looked at."""
_FENCE = 3.0
"""Interquartile ranges above the upper quartile."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The trials that are compared at one epoch."""

    epoch: int | None
    """None where each is compared at its own last one."""
    trials: tuple[int, ...]
    """Their indices among the records, in order."""
    values: np.ndarray
    """Of the metric, one a trial."""


def stages_of(
    records: Sequence[TrialRecord], *, metric: str, maximize: bool, scale: float, each_at_its_end: bool
) -> list[Stage]:
    """Return the epochs at which trials are compared, the earliest first; empty where no trial can be.

    Failed trials have no part. A diverged one has, at the first epoch compared that it did not reach, the worst value
    of the others there, and none after it. One that is unfinished counts at the epochs that it reached.

    Args:
        records: the search's trials.
        metric: field of `EpochResult`.
        maximize: whether more of it is better.
        scale: what it is multiplied by.
        each_at_its_end: compare complete trials at their own last epochs: their number was searched.
    """
    curves = {
        index: curve
        for index, record in enumerate(records)
        if (curve := _curve(record, metric, scale=scale)) or record.outcome is Outcome.DIVERGED
        if record.outcome is not Outcome.FAILED
    }
    diverged = {index for index in curves if records[index].outcome is Outcome.DIVERGED}
    if each_at_its_end:
        ends = {i: curve[-1] for i, curve in curves.items() if records[i].outcome is Outcome.COMPLETE}
        stage = _stage(None, ends, diverged, maximize=maximize)
        return [] if stage is None else [stage]
    ended = [len(curve) for i, curve in curves.items() if records[i].outcome.is_final and i not in diverged]
    lengths = sorted(set(ended or [len(curve) for i, curve in curves.items() if i not in diverged]))
    stages: list[Stage] = []
    # Where nothing ended, everything that runs has its first epoch in common.
    for epoch in (lengths if ended else lengths[:1])[:MOST_STAGES]:
        reached = {i: curve[epoch - 1] for i, curve in curves.items() if len(curve) >= epoch}
        before = stages[-1].epoch if stages else 0
        lost = {i for i in diverged if (before or 0) <= len(curves[i]) < epoch}
        stage = _stage(epoch, reached, lost, maximize=maximize)
        if stage is None or (stages and len(stage.trials) < LEAST_TRIALS_LATER):
            break
        stages.append(stage)
    return stages


def schedule_acted(records: Sequence[TrialRecord], stages: Sequence[Stage]) -> bool:
    """Return whether the learning rate of any trial has changed by the last epoch compared.

    Where it has not, no parameter of the schedule can have made a difference, whatever it seems to go along with.
    """
    if not stages or stages[-1].epoch is None:
        return True
    last = stages[-1].epoch
    return any(
        (rate := epoch.value("learning_rate")) is None
        or not math.isclose(rate, records[index].config.dotted()["optimizer.lr"], rel_tol=1e-6)
        for index in stages[0].trials
        for epoch in records[index].epochs[:last]
    )


def _curve(record: TrialRecord, metric: str, *, scale: float) -> list[float]:
    """Return the metric after each epoch from the first, up to where it is no longer a number.

    Where a network cannot be told from chance it has the value of a guess: what differs among such ones is noise.
    """
    of, _, kind = metric.rpartition("_")
    images = record.protocol.validation_images if of == "val" else record.protocol.train_images
    guess = 1 / CLASSES if kind == "accuracy" else math.log(CLASSES)
    curve: list[float] = []
    for epoch in record.epochs:
        value, accuracy = epoch.value(metric), epoch.value(f"{of}_accuracy")
        if value is None or not math.isfinite(value):
            break
        learned = accuracy is None or not 0 <= accuracy <= 1 or has_learned(accuracy, images=images)
        curve.append(scale * (float(value) if learned else guess))
    return curve


def is_guess(value: float, *, unit: str) -> bool:
    """Return whether a value is that of networks that cannot be told from chance."""
    return value == (100 / CLASSES if unit == "points" else math.log(CLASSES))


def _stage(epoch: int | None, reached: dict[int, float], lost: set[int], *, maximize: bool) -> Stage | None:
    if not reached:
        return None
    worst = (min if maximize else max)(reached.values())
    values = reached | dict.fromkeys(lost - reached.keys(), worst)
    indices = tuple(sorted(values))
    found = np.array([values[index] for index in indices])
    return Stage(epoch=epoch, trials=indices, values=found if maximize else _without_explosions(found))


def _without_explosions(losses: np.ndarray) -> np.ndarray:
    """Return losses of which those beyond Tukey's outer fence are taken for it: one has no upper end.

    Source: Tukey, Exploratory Data Analysis (1977).
    """
    lower, upper = np.quantile(losses, [0.25, 0.75])
    return losses if lower == upper else np.minimum(losses, upper + _FENCE * (upper - lower))
