"""How many trials train at once on a machine or a cluster, and what each holds. No Ray here: `sweeps plan` asks too."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from sweeps.core.errors import SweepError
from sweeps.core.formatting import plural
from sweeps.files.settings import Limits, Resources
from sweeps.system.machine import core_count, local_gpus, missing_gpu_reason

CPU, GPU = "CPU", "GPU"
UNIT = 10_000
"""Ray counts in ten-thousandths, and cuts off what is below: three thirds of a GPU are one GPU."""

Amounts = Mapping[str, float]
"""What a node offers or a trial holds, by Ray's names: `CPU`, `GPU`, and the custom resources."""


@dataclass(frozen=True, kw_only=True)
class Slots:
    """How many trials train at once, and what each holds."""

    count: int
    cpus: int
    gpus: float
    custom: Amounts = field(default_factory=dict)
    """Ray's custom resources, by name."""

    @property
    def device(self) -> str:
        return "cuda" if self.gpus else "cpu"

    @property
    def holds(self) -> dict[str, float]:
        """Return what one trial holds, by Ray's names."""
        gpus = {GPU: self.gpus} if self.gpus else {}
        return {CPU: float(self.cpus), **gpus, **self.custom}

    def describe(self) -> str:
        held = f"{self.gpus:g} GPU" if self.gpus else plural(self.cpus, "core")
        custom = "".join(f" and {amount:g} {name}" for name, amount in self.custom.items())
        return f"{plural(self.count, 'slot')} of {held}{custom}"

    def on(self, nodes: Sequence[Amounts], limits: Limits) -> Slots:
        """Return as many of these as there are on other nodes: some joined, some died.

        At least one: where no node is left that has what a trial needs, one trial waits for such a node.
        """
        return replace(self, count=max(1, _limited(sum(fitting(self.holds, node) for node in nodes), limits)))


def slots_of(resources: Resources, limits: Limits, nodes: Sequence[Amounts]) -> Slots:
    """Return the slots that a machine's or a cluster's nodes offer: a trial is on one of them, never on two.

    Raises:
        SweepError: one trial needs more than any node has.
    """
    asked = resources.gpus_per_trial
    if asked == "auto":
        asked = 1.0 if any(node.get(GPU, 0) >= 1 for node in nodes) else 0.0
    slots = Slots(count=0, cpus=resources.cpus_per_trial, gpus=float(asked), custom=resources.custom)
    count = sum(fitting(slots.holds, node) for node in nodes)
    if count < 1:
        raise SweepError(_no_room(slots.holds, nodes))
    return replace(slots, count=_limited(count, limits))


def local_slots(resources: Resources, limits: Limits) -> Slots:
    """Return the slots of this machine without starting Ray; custom resources, which it does not have, left out."""
    require_gpu(resources, address=None)
    local = resources.model_copy(update={"custom": {}})
    return slots_of(local, limits, [{CPU: core_count(), GPU: local_gpus()}])


def require_custom(resources: Resources, *, address: str | None) -> None:
    """Check that there is a cluster where a trial asks for what only a cluster's nodes can offer.

    Raises:
        SweepError: this machine alone is to be used.
    """
    if resources.custom and address is None:
        offers = ", ".join(f'"{name}": {amount:g}' for name, amount in resources.custom.items())
        raise SweepError(
            f"resources.custom asks for {', '.join(resources.custom)}, which this machine alone does not offer: use "
            f"a Ray cluster (--address HOST:PORT) whose nodes do, each begun with "
            f"`ray start --resources='{{{offers}}}'`, or leave it out"
        )


def require_gpu(resources: Resources, *, address: str | None) -> None:
    """Check that this machine has the GPU that a trial asks for, before anything is begun.

    Raises:
        SweepError: it has none that CUDA counts; says why.
    """
    asked = resources.gpus_per_trial
    if address is None and asked not in ("auto", 0) and not local_gpus():
        raise SweepError(
            f"resources.gpus_per_trial is {asked:g}, and no trial would find a GPU: {missing_gpu_reason()}; write 0 "
            "or auto to train on CPU cores"
        )


def gpu_warning(resources: Resources, *, address: str | None) -> str | None:
    """Return why trials train on CPU cores although the environment names GPUs; None where that is not so."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "").strip() not in ("", "-1", "NoDevFiles")
    if address is not None or resources.gpus_per_trial != "auto" or not named or local_gpus():
        return None
    return f"CUDA_VISIBLE_DEVICES names a GPU, and trials train on CPU cores: {missing_gpu_reason()}"


def fitting(holds: Amounts, node: Amounts) -> int:
    """Return how many trials fit on a node beside each other.

    A fraction of a GPU is counted GPU by GPU: a trial cannot use parts of two.
    """
    counts = []
    for name, amount in holds.items():
        each, there = _units(amount), _units(node.get(name, 0))
        if name == GPU and each < UNIT:
            counts.append(there // UNIT * (UNIT // each))
        else:
            counts.append(there // each)
    return min(counts)


def _units(amount: float) -> int:
    # Not a hair below what is meant: 0.29 * 10,000 is.
    return int(amount * UNIT + 1e-6)


def _limited(count: int, limits: Limits) -> int:
    return count if limits.max_concurrent_trials == "auto" else min(count, limits.max_concurrent_trials)


def _no_room(holds: Amounts, nodes: Sequence[Amounts]) -> str:
    """Return what a trial needs, what there is, and what to do about it."""
    # By what is asked for: a hundred cores are of no use to a trial that needs a GPU.
    nearest = max(nodes, key=lambda node: sum(min(1.0, node.get(name, 0) / holds[name]) for name in holds), default={})
    there = {name: nearest.get(name, 0) for name in holds}
    where = (
        f"no node has that: the one that comes nearest has {_listed(there)}"
        if len(nodes) > 1
        else f"there are {_listed(there)}"
    )
    add = ", or add a node that has it" if len(nodes) > 1 else ""
    keys = {CPU: "resources.cpus_per_trial", GPU: "resources.gpus_per_trial"}
    short = [keys.get(name, f"resources.custom.{name}") for name in holds if there[name] < holds[name]]
    lower = " or ".join(short)
    return f"a trial asks for {_listed(holds)}, but {where}: lower {lower}{add}"


def _listed(amounts: Amounts) -> str:
    def named(name: str, amount: float) -> str:
        return f"{amount:g} {name}" + ("s" if name in (CPU, GPU) and amount != 1 else "")

    *others, last = [named(name, amount) for name, amount in amounts.items()]
    return f"{', '.join(others)} and {last}" if others else last
