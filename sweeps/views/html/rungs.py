"""A ladder's steps on the page: the same cells as its table and its CSV, and a chart of the gains."""

from __future__ import annotations

from collections.abc import Sequence

from sweeps.analysis.comparison import Finding, RungComparison
from sweeps.analysis.pairs import ALPHA, MIN_MODERATED_COMPARISONS, MIN_RECIPE_SEEDS
from sweeps.views.html.content import Content, axis_range
from sweeps.views.html.figure import (
    ZERO,
    Marks,
    Row,
    brush,
    by_kind,
    fade,
    figure,
    layer,
    listed,
    numeric,
    zoom,
)
from sweeps.views.html.text import safe, table
from sweeps.views.ladder_cells import ACCURACY, accuracy_interval, cells_of, difference_interval, difference_text
from sweeps.views.ladder_terms import INTERVAL_NOTE, terms_of

FINDING_LABELS = {
    Finding.HIGHER: "gain that is shown",
    Finding.LOWER: "loss that is shown",
    Finding.NOT_SIGNIFICANT: "no difference that can be shown",
    Finding.NOT_COMPARED: "not tested, one mark a seed",
}
_MARKS: Marks = {
    FINDING_LABELS[Finding.HIGHER]: ("triangle-up", "var(--green)", "var(--green)"),
    FINDING_LABELS[Finding.LOWER]: ("diamond", "var(--paper)", "var(--purple)"),
    FINDING_LABELS[Finding.NOT_SIGNIFICANT]: ("circle", "var(--paper)", "var(--orange)"),
    FINDING_LABELS[Finding.NOT_COMPARED]: ("M0,-1L0,1", "var(--grey)", "var(--grey)"),
}

_METHODS = {
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
    f"{MIN_RECIPE_SEEDS} seeds or more (paired t)": (
        "The difference is taken seed by seed, and the t-test asks whether its mean could be nothing. "
        "Only this compares two recipes."
    ),
    f"{MIN_MODERATED_COMPARISONS} comparisons or more (moderated t)": (
        "Three differences know their own spread badly. Where a ladder has many steps, each one's variance is drawn "
        "towards what is typical of all of them (Smyth 2004), which counts at most as much as its own."
    ),
    "p (Holm)": (
        "A ladder asks many questions, and some would be answered yes by chance; Holm's adjustment raises each p for "
        f"the number asked, and a difference counts as shown at {ALPHA} or less. "
        f"{INTERVAL_NOTE} It is of 95 % where one comparison was made, and wider where more were."
    ),
}
"""What each method means, in words for who has not met it."""


def rungs_section(content: Content) -> str:
    """Return the chart of the gains, and the table with all_records that is known of each rung."""
    if not content.comparisons:
        return f"<p>{safe(content.rows_error or 'No rung is recorded yet.')}</p>"
    words = terms_of(content.comparisons)
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
    reading = "".join(f"<dt>{safe(name)}</dt><dd>{safe(text)}</dd>" for name, text in _METHODS.items())
    methods = f'<details><summary>How to read it</summary><dl class="reading">{reading}</dl></details>'
    remark = f"<p>{safe(INTERVAL_NOTE)}</p>" if any(rung.test for rung in content.comparisons) else ""
    return f"{warnings}{_chart(content)}{shown}{remark}{methods}"


def gains_of(comparisons: Sequence[RungComparison]) -> list[Row]:
    """Return the difference of each rung to the one it comes from, in points: each seed's of too few for a test."""
    return [
        {
            "t": f"r{rung.index}", "name": rung.rung + ("" if rung.reduced is None else " (cut)"), "gain": difference,
            "low": rung.difference_low, "high": rung.difference_high, "what": FINDING_LABELS[rung.finding],
        }
        for rung in comparisons
        for difference in rung.by_seed or (() if rung.difference is None else (rung.difference,))
    ]  # fmt: skip


def _chart(content: Content) -> str:
    rows = gains_of(content.comparisons)
    if not rows:
        return "<p>No step can be compared yet: it takes a rung, and the one it comes from, on the same images.</p>"
    names = list(dict.fromkeys(row["name"] for row in rows))
    y = listed("name", names=names, grid=True, ticks=False, domain=False)
    title = "difference to the one it comes from, points"
    x = numeric(
        "gain",
        title,
        ends=axis_range([0.0, *(r[e] for r in rows for e in ("gain", "low", "high") if r[e] is not None)], least=0),
    )
    compared = [rung for rung in content.comparisons if rung.by_seed or rung.difference is not None]
    return figure(
        "What each step brought",
        _finding(compared),
        layer("zero", ZERO, x=x),
        layer("gains", {"type": "rule"}, x=x | {"field": "low"}, x2={"field": "high"}, y=y, opacity=fade()),
        layer(
            "gains", {"type": "point", "size": 70}, brush("x", "y"), zoom("x"), x=x, y=y, opacity=fade(),
            **by_kind("what", _MARKS, rows, columns=1),
        ),
        height=26 * len(names),
        rows={"gains": rows, "zero": [{"gain": 0.0}]},
        columns={"name": "step", "gain": title, "low": "from", "high": "to", "what": "what"},
    )  # fmt: skip


def _finding(compared: Sequence[RungComparison]) -> str:
    tested = [rung for rung in compared if rung.test is not None]
    if not tested:
        return "No step is tested yet: the marks are the differences under each seed."
    top = max(tested, key=lambda rung: rung.difference or 0.0)
    return f"The largest step is {top.rung}, {difference_text(top)} points: {top.verdict}."
