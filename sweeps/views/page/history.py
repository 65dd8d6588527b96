"""The search over its trials, and over wall time: what each brought, and the best so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sweeps.formatting import duration
from sweeps.trial_record import Outcome, TrialRecord
from sweeps.views.page.clock import clock_of, spans_of
from sweeps.views.page.content import Content, mark_of
from sweeps.views.page.scale import Scale, linear, time_unit
from sweeps.views.page.svg import SHAPES, Chart, figure, legend, outcome_legend, steps
from sweeps.views.page.text import safe


def history_section(content: Content) -> str:
    """Return two charts of the same trials."""
    shown = [record for record in content.trials if content.value(record) is not None]
    if not shown:
        return "<p>No trial has a result yet.</p>"
    clock = clock_of(spans_of(content.trials, now=None))
    per, unit = time_unit(clock.seconds)

    def number(record: TrialRecord) -> float:
        return float(record.trial)

    def moment(record: TrialRecord) -> float:
        # Of one that was taken over the moment at which the search heard of it may lie before its first trial.
        ended = record.finished if record.finished is not None else record.epochs[-1].finished_at
        return clock.at(ended) / per

    finding = _finding(content, moment=lambda record: duration(moment(record) * per))
    keys = outcome_legend({record.outcome for record in shown}) + legend([("line best", "best complete so far")])
    by_number = _chart(
        content, shown, place=number, x=linear(map(number, shown), whole=True), label="trial", says=finding
    )
    x = linear(map(moment, shown), zero=True)
    by_time = _chart(content, shown, place=moment, x=x, label=f"wall time, {unit}", says=finding)
    pauses = " Pauses in which nothing was trained are cut out of the time." if clock.pauses else ""
    return (
        f"<p>{safe(finding)}{pauses}</p>{keys}"
        f'<div class="charts">{figure(by_number, caption="By trial, in the order of proposal.")}'
        f"{figure(by_time, caption='By the time at which each ended.')}</div>"
    )


def _chart(
    content: Content,
    shown: Sequence[TrialRecord],
    *,
    place: Callable[[TrialRecord], float],
    x: Scale,
    label: str,
    says: str,
) -> str:
    values = {record.number: value for record in shown if (value := content.value(record)) is not None}
    chart = Chart(x=x, y=content.axis(values.values()), x_label=label, y_label=content.metric_label)
    best: list[tuple[float, float]] = []
    for record in sorted(shown, key=place):
        value = values[record.number]
        is_counted = record.outcome is Outcome.COMPLETE
        if is_counted and (not best or content.is_better(value, best[-1][1])):
            best.append((place(record), value))
    chart.line(steps(best, until=max(map(place, shown))), kind="best")
    for record in shown:
        tip = content.tip(record)
        chart.mark(SHAPES[record.outcome], place(record), values[record.number], trial=mark_of(record), tip=tip)
    return chart.render(label=f"{content.metric} of each trial by {label}. {says}")


def _finding(content: Content, *, moment: Callable[[TrialRecord], str]) -> str:
    best = content.state.best()
    value = None if best is None else content.value(best)
    if best is None or value is None:
        return "No trial is complete, so that there is no best one; stopped trials are shown as far as they came."
    return (
        f"The best complete trial of the search, {best.name} with {content.in_words(value)}, ended after "
        f"{moment(best)}. Only complete trials count for the best so far; of a stopped one its last epoch is shown."
    )
