"""Learning curves of all trials, and where the stopped ones stood when they were stopped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sweeps.formatting import truncated
from sweeps.trial_record import Outcome, TrialRecord
from sweeps.views.page.content import Content, ended, mark_of
from sweeps.views.page.scale import linear
from sweeps.views.page.svg import REPLICATE, SHAPES, Chart, figure, legend, num, outcome_legend, text
from sweeps.views.page.text import safe, table

NAMED_UP_TO, NAME_HEIGHT = 14, 14.0
COLOURS = 8
"""Of a ladder's rungs, one after the other; the style sheet's `c0` and on."""
OPEN_UP_TO = 30
"""Rows that a table shows without being asked."""


def curves_section(content: Content) -> str:
    """Return the curves of the search, those of the confirming runs, and a table of what was stopped."""
    if not any(record.epochs for record in content.everything):
        return "<p>No trial has finished an epoch yet.</p>"
    stopped = ended(content.trials, Outcome.PRUNED)
    figures = []
    if any(record.epochs for record in content.trials):
        figures.append(_figure(content, content.trials, "the ladder" if content.is_ladder else "the search"))
    if any(record.epochs for record in content.replicates):
        figures.append(_figure(content, content.replicates, "the confirming runs"))
    keys = outcome_legend({r.outcome for r in content.trials if r.epochs}, replicates=bool(content.replicates))
    keys += legend([("line whole", "complete"), ("line cut", "ended before its last epoch")])
    return f'{keys}<div class="charts">{"".join(figures)}</div>{_stopped_table(content, stopped)}'


def _figure(content: Content, records: Sequence[TrialRecord], what: str) -> str:
    curves = {record.number: _curve(content, record) for record in records}
    named = [record for record in records if curves[record.number] and _is_named(content, record)]
    names = {_short_name(record): curves[record.number][-1] for record in named}
    if content.is_ladder and len(names) > NAMED_UP_TO:  # the seeds of a rung have one colour, and one name
        names = {truncated(_rung_of(record), 14): curves[record.number][-1] for record in named}
    elif len(names) > NAMED_UP_TO:
        names = {}
    rungs = list(dict.fromkeys(_rung_of(record) for record in records)) if content.is_ladder else []
    values = [value for curve in curves.values() for _, value in curve]
    epochs = [epoch for curve in curves.values() for epoch, _ in curve]
    chart = Chart(
        x=linear(epochs, whole=True),
        y=content.axis(values),
        x_label="epoch",
        y_label=content.metric_label,
        height=max(300.0, 80 + NAME_HEIGHT * len(names)),
        right=92 if names else 14,
    )
    # Whole ones on top.
    for record in sorted(records, key=lambda record: (record.outcome is Outcome.COMPLETE, record.number)):
        points = curves[record.number]
        if not points:
            continue
        kind = "whole" if record.outcome is Outcome.COMPLETE else "cut"
        own = f"c{rungs.index(_rung_of(record)) % COLOURS}" if rungs else ""
        chart.line(points, kind=f"{kind} {own}".strip(), trial=mark_of(record), tip=content.tip(record))
        mark = SHAPES[record.outcome] if record.replicate_of is None else REPLICATE
        chart.mark(mark, *points[-1], trial=mark_of(record), tip=content.tip(record), kind=own)
    colours = {_rung_of(record): f"c{rungs.index(_rung_of(record)) % COLOURS}" for record in named} if rungs else {}
    of_name = {name: colours[_rung_of(record)] for record in named if rungs for name in _names_of(record)}
    _write_names(chart, names, colours=of_name)
    whole = sum(record.outcome is Outcome.COMPLETE for record in records)
    trained, length = sum(len(r.epochs) for r in records), sum(r.config.epochs for r in records)
    says = f"{whole} of {len(records)} came to their last epoch; {trained} of {length} epochs were trained."
    return figure(
        chart.render(label=f"{content.metric} after each epoch of {what}. {says}"),
        caption=f"<h3>{safe(what.capitalize())}</h3><p>{safe(says)}</p>",
    )


def _is_named(content: Content, record: TrialRecord) -> bool:
    return content.is_ladder or record.outcome is Outcome.COMPLETE


def _short_name(record: TrialRecord) -> str:
    name = record.name.replace(", seed ", " s")
    return truncated(f"{name} s{record.config.seed}" if record.rung is not None and record.config.seed else name, 14)


def _names_of(record: TrialRecord) -> tuple[str, str]:
    """Return what a curve may be called: its run, or its rung."""
    return _short_name(record), truncated(_rung_of(record), 14)


def _rung_of(record: TrialRecord) -> str:
    return record.name if record.rung is None else record.rung.name


def _write_names(chart: Chart, ends: Mapping[str, tuple[float, float]], *, colours: Mapping[str, str]) -> None:
    """Write the names of curves at the right, each at the height of its end as far as there is room."""
    places = sorted((chart.at(*end)[1], chart.at(*end)[0], name) for name, end in ends.items())
    level = chart.top - NAME_HEIGHT
    lowest = chart.height - chart.bottom
    for place, (y, x, name) in enumerate(places):
        level = min(max(y, level + NAME_HEIGHT), lowest - NAME_HEIGHT * (len(places) - 1 - place))
        right = chart.width - chart.right
        chart.add(f'<path class="leader" d="M{num(x + 5)} {num(y)}L{num(right + 2)} {num(level)}"/>')
        chart.add(text(name, right + 5, level + 4, kind=colours.get(name, "")))


def _curve(content: Content, record: TrialRecord) -> list[tuple[float, float]]:
    found = ((epoch, content.at_epoch(record, epoch)) for epoch in range(1, len(record.epochs) + 1))
    return [(float(epoch), value) for epoch, value in found if value is not None]


def _stopped_table(content: Content, stopped: Sequence[TrialRecord]) -> str:
    if not stopped:
        return ""
    rows, marks = [], []
    for record in stopped:
        place, many, best = _standing(content, record)
        value = content.value(record)
        rows.append(
            (
                safe(record.name),
                f"{len(record.epochs)} of {record.config.epochs}",
                "" if value is None else safe(content.in_words(value)),
                f"{place} of {many}" if value is not None else "no finite value",
                safe(best),
            )
        )
        marks.append(mark_of(record))
    heads = ("trial", "stopped after epoch", content.metric, "place then", "best then")
    caption = "Stopped trials and where they stood"
    shown = table(heads, rows, caption=caption, numbers=(1, 2, 3), trials=marks)
    return f"""<details{" open" if len(rows) <= OPEN_UP_TO else ""}><summary>Why {len(rows)} were stopped</summary>
<p>A pruner compares a trial with those that had reached the same epoch before it, and lets only the best share of them
go on. The place is among the trials whose result of that epoch was there when this one's came: an early one is judged
with few others to compare with.</p>{shown}</details>"""


def _standing(content: Content, record: TrialRecord) -> tuple[int, int, str]:
    """Return a stopped trial's place at its last epoch, among how many, and the best of them at that moment."""
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
    place = 1 + sum(content.is_better(value, own) for value, _ in known)
    best, leader = (max if content.maximize else min)(known, key=lambda pair: pair[0])
    return place, len(known), "itself" if leader is record else f"{leader.name}, {content.in_words(best)}"
