"""Check of the data: whether CIFAR-10 is there, and to the last byte."""

from __future__ import annotations

from cifar_core.data import cifar10_fault, default_directory, fetch_cifar10
from sweeps.upkeep.finding import Finding, Result
from sweeps.upkeep.inventory import Inventory


def check_data(inventory: Inventory) -> Result:
    """Compare the data with its fingerprints; half a second."""
    fault = cifar10_fault()
    well = f"CIFAR-10 in {default_directory()} is what it should be"
    if fault is None:
        return Result(well=well)
    text = f"{fault}: `sweeps data` or `sweeps doctor --fix` fetches CIFAR-10"
    return Result(well=well, findings=[Finding(text=text, mend=_fetch)])


def _fetch() -> str:
    # What is there stays until its successor is complete.
    report = fetch_cifar10()
    return f"CIFAR-10 is in {report.directory} (source {report.source})"
