"""Print a configuration with its runs, or one recorded run in full."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console
from rich.table import Table

from sweeps.analysis.ranking import rank_configurations
from sweeps.core.commands import command_on
from sweeps.core.formatting import (
    accuracy,
    duration,
    log_path,
    metric_cell,
    metric_heading,
    metric_text,
    percent,
    plural,
    print_sentence,
)
from sweeps.core.results import EpochResult
from sweeps.core.task import AnyTask, TaskMetric
from sweeps.record.columns import RECORD_COLUMNS, column_of
from sweeps.tasks.registry import task_named, task_of
from sweeps.views.columns import status_text
from sweeps.views.leaderboard_table import has_too_few_seeds
from sweeps.views.names import NamedRuns, group_of
from sweeps.views.optimism import compared_on, optimism_sentence
from sweeps.views.tables import print_fitting

if TYPE_CHECKING:
    from sweeps.record.reader import RecordReader
    from sweeps.record.table import Row


def print_named(named: NamedRuns, reader: RecordReader, console: Console, *, runs: Path) -> None:
    """Print a configuration: result, runs, values. Print a single run in full."""
    if len(named.rows) == 1:
        print_run(named.row, reader, console, runs=runs)
        return
    print_sentence(
        console, f"{named.name}: a configuration with {len(named.rows)} runs; {_ranking_text(named, reader)}"
    )
    print_fitting(_runs(named), console, left=("run", "status", "of"))
    print_values({name: value for name, value in named.defining_row.items() if name not in RECORD_COLUMNS}, console)
    run = named.run_name(named.row)
    print_sentence(console, f"curve and log of its representative run: `{command_on('show', run, runs=runs)}`")


def _runs(named: NamedRuns) -> dict[str, list[str]]:
    """Return heading → cells of the runs of a configuration; empty columns are left out."""
    metric = named.defining_row["metric"] or "val_accuracy"
    columns = {
        "run": [named.run_name(row) for row in named.rows],
        "seed": [str(row["seed"]) for row in named.rows],
        "status": [status_text(row) for row in named.rows],
        "epochs": [str(row["epochs"] or 0) for row in named.rows],
    }
    if metric != "val_accuracy":
        columns[metric_heading(metric)] = [metric_cell(metric, row["metric_value"]) for row in named.rows]
    for column in (
        RECORD_COLUMNS[name] for name in ("val_accuracy", "confirm_accuracy", "test_accuracy", "train_seconds")
    ):
        columns[column.heading] = [column.cell(row[column.name]) for row in named.rows]
    columns["of"] = [_kind(row, named) if row["rung"] is None else "" for row in named.rows]
    return {heading: cells for heading, cells in columns.items() if any(cells)}


def _kind(row: Row, named: NamedRuns) -> str:
    if row in named.confirming:
        return "confirmation"
    return "search" if row["replicate_of"] is None else ""


def _ranking_text(named: NamedRuns, reader: RecordReader) -> str:
    """Return the rank and the mean of a configuration on the leaderboard of its sweep."""
    board = rank_configurations(reader.runs(sweep=named.defining_row["sweep"]))
    row = next(row for row in board.rows if group_of(row) == group_of(named.defining_row))
    if row["rank"] is None:
        return "no rank yet"
    column = "test_accuracy" if row["val_accuracy"] is None else "val_accuracy"
    column = column if row["confirm_accuracy"] is None else "confirm_accuracy"
    value = f"{column} {accuracy(row[column])}" if row[column] is not None else ""
    if row["metric"] not in (None, "val_accuracy"):
        measured = row["metric_value"] if row["confirm_value"] is None else row["confirm_value"]
        value = ", ".join(filter(None, (f"{row['metric']} {metric_text(row['metric'], measured)}", value)))
    seeds = plural(row["replicates"], "new seed" if row["confirmed"] else "seed")
    text = f"rank {row['rank']} of {row['sweep']}: {value}, the mean of {seeds}"
    if row["ci_low"] is not None:
        text += f" (95 % interval {percent(row['ci_low'])} to {percent(row['ci_high'])} %)"
    elif has_too_few_seeds(row):
        text += ", too few for an interval"
    if not row["confirmed"]:
        return text
    return " ".join(filter(None, (f"{text}, {compared_on(row)}.", optimism_sentence(row))))


def print_values(row: Mapping[str, Any], console: Console) -> None:
    """Print the columns with a value, one per line."""
    values = Table(box=None, show_header=False, pad_edge=False)
    values.add_column(no_wrap=True)
    values.add_column(overflow="fold")
    for name, value in row.items():
        if value is not None and value != "" and name not in ("log", "did_not_learn"):
            values.add_row(name, status_text(row) if name == "status" else column_of(name).text(value))
    console.print(values)


def print_run(row: Row, reader: RecordReader, console: Console, *, runs: Path) -> None:
    """Print the values, machine, log path and learning curve of a run."""
    print_values(row, console)
    trained_on = _machine(reader.environment(row["run_id"]))
    if trained_on:
        console.print(f"trained on: {trained_on}", markup=False, soft_wrap=True)
    if row["log"] is not None:
        # On one line, because a wrapped path cannot be opened.
        console.print(f"log: {log_path(row['log'], runs)}", markup=False, soft_wrap=True)
    model = reader.logged_model(row["run_id"])
    if model is not None:
        console.print(f"model in MLflow: {model}", markup=False, soft_wrap=True)
    of: Literal["test", "validation"] = "validation" if row["test_accuracy"] is None else "test"
    confusion = reader.confusion(row["run_id"], of=of)
    if confusion is not None:
        config = reader.configuration(row["run_id"])
        print_confusion(confusion, console, class_names=task_of(config).class_names(config), of=of)
    console.print(_curve(reader.curve(row["run_id"]), task_named(row.get("train"))))


def _curve(epochs: Sequence[EpochResult], task: AnyTask) -> Table:
    recorded = dict.fromkeys(name for epoch in epochs for name in epoch.metrics)
    columns = dict(task.metrics) or {name: TaskMetric(heading=name) for name in recorded}
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("epoch", *(metric.heading for metric in columns.values()), "time"):
        table.add_column(heading, justify="right")
    for epoch in epochs:
        values = [(metric, epoch.value(name)) for name, metric in columns.items()]
        cells = ["" if value is None else metric.shown(value) for metric, value in values]
        table.add_row(str(epoch.epoch), *cells, duration(epoch.seconds))
    return table


def _machine(environment: Mapping[str, str]) -> str:
    """Return the machine of a run, or the last one of several: `node-3, cpu (AMD EPYC), 2 threads`."""
    threads = environment.get("threads", "")
    counted = plural(int(threads), "thread") if threads.isdecimal() else ""
    return ", ".join(fact for fact in (environment.get("host"), environment.get("device"), counted) if fact)


def print_confusion(
    confusion: Sequence[Sequence[int]],
    console: Console,
    *,
    class_names: Sequence[str],
    of: Literal["test", "validation"] = "test",
    heading: str | None = None,
) -> None:
    """Print the accuracy of each class, and the classes that its other images were predicted as."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("class", no_wrap=True)
    table.add_column(heading or ("test acc %" if of == "test" else "val acc %"), justify="right", no_wrap=True)
    table.add_column("predicted as (images)", overflow="fold")
    for index, (name, counts) in enumerate(zip(class_names, confusion, strict=True)):
        wrong = sorted(((n, class_names[k]) for k, n in enumerate(counts) if n and k != index), reverse=True)
        others = ", ".join(f"{other} {count}" for count, other in wrong)
        table.add_row(name, percent(counts[index] / sum(counts)) if sum(counts) else "", others)
    console.print(table)
