"""The number of slots on a machine or a cluster, and their resources. Does not import Ray: `sweeps plan` uses it."""

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
"""Ray rounds amounts down to ten-thousandths, so that three trials with a third of a GPU share one GPU."""

Amounts = Mapping[str, float]
"""Ray's resource name (`CPU`, `GPU`, or a custom resource) → amount, offered by a node or demanded by a trial."""


@dataclass(frozen=True, kw_only=True)
class Slots:
    """The number of trials that train at once, and the resources of each."""

    count: int
    cpus: int
    gpus: float
    custom: Amounts = field(default_factory=dict)
    """Ray's custom resources."""

    @property
    def device(self) -> str:
        return "cuda" if self.gpus else "cpu"

    @property
    def demand(self) -> dict[str, float]:
        """The resources of one trial, by Ray's names."""
        gpus = {GPU: self.gpus} if self.gpus else {}
        return {CPU: float(self.cpus), **gpus, **self.custom}

    def describe(self) -> str:
        size = f"{self.gpus:g} GPU" if self.gpus else plural(self.cpus, "core")
        custom = "".join(f" and {amount:g} {name}" for name, amount in self.custom.items())
        return f"{plural(self.count, 'slot')} of {size}{custom}"

    def on(self, nodes: Sequence[Amounts], limits: Limits) -> Slots:
        """Return these slots with the count for other nodes, after nodes joined or left.

        The count is at least one: if no node has the resources, one trial waits for such a node.
        """
        return replace(self, count=max(1, _limited(sum(fitting(self.demand, node) for node in nodes), limits)))


def slots_of(resources: Resources, limits: Limits, nodes: Sequence[Amounts]) -> Slots:
    """Return the slots of a machine or of a cluster's nodes. A trial uses one node.

    Raises:
        SweepError: A trial needs more than any node has.
    """
    gpus = resources.gpus_per_trial
    if gpus == "auto":
        gpus = 1.0 if any(node.get(GPU, 0) >= 1 for node in nodes) else 0.0
    slots = Slots(count=0, cpus=resources.cpus_per_trial, gpus=float(gpus), custom=resources.custom)
    count = sum(fitting(slots.demand, node) for node in nodes)
    if count < 1:
        raise SweepError(_no_slot_error(slots.demand, nodes))
    return replace(slots, count=_limited(count, limits))


def local_slots(resources: Resources, limits: Limits) -> Slots:
    """Return the slots of this machine without starting Ray, ignoring custom resources, which it does not have."""
    require_gpu(resources, address=None)
    local = resources.model_copy(update={"custom": {}})
    return slots_of(local, limits, [{CPU: core_count(), GPU: local_gpus()}])


def require_custom(resources: Resources, *, address: str | None) -> None:
    """Check that a cluster is used if a trial needs custom resources.

    Raises:
        SweepError: Only this machine is used.
    """
    if resources.custom and address is None:
        offers = ", ".join(f'"{name}": {amount:g}' for name, amount in resources.custom.items())
        raise SweepError(
            f"resources.custom requests {', '.join(resources.custom)}, which only nodes of a Ray cluster can offer. "
            "Use a cluster (--address HOST:PORT) whose nodes were started with "
            f"`ray start --resources='{{{offers}}}'`, or leave it out."
        )


def require_gpu(resources: Resources, *, address: str | None) -> None:
    """Check before the start that this machine has a GPU if a trial needs one.

    Raises:
        SweepError: CUDA finds no GPU.
    """
    gpus = resources.gpus_per_trial
    if address is None and gpus not in ("auto", 0) and not local_gpus():
        raise SweepError(
            f"resources.gpus_per_trial is {gpus:g}, and no GPU was found: {missing_gpu_reason()}. Write 0 or auto to "
            "train on CPU cores."
        )


def gpu_warning(resources: Resources, *, address: str | None) -> str | None:
    """Return a warning if trials train on CPU cores although CUDA_VISIBLE_DEVICES names a GPU; else None."""
    named = os.environ.get("CUDA_VISIBLE_DEVICES", "").strip() not in ("", "-1", "NoDevFiles")
    if address is not None or resources.gpus_per_trial != "auto" or not named or local_gpus():
        return None
    return f"CUDA_VISIBLE_DEVICES names a GPU, and trials train on CPU cores: {missing_gpu_reason()}"


def fitting(demand: Amounts, node: Amounts) -> int:
    """Return how many trials fit on a node at once.

    Fractions of a GPU are counted per GPU, since a trial cannot use parts of two.
    """
    counts = []
    for name, amount in demand.items():
        each, offered = _units(amount), _units(node.get(name, 0))
        if name == GPU and each < UNIT:
            counts.append(offered // UNIT * (UNIT // each))
        else:
            counts.append(offered // each)
    return min(counts)


def _units(amount: float) -> int:
    # Corrects rounding errors: 0.29 * 10,000 is less than 2,900.
    return int(amount * UNIT + 1e-6)


def _limited(count: int, limits: Limits) -> int:
    return count if limits.max_concurrent_trials == "auto" else min(count, limits.max_concurrent_trials)


def _no_slot_error(demand: Amounts, nodes: Sequence[Amounts]) -> str:
    """Return the error message for a trial that fits on no node."""
    # Only demanded resources count: many cores do not help a trial that needs a GPU.
    nearest = max(
        nodes, key=lambda node: sum(min(1.0, node.get(name, 0) / demand[name]) for name in demand), default={}
    )
    offered = {name: nearest.get(name, 0) for name in demand}
    problem = (
        f"no node has that. The closest node has {_listed(offered)}"
        if len(nodes) > 1
        else f"this machine has {_listed(offered)}"
    )
    add = ", or add a node that has it" if len(nodes) > 1 else ""
    keys = {CPU: "resources.cpus_per_trial", GPU: "resources.gpus_per_trial"}
    short = [keys.get(name, f"resources.custom.{name}") for name in demand if offered[name] < demand[name]]
    lower = " or ".join(short)
    return f"a trial needs {_listed(demand)}, but {problem}. Lower {lower}{add}."


def _listed(amounts: Amounts) -> str:
    def named(name: str, amount: float) -> str:
        return f"{amount:g} {name}" + ("s" if name in (CPU, GPU) and amount != 1 else "")

    *others, last = [named(name, amount) for name, amount in amounts.items()]
    return f"{', '.join(others)} and {last}" if others else last
