"""Steps around the deletion of a sweep: its runs, shared weights, and the leaderboard file."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from sweeps.core.errors import RecordError, StoreError, SweepError
from sweeps.core.task import FILES
from sweeps.core.trial import Outcome
from sweeps.record.ownership import JournalRuns, read_owners
from sweeps.record.reader import MlflowReader
from sweeps.store.checkpoints import SweepCheckpoints
from sweeps.store.folder import CHECKPOINT_FILE, SweepFolder
from sweeps.upkeep.inventory import Inventory, take_inventory
from sweeps.views.exports import to_csv
from sweeps.views.leaderboard import query_leaderboard


def journal_runs(folder: SweepFolder) -> JournalRuns:
    """Return the identities of a sweep's runs in a shared record. Call it while holding the sweep's lock."""
    found = take_inventory(folder, is_held=True)
    return JournalRuns(
        owners={*read_owners(folder.runs, folder.sweep), *found.owners.values()},
        keys={(study, record.key) for study, records in found.studies.items() for record in records},
    )


def preserve_shared_weights(folder: SweepFolder) -> int:
    """Copy weights of a sweep that other sweeps reuse to those sweeps; return the number of copies.

    Raises:
        SweepError: They cannot be copied.
    """
    checkpoints, copied = SweepCheckpoints(folder), 0
    for other in Inventory(folder.runs, held=[folder.sweep]).sweeps:
        if other.name == folder.sweep:
            continue
        target = SweepCheckpoints(other.folder)
        for record in other.records:
            if record.outcome is not Outcome.COMPLETE or record.reused_from is None:
                continue
            if target.file(record.key) is None and (file := checkpoints.fetch(record.key)) is not None:
                _copy(file, record.key, target, other.folder)
                copied += 1
    return copied


def _copy(file: Path, key: str, checkpoints: SweepCheckpoints, folder: SweepFolder) -> None:
    try:
        if folder.storages.storage is None:
            # A hard link takes no space.
            target = folder.checkpoints / key / CHECKPOINT_FILE
            with contextlib.suppress(OSError):
                target.parent.mkdir(parents=True, exist_ok=True)
                if (file.parent / FILES).is_dir():
                    shutil.copytree(file.parent / FILES, target.parent / FILES, dirs_exist_ok=True)
                os.link(file, target)
                return
        checkpoints.put(key, file.read_bytes(), files=file.parent / FILES)
    except (OSError, StoreError) as error:
        raise SweepError(
            f"nothing was deleted, because {folder.sweep} uses the weights of {key} and they cannot be copied to it "
            f"({error})"
        ) from None


def update_leaderboard_file(runs: Path) -> None:
    """Update `leaderboard.csv` from the record, if it exists."""
    board = runs / "leaderboard.csv"
    with contextlib.suppress(RecordError, OSError):
        if board.exists():
            to_csv(query_leaderboard(MlflowReader(runs)), board)
