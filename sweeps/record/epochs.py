"""The epochs of all runs as one table."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from sweeps.core.identity import trial_name
from sweeps.core.results import EpochResult
from sweeps.record.mapping import EPOCH_METRICS, EPOCH_SECONDS, measured
from sweeps.record.recorded_run import EpochPoints, RunFields
from sweeps.record.trial_run import TrialRun

if TYPE_CHECKING:
    import pyarrow as pa

EPOCH_COLUMNS = (
    "sweep",
    "rung",
    "trial",
    "number",
    "replicate_of",
    "seed",
    "run_id",
    "epoch",
    *EPOCH_METRICS,
    "finished",
)
"""Identity of the trial, epoch, metrics under their MLflow names, and end time."""

EPOCH_FIELDS = RunFields(tags=frozenset({"rung"}), params=False, metrics=frozenset())


def epochs_table(
    runs: Sequence[TrialRun], points: Iterable[EpochPoints], *, curve: Callable[[TrialRun], list[EpochResult]]
) -> pa.Table:
    """Return the epochs of runs, in the order of the runs. A missing value is NULL, a NaN is NaN.

    Args:
        runs: Runs with their tags.
        points: From `RunStore.epochs`.
        curve: Reads the epochs of a run whose points are not one attempt without gaps.
    """
    import pyarrow as pa

    found = {run_id: list(each) for run_id, each in itertools.groupby(points, key=lambda point: point.run_id)}
    rows = [row for run in runs for row in _rows(run, found.get(run.run_id, []), curve)]
    columns = list(zip(*rows, strict=True)) or [()] * len(EPOCH_COLUMNS)
    kinds = {name: pa.string() for name in ("sweep", "rung", "trial", "run_id")}
    kinds |= {name: pa.int64() for name in ("number", "replicate_of", "seed", "epoch")}
    kinds |= {name: pa.float64() for name in EPOCH_METRICS} | {"finished": pa.timestamp("ms", tz="UTC")}
    arrays = [pa.array(column, type=kinds[name]) for name, column in zip(EPOCH_COLUMNS, columns, strict=True)]
    return pa.table(arrays, names=list(EPOCH_COLUMNS))


def _rows(
    run: TrialRun, points: list[EpochPoints], curve: Callable[[TrialRun], list[EpochResult]]
) -> Iterator[tuple[Any, ...]]:
    seed, rung = None if run.replicate_of is None else run.seed, run.tags.get("rung")
    name = trial_name(run.sweep, run.trial, replicate_seed=seed, rung=rung)
    about = (run.sweep, rung, name, run.trial, run.replicate_of, run.seed, run.run_id)
    if not run.not_finite and _is_one_attempt(points):
        for point in points:
            yield *about, point.epoch, *point.values, point.timestamp_ms
        return
    for epoch in curve(run):
        found = measured(epoch)
        values = (found.get(name) for name in EPOCH_METRICS)
        yield *about, epoch.epoch, *values, round(epoch.finished_at * 1000)


def _is_one_attempt(points: Sequence[EpochPoints]) -> bool:
    """Return whether points are of one attempt without gaps, with each metric once per epoch."""
    before, first = 0, set[str]()
    for number, point in enumerate(points, start=1):
        values = dict(zip(EPOCH_METRICS, point.values, strict=True))
        names = {name for name, value in values.items() if value is not None}
        first = first or names
        if (
            point.epoch != number
            or not point.is_once
            or point.timestamp_ms < before
            or EPOCH_SECONDS not in names
            or not names >= first
        ):
            return False
        before = point.timestamp_ms
    return True
