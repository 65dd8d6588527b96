"""How a sweep stands, as a person reads it: also from another terminal, also after the end."""

from __future__ import annotations

import time

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sweeps.formatting import OUTCOME_STYLES, describe, duration, metric_cell, metric_heading, metric_text
from sweeps.study import SweepState
from sweeps.trial_record import Outcome


def print_status(state: SweepState, console: Console) -> None:
    """Print a line a trial and what they add up to."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("trial", "status", "epochs", metric_heading(state.metric), "configuration", "time"):
        table.add_column(name, no_wrap=name != "configuration")
    for record in state.records:
        table.add_row(
            str(record.number) if record.rung is None else record.rung.name,
            Text(record.outcome.value, style=OUTCOME_STYLES[record.outcome]),
            f"{len(record.epochs)}/{record.config.epochs}",
            metric_cell(state.metric, state.value(record)),
            describe(record.config),
            duration(record.train_seconds),
        )
    console.print(table)
    for record in state.records:
        if record.outcome is Outcome.FAILED:
            console.print(f"trial {record.number} failed: {record.error}; its log: {record.log}", markup=False)
    console.print(headline(state), soft_wrap=True)
    if state.damage is not None:
        console.print(f"not all of it: {state.damage}", markup=False, soft_wrap=True)


def headline(state: SweepState) -> str:
    """Return a sweep's state in one line."""
    counts = ", ".join(f"{count} {outcome}" for outcome, count in state.counts().items()) or "no trial yet"
    driver = f"run by {state.driver}" if state.driver else "not running"
    best, shown = state.best(), ""
    if best is not None:
        shown = f"; best {state.metric} {metric_text(state.metric, state.value(best))} ({best.name})"
    changed = state.last_change()
    when = "" if changed is None else f"; last epoch {duration(max(0.0, time.time() - changed))} ago"
    damaged = "" if state.damage is None else "; its journal is damaged (`sweeps status` says where)"
    return f"{state.sweep}: {driver}; {counts}{shown}{when}{damaged}"
