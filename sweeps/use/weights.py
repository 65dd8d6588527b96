"""The weights of a run, or of the best run of a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cifar_core.common.user_modules import NETWORK, PROGRAM
from sweeps.core.commands import command_on
from sweeps.core.errors import SweepError
from sweeps.core.trial import Outcome
from sweeps.store.checkpoints import find_checkpoints
from sweeps.store.kept_code import require_same_code
from sweeps.tasks.registry import task_of
from sweeps.views.names import find_named

if TYPE_CHECKING:
    from sweeps.core.task import TaskConfig
    from sweeps.record.reader import RecordReader


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The checkpoint of a complete run."""

    path: Path
    """For a network, a checkpoint of `cifar_core.checkpoint`."""
    config: TaskConfig
    run: str
    """Display name of the run: `quick-003`."""
    run_id: str
    key: str
    val_accuracy: float | None
    """As recorded, a share; None without validation images."""
    test_accuracy: float | None
    """None if the run was not tested."""


def find_weights(reader: RecordReader, name: str, *, runs: Path) -> Weights:
    """Return the weights of a network; for a confirmed configuration, of one of its replicates.

    Args:
        reader: of the record.
        name: as in `find_named`.
        runs: the runs folder.

    Raises:
        SweepError: there is no such run, it is not of a network, it is not complete, its weights are gone, or its
            network's code has changed.
    """
    require_network(reader, name)
    return find_checkpoint(reader, name, runs=runs)


def is_of_network(reader: RecordReader, name: str) -> bool:
    """Return whether a run, named as in `find_named`, was trained by neither a function nor a program of the user's."""
    config = reader.configuration(find_named(reader, name).defining_row["run_id"])
    return task_of(config).code_kind is NETWORK


def require_network(reader: RecordReader, name: str) -> None:
    """Raise SweepError unless `is_of_network`."""
    if is_of_network(reader, name):
        return
    named = find_named(reader, name)
    config = reader.configuration(named.defining_row["run_id"])
    task = task_of(config)
    keep = "write files to SWEEPS_ARTIFACTS_DIR" if task.code_kind is PROGRAM else "call trial.log_artifact(path)"
    raise SweepError(
        f"{named.name} was trained by {task.label(config)}, and this command is for networks. To keep a model or "
        f"pictures of such a run, {keep} in the training: `sweeps ui {named.defining_row['sweep']}` shows them."
    )


def find_checkpoint(reader: RecordReader, name: str, *, runs: Path) -> Weights:
    """Return the checkpoint of a complete run of any task; for a confirmed configuration, of one of its replicates.

    Args:
        reader: of the record.
        name: as in `find_named`.
        runs: the runs folder.

    Raises:
        SweepError: there is no such run, it is not complete, its weights are gone, or its code has changed.
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
                config=config,
                run=named.run_name(row),
                run_id=row["run_id"],
                key=row["key"],
                val_accuracy=_accuracy(row["val_accuracy"]),
                test_accuracy=_accuracy(row["test_accuracy"]),
            )
    run = named.run_name(complete[0])
    raise SweepError(
        f"the weights of {run} are no longer under {runs / 'sweeps'} (a search keeps those of its best trials, "
        f"`keep: {{best: 3}}`). Run `{command_on('rerun', run, runs=runs)}` to train the same run again"
    )


def _accuracy(value: Any) -> float | None:
    return None if value is None else float(value)
