"""A ladder's steps on the page: the same cells as its table and its CSV, and a chart of the gains."""

from __future__ import annotations

from collections.abc import Sequence

from sweeps.results import ALPHA, MODERATED_FROM, RECIPE_SEEDS, Finding, RungComparison
from sweeps.views.ladder_cells import ACCURACY, accuracy_interval, cells_of, difference_interval, difference_text
from sweeps.views.ladder_words import INTERVALS_AND_P, words_of
from sweeps.views.page.content import Content
from sweeps.views.page.scale import linear
from sweeps.views.page.svg import figure, frame, legend, num, shape, text
from sweeps.views.page.text import safe, table

WIDTH, LEFT, ROW = 460.0, 132.0, 26.0
_MARKS = {Finding.HIGHER: "triangle", Finding.LOWER: "diamond", Finding.NOT_SHOWN: "ring", Finding.NOT_COMPARED: "bar"}
_WORDS = {
    Finding.HIGHER: "gain that is shown",
    Finding.LOWER: "loss that is shown",
    Finding.NOT_SHOWN: "no difference that can be shown",
    Finding.NOT_COMPARED: "not tested, one mark a seed",
}

_READING = {
    "95 % interval of one run (Wilson)": (
        "As many other images of the same kind would give this one network another accuracy; Wilson's interval says "
        "where it may lie. It says nothing of what the same recipe gives under another seed."
    ),
    "95 % interval over seeds (t)": (
        "The mean over the seeds, with Student's t interval: where the recipe's mean may lie, trained under any seed. "
        "It is wide with few seeds."
    ),
    "One run each (McNemar)": (
        "Two networks answer the same images, and only those count that one alone gets right: McNemar's exact test "
        "asks whether a fair coin would split them so. It compares these two networks, not the two recipes; the "
        "interval of their difference is the exact one of Clopper and Pearson, of the same images."
    ),
    f"{RECIPE_SEEDS} seeds or more (paired t)": (
        "The difference is taken seed by seed, and the t-test asks whether its mean could be nothing. "
        "Only this compares two recipes."
    ),
    f"{MODERATED_FROM} comparisons or more (moderated t)": (
        "Three differences know their own spread badly. Where a ladder has many steps, each one's variance is drawn "
        "towards what is typical of all of them (Smyth 2004), which counts at most as much as its own."
    ),
    "p (Holm)": (
        "A ladder asks many questions, and some would be answered yes by chance; Holm's adjustment raises each p for "
        f"the number asked, and a difference counts as shown at {ALPHA} or less. "
        f"{INTERVALS_AND_P} It is of 95 % where one comparison was made, and wider where more were."
    ),
}
"""What each method means, in words for who has not met it."""


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
        unadjusted = f", p {cells['p_value']} before Holm" if rung.p_value is not None else ""
        test = f"<small>{cells['test']}{unadjusted}</small>" if rung.test else ""
        kind = f"<small>{cells['interval']}</small>" if rung.ci_kind else ""
        rows.append(
            (
                f'<button type="button" class="pick" aria-pressed="false" data-pick="r{rung.index}" '
                f'title="highlight in every chart">{cells["rung"]}</button>{origin}{budget}',
                f"{cells[ACCURACY]}<small>{safe(accuracy_interval(rung))}</small>{kind}",
                f"{safe(difference_text(rung))}<small>{safe(difference_interval(rung))}</small>",
                cells["p_holm"],
                f"{cells['verdict']}{test}{change}",
                cells["runs"],
                cells["status"],
                cells["parameters_millions"],
                cells["train_seconds"],
                cells["images_per_second"],
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
        "images/s",
    )
    shown = table(
        heads,
        rows,
        caption=f"{words.heading}: each {words.row} against {words.compared_with}",
        numbers=(1, 2, 3, 5, 7, 8, 9),
        trials=[f"r{rung.index}" for rung in content.comparisons],
    )
    cut = sorted({rung.reduced for rung in content.comparisons if rung.reduced is not None})
    warnings = "".join(
        f'<p class="note">Reduced budget: {safe(text)}. These {words.row}s are not what the full {words.whole} '
        "gives.</p>"
        for text in cut
    )
    reading = "".join(f"<dt>{safe(name)}</dt><dd>{safe(text)}</dd>" for name, text in _READING.items())
    methods = f'<details><summary>How to read it</summary><dl class="reading">{reading}</dl></details>'
    remark = f"<p>{safe(INTERVALS_AND_P)}</p>" if any(rung.test for rung in content.comparisons) else ""
    return f"{warnings}{_chart(content)}{shown}{remark}{methods}"


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
