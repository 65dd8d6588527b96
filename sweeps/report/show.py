"""One recorded run in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from sweeps.errors import SweepError
from sweeps.formatting import accuracy, duration, is_accuracy, loss, number, percent

if TYPE_CHECKING:
    from sweeps.tracking import RecordReader


def find_run(reader: RecordReader, name: str) -> dict[str, Any]:
    """Return the row of the run that a person means.

    Args:
        reader: of the record.
        name: `SWEEP/TRIAL`, a rung's name, or the beginning of a run id or a key.

    Raises:
        SweepError: no run, or several, are called so.
    """
    rows = [{str(column): value for column, value in row.items()} for row in reader.runs().to_dict("records")]
    sweep, slash, trial = name.rpartition("/")
    exact = [row for row in rows if slash and row["sweep"] == sweep and trial in (str(row["trial"]), row["rung"])]
    found = exact or [row for row in rows if row["rung"] == name]
    found = found or [row for row in rows if name and (row["run_id"].startswith(name) or row["key"].startswith(name))]
    if not found:
        raise SweepError(f"no run {name!r}: `sweeps leaderboard` lists them; name one as SWEEP/TRIAL, such as quick/3")
    if len(found) > 1:
        each = ", ".join(f"{row['sweep']}/{row['trial']}" for row in found)
        raise SweepError(f"{name!r} may be any of {each}: name one of them")
    return found[0]


def print_run(row: dict[str, Any], reader: RecordReader, console: Console) -> None:
    """Print a run's values, then its curve."""
    import pandas as pd

    values = Table(box=None, show_header=False, pad_edge=False)
    for name, value in row.items():
        if isinstance(value, list | dict) or not (pd.isna(value) or value == ""):
            values.add_row(name, _text(name, value))
    console.print(values)
    curve = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("epoch", "train loss", "train acc %", "val loss", "val acc %", "lr", "time", "images/s"):
        curve.add_column(name, justify="right")
    for epoch in reader.curve(row["run_id"]):
        curve.add_row(
            str(epoch.epoch),
            loss(epoch.train_loss),
            percent(epoch.train_accuracy),
            loss(epoch.val_loss),
            percent(epoch.val_accuracy),
            number(epoch.learning_rate),
            duration(epoch.seconds),
            f"{epoch.images_per_second:,.0f}",
        )
    console.print(curve)


def _text(name: str, value: Any) -> str:
    if is_accuracy(name) or name in ("val_std", "ci_low", "ci_high"):
        return accuracy(value)
    if name == "train_seconds":
        return duration(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
