"""Optimisation history: the result of each trial and the best so far, by trial and by wall time."""

from __future__ import annotations

from sweeps.core.formatting import duration
from sweeps.core.trial import Outcome
from sweeps.views.html.clock import clock_of, spans_of, time_unit
from sweeps.views.html.content import Content, mark_of
from sweeps.views.html.figure import (
    Row,
    brush,
    by_outcome,
    fade,
    figure,
    layer,
    numeric,
    zoom,
)
from sweeps.views.html.text import safe


def history_section(content: Content) -> str:
    """Return two charts of the same trials."""
    rows = results(content)
    if not rows:
        return "<p>No trial has a result yet.</p>"
    finding = _finding(content, rows)
    clock = clock_of(spans_of(content.trials, now=None))
    pauses = " Pauses without training are removed from the time axis." if clock.pauses else ""
    _, unit = time_unit(clock.seconds)
    by_trial = _figure(content, rows, along="trial", title="trial, in the order of proposal")
    by_time = _figure(content, rows, along="ended", title=f"wall time at the end of the trial, {unit}")
    return f'<p>{safe(finding)}{pauses}</p><div class="charts">{by_trial}{by_time}</div>'


def results(content: Content) -> list[Row]:
    """Return the last result of each trial and the time of its end, in the unit of the clock's total time."""
    clock = clock_of(spans_of(content.trials, now=None))
    per, _ = time_unit(clock.seconds)
    rows: list[Row] = []
    for record in content.trials:
        value = content.value(record)
        if value is None:
            continue
        # A reused trial may have ended before the first trial of this search.
        ended = record.finished if record.finished is not None else record.epochs[-1].finished_at
        rows.append(
            {
                "t": mark_of(record), "trial": record.trial, "ended": clock.at(ended) / per, "value": value,
                "outcome": record.outcome.value,
            }
        )  # fmt: skip
    return rows


def best_so_far(content: Content, rows: list[Row], *, along: str) -> list[Row]:
    """Return the complete trials that were better than all before, and a last point at the end of the axis."""
    best: list[Row] = []
    for row in sorted(rows, key=lambda row: row[along]):
        if row["outcome"] == Outcome.COMPLETE and (not best or content.is_better(row["value"], best[-1]["value"])):
            best.append({along: row[along], "value": row["value"]})
    return [*best, best[-1] | {along: max(row[along] for row in rows)}] if best else []


def _figure(content: Content, rows: list[Row], *, along: str, title: str) -> str:
    x = numeric(along, title, tickMinStep=1 if along == "trial" else 0)
    y = numeric("value", content.metric_label, ends=content.domain(row["value"] for row in rows))
    line = {"type": "line", "interpolate": "step-after", "strokeWidth": 2, "color": "var(--green)"}
    return figure(
        f"{content.metric} of each trial by {title}",
        f"By {title}. The line is the best complete trial so far.",
        layer("best", line, x=x, y=y),
        layer(
            "results", {"type": "point"}, brush("x", "y"), zoom("x", "y"), x=x, y=y, opacity=fade(), **by_outcome(rows)
        ),
        height=230,
        rows={"results": rows, "best": best_so_far(content, rows, along=along)},
        columns={"trial": "trial", "ended": "ended", "value": content.metric_label, "outcome": "outcome"},
    )


def _finding(content: Content, rows: list[Row]) -> str:
    best = content.state.best()
    value = None if best is None else content.value(best)
    if best is None or value is None:
        return "No trial is complete, so there is no best one. Each trial is shown with its last epoch."
    per, _ = time_unit(clock_of(spans_of(content.trials, now=None)).seconds)
    ended = next(row["ended"] for row in rows if row["t"] == mark_of(best))
    return (
        f"The best complete trial of the search, {best.name} with {content.format_value(value)}, ended after "
        f"{duration(ended * per)}. Only complete trials count for the best so far. A stopped trial is shown with its "
        "last epoch."
    )
