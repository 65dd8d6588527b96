"""What goes, stays and follows when a sweep is deleted."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from sweeps.core.errors import RecordError, StoreError, SweepError
from sweeps.core.trial import Outcome
from sweeps.record.ownership import OwnRuns, noted_owners
from sweeps.record.reader import MlflowReader
from sweeps.store.checkpoints import SweepCheckpoints
from sweeps.store.folder import CHECKPOINT_FILE, SweepFolder
from sweeps.upkeep.inventory import Inventory, take_inventory
from sweeps.views.exports import to_csv
from sweeps.views.leaderboard import query_leaderboard


def own_runs(folder: SweepFolder) -> OwnRuns:
    """Return by what the runs of a sweep are known in a record that others write too; to be called under its lock."""
    found = take_inventory(folder, is_held=True)
    return OwnRuns(
        owners={*noted_owners(folder.runs, folder.sweep), *found.owners.values()},
        keys={(study, record.key) for study, records in found.studies.items() for record in records},
    )


def keep_weights_of_others(folder: SweepFolder) -> int:
    """Give the weights that other sweeps have taken over from one to those sweeps; return how many these are.

    Raises:
        SweepError: they cannot be kept.
    """
    own, kept = SweepCheckpoints(folder), 0
    for other in Inventory(folder.runs, held=[folder.sweep]).sweeps:
        if other.name == folder.sweep:
            continue
        theirs = SweepCheckpoints(other.folder)
        for record in other.records:
            if record.outcome is not Outcome.COMPLETE or record.reused_from is None:
                continue
            if theirs.file(record.key) is None and (file := own.fetch(record.key)) is not None:
                _keep(file, record.key, theirs, other.folder)
                kept += 1
    return kept


def _keep(file: Path, key: str, theirs: SweepCheckpoints, folder: SweepFolder) -> None:
    try:
        if folder.storages.storage is None:
            # A second name of the same file takes no space.
            target = folder.checkpoints / key / CHECKPOINT_FILE
            with contextlib.suppress(OSError):
                target.parent.mkdir(parents=True, exist_ok=True)
                os.link(file, target)
                return
        theirs.put(key, file.read_bytes())
    except (OSError, StoreError) as error:
        raise SweepError(
            f"nothing was deleted: {folder.sweep} uses the weights of {key}, and they cannot be given to it ({error})"
        ) from None


def rewrite_board(runs: Path) -> None:
    """Let `leaderboard.csv` say what the record says now, where there is one."""
    board = runs / "leaderboard.csv"
    with contextlib.suppress(RecordError, OSError):
        if board.exists():
            to_csv(query_leaderboard(MlflowReader(runs)), board)
