"""A ladder's steps on the page: the same cells as its table and its CSV, and a chart of the gains."""

from __future__ import annotations

from collections.abc import Sequence

from sweeps.report.ladder_cells import ACCURACY, accuracy_interval, cells_of, difference_interval, difference_text
from sweeps.report.ladder_words import INTERVALS_AND_P, words_of
from sweeps.report.page.content import Content
from sweeps.report.page.scale import linear
from sweeps.report.page.svg import figure, frame, legend, num, shape, text
from sweeps.report.page.text import safe, table
from sweeps.results import Finding, RungComparison

WIDTH, LEFT, ROW = 460.0, 132.0, 26.0
_MARKS = {Finding.HIGHER: "triangle", Finding.LOWER: "diamond", Finding.NOT_SHOWN: "ring", Finding.NOT_COMPARED: "bar"}
_WORDS = {
    Finding.HIGHER: "gain that is shown",
    Finding.LOWER: "loss that is shown",
    Finding.NOT_SHOWN: "no difference that can be shown",
    Finding.NOT_COMPARED: "not tested, one mark a seed",
}


def rungs_section(content: Content) -> str:
    """Return the chart of the gains, and the table with everything that is known of each rung."""
    if not content.comparisons:
        return f"<p>{safe(content.why_no_rows or 'No rung is recorded yet.')}</p>"
    words = words_of(content.comparisons)
    rows = []
    for rung in content.comparisons:
        cells = {name: safe(value) for name, value in cells_of(rung).items()}
        origin = f"<small>from {cells['from']}</small>" if rung.parent is not None else ""
        budget = f'<small class="note">{cells["budget"]}</small>' if rung.reduced is not None else ""
        change = f"<small>{cells['change']}</small>" if rung.change else ""
        test = f"<small>{cells['test']}</small>" if rung.test else ""
        rows.append(
            (
                f'<button type="button" class="pick" aria-pressed="false" data-pick="r{rung.index}" '
                f'title="highlight in every chart">{cells["rung"]}</button>{origin}{budget}',
                f"{cells[ACCURACY]}<small>{safe(accuracy_interval(rung))}</small>",
                f"{safe(difference_text(rung))}<small>{safe(difference_interval(rung))}</small>",
                cells["p_holm"],
                f"{cells['verdict']}{test}{change}",
                cells["runs"],
                cells["status"],
                cells["parameters_millions"],
                cells["train_seconds"],
            )
        )
    heads = (
        words.row,
        words.short_accuracy,
        "difference, points",
        "p (Holm)",
        "what it brought",
        "runs",
        "status",
        "params M",
        "seconds",
    )
    shown = table(
        heads,
        rows,
        caption=f"{words.heading}: each {words.row} against {words.compared_with}",
        numbers=(1, 2, 3, 5, 7, 8),
        trials=[f"r{rung.index}" for rung in content.comparisons],
    )
    return f"{_chart(content)}{shown}<p>{safe(INTERVALS_AND_P)}</p>"


def _chart(content: Content) -> str:
    compared = [rung for rung in content.comparisons if _differences(rung)]
    if not compared:
        return "<p>No step can be compared yet: it takes a rung, and the one it comes from, on the same images.</p>"
    ends = [
        end
        for rung in compared
        for end in (*_differences(rung), rung.difference_low, rung.difference_high)
        if end is not None
    ]
    scale = linear([0.0, *ends])

    def x(value: float) -> float:
        return LEFT + scale.place(value) * (WIDTH - 10 - LEFT)

    height = 12 + ROW * len(compared)
    parts = [f'<path class="zero" d="M{num(x(0))} 4V{num(height)}"/>']
    for place, rung in enumerate(compared):
        y = 16 + place * ROW
        name = rung.rung + ("" if rung.reduced is None else " (cut)")
        parts.append(text(name if len(name) <= 19 else f"{name[:18]}…", LEFT - 8, y + 4, anchor="end"))
        if rung.difference_low is not None and rung.difference_high is not None:
            low, high = x(rung.difference_low), x(rung.difference_high)
            parts.append(f'<path class="line whisker" d="M{num(low)} {num(y)}H{num(high)}"/>')
        tip = f"{rung.rung}: {difference_text(rung)} points; {rung.verdict}"
        parts += [
            shape(_MARKS[rung.finding], x(difference), y, trial=f"r{rung.index}", tip=tip)
            for difference in _differences(rung)
        ]
    parts.append(f'<path class="axis" d="M{num(LEFT)} {num(height)}H{num(WIDTH - 10)}"/>')
    for value, name in scale.ticks:
        parts.append(text(name, x(value), height + 16, anchor="middle"))
    parts.append(
        text("difference to the one it comes from, points", WIDTH - 10, height + 32, anchor="end", kind="name")
    )
    says = _finding(compared)
    picture = frame("".join(parts), width=WIDTH, height=height + 38, label=f"What each step brought. {says}")
    keys = legend((_MARKS[f], _WORDS[f]) for f in _MARKS if any(rung.finding is f for rung in compared))
    return figure(picture, caption=f"{keys}<p>{safe(says)}</p>", kind="beside")


def _differences(rung: RungComparison) -> Sequence[float]:
    """Return the difference to draw: of several seeds that are too few for a test, each one's."""
    return rung.by_seed or (() if rung.difference is None else (rung.difference,))


def _finding(compared: Sequence[RungComparison]) -> str:
    tested = [rung for rung in compared if rung.test is not None]
    if not tested:
        return "No step is tested yet: the marks are the differences under each seed."
    top = max(tested, key=lambda rung: rung.difference or 0.0)
    return f"The largest step is {top.rung}, {difference_text(top)} points: {top.verdict}."
