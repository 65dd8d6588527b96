"""Epochs at which the trials of a search are compared, and the metric values there.

A pruner stops trials because of recorded values, so the trials at a later epoch are a selection. Trials are therefore
compared at the earliest epoch at which any of them was stopped, which all of them reached. Later epochs are modelled in
steps, from one stopping epoch to the next: given the value before, the value after is not affected by the selection.

Sources: Anderson, Journal of the American Statistical Association 52 (1957) 200-203, for monotone missing values;
Rubin, Biometrika 63 (1976) 581-592, for when the missingness can be ignored.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sweeps.core.chance import CLASSES, has_learned
from sweeps.core.trial import Outcome, TrialRecord

MIN_TRIALS = 6
"""Trials that an analysis needs."""
MIN_TRIALS_LATER = 30
"""Trials that a later epoch needs."""
MAX_STAGES = 6
"""Compared epochs."""
_FENCE = 3.0
"""Outer fence, in interquartile ranges above the upper quartile."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """The trials that are compared at one epoch."""

    epoch: int | None
    """None if each trial is compared at its last epoch."""
    trials: tuple[int, ...]
    """Indices into the records, ascending."""
    values: np.ndarray
    """Metric, one value per trial."""


def stages_of(
    records: Sequence[TrialRecord], *, metric: str, maximize: bool, scale: float, at_last_epoch: bool
) -> list[Stage]:
    """Return the epochs at which trials are compared, the earliest first; empty if no trial can be compared.

    Failed trials are ignored. A diverged trial counts at the first compared epoch that it did not reach, with the worst
    value of the others. An unfinished trial counts at the epochs that it reached.

    Args:
        records: trials of the search.
        metric: field of `EpochResult`.
        maximize: whether larger values are better.
        scale: factor of the values.
        at_last_epoch: compare complete trials at their last epochs, because `epochs` was searched.
    """
    curves = {
        index: curve
        for index, record in enumerate(records)
        if (curve := _curve(record, metric, scale=scale)) or record.outcome is Outcome.DIVERGED
        if record.outcome is not Outcome.FAILED
    }
    diverged = {index for index in curves if records[index].outcome is Outcome.DIVERGED}
    if at_last_epoch:
        ends = {i: curve[-1] for i, curve in curves.items() if records[i].outcome is Outcome.COMPLETE}
        stage = _stage(None, ends, diverged, maximize=maximize)
        return [] if stage is None else [stage]
    ended = [len(curve) for i, curve in curves.items() if records[i].outcome.is_final and i not in diverged]
    lengths = sorted(set(ended or [len(curve) for i, curve in curves.items() if i not in diverged]))
    stages: list[Stage] = []
    # If no trial ended, the shortest curve gives the common epoch.
    for epoch in (lengths if ended else lengths[:1])[:MAX_STAGES]:
        reached = {i: curve[epoch - 1] for i, curve in curves.items() if len(curve) >= epoch}
        before = stages[-1].epoch if stages else 0
        newly_diverged = {i for i in diverged if (before or 0) <= len(curves[i]) < epoch}
        stage = _stage(epoch, reached, newly_diverged, maximize=maximize)
        if stage is None or (stages and len(stage.trials) < MIN_TRIALS_LATER):
            break
        stages.append(stage)
    return stages


def schedule_changed_lr(records: Sequence[TrialRecord], stages: Sequence[Stage]) -> bool:
    """Return whether the learning rate of any trial changed by the last compared epoch.

    If it did not, no parameter of the schedule can have had an effect.
    """
    if not stages or stages[-1].epoch is None:
        return True
    last = stages[-1].epoch
    return any(
        (rate := epoch.value("learning_rate")) is None
        or (first := records[index].config.dotted().get("optimizer.lr")) is None  # a custom training
        or not math.isclose(rate, first, rel_tol=1e-6)
        for index in stages[0].trials
        for epoch in records[index].epochs[:last]
    )


def _curve(record: TrialRecord, metric: str, *, scale: float) -> list[float]:
    """Return the metric after each epoch, up to the first value that is not finite.

    Values of a network that is not better than chance are replaced by the chance level: their differences are noise.
    """
    of, _, kind = metric.rpartition("_")
    images = record.protocol.validation_images if of == "val" else record.protocol.train_images
    classes = record.protocol.classes or CLASSES
    chance_level = 1 / classes if kind == "accuracy" else math.log(classes)
    curve: list[float] = []
    for epoch in record.epochs:
        value, accuracy = epoch.value(metric), epoch.value(f"{of}_accuracy")
        if value is None or not math.isfinite(value):
            break
        learned = accuracy is None or not 0 <= accuracy <= 1 or has_learned(accuracy, images=images, classes=classes)
        curve.append(scale * (float(value) if learned else chance_level))
    return curve


def is_chance_level(value: float, *, unit: str, classes: int) -> bool:
    """Return whether a value is the chance level; `classes` is 0 for unknown."""
    classes = classes or CLASSES
    levels = {"points": 100 / classes, "nats": math.log(classes)}
    return value == levels.get(unit)


def _stage(epoch: int | None, reached: dict[int, float], diverged: set[int], *, maximize: bool) -> Stage | None:
    if not reached:
        return None
    worst = (min if maximize else max)(reached.values())
    values = reached | dict.fromkeys(diverged - reached.keys(), worst)
    indices = tuple(sorted(values))
    found = np.array([values[index] for index in indices])
    return Stage(epoch=epoch, trials=indices, values=found if maximize else _clip_outliers(found))


def _clip_outliers(losses: np.ndarray) -> np.ndarray:
    """Return losses clipped at Tukey's outer fence.

    Source: Tukey, Exploratory Data Analysis (1977).
    """
    lower, upper = np.quantile(losses, [0.25, 0.75])
    return losses if lower == upper else np.minimum(losses, upper + _FENCE * (upper - lower))
