"""How a sweep stands, from its journal: also from another terminal, also after the end."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sweeps.journal import SweepFolder
from sweeps.ledger import read_records
from sweeps.progress import STYLES, describe, duration
from sweeps.records import Outcome, TrialRecord
from sweeps.study import read_study


@dataclass(frozen=True, kw_only=True)
class SweepStatus:
    """One sweep as its files say it is now."""

    sweep: str
    driver: str | None
    """Who runs it (`process 12 on host`), None where nobody does."""
    records: tuple[TrialRecord, ...]
    metric: str
    maximize: bool

    def counts(self) -> dict[Outcome, int]:
        return dict(Counter(record.outcome for record in self.records))

    def value(self, record: TrialRecord) -> float | None:
        value = getattr(record.epochs[-1], self.metric) if record.epochs else None
        return None if value is None else float(value)

    def best(self) -> TrialRecord | None:
        complete = [r for r in self.records if r.outcome is Outcome.COMPLETE and self.value(r) is not None]
        sign = 1 if self.maximize else -1
        return max(complete, key=lambda record: sign * (self.value(record) or 0.0), default=None)

    def last_change(self) -> float | None:
        """Return the Unix time of the last epoch or end, None where nothing happened yet."""
        times = [record.epochs[-1].finished_at for record in self.records if record.epochs]
        times += [record.finished for record in self.records if record.finished]
        return max(times, default=None)


def sweep_status(runs: Path, sweep: str) -> SweepStatus:
    """Return how a sweep stands.

    Raises:
        NoSuchSweepError: there is none of this name.
    """
    folder = SweepFolder(runs, sweep)
    study = read_study(folder)
    driver = folder.driver()
    records = list(read_records(study, sweep=sweep))
    if driver is not None:
        # What is open in the journal is being trained by the driver that holds the sweep.
        records = [
            replace(record, outcome=Outcome.RUNNING) if record.outcome is Outcome.INTERRUPTED else record
            for record in records
        ]
    return SweepStatus(
        sweep=sweep,
        driver=None if driver is None else f"process {driver['pid']} on {driver['host']}",
        records=tuple(records),
        metric=study.user_attrs.get("metric", "val_accuracy"),
        maximize=study.direction.name == "MAXIMIZE",
    )


def sweep_names(runs: Path) -> list[str]:
    """Return the names of all sweeps under the runs folder, in alphabetical order."""
    folder = runs / "sweeps"
    if not folder.is_dir():
        return []
    return sorted(path.name for path in folder.iterdir() if SweepFolder(runs, path.name).journal.exists())


def print_status(status: SweepStatus, console: Console) -> None:
    """Print a line a trial and what they add up to."""
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name in ("trial", "status", "epochs", status.metric, "configuration", "seconds"):
        table.add_column(name, no_wrap=name != "configuration")
    for record in status.records:
        value = status.value(record)
        table.add_row(
            record.rung or str(record.number),
            Text(record.outcome.value, style=STYLES[record.outcome]),
            f"{len(record.epochs)}/{record.config.epochs}",
            "" if value is None else f"{value:.4f}",
            describe(record),
            f"{sum(epoch.seconds for epoch in record.epochs):.0f}",
        )
    console.print(table)
    for record in status.records:
        if record.outcome is Outcome.FAILED:
            console.print(f"trial {record.number} failed: {record.error}; its log: {record.log}", markup=False)
    console.print(headline(status), soft_wrap=True)


def headline(status: SweepStatus) -> str:
    """Return a sweep's state in one line."""
    counts = ", ".join(f"{count} {outcome}" for outcome, count in status.counts().items()) or "no trial yet"
    state = f"run by {status.driver}" if status.driver else "not running"
    best, value = status.best(), None
    if best is not None:
        value = status.value(best)
    shown = "" if best is None or value is None else f"; best {status.metric} {value:.4f} (trial {best.number})"
    changed = status.last_change()
    when = "" if changed is None else f"; last epoch {duration(max(0.0, time.time() - changed))} ago"
    return f"{status.sweep}: {state}; {counts}{shown}{when}"
