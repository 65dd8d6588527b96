"""Checks of the machine: runs folder, disk space, shared memory, data, and left-over Ray processes."""

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
"""Minimum free disk space. With less, a sweep of larger networks may fill the disk."""
OBJECT_STORE_BYTES = 1_200_000_000
"""Shared memory of a local Ray: one gigabyte, and the images."""
_SHARED_MEMORY = Path("/dev/shm")


def check_runs_folder(inventory: Inventory) -> Result:
    """Check whether the runs folder can be written, without writing."""
    existing = _existing(inventory.runs)
    findings = []
    if not existing.is_dir() or not os.access(existing, os.W_OK | os.X_OK):
        findings.append(Finding(text=f"{existing} cannot be written. Choose another folder with --runs"))
    missing = "" if inventory.runs.exists() else " (the first sweep creates it)"
    return Result(ok_text=f"{inventory.runs} can be written{missing}", findings=findings)


def check_disk(inventory: Inventory) -> Result:
    """Check the free disk space of the runs folder and of Ray's temporary folder."""
    findings, texts = [], []
    for name, folder in (("the runs folder", inventory.runs), ("Ray's temporary folder", ray_folder())):
        free = shutil.disk_usage(_existing(folder)).free
        texts.append(f"{bytes_in_words(free)} free in {name}")
        if free < ENOUGH_BYTES:
            enough = bytes_in_words(ENOUGH_BYTES)
            text = f"only {texts[-1]} ({folder}; {enough} are needed). Free disk space, for example with `sweeps gc`"
            findings.append(Finding(text=text))
    return Result(ok_text=f"{', '.join(texts)} ({bytes_in_words(ENOUGH_BYTES)} required in each)", findings=findings)


def check_shared_memory(inventory: Inventory) -> Result:
    """Check the shared memory for Ray's object store, which is slower on disk."""
    if not _SHARED_MEMORY.is_dir():
        return Result(ok_text="this system has no /dev/shm: Ray stores the images on disk")
    free = shutil.disk_usage(_SHARED_MEMORY).free
    enough = bytes_in_words(OBJECT_STORE_BYTES)
    if free < OBJECT_STORE_BYTES:
        text = (
            f"only {bytes_in_words(free)} free in {_SHARED_MEMORY}. Ray needs {enough}, and stores the images on disk "
            "instead. In a container start it with --shm-size=2g"
        )
        return Result(ok_text="", findings=[remark(text)])
    return Result(ok_text=f"{bytes_in_words(free)} free in {_SHARED_MEMORY} ({enough} required)")


def check_data(inventory: Inventory) -> Result:
    """Compare the data with its checksums, in half a second."""
    problem = IMAGES.data_fault()
    if problem is None:
        return Result(ok_text=f"{IMAGES.data_location()} is intact")
    # Fetching keeps the existing data until the new data is complete.
    return Result(ok_text="", findings=[Finding(text=problem, repair=IMAGES.fetch_data)])


def check_ray(inventory: Inventory) -> Result:
    """Find Ray processes that were started by a driver of this runs folder and are still running."""
    found = abandoned_processes(inventory.runs)
    count = "a Ray process is" if len(found) == 1 else f"{len(found)} Ray processes are"
    text = f"{count} left over from a driver: {_named(found)}. Run `sweeps doctor --fix` to end exactly these"
    findings = [Finding(text=text, repair=partial(_end_processes, inventory.runs))] if found else []
    return Result(ok_text="no Ray process is left over from a driver of this folder", findings=findings)


def _end_processes(runs: Path) -> str:
    ended = abandoned_processes(runs, kill=True)
    return f"ended {_named(ended)}" if ended else "the processes had already ended"


def _named(processes: Sequence[tuple[int, str]]) -> str:
    return ", ".join(f"{pid} ({name})" for pid, name in processes)


def _existing(path: Path) -> Path:
    """Return a path, or its nearest existing parent."""
    path = path.absolute()
    return next((folder for folder in (path, *path.parents) if folder.exists()), Path("/"))
