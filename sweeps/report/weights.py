"""The trained network behind a name: a run's, or the best one's of a sweep."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.errors import SweepError
from sweeps.report.show import find_run, name_of_run
from sweeps.results import confirming_keys, rank_configurations
from sweeps.study import find_checkpoints, require_same_code
from sweeps.trial_record import Outcome

if TYPE_CHECKING:
    import pandas as pd

    from sweeps.tracking import RecordReader


@dataclass(frozen=True, kw_only=True)
class Weights:
    """A trained network's file, and whose it is."""

    path: Path
    """A checkpoint of `cifar_core.checkpoint`."""
    run: str
    """What people call the run: `quick-003`."""
    run_id: str
    key: str
    val_accuracy: float | None
    """As the record has it, a share; None where nothing was set aside."""
    test_accuracy: float | None
    """None until the test set was opened for the run."""


def find_weights(reader: RecordReader, name: str, *, runs: Path) -> Weights:
    """Return the weights that a person means.

    Args:
        reader: of the record.
        name: a sweep, for its configuration of the first rank; or a run, as in `find_run`.
        runs: the runs folder.

    Raises:
        SweepError: there is no such run, it did not come to its end, its weights are gone, or its network's code is
            another one now; says what to do.
    """
    rows = runs_behind(reader, name)
    config = reader.configuration(rows[0]["run_id"])
    require_same_code(
        config.model, _source(rows[0]), run=name_of_run(rows[0]), sweep=runs / "sweeps" / str(rows[0]["sweep"])
    )
    for row in rows:
        for path in find_checkpoints(runs, row["key"]):
            return Weights(
                path=path,
                run=name_of_run(row),
                run_id=row["run_id"],
                key=row["key"],
                val_accuracy=_accuracy(row["val_accuracy"]),
                test_accuracy=_accuracy(row["test_accuracy"]),
            )
    raise SweepError(
        f"the weights of {name_of_run(rows[0])} are not under {runs / 'sweeps'} any more (a search keeps those of its "
        f"`keep: {{best: 3}}`): `sweeps rerun {name_of_run(rows[0])}` trains the same network again"
    )


def runs_behind(reader: RecordReader, name: str) -> list[dict[str, Any]]:
    """Return the complete runs that a name stands for, the one to use first; arguments and errors of `find_weights`."""
    recorded = reader.runs(sweep=name)
    return [_complete(find_run(reader, name))] if recorded.empty else _best_of(recorded, name)


def _best_of(recorded: pd.DataFrame, sweep: str) -> list[dict[str, Any]]:
    """Return the complete runs of the best configuration, the one to use first."""
    import pandas as pd

    best = rank_configurations(recorded).iloc[0].to_dict()
    if not pd.isna(best["test_accuracy"]) and pd.isna(best["val_accuracy"]):
        raise SweepError(
            f"{sweep} is ordered by its test accuracy, and nothing is chosen by that: name one of its runs, such as "
            f"{name_of_run(best)}"
        )
    if pd.isna(best["rank"]) and best["status"] != Outcome.COMPLETE:
        raise SweepError(
            f"no run of {sweep} has a rank (yet): `sweeps leaderboard {sweep}` lists them, name one of them"
        )
    rows: list[dict[Any, Any]] = recorded[recorded["status"] == Outcome.COMPLETE].to_dict(orient="records")
    same = [row for row in rows if (row["config_id"], _source(row)) == (best["config_id"], _source(best))]
    # Of a confirmed configuration a run that confirms it: the search's own seed was chosen for its luck, and is never
    # tested, whether its run was the search's or was trained to its full length afterwards.
    (confirming, *_) = [*confirming_keys(recorded, top=1), []]
    return sorted(same, key=lambda row: (row["key"] not in confirming, row["seed"], row["run_id"] != best["run_id"]))


def _complete(row: dict[str, Any]) -> dict[str, Any]:
    if row["status"] != Outcome.COMPLETE:
        raise SweepError(f"{name_of_run(row)} did not come to its end ({row['status']}): name a complete run")
    return row


def _accuracy(value: Any) -> float | None:
    import pandas as pd

    return None if pd.isna(value) else float(value)


def _source(row: dict[Any, Any]) -> str | None:
    import pandas as pd

    return None if pd.isna(row["source"]) else str(row["source"])
