"""How many trials train at once on a machine or a cluster, and what each holds. No Ray here: `sweeps plan` asks too."""

from __future__ import annotations

from dataclasses import dataclass

from sweeps.errors import SweepError
from sweeps.formatting import plural
from sweeps.machine import core_count, local_gpus
from sweeps.spec import Limits, Resources


@dataclass(frozen=True, kw_only=True)
class Slots:
    """How many trials train at once, and what each holds."""

    count: int
    cpus: int
    gpus: float

    @property
    def device(self) -> str:
        return "cuda" if self.gpus else "cpu"

    def describe(self) -> str:
        held = f"{self.gpus:g} GPU" if self.gpus else plural(self.cpus, "core")
        return f"{plural(self.count, 'slot')} of {held}"


def slots_of(resources: Resources, limits: Limits, *, cpus: float, gpus: float) -> Slots:
    """Return the slots that a machine or cluster of so many CPUs and GPUs offers.

    Raises:
        SweepError: one trial needs more than there is.
    """
    each = resources.gpus_per_trial
    gpus_each = (1.0 if gpus else 0.0) if each == "auto" else float(each)
    count = int(cpus // resources.cpus_per_trial)
    if gpus_each:
        # A fraction is counted GPU by GPU: a trial cannot use halves of two.
        on_gpus = int(gpus) * int(1 / gpus_each + 1e-9) if gpus_each < 1 else int(gpus // gpus_each)
        count = min(count, on_gpus)
    if count < 1:
        raise SweepError(
            f"a trial asks for {resources.cpus_per_trial} CPUs and {gpus_each:g} GPUs, but there are {cpus:g} and "
            f"{gpus:g}: lower resources.cpus_per_trial or resources.gpus_per_trial"
        )
    if limits.max_concurrent_trials != "auto":
        count = min(count, limits.max_concurrent_trials)
    return Slots(count=count, cpus=resources.cpus_per_trial, gpus=gpus_each)


def local_slots(resources: Resources, limits: Limits) -> Slots:
    """Return the slots of this machine without starting Ray."""
    return slots_of(resources, limits, cpus=core_count(), gpus=local_gpus())
