"""Learning curves of all trials, and where the stopped ones stood when they were stopped."""

from __future__ import annotations

from collections.abc import Sequence

from sweeps.core.formatting import truncated
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
    outcome_of,
    zoom,
)
from sweeps.views.html.text import safe, table

NAMED_UP_TO, HEIGHT, LETTERS = 14, 300, 15
"""Curves with a name at their end, pixels of the chart, and pixels that a name takes of them."""
COLOURS = [f"var(--c{index})" for index in range(8)]
DASHES = [[1, 0], [7, 3], [2, 3]]
"""Of a ladder's rungs: where there are more than colours, dashes tell them apart."""
WHOLE, CUT = "complete", "with_outcome before its last epoch"
OPEN_UP_TO = 30
"""Rows that a table shows without being asked."""


def curves_section(content: Content) -> str:
    """Return the curves of the search, those of the confirming runs, and a table of what was stopped."""
    if not any(record.epochs for record in content.all_records):
        return "<p>No trial has finished an epoch yet.</p>"
    figures = _figure(content, content.trials, "the ladder" if content.is_ladder else "the search")
    figures += _figure(content, content.replicates, "the confirming runs")
    return f'<div class="charts">{figures}</div>{_stopped_table(content, with_outcome(content.trials, Outcome.PRUNED))}'


def curves_of(content: Content, records: Sequence[TrialRecord]) -> list[Row]:
    """Return each trial's metric after each epoch, whole trials last, so that they are drawn on top."""
    return [
        {
            "t": mark_of(record), "run": record.number, "name": _short_name(record), "epoch": epoch, "value": value,
            "group": _rung_of(record) if content.is_ladder else WHOLE if record.outcome is Outcome.COMPLETE else CUT,
            "outcome": REPLICATE if record.replicate_of is not None else outcome_of(record.outcome),
        }
        for record in sorted(records, key=lambda record: (record.outcome is Outcome.COMPLETE, record.number))
        for epoch in range(1, len(record.epochs) + 1)
        if (value := content.at_epoch(record, epoch)) is not None
    ]  # fmt: skip


def last_of(rows: Sequence[Row]) -> list[Row]:
    """Return where each curve ends."""
    return list({row["run"]: row for row in rows}.values())


def names_of(ends: Sequence[Row], *, of: str, height: float) -> list[Row]:
    """Return the names of curves at the height of their ends, moved apart as far as they would lie on one another.

    Args:
        ends: of the curves.
        of: the field that holds the name; of several curves of one name the last is named.
        height: what one name takes up of the axis.
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
    of = "name" if len({row["name"] for row in named}) <= NAMED_UP_TO else "group" if content.is_ladder else ""
    names = names_of(named, of=of, height=LETTERS * (high - low) / HEIGHT) if of else []
    x = numeric("epoch", "epoch", tickMinStep=1)
    y = numeric("value", content.metric_label, ends=(low, high))
    groups, colours, dashes = [WHOLE, CUT], ["var(--blue)", "var(--orange)"], [[1, 0], [4, 3]]
    if content.is_ladder:
        groups = list(dict.fromkeys(map(_rung_of, records)))
        colours = [COLOURS[index % len(COLOURS)] for index in range(len(groups))]
        dashes = [DASHES[index // len(COLOURS) % len(DASHES)] for index in range(len(groups))]
    # Of a ladder the names at the curves' ends say which is which.
    legend = None if content.is_ladder and names else {"symbolType": "stroke", "symbolStrokeWidth": 2}
    colour, dash = (
        {"field": "group", "type": "nominal", "legend": legend, "scale": {"domain": groups, "range": values}}
        for values in (colours, dashes)
    )
    own = {"color": colour} if content.is_ladder else by_outcome(ends)  # a rung's marks are coloured as its curves
    is_many = len(records) > MANY
    line = {"type": "line", "strokeWidth": 0.8 if is_many else 1.6}
    end = {"type": "point", "size": 20 if is_many else 45, "filled": content.is_ladder}
    name = {"type": "text", "align": "left", "dx": 8, "clip": False}
    whole = sum(record.outcome is Outcome.COMPLETE for record in records)
    trained, length = sum(len(r.epochs) for r in records), sum(r.config.epochs for r in records)
    return figure(
        f"{content.metric} after each epoch of {what}",
        f"{whole} of {len(records)} came to their last epoch; {trained} of {length} epochs were trained.",
        layer(
            "curves", line, brush("x", "y"), zoom("x", "y"), x=x, y=y, color=colour, strokeDash=dash,
            detail={"field": "run"}, opacity=fade(0.4 if is_many else 1),
        ),
        layer("ends", end, x=x, y=y, opacity=fade(), **own),
        layer(
            "names", name, x={"value": "width"}, y=y | {"field": "level"}, text={"field": "name"}, opacity=fade(),
            **({"color": colour} if content.is_ladder else {}),
        ),
        height=HEIGHT,
        rows={"curves": rows, "ends": ends, "names": names},
        columns={"name": "run", "epoch": "epoch", "value": content.metric_label, "outcome": "outcome"},
        heading=what.capitalize(),
        room=92 if names else 8,
    )  # fmt: skip


def _short_name(record: TrialRecord) -> str:
    name = record.name.replace(", seed ", " s")
    return f"{name} s{record.config.seed}" if record.rung is not None and record.config.seed else name


def _rung_of(record: TrialRecord) -> str:
    return record.name if record.rung is None else record.rung.name


def _stopped_table(content: Content, stopped: Sequence[TrialRecord]) -> str:
    if not stopped:
        return ""
    rows, marks = [], []
    for record in stopped:
        rank, many, best = _standing(content, record)
        value = content.value(record)
        rows.append(
            (
                safe(record.name),
                f"{len(record.epochs)} of {record.config.epochs}",
                "" if value is None else safe(content.format_value(value)),
                f"{rank} of {many}" if value is not None else "no finite value",
                safe(best),
            )
        )
        marks.append(mark_of(record))
    heads = ("trial", "stopped after epoch", content.metric, "rank then", "best then")
    caption = "Stopped trials and where they stood"
    shown = table(heads, rows, caption=caption, numbers=(1, 2, 3), trials=marks)
    return f"""<details{" open" if len(rows) <= OPEN_UP_TO else ""}><summary>Why {len(rows)} were stopped</summary>
<p>A pruner compares a trial with those that had reached the same epoch before it, and lets only the best share of them
go on. The rank is among the trials whose result of that epoch was there when this one's came: an early one is judged
with few others to compare with.</p>{shown}</details>"""


def _standing(content: Content, record: TrialRecord) -> tuple[int, int, str]:
    """Return a stopped trial's rank at its last epoch, among how many, and the best of them at that moment."""
    epoch = len(record.epochs)
    own = content.at_epoch(record, epoch)
    if own is None:
        return 0, 0, ""
    moment = record.epochs[-1].finished_at
    known = [
        (value, other)
        for other in content.trials
        if len(other.epochs) >= epoch
        and other.epochs[epoch - 1].finished_at <= moment
        and (value := content.at_epoch(other, epoch)) is not None
    ]
    rank = 1 + sum(content.is_better(value, own) for value, _ in known)
    best, leader = (max if content.maximize else min)(known, key=lambda pair: pair[0])
    return rank, len(known), "itself" if leader is record else f"{leader.name}, {content.format_value(best)}"
