"""How a sweep stands, as a person reads it: also from another terminal, also after the end."""

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
from sweeps.views.tables import GAP, column_width, columns_that_fit

CONFIGURATION_WIDTH = 14
"""Least characters of a line of the configuration, which is left out where it has fewer."""


def print_status(state: SweepState, console: Console) -> None:
    """Print a line a trial and what they add up to.

    The configuration wraps; other columns are left out where the screen has no room for them, trial and status never.
    """
    columns, left_out = columns_that_fit(_columns(state), width=console.width, at_least=2)
    needed = sum(column_width(heading, cells) + GAP for heading, cells in columns.items())
    if needed + CONFIGURATION_WIDTH <= console.width:
        columns["configuration"] = [describe(record.config) for record in state.records_and_replicates]
    elif state.records_and_replicates:
        left_out.append("configuration")
    # On a screen too narrow for even these two the terminal wraps them.
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
    if state.damage is not None:
        print_sentence(console, f"not all of it: {state.damage}")


def _columns(state: SweepState) -> dict[str, Sequence[str]]:
    """Return heading to one cell a trial, the most important first; seed and test only where there is one to tell."""
    records = state.records_and_replicates
    columns: dict[str, Sequence[str]] = {
        "trial": [_name(record) for record in records],
        "status": [record.outcome.value for record in records],
    }
    if any(record.rung is not None for record in records):
        columns["seed"] = [str(record.config.seed) for record in records]
    columns["epochs"] = [f"{len(record.epochs)}/{record.config.epochs}" for record in records]
    if any(record.test is not None for record in records):
        columns["test acc %"] = [percent(record.test.accuracy if record.test else None) for record in records]
    columns[metric_heading(state.metric)] = [metric_cell(state.metric, state.value(record)) for record in records]
    columns["time"] = [duration(record.train_seconds) for record in records]
    return columns


def _name(record: TrialRecord) -> str:
    if record.rung is not None:
        return record.rung.name
    return str(record.trial) + ("" if record.replicate_of is None else f"-s{record.config.seed}")


def replicates_text(state: SweepState) -> str:
    """Return how many replicates under new seeds there are of each outcome, and how many only complete the search."""
    new = state.new_seeds()
    counts = Counter(record.outcome for record in new)
    said = [f"{count} {outcome}" for outcome, count in counts.items()]
    if others := len(state.replicates) - len(new):
        said.append(f"{plural(others, 'stopped trial')} trained to full length")
    return ", ".join(said)


def headline(state: SweepState) -> str:
    """Return a sweep's state in one line."""
    counts = ", ".join(f"{count} {outcome}" for outcome, count in state.counts().items()) or "no trial yet"
    driver = f"{state.doing} by {state.driver}" if state.driver else state.last_heartbeat or "not running"
    if state.driver and state.measuring:
        driver += f"; {state.measuring}"
    best, confirmed, shown = state.best(), state.confirmed(), ""
    if confirmed is not None:
        record, mean, seeds = confirmed
        shown += f"; best confirmed {state.metric} {metric_text(state.metric, mean)} (trial {record.trial}, "
        shown += f"{plural(seeds, 'new seed')})"
    if best is not None:
        what = f"best {state.metric}" if confirmed is None else "best in the search"
        shown += f"; {what} {metric_text(state.metric, state.best_value())} ({best.name})"
    if state.replicates:
        shown += f"; replicates: {replicates_text(state)}"
    changed = state.last_change()
    when = "" if changed is None else f"; last epoch {duration(max(0.0, time.time() - changed))} ago"
    damaged = "" if state.damage is None else "; its journal is damaged (`sweeps status` says where)"
    return f"{state.sweep}: {driver}; {counts}{shown}{when}{damaged}"
