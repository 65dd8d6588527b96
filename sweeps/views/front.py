"""The front of a search with several objectives, as a table of few columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweeps.analysis.known import known_of, on_front
from sweeps.core.formatting import metric_cell, metric_heading, number, percent, print_sentence
from sweeps.record.columns import RECORD_COLUMNS
from sweeps.views.names import name_of_run
from sweeps.views.tables import print_columns

if TYPE_CHECKING:
    from rich.console import Console


def front_columns(rows: Sequence[Mapping[str, Any]]) -> dict[str, list[str]]:
    """Return heading → cells of the front of a ranked table: trial, metric, known objectives; empty without a front."""
    found = on_front(rows)
    if not found:
        return {}
    metric = str(found[0]["metric"] or "val_accuracy")
    names, values = [name_of_run(dict(row)) for row in found], [_metric(row) for row in found]
    is_accuracy = metric == "val_accuracy"
    cells = {"trial": names, RECORD_COLUMNS[metric].heading if is_accuracy else metric_heading(metric): values}
    for index, known in enumerate(known_of(found[0])):
        heading = RECORD_COLUMNS[known.name].heading if known.name in RECORD_COLUMNS else known.name
        cells[heading] = [number(known_of(row)[index].value) for row in found]
    return cells


def _metric(row: Mapping[str, Any]) -> str:
    metric = str(row["metric"] or "val_accuracy")
    return percent(row["val_accuracy"]) if metric == "val_accuracy" else metric_cell(metric, row["metric_value"])


def front_sentence(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """Return what the front of a table is; None without a front."""
    found = on_front(rows)
    if not found:
        return None
    names = [str(found[0]["metric"] or "val_accuracy"), *(each.name for each in known_of(found[0]))]
    return (
        f"on the front of {' and '.join(names)}: no other ranked configuration is at least as good in all of them and "
        "better in one"
    )


def print_front(rows: Sequence[Mapping[str, Any]], console: Console) -> None:
    """Print the front of a search; nothing for a search with one objective."""
    if columns := front_columns(rows):
        print_sentence(console, "\nfront:")
        print_columns(columns, console, left={"trial"})
