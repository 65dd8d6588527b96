"""The weights of a run, or of the best run of a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.core.commands import command_on
from sweeps.core.errors import SweepError
from sweeps.core.trial import Outcome
from sweeps.store.checkpoints import find_checkpoints
from sweeps.store.kept_code import require_same_code
from sweeps.views.names import find_named

if TYPE_CHECKING:
    from sweeps.record.reader import RecordReader


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A trained network's checkpoint and its run."""

    path: Path
    """A checkpoint of `cifar_core.checkpoint`."""
    run: str
    """Display name of the run: `quick-003`."""
    run_id: str
    key: str
    val_accuracy: float | None
    """As recorded, a share; None without validation images."""
    test_accuracy: float | None
    """None if the run was not tested."""


def find_weights(reader: RecordReader, name: str, *, runs: Path) -> Weights:
    """Return the weights of a run; for a confirmed configuration, of one of its replicates.

    Args:
        reader: of the record.
        name: as in `find_named`.
        runs: the runs folder.

    Raises:
        SweepError: there is no such run, it is not complete, its weights are gone, or its network's code has changed.
    """
    named = find_named(reader, name)
    complete = [row for row in named.rows if row["status"] == Outcome.COMPLETE]
    if not complete:
        board = command_on("leaderboard", named.row["sweep"], runs=runs)
        raise SweepError(
            f"{named.name} is not complete ({named.row['status']}) and has no final weights: name a complete run. "
            f"`{board}` lists them"
        )
    defining_row = named.defining_row
    config, sweep = reader.configuration(defining_row["run_id"]), runs / "sweeps" / str(defining_row["sweep"])
    require_same_code(config, defining_row["source"], run=named.name, sweep=sweep, trains=False)
    for row in complete:
        for path in find_checkpoints(runs, row["key"]):
            return Weights(
                path=path,
                run=named.run_name(row),
                run_id=row["run_id"],
                key=row["key"],
                val_accuracy=_accuracy(row["val_accuracy"]),
                test_accuracy=_accuracy(row["test_accuracy"]),
            )
    run = named.run_name(complete[0])
    raise SweepError(
        f"the weights of {run} are no longer under {runs / 'sweeps'} (a search keeps those of its best trials, "
        f"`keep: {{best: 3}}`). Run `{command_on('rerun', run, runs=runs)}` to train the same network again"
    )


def _accuracy(value: Any) -> float | None:
    return None if value is None else float(value)
