"""Parallel coordinates, one axis below the other: every trial is a line from its values to its result."""

from __future__ import annotations

from sweeps.formatting import truncated
from sweeps.trial_record import TrialRecord
from sweeps.views.page.content import Content, Varied, mark_of
from sweeps.views.page.scale import Scale
from sweeps.views.page.svg import figure, frame, legend, line, num, text
from sweeps.views.page.text import safe

WIDTH, LEFT, RIGHT, ROW = 460.0, 14.0, 14.0, 76.0
BANDS = 4
_WORDS = ("worst quarter", "third quarter", "second quarter", "best quarter")
SHOWN = 12
"""Parameters, the first ones."""


def parallel_section(content: Content) -> str:
    """Return one chart; the worst trials are drawn first, so that the best lie on top."""
    epoch = content.shared_epoch
    values = {
        record.number: value for record in content.trials if (value := content.at_epoch(record, epoch)) is not None
    }
    parameters = content.varied[:SHOWN]
    if len(values) < 2 or not parameters:
        return "<p>There is nothing to compare: it takes two trials with a result, and a parameter that differs.</p>"
    result = content.axis(values.values())
    order = sorted(values, key=lambda number: values[number], reverse=not content.maximize)
    band = {number: min(BANDS - 1, BANDS * place // len(order)) for place, number in enumerate(order)}
    records = {record.number: record for record in content.trials}
    axes = "".join(_axis(place, parameter.name, parameter.scale) for place, parameter in enumerate(parameters))
    axes += _axis(len(parameters), f"{content.metric_label} after epoch {epoch}", result)
    lines = "".join(
        _line(content, records[number], parameters, result.place(values[number]), band=band[number]) for number in order
    )
    words = _finding(content, parameters, order[-max(1, len(order) // BANDS) :])
    picture = frame(
        lines + axes, width=WIDTH, height=ROW * len(parameters) + 50, label=f"Parallel coordinates. {words}"
    )
    caption = (
        f"{safe(words)} Each line is a trial, from the values it was given to its {safe(content.metric)} after epoch "
        f"{epoch}, the last that at least two thirds of the trials with an epoch reached ({len(values)} of "
        f"{len(content.trials)} trials). A line leaves out a parameter that its trial does not have."
    )
    keys = legend([(f"line q{band}", _WORDS[band]) for band in reversed(range(BANDS))])
    return figure(picture, caption=keys + f"<p>{caption}</p>", kind="beside")


def _axis(place: int, name: str, scale: Scale) -> str:
    y = place * ROW + 26
    parts = [text(truncated(name, 44), LEFT - 10, y - 9, kind="name")]
    parts.append(f'<path class="axis" d="M{num(LEFT)} {num(y)}H{num(WIDTH - RIGHT)}"/>')
    room = int((WIDTH - LEFT - RIGHT) / max(len(scale.ticks), 1) / 6.6)
    for value, label in scale.ticks:
        x = _x(scale.place(value))
        parts.append(f'<path class="axis" d="M{num(x)} {num(y - 3)}v6"/>')
        # Words at an end may lean on it, not over it.
        anchor = "start" if x < LEFT + 12 else "end" if x > WIDTH - RIGHT - 12 else "middle"
        parts.append(text(truncated(label, max(room, 4)), x, y + 15, anchor=anchor))
    return "".join(parts)


def _line(content: Content, record: TrialRecord, parameters: list[Varied], result: float, *, band: int) -> str:
    points = []
    for place, parameter in enumerate(parameters):
        value = parameter.place(record.number)
        if value is not None:
            points.append((_x(parameter.scale.place(value)), place * ROW + 26))
    points.append((_x(result), len(parameters) * ROW + 26))
    return line(points, kind=f"q{band}", trial=mark_of(record), tip=content.tip(record))


def _x(place: float) -> float:
    return LEFT + place * (WIDTH - LEFT - RIGHT)


def _finding(content: Content, parameters: list[Varied], best: list[int]) -> str:
    """Return in what the best quarter is of one mind."""
    same = []
    for parameter in parameters:
        texts = {parameter.text(number) for number in best if number in parameter.values}
        if len(texts) == 1 and all(number in parameter.values for number in best):
            same.append(f"{parameter.name} {texts.pop()}")
    many = f"The best quarter ({len(best)} of the trials)" if len(best) > 1 else "The best trial"
    if not same:
        return f"{many} does not agree in any parameter."
    return f"{many} has {', '.join(same)}."
