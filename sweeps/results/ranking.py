"""Ranks: which runs may be compared, the interval of each, and their order within one evaluation protocol."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from sweeps.identity import Protocol, replicate_group
from sweeps.results.statistics import student_interval, wilson_interval
from sweeps.trial_record import Outcome

if TYPE_CHECKING:
    import pandas as pd

_UNRANKED = (
    Outcome.COMPLETE,
    Outcome.RUNNING,
    Outcome.INTERRUPTED,
    Outcome.PRUNED,
    Outcome.DIVERGED,
    Outcome.FAILED,
)
"""Order below the ranks: what may still get a rank comes first."""


def rank_runs(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the record's table with ranks and intervals, in the order of the ranks.

    Only complete runs with a finite validation accuracy of their last epoch have a rank, counted from 1 within
    one evaluation protocol; the protocol with the largest budget comes first. A result that several sweeps list
    takes one rank. All others follow without one.

    Replicates are complete runs of one configuration, and of one source where the network is a user's own, under
    several seeds. With two or more, `val_std` is their sample standard deviation and `ci_low` to `ci_high`
    Student's 95 % interval of their mean; for a single run it is Wilson's 95 % interval of its accuracy on its
    validation images.
    """
    frame = _with_intervals(frame)
    return frame if frame.empty else _ordered(frame)


def _rankable(frame: pd.DataFrame) -> pd.Series:
    return (frame["status"] == Outcome.COMPLETE.value) & frame["val_accuracy"].between(0.0, 1.0)


def _protocols(frame: pd.DataFrame) -> dict[str, Protocol | None]:
    return {text: Protocol.parse(text) for text in frame["protocol"].unique()}


def _with_intervals(frame: pd.DataFrame) -> pd.DataFrame:
    import pandas as pd

    rows = frame[_rankable(frame)]
    protocols = _protocols(rows)
    groups: dict[tuple[str, tuple[str, str]], list[Any]] = {}
    for index, row in zip(rows.index, rows.to_dict(orient="records"), strict=True):
        groups.setdefault((row["protocol"], _group_of(row)), []).append(index)
    keys, accuracies = rows["key"].to_dict(), rows["val_accuracy"].to_dict()
    cells: dict[Any, tuple[int, float, float, float]] = {}
    for (text, _), members in groups.items():
        # One key is one seed: a result that another sweep took over is no second replicate.
        values = list({keys[index]: accuracies[index] for index in reversed(members)}.values())
        protocol = protocols[text]
        deviation, low, high = math.nan, math.nan, math.nan
        if len(values) > 1:
            deviation, low, high = student_interval(values)
        elif protocol is not None and protocol.validation_images:
            low, high = wilson_interval(values[0], images=protocol.validation_images)
        cells |= dict.fromkeys(members, (len(values), deviation, low, high))
    filled = pd.DataFrame.from_dict(
        cells, orient="index", columns=["replicates", "val_std", "ci_low", "ci_high"]
    ).reindex(frame.index)
    return frame.assign(**filled.astype({"replicates": "Int64"}))


def _group_of(row: dict[Any, Any]) -> tuple[str, str]:
    return replicate_group(
        config_id=row["config_id"],
        source=row["source"],
        model=str(row.get("model.name", "")),
        key=row["key"],
    )


def _ordered(frame: pd.DataFrame) -> pd.DataFrame:
    rankable = _rankable(frame)
    budgets = {text: protocol.budget if protocol else 0 for text, protocol in _protocols(frame).items()}
    protocols = sorted(budgets, key=lambda text: (-budgets[text], text))
    order = frame.assign(
        _protocol=frame["protocol"].map(protocols.index),
        _accuracy=-frame["val_accuracy"],
        _outcome=frame["status"].map({outcome.value: index for index, outcome in enumerate(_UNRANKED)}),
        _epochs=-frame["epochs"].fillna(0).astype(int),
    )
    ranked = order[rankable].sort_values(["_protocol", "_accuracy", "train_seconds", "key", "started", "run_id"])
    others = order[~rankable].sort_values(["_outcome", "_protocol", "_epochs", "_accuracy", "sweep", "trial"])
    ranks: list[int] = []
    last: tuple[object, ...] = ()
    for protocol, key, accuracy in zip(ranked["protocol"], ranked["key"], ranked["val_accuracy"], strict=True):
        if not last or last[0] != protocol:
            ranks.append(1)
        else:
            ranks.append(ranks[-1] + int(last != (protocol, key, accuracy)))
        last = (protocol, key, accuracy)
    result = frame.loc[[*ranked.index, *others.index]].copy()
    result["rank"] = result["rank"].astype("Int64")
    result.loc[ranked.index, "rank"] = ranks
    return result
