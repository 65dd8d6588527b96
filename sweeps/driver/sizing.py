"""Choose the size of a starter file so that its sweep or ladder ends in the available time."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path

from sweeps.core.task import Probe
from sweeps.driver.estimate import START_SECONDS, estimate_cost, preview, total_seconds
from sweeps.files.ladder_file import load_ladder
from sweeps.files.sweep import load_spec
from sweeps.use.starter import Size, Starter

SIZES = (
    Size(train_size=1_000, validation_size=1_000, epochs=3, widths=(8, 16)),
    Size(train_size=2_000, validation_size=1_000, epochs=4, widths=(8, 16)),
    Size(train_size=5_000, validation_size=2_000, epochs=5, widths=(8, 16)),
    Size(train_size=10_000, validation_size=2_000, epochs=7, widths=(8, 16)),
    Size(train_size=20_000, validation_size=5_000, epochs=10, widths=(8, 16)),
    Size(train_size=45_000, validation_size=5_000, epochs=12, widths=(16, 32)),
    Size(train_size=45_000, validation_size=5_000, epochs=20, widths=(32, 64)),
    Size(train_size=45_000, validation_size=5_000, epochs=40, widths=(32, 64, 96)),
)
"""Possible sizes of a trial, in increasing order."""

TARGET_TRIALS = 16
"""Minimum number of trials for a larger size of trial."""

MAX_TRIALS = 100
MIN_TRIALS = 2
USED_SHARE = 0.8
"""Share of the available time that the estimate may use. The rest allows for its error."""


@dataclass(frozen=True, kw_only=True)
class SizedFile:
    """A file of the chosen size, with its estimated cost."""

    text: str
    size: Size
    run_cap: int
    """Number of trials of a sweep; 0 for a ladder."""
    seconds: float
    """Estimated seconds, including the start and the replicates."""


def size_of_starter(starter: Starter, *, available: float, slots: int, probe: Probe) -> SizedFile:
    """Return the file of the largest size at which `TARGET_TRIALS` trials, or all rungs, fit into the time.

    If no size fits, return the smallest.

    Args:
        starter: the requested file.
        available: seconds.
        slots: number of concurrent runs.
        probe: estimates the duration of runs.
    """
    best: SizedFile | None = None
    # A recorded configuration keeps its size.
    for size in SIZES[:1] if starter.around is not None else list(map(starter.fitted, SIZES)):
        sized = (_ladder if starter.is_ladder else _sweep)(starter, size, available * USED_SHARE, slots, probe)
        if best is not None and (sized.seconds > available * USED_SHARE or 0 < sized.run_cap < TARGET_TRIALS):
            break
        best = sized
    assert best is not None, "there is at least one size"
    return best


def _sweep(starter: Starter, size: Size, available: float, slots: int, probe: Probe) -> SizedFile:
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.yaml"
        draft.write_text(starter.text(size, run_cap=TARGET_TRIALS), encoding="utf-8")
        spec = load_spec(draft)
    cost = estimate_cost(preview(spec), trials=TARGET_TRIALS, early=spec.early_terminate, slots=slots, probe=probe)
    fixed = START_SECONDS + cost.full_run_seconds * starter.replicates**2 / slots
    each = (cost.seconds - START_SECONDS) / TARGET_TRIALS
    run_cap = min(max(int((available - fixed) / each), MIN_TRIALS), MAX_TRIALS)
    return SizedFile(
        text=starter.text(size, run_cap=run_cap), size=size, run_cap=run_cap, seconds=fixed + run_cap * each
    )


def _ladder(starter: Starter, size: Size, available: float, slots: int, probe: Probe) -> SizedFile:
    text = starter.text(size, run_cap=0)
    with tempfile.TemporaryDirectory() as folder:
        draft = Path(folder) / "draft.yaml"
        draft.write_text(text, encoding="utf-8")
        configs = [rung.config for rung in load_ladder(draft).rungs]
    runs = [probe.seconds(config) + probe.test_seconds(config) for config in configs]
    return SizedFile(text=text, size=size, run_cap=0, seconds=total_seconds(runs, slots=slots))
