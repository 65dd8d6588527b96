"""Failed and diverged trials, with the last lines of their logs."""

from __future__ import annotations

from pathlib import Path

from sweeps.core.formatting import log_path, plural, truncated
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.tasks.registry import describe
from sweeps.views.html.content import Content, mark_of
from sweeps.views.html.text import safe

MAX_TRIALS = 40
LINES, LINE, TAIL = 15, 300, 8192
"""Shown lines of a log, shown characters of a line, read bytes."""


def failures_section(content: Content) -> str:
    """Return one block per trial, failed ones first."""
    outcomes = (Outcome.FAILED, Outcome.DIVERGED)
    found = [record for outcome in outcomes for record in content.all_records if record.outcome is outcome]
    if not found:
        return "<p>No trial failed, and none diverged.</p>"
    counts = [(outcome, sum(record.outcome is outcome for record in found)) for outcome in outcomes]
    summary = " and ".join(f"{count} {outcome}" for outcome, count in counts if count)
    hidden = f" The first {MAX_TRIALS} are shown." if len(found) > MAX_TRIALS else ""
    meaning = " The loss of a diverged trial was not finite. The sampler treats it as pruned." if counts[1][1] else ""
    blocks = "".join(_block(content, record) for record in found[:MAX_TRIALS])
    return f"<p>{summary} of {plural(len(content.all_records), 'trial')}.{meaning}{hidden}</p>{blocks}"


def _block(content: Content, record: TrialRecord) -> str:
    kind = f" ({safe(record.error_class)})" if record.error_class else ""
    parts = [
        f"<h3>{safe(record.name)}: {record.outcome}{kind}</h3>",
        f"<p>{safe(record.error or 'no reason is recorded')}</p>",
        f'<p class="aside-text">{safe(describe(record.config))}; after {record.epochs_text} '
        f"epochs; log: <code>{safe(log_path(record.log, content.state.runs))}</code></p>",
    ]
    if record.traceback:
        parts.append(_lines("Traceback, your own code only", record.traceback.splitlines()[-LINES:]))
    if tail := log_tail(content.state.runs, record.log):
        parts.append(_lines(f"The last {len(tail)} lines of its log", tail))
    return f'<article data-t="{safe(mark_of(record))}">{"".join(parts)}</article>'


def _lines(title: str, lines: list[str]) -> str:
    shown = "\n".join(safe(truncated(line, LINE)) for line in lines)
    label = safe(title)
    return (
        f"<details open><summary>{label}</summary>"
        f'<pre tabindex="0" role="region" aria-label="{label}">{shown}</pre></details>'
    )


def log_tail(runs: Path, log: str | None) -> list[str]:
    """Return the last lines of a trial's log; none if it is missing or outside the runs folder."""
    if log is None:
        return []
    try:
        path = (runs / log).resolve()
        if not path.is_relative_to(runs.resolve()) or not path.is_file():
            return []
        with path.open("rb") as file:
            size = file.seek(0, 2)
            file.seek(max(0, size - TAIL))
            content = file.read().decode("utf-8", errors="replace")
    except (OSError, ValueError):
        return []
    lines = content.splitlines()
    return [line for line in (lines[1:] if size > TAIL else lines) if line.strip()][-LINES:]
