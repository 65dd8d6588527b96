"""One recorded run in full."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.table import Table

from cifar_core.data import CLASS_NAMES
from sweeps.errors import SweepError
from sweeps.formatting import accuracy, duration, is_accuracy, log_path, loss, number, percent, plural
from sweeps.identity import trial_name
from sweeps.report.columns import status_text

if TYPE_CHECKING:
    from sweeps.tracking import RecordReader


_SHOWN_OF_A_RUN = 8
"""Characters of a run id that tables and messages show."""


def find_run(reader: RecordReader, name: str) -> dict[str, Any]:
    """Return the row of the run that a person means.

    Args:
        reader: of the record.
        name: as tables show it (`quick-003`), SWEEP/TRIAL, a rung's name, or the beginning of a run id or a key.

    Raises:
        SweepError: no run, or several, are called so.
    """
    found: list[dict[str, Any]] = []
    for sweep, trial in _named(name):
        # Of one sweep: what others hold is not read.
        rows = _rows(reader, sweep=sweep)
        found += [row for row in rows if trial in (row["rung"], _number(row))]
    rows = [] if found else _rows(reader)
    found = found or [row for row in rows if row["rung"] == name]
    if not found and name.isdigit() and len(name) < _SHOWN_OF_A_RUN:
        # The beginning of a run id by chance, and a trial's number on purpose.
        meant = [name_of_run(row) for row in rows if str(row["trial"]) == name and row["replicate_of"] is None]
        hint = f": {' or '.join(meant[:3])}?" if meant else ", such as quick/3"
        raise SweepError(f"{name} is a number that a trial of every sweep has: name it with its sweep{hint}")
    found = found or [row for row in rows if name and (row["run_id"].startswith(name) or row["key"].startswith(name))]
    if not found:
        names = [f"{row['sweep']}/{_number(row) if row['rung'] is None else row['rung']}" for row in rows]
        near = difflib.get_close_matches(name, names, n=3)
        hint = f"did you mean {' or '.join(near)}? " if near else ""
        raise SweepError(
            f"no run {name!r}: {hint}`sweeps leaderboard` lists them; name one as SWEEP/TRIAL, such as quick/3"
        )
    if len(found) > 1:
        each = ", ".join(f"{row['sweep']}/{_number(row)} (run {row['run_id'][:_SHOWN_OF_A_RUN]})" for row in found)
        raise SweepError(f"{name!r} may be any of {each}: name one of them, or the beginning of its run")
    return found[0]


def _named(name: str) -> list[tuple[str, str]]:
    """Return what a name may be of, as sweep and trial: `quick/3`, `quick-003`, `quick-003-s1` of a replicate."""
    number = re.fullmatch(r"(.+)[-/]0*(\d+)(-s\d+)?", name)
    sweep, mark, rung = name.rpartition("/")
    found = [(number[1], number[2] + (number[3] or ""))] if number else []
    if mark and sweep:
        found.append((sweep, rung))
    return list(dict.fromkeys(found))


def name_of_run(row: dict[Any, Any]) -> str:
    """Return what people call a run, as tables show it: `quick-003`, `quick-003-s1` of a replicate, `ladder/deep`."""
    import pandas as pd

    if not pd.isna(row["rung"]):
        return f"{row['sweep']}/{row['rung']}"
    seed = None if pd.isna(row["replicate_of"]) else int(row["seed"])
    return trial_name(row["sweep"], int(row["trial"]), replicate_seed=seed)


def _number(row: dict[str, Any]) -> str:
    """Return the number of a run in its sweep, with a replicate's seed: `3`, `3-s1`."""
    return f"{row['trial']}" + ("" if row["replicate_of"] is None else f"-s{row['seed']}")


def _rows(reader: RecordReader, *, sweep: str | None = None) -> list[dict[str, Any]]:
    import pandas as pd

    frame = reader.runs(sweep=sweep)
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    return [{str(column): None if value is pd.NA else value for column, value in row.items()} for row in rows]


def print_run(row: dict[str, Any], reader: RecordReader, console: Console, *, runs: Path) -> None:
    """Print a run's values, where it ran and where its log is, then its curve."""
    values = Table(box=None, show_header=False, pad_edge=False)
    values.add_column(no_wrap=True)
    values.add_column(overflow="fold")
    for name, value in row.items():
        if value is not None and value != "" and name not in ("log", "did_not_learn"):
            values.add_row(name, status_text(row) if name == "status" else _text(name, value))
    console.print(values)
    trained_on = _machine(reader.environment(row["run_id"]))
    if trained_on:
        console.print(f"trained on: {trained_on}", markup=False, soft_wrap=True)
    if row["log"] is not None:
        # On one line, however long: a path that is cut cannot be opened.
        console.print(f"log: {log_path(row['log'], runs)}", markup=False, soft_wrap=True)
    model = reader.logged_model(row["run_id"])
    if model is not None:
        console.print(f"model in MLflow: {model}", markup=False, soft_wrap=True)
    of: Literal["test", "validation"] = "validation" if row["test_accuracy"] is None else "test"
    confusion = reader.confusion(row["run_id"], of=of)
    if confusion is not None:
        print_confusion(confusion, console, of=of)
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


def _machine(environment: Mapping[str, str]) -> str:
    """Return where a run was trained, of several machines the last: `node-3, cpu (AMD EPYC), 2 threads`."""
    threads = environment.get("threads", "")
    counted = plural(int(threads), "thread") if threads.isdecimal() else ""
    return ", ".join(fact for fact in (environment.get("host"), environment.get("device"), counted) if fact)


def print_confusion(
    confusion: Sequence[Sequence[int]], console: Console, *, of: Literal["test", "validation"] = "test"
) -> None:
    """Print, of the images of each class, how many were right, and for what the others were taken most."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("class", no_wrap=True)
    table.add_column("test acc %" if of == "test" else "val acc %", justify="right", no_wrap=True)
    table.add_column("taken for (images)", overflow="fold")
    for index, (name, counts) in enumerate(zip(CLASS_NAMES, confusion, strict=True)):
        wrong = sorted(((n, CLASS_NAMES[k]) for k, n in enumerate(counts) if n and k != index), reverse=True)
        others = ", ".join(f"{other} {count}" for count, other in wrong)
        table.add_row(name, percent(counts[index] / max(sum(counts), 1)), others)
    console.print(table)


def _text(name: str, value: Any) -> str:
    if is_accuracy(name) or name in ("val_std", "ci_low", "ci_high"):
        return accuracy(value)
    if name == "train_seconds":
        return duration(value)
    return f"{value:.6g}" if isinstance(value, float) else str(value)
