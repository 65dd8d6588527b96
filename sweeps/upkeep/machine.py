"""Checks of the machine: the runs folder, the room on disk and in shared memory, the data, what is left of Ray."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from sweeps.backends.ray.environment import abandoned_processes, ray_folder
from sweeps.core.formatting import bytes_in_words
from sweeps.tasks.registry import IMAGES
from sweeps.upkeep.finding import Finding, Result, remark
from sweeps.upkeep.inventory import Inventory

ENOUGH_BYTES = 1_000_000_000
"""On the disk: below it a sweep of larger networks may end with a full one."""
OBJECT_STORE_BYTES = 1_200_000_000
"""What a local Ray sets aside in shared memory: one gigabyte, and the images."""
_SHARED_MEMORY = Path("/dev/shm")


def check_runs_folder(inventory: Inventory) -> Result:
    """Look whether the runs folder can be written, without writing."""
    existing = _existing(inventory.runs)
    findings = []
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        findings.append(Finding(text=f"{existing} cannot be written: choose another folder with --runs"))
    missing = "" if inventory.runs.exists() else " (not there yet: the first sweep makes it)"
    return Result(well=f"{inventory.runs} can be written{missing}", findings=findings)


def check_disk(inventory: Inventory) -> Result:
    """Look how much room is left where runs and where Ray write."""
    findings, said = [], []
    for what, folder in (("the runs folder", inventory.runs), ("Ray's temporary folder", ray_folder())):
        free = shutil.disk_usage(_existing(folder)).free
        said.append(f"{bytes_in_words(free)} free under {what}")
        if free < ENOUGH_BYTES:
            enough = bytes_in_words(ENOUGH_BYTES)
            text = f"only {said[-1]} ({folder}; at least {enough}): make room, perhaps with `sweeps gc`"
            findings.append(Finding(text=text))
    return Result(well=f"{', '.join(said)} (at least {bytes_in_words(ENOUGH_BYTES)} each)", findings=findings)


def check_shared_memory(inventory: Inventory) -> Result:
    """Look whether Ray's object store has room in shared memory; it does without, more slowly."""
    if not _SHARED_MEMORY.is_dir():
        return Result(well="this system has no /dev/shm: Ray keeps its images on disk")
    free = shutil.disk_usage(_SHARED_MEMORY).free
    enough = bytes_in_words(OBJECT_STORE_BYTES)
    if free < OBJECT_STORE_BYTES:
        text = (
            f"only {bytes_in_words(free)} free in {_SHARED_MEMORY}: Ray wants {enough} there and keeps its images on "
            "disk instead (in a container: --shm-size=2g)"
        )
        return Result(well="", findings=[remark(text)])
    return Result(well=f"{bytes_in_words(free)} free in {_SHARED_MEMORY} (at least {enough})")


def check_data(inventory: Inventory) -> Result:
    """Compare the data with its fingerprints; half a second."""
    fault = IMAGES.data_fault()
    if fault is None:
        return Result(well=f"{IMAGES.data_location()} is what it should be")
    # What is there stays until its successor is complete.
    return Result(well="", findings=[Finding(text=fault, mend=IMAGES.fetch_data)])


def check_ray(inventory: Inventory) -> Result:
    """Look for processes of Ray that a driver of this runs folder started, and that outlive it."""
    found = abandoned_processes(inventory.runs)
    count = "a process" if len(found) == 1 else f"{len(found)} processes"
    text = f"{count} of Ray outlived the driver: {_named(found)}: `sweeps doctor --fix` ends exactly these"
    findings = [Finding(text=text, mend=partial(_end, inventory.runs))] if found else []
    return Result(well="no process of Ray has outlived a driver of this folder", findings=findings)


def _end(runs: Path) -> str:
    return f"ended {_named(abandoned_processes(runs, ends=True)) or 'none: all have ended by themselves'}"


def _named(processes: Sequence[tuple[int, str]]) -> str:
    return ", ".join(f"{pid} ({name})" for pid, name in processes)


def _existing(path: Path) -> Path:
    """Return a path, or the nearest folder above it that is there."""
    path = path.absolute()
    return next((folder for folder in (path, *path.parents) if folder.exists()), Path("/"))
