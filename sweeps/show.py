"""One recorded run in full."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from sweeps.errors import SweepError
from sweeps.progress import percent

if TYPE_CHECKING:
    from sweeps.record import RecordReader


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

    facts = Table(box=None, show_header=False, pad_edge=False)
    for name, value in row.items():
        if isinstance(value, list | dict) or not (pd.isna(value) or value == ""):
            facts.add_row(name, f"{value:.6g}" if isinstance(value, float) else str(value))
    console.print(facts)
    curve = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("epoch", "train loss", "train acc", "val loss", "val acc", "lr", "seconds", "images/s"):
        curve.add_column(name, justify="right")
    for epoch in reader.curve(row["run_id"]):
        curve.add_row(
            str(epoch.epoch),
            f"{epoch.train_loss:.4f}",
            percent(epoch.train_accuracy),
            "" if epoch.val_loss is None else f"{epoch.val_loss:.4f}",
            percent(epoch.val_accuracy),
            f"{epoch.learning_rate:.3g}",
            f"{epoch.seconds:.1f}",
            f"{epoch.images_per_second:,.0f}",
        )
    console.print(curve)
