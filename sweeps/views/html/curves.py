"""Learning curves of all trials, and the ranks of stopped trials at the time of stopping."""

from __future__ import annotations

from collections.abc import Sequence

from sweeps.core.formatting import plural, truncated
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.views.html.content import MANY, Content, mark_of, with_outcome
from sweeps.views.html.figure import (
    REPLICATE,
    Row,
    brush,
    by_outcome,
    fade,
    figure,
    layer,
    numeric,
    zoom,
)
from sweeps.views.html.text import safe, table

MAX_NAMES, HEIGHT, NAME_HEIGHT = 14, 300, 15
"""Most names at the ends of curves; heights of the chart and of a name in pixels."""
COLOURS = [f"var(--c{index})" for index in range(8)]
DASHES = [[1, 0], [7, 3], [2, 3]]
"""Dashes of a ladder's rungs, used if there are more rungs than colours."""
COMPLETE, INCOMPLETE = "complete", "ended before its last epoch"
MAX_OPEN_ROWS = 30
"""Most rows of a table that is open by default."""


def curves_section(content: Content) -> str:
    """Return the curves of the search and of the replicates, and a table of the pruned trials."""
    if not any(record.epochs for record in content.all_records):
        return "<p>No trial has finished an epoch yet.</p>"
    figures = _figure(content, content.trials, "ladder" if content.is_ladder else "search")
    figures += _figure(content, content.replicates, "replicates")
    return f'<div class="charts">{figures}</div>{_stopped_table(content, with_outcome(content.trials, Outcome.PRUNED))}'


def curves_of(content: Content, records: Sequence[TrialRecord]) -> list[Row]:
    """Return the metric of each trial after each epoch, complete trials last, so that they are drawn on top."""
    return [
        {
            "t": mark_of(record), "run": record.number, "name": _short_name(record), "epoch": epoch, "value": value,
            "group": _group_of(content, record),
            "outcome": REPLICATE if record.replicate_of is not None else record.outcome.value,
        }
        for record in sorted(records, key=lambda record: (record.outcome is Outcome.COMPLETE, record.number))
        for epoch in range(1, len(record.epochs) + 1)
        if (value := content.at_epoch(record, epoch)) is not None
    ]  # fmt: skip


def last_of(rows: Sequence[Row]) -> list[Row]:
    """Return the last row of each curve."""
    return list({row["run"]: row for row in rows}.values())


def names_of(ends: Sequence[Row], *, of: str, height: float) -> list[Row]:
    """Return the names of curves at the levels of their ends, moved apart so that they do not overlap.

    Args:
        ends: last rows of the curves.
        of: field with the name; only the last of several curves with the same name is named.
        height: height of a name in units of the axis.
    """
    named = sorted({row[of]: row for row in ends}.values(), key=lambda row: row["value"])
    levels: list[float] = []
    for row in named:
        levels.append(max(row["value"], levels[-1] + height) if levels else row["value"])
    beyond = max((levels[-1] - max(row["value"] for row in named)) / 2, 0.0) if levels else 0.0
    return [
        row | {"level": level - beyond, "name": truncated(str(row[of]), 16)}
        for row, level in zip(named, levels, strict=True)
    ]


def _figure(content: Content, records: Sequence[TrialRecord], what: str) -> str:
    rows = curves_of(content, records)
    if not rows:
        return ""
    ends = last_of(rows)
    low, high = content.domain(row["value"] for row in rows)
    named = [row for row in ends if content.is_ladder or row["outcome"] in (Outcome.COMPLETE, REPLICATE)]
    of = "name" if len({row["name"] for row in named}) <= MAX_NAMES else "group" if content.is_ladder else ""
    names = names_of(named, of=of, height=NAME_HEIGHT * (high - low) / HEIGHT) if of else []
    x = numeric("epoch", "epoch", tickMinStep=1)
    y = numeric("value", content.metric_label, ends=(low, high))
    groups, colours, dashes = [COMPLETE, INCOMPLETE], ["var(--blue)", "var(--orange)"], [[1, 0], [4, 3]]
    if content.is_ladder:
        groups = list(dict.fromkeys(map(_rung_of, records)))
        colours = [COLOURS[index % len(COLOURS)] for index in range(len(groups))]
        dashes = [DASHES[index // len(COLOURS) % len(DASHES)] for index in range(len(groups))]
    # The curves of a ladder are named at their ends.
    legend = None if content.is_ladder and names else {"symbolType": "stroke", "symbolStrokeWidth": 2}
    colour, dash = (
        {"field": "group", "type": "nominal", "legend": legend, "scale": {"domain": groups, "range": values}}
        for values in (colours, dashes)
    )
    marks = {"color": colour} if content.is_ladder else by_outcome(ends)
    is_many = len(records) > MANY
    line = {"type": "line", "strokeWidth": 0.8 if is_many else 1.6}
    end = {"type": "point", "size": 20 if is_many else 45, "filled": content.is_ladder}
    name = {"type": "text", "align": "left", "dx": 8, "clip": False}
    complete = sum(record.outcome is Outcome.COMPLETE for record in records)
    trained, length = sum(len(r.epochs) for r in records), sum(r.config.epochs for r in records)
    of = f" of {length}" if all(r.config.epochs for r in records) else ""
    return figure(
        f"{content.metric} after each epoch of the {what}",
        f"{complete} of {plural(len(records), 'run')} complete; {trained}{of} epochs trained.",
        layer(
            "curves", line, brush("x", "y"), zoom("x", "y"), x=x, y=y, color=colour, strokeDash=dash,
            detail={"field": "run"}, opacity=fade(0.4 if is_many else 1),
        ),
        layer("ends", end, x=x, y=y, opacity=fade(), **marks),
        layer(
            "names", name, x={"value": "width"}, y=y | {"field": "level"}, text={"field": "name"}, opacity=fade(),
            **({"color": colour} if content.is_ladder else {}),
        ),
        height=HEIGHT,
        rows={"curves": rows, "ends": ends, "names": names},
        columns={"name": "run", "epoch": "epoch", "value": content.metric_label, "outcome": "outcome"},
        heading=what.capitalize(),
        margin=92 if names else 8,
    )  # fmt: skip


def _short_name(record: TrialRecord) -> str:
    name = record.name.replace(", seed ", " s")
    return f"{name} s{record.config.seed}" if record.rung is not None and record.config.seed else name


def _group_of(content: Content, record: TrialRecord) -> str:
    if content.is_ladder:
        return _rung_of(record)
    return COMPLETE if record.outcome is Outcome.COMPLETE else INCOMPLETE


def _rung_of(record: TrialRecord) -> str:
    return record.name if record.rung is None else record.rung.name


def _stopped_table(content: Content, stopped: Sequence[TrialRecord]) -> str:
    if not stopped:
        return ""
    rows, marks = [], []
    for record in stopped:
        rank, compared, best = _standing(content, record)
        value = content.value(record)
        rows.append(
            (
                safe(record.name),
                record.epochs_text,
                "" if value is None else safe(content.format_value(value)),
                f"{rank} of {compared}" if value is not None else "no finite value",
                safe(best),
            )
        )
        marks.append(mark_of(record))
    heads = ("trial", "pruned after epoch", content.metric, "rank at that time", "best at that time")
    caption = "Pruned trials with their ranks at the time of pruning"
    shown = table(heads, rows, caption=caption, numbers=(1, 2, 3), trials=marks)
    summary = f"Why {plural(len(rows), 'trial')} {'was' if len(rows) == 1 else 'were'} pruned"
    return f"""<details{" open" if len(rows) <= MAX_OPEN_ROWS else ""}><summary>{summary}</summary>
<p>Early stopping compares a trial with those that reached the same epoch before it, and continues only the best share.
The rank is among the trials that already had a result for that epoch. Early trials are compared with few others.</p>
{shown}</details>"""


def _standing(content: Content, record: TrialRecord) -> tuple[int, int, str]:
    """Return a stopped trial's rank at its last epoch, the number of trials compared, and the best of them."""
    epoch = len(record.epochs)
    result = content.at_epoch(record, epoch)
    if result is None:
        return 0, 0, ""
    moment = record.epochs[-1].finished_at
    known = [
        (value, other)
        for other in content.trials
        if len(other.epochs) >= epoch
        and other.epochs[epoch - 1].finished_at <= moment
        and (value := content.at_epoch(other, epoch)) is not None
    ]
    rank = 1 + sum(content.is_better(value, result) for value, _ in known)
    best, leader = (max if content.maximize else min)(known, key=lambda pair: pair[0])
    return rank, len(known), "this trial" if leader is record else f"{leader.name}, {content.format_value(best)}"
