"""How large a sweep or a ladder may be so that it ends in the time that somebody has."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from cifar_core.config import TrainingConfig
from sweeps.execution.estimate import START_SECONDS, makespan
from sweeps.spec import Size, Starter, has_width
from sweeps.stopping import Asha, Never

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
"""What a trial may be, the smallest first."""

WANTED_TRIALS = 16
"""A search of fewer has not seen enough to choose from: a smaller trial is better then."""

MOST_TRIALS = 100
FEWEST_TRIALS = 2
USED_SHARE = 0.8
"""Of the time, what runs take as `Probe` times them: the rest is waiting, and that trials beside each other are slower
than the probe alone."""

Seconds = Callable[[TrainingConfig], float]
"""What a whole run takes on one slot, as `Probe.seconds` measures it."""


@dataclass(frozen=True, kw_only=True)
class Sized:
    """The size that fits, and what it will take."""

    size: Size
    run_cap: int
    seconds: float
    """Start-up and evaluation counted."""


def size_of_sweep(starter: Starter, *, available: float, slots: int, seconds: Seconds) -> Sized:
    """Return the largest size of a trial at which `WANTED_TRIALS` fit into the time, and how many fit.

    Trials, with what early stopping leaves of them, and the replicates after them share `USED_SHARE` of the time that
    `START_SECONDS` leave. Where not even the smallest size allows that many, it is the smallest with as many as fit.
    """
    early = Asha() if starter.early else Never()
    budget = max(0.0, available - START_SECONDS) * USED_SHARE * slots
    best: Sized | None = None
    for size in [_own_size(starter.around)] if starter.around is not None else SIZES:
        configs = [starter.around] if starter.around is not None else starter_configurations(starter, size)
        each = [seconds(config) for config in configs]
        whole = sum(each) / len(each)
        trial = whole * early.expected_epochs(size.epochs) / size.epochs
        again = whole * starter.replicates**2
        fit = int((budget - again) / trial) if trial else MOST_TRIALS
        if best is not None and fit < WANTED_TRIALS:
            break
        run_cap = min(max(fit, FEWEST_TRIALS), MOST_TRIALS)
        best = Sized(size=size, run_cap=run_cap, seconds=_wall(run_cap * trial + again, slots))
    assert best is not None, "there is at least one size"
    return best


def size_of_ladder(starter: Starter, *, rungs: int, available: float, slots: int, seconds: Seconds) -> Sized:
    """Return the largest size at which every rung ends in the time; the smallest where none does.

    Args:
        starter: what was asked for.
        rungs: of the first network; every other network is one more.
        available: seconds.
        slots: runs at a time.
        seconds: of a run.
    """
    best: Sized | None = None
    for size in SIZES:
        narrow = [
            config for config in starter_configurations(starter, size) if config.model.width in (None, size.widths[0])
        ]
        runs = [*[seconds(narrow[0])] * (rungs - 1), *map(seconds, narrow)]
        wall = _wall(makespan(runs, slots=slots) * slots, slots)
        if best is not None and wall > available:
            break
        best = Sized(size=size, run_cap=len(runs), seconds=wall)
    assert best is not None, "there is at least one size"
    return best


def starter_configurations(starter: Starter, size: Size) -> Sequence[TrainingConfig]:
    """Return one configuration of each network and width."""
    return [
        TrainingConfig.model_validate(
            {
                "epochs": size.epochs,
                "model": {"name": network, "width": width},
                "data": {"train_size": size.train_size, "validation_size": size.validation_size},
            }
        )
        for network in starter.networks
        for width in (size.widths if has_width(network) else (None,))
    ]


def _own_size(config: TrainingConfig) -> Size:
    return Size(
        train_size=config.train_images(),
        validation_size=config.data.validation_size,
        epochs=config.epochs,
        widths=(),
    )


def _wall(slot_seconds: float, slots: int) -> float:
    return START_SECONDS + slot_seconds / slots / USED_SHARE
