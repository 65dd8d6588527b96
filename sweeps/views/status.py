"""Print the status of a sweep, also from another terminal and after its end."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sweeps.core.formatting import (
    OUTCOME_STYLES,
    duration,
    log_path,
    metric_cell,
    metric_heading,
    metric_text,
    percent,
    plural,
    print_sentence,
)
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.search.state import SweepState
from sweeps.tasks.registry import describe
from sweeps.views.race import race_sentences
from sweeps.views.tables import GAP, column_width, columns_that_fit

CONFIGURATION_WIDTH = 14
"""Minimum width of the configuration column, which is left out if less is available."""


def print_status(state: SweepState, console: Console) -> None:
    """Print one line per trial, and a summary.

    The configuration wraps. Other columns are left out if they do not fit, except trial and status.
    """
    columns, left_out = columns_that_fit(_columns(state), width=console.width, at_least=2)
    needed = sum(column_width(heading, cells) + GAP for heading, cells in columns.items())
    if needed + CONFIGURATION_WIDTH <= console.width:
        columns["configuration"] = [describe(record.config) for record in state.records_and_replicates]
    elif state.records_and_replicates:
        left_out.append("configuration")
    # If not even these two fit, the terminal wraps them.
    width = needed - GAP if needed - GAP > console.width else None
    table = Table(box=None, header_style="bold", pad_edge=False, width=width)
    for name in columns:
        table.add_column(name, no_wrap=name != "configuration")
    for index, record in enumerate(state.records_and_replicates):
        cells = [Text(column[index]) for column in columns.values()]
        cells[1].stylize(OUTCOME_STYLES[record.outcome])
        table.add_row(*cells)
    console.print(table, crop=False)
    if left_out:
        console.print(f"columns that do not fit: {', '.join(left_out)}", style="dim")
    for record in state.records_and_replicates:
        if record.outcome is Outcome.FAILED:
            console.print(
                f"{record.name} failed: {record.error}; its log: {log_path(record.log, state.runs)}", markup=False
            )
    print_sentence(console, headline(state))
    if (race := race_sentences(state)) is not None:
        print_sentence(console, race)
    for sentence in state.steering:
        print_sentence(console, f"{state.sweep}: {sentence}")
    if state.damage is not None:
        print_sentence(console, f"incomplete: {state.damage}")


def _columns(state: SweepState) -> dict[str, Sequence[str]]:
    """Return heading → cells, one per trial, the most important first; seed and test accuracy only if present."""
    records = state.records_and_replicates
    columns: dict[str, Sequence[str]] = {
        "trial": [_name(record) for record in records],
        "status": [f"{record.outcome}, skipped" if record.skipped else record.outcome.value for record in records],
    }
    if any(record.rung is not None for record in records):
        columns["seed"] = [str(record.config.seed) for record in records]
    columns["epochs"] = [record.epochs_text.replace(" of ", "/") for record in records]
    if any(record.test is not None and record.test.accuracy is not None for record in records):
        columns["test acc %"] = [percent(record.test.accuracy if record.test else None) for record in records]
    if any(record.proposed_by for record in records):
        columns["by"] = [record.proposed_by or "" for record in records]
    columns[metric_heading(state.metric)] = [metric_cell(state.metric, state.value(record)) for record in records]
    if any(record.confirm is not None for record in records):
        fresh = [None if record.confirm is None else record.confirm.metrics.get(state.metric) for record in records]
        columns[f"fresh {metric_heading(state.metric)}"] = [metric_cell(state.metric, value) for value in fresh]
    columns["time"] = [duration(record.train_seconds) for record in records]
    return columns


def _name(record: TrialRecord) -> str:
    if record.rung is not None:
        return record.rung.name
    return str(record.trial) + ("" if record.replicate_of is None else f"-s{record.config.seed}")


def replicates_text(state: SweepState) -> str:
    """Return the number of replicates under new seeds per outcome, and of stopped trials trained to full length."""
    new = state.new_seeds()
    counts = Counter(record.outcome for record in new)
    parts = [f"{count} {outcome}" for outcome, count in counts.items()]
    if others := len(state.replicates) - len(new):
        parts.append(f"{plural(others, 'stopped trial')} trained to full length")
    return ", ".join(parts)


def headline(state: SweepState) -> str:
    """Return the state of a sweep in one line."""
    counts = ", ".join(f"{count} {outcome}" for outcome, count in state.counts().items()) or "no trial yet"
    driver = f"not running (its driver {state.last_heartbeat})" if state.last_heartbeat else "not running"
    if state.driver:
        driver = f"running ({state.driver})" if state.doing == "run" else f"being {state.doing} by {state.driver}"
        driver = f"paused ({state.driver})" if state.is_paused and state.doing == "run" else driver
    if state.driver and state.time_left is not None:
        driver += f"; {state.time_left.text(time.time())}"
    if state.driver and state.measuring:
        driver += f"; {state.measuring}"
    best, confirmed, shown = state.best(), state.confirmed(), ""
    if confirmed is not None:
        record, mean, seeds = confirmed
        shown += f"; best confirmed {state.metric} {metric_text(state.metric, mean)} (trial {record.trial}, "
        shown += f"{plural(seeds, 'new seed')})"
    if best is not None:
        label = f"best {state.metric}" if confirmed is None else "best in the search"
        shown += f"; {label} {metric_text(state.metric, state.best_value())} ({best.name})"
    if state.replicates:
        shown += f"; replicates: {replicates_text(state)}"
    changed = state.last_change()
    when = "" if changed is None else f"; last epoch {duration(max(0.0, time.time() - changed))} ago"
    damaged = "" if state.damage is None else f"; its journal is damaged (see `sweeps status {state.sweep}`)"
    return f"{state.sweep}: {driver}; {counts}{shown}{when}{damaged}"
