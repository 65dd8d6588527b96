"""Section of a ladder's steps: the cells of its table and CSV file, and a chart of the gains."""

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
from sweeps.views.ladder_cells import VALUE, cells_of, difference_interval, difference_text, value_interval
from sweeps.views.ladder_terms import INTERVAL_NOTE, terms_of

FINDING_LABELS = {
    Finding.BETTER: "significant gain",
    Finding.WORSE: "significant loss",
    Finding.NOT_SIGNIFICANT: "no significant difference",
    Finding.NOT_COMPARED: "no significance test, one mark per seed",
}
_MARKS: Marks = {
    FINDING_LABELS[Finding.BETTER]: ("triangle-up", "var(--green)", "var(--green)"),
    FINDING_LABELS[Finding.WORSE]: ("diamond", "var(--paper)", "var(--purple)"),
    FINDING_LABELS[Finding.NOT_SIGNIFICANT]: ("circle", "var(--paper)", "var(--orange)"),
    FINDING_LABELS[Finding.NOT_COMPARED]: ("M0,-1L0,1", "var(--grey)", "var(--grey)"),
}

_METHODS = {
    "95 % interval of one run (Wilson)": (
        "On another sample of as many images this network would have another accuracy. Wilson's interval covers that "
        "variation. It does not cover the variation between seeds."
    ),
    "95 % interval over seeds (t)": (
        "Student's t interval of the mean over the seeds covers the mean accuracy of the recipe over all seeds. It is "
        "wide if there are few seeds."
    ),
    "One run each (McNemar)": (
        "Two networks classify the same images. McNemar's exact test uses the images that only one of them classifies "
        "correctly, and tests whether both are correct on equally many. It compares these two networks, not the two "
        "recipes. The interval of the difference is the exact one of Clopper and Pearson on the same images."
    ),
    f"{MIN_RECIPE_SEEDS} seeds or more (paired t)": (
        "The paired t-test tests whether the mean of the differences for each seed is 0. Only this test compares two "
        "recipes."
    ),
    f"{MIN_MODERATED_COMPARISONS} comparisons or more (moderated t)": (
        "Three differences estimate their variance badly. With many steps, the variance of each is shrunk towards the "
        "typical variance of all (Smyth 2004), which gets at most the same weight."
    ),
    "p (Holm)": (
        "With many comparisons some differences would seem significant by chance. Holm's procedure adjusts each p for "
        f"the number of comparisons. A difference is significant if the adjusted p is at most {ALPHA}. "
        f"{INTERVAL_NOTE} It is a 95 % interval for one comparison and wider for several."
    ),
}
"""Explanations of the statistical methods."""


def rungs_section(content: Content) -> str:
    """Return the chart of the gains and the table of all rungs."""
    if not content.comparisons:
        return f"<p>{safe(content.rows_error or 'No rung is recorded yet.')}</p>"
    terms = terms_of(content.comparisons)
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
                f"{cells[VALUE]}<small>{safe(value_interval(rung))}</small>{kind}",
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
        terms.row,
        terms.short_value,
        terms.difference,
        "p (Holm)",
        "verdict",
        "runs",
        "status",
        "params M",
        "seconds",
        "images/s",
    )
    shown = table(
        heads,
        rows,
        caption=f"{terms.heading}: each {terms.row} against {terms.compared_with}",
        numbers=(1, 2, 3, 5, 7, 8, 9),
        trials=[f"r{rung.index}" for rung in content.comparisons],
    )
    reduced = sorted({rung.reduced for rung in content.comparisons if rung.reduced is not None})
    warnings = "".join(
        f'<p class="note">Reduced budget: {safe(text)}. These are not results of the full {terms.kind}.</p>'
        for text in reduced
    )
    reading = "".join(f"<dt>{safe(name)}</dt><dd>{safe(text)}</dd>" for name, text in _METHODS.items())
    methods = f'<details><summary>How to read this table</summary><dl class="reading">{reading}</dl></details>'
    remark = f"<p>{safe(INTERVAL_NOTE)}</p>" if any(rung.test for rung in content.comparisons) else ""
    return f"{warnings}{_chart(content)}{shown}{remark}{methods}"


def gains_of(comparisons: Sequence[RungComparison]) -> list[Row]:
    """Return the difference of each rung to its parent, or that for each seed without a test."""
    return [
        {
            "t": f"r{rung.index}", "name": rung.rung if rung.reduced is None else f"{rung.rung} (reduced)",
            "gain": difference, "low": rung.difference_low, "high": rung.difference_high,
            "finding": FINDING_LABELS[rung.finding],
        }
        for rung in comparisons
        for difference in rung.by_seed or (() if rung.difference is None else (rung.difference,))
    ]  # fmt: skip


def _chart(content: Content) -> str:
    rows = gains_of(content.comparisons)
    if not rows:
        return "<p>No step can be compared yet. A rung and its parent must be measured on the same images.</p>"
    names = list(dict.fromkeys(row["name"] for row in rows))
    y = listed("name", names=names, grid=True, ticks=False, domain=False)
    measure = content.comparisons[0].measure
    title = "difference to the parent, points" if measure.is_share else f"difference of {measure.name} to the parent"
    x = numeric(
        "gain",
        title,
        ends=axis_range([0.0, *(r[e] for r in rows for e in ("gain", "low", "high") if r[e] is not None)], least=0),
    )
    compared = [rung for rung in content.comparisons if rung.by_seed or rung.difference is not None]
    return figure(
        terms_of(content.comparisons).heading,
        _finding(compared),
        layer("zero", ZERO, x=x),
        layer("gains", {"type": "rule"}, x=x | {"field": "low"}, x2={"field": "high"}, y=y, opacity=fade()),
        layer(
            "gains", {"type": "point", "size": 70}, brush("x", "y"), zoom("x"), x=x, y=y, opacity=fade(),
            **by_kind("finding", _MARKS, rows, columns=1),
        ),
        height=26 * len(names),
        rows={"gains": rows, "zero": [{"gain": 0.0}]},
        columns={"name": "step", "gain": title, "low": "from", "high": "to", "finding": "finding"},
    )  # fmt: skip


def _finding(compared: Sequence[RungComparison]) -> str:
    tested = [rung for rung in compared if rung.test is not None]
    if not tested:
        return "No step is tested yet. The marks are the differences for each seed."
    sign = 1 if tested[0].maximize else -1
    top = max(tested, key=lambda rung: sign * (rung.difference or 0.0))
    return f"The largest gain is that of {top.rung}: {top.verdict}."
