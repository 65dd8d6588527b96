"""The ladder as one HTML file that needs nothing beside it, and all files of a ladder in one folder."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path

from cifar_core.files import atomic_write
from sweeps.formatting import duration
from sweeps.report.ladder_cells import ACCURACY, accuracy_interval, cells_of, difference_interval, difference_text
from sweeps.report.ladder_plots import curves_figure, ladder_figure, png_bytes
from sweeps.report.ladder_table import to_csv
from sweeps.report.ladder_words import INTERVALS_AND_P, words_of
from sweeps.results import ALPHA, MODERATED_FROM, RECIPE_SEEDS, Finding, RungComparison, RungRuns

CSV, PAGE, LADDER, CURVES = "ladder.csv", "ladder.html", "ladder.png", "curves.png"

_STYLE = """
:root { color-scheme: light dark; --ink: #1d1f21; --quiet: #5d6369; --line: #d9dce0; --paper: #fff;
  --shade: #f4f5f7; --higher: #005a92; --lower: #a84300; --cut: #7a4a00; --cut-paper: #fff3dc; }
@media (prefers-color-scheme: dark) { :root { --ink: #e6e7e9; --quiet: #a3a9b0; --line: #3a3f45; --paper: #16181a;
  --shade: #212427; --higher: #6cbcf0; --lower: #ff9a5c; --cut: #ffd08a; --cut-paper: #3a2c10; } }
body { margin: 0 auto; max-width: 84rem; padding: 2rem 1.25rem 4rem; color: var(--ink); background: var(--paper);
  font: 16px/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
h1 { font-size: 1.6rem; line-height: 1.2; margin: 0 0 1rem; } h2 { font-size: 1.15rem; margin: 2.5rem 0 .75rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .1rem 1rem; margin: 0; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .5rem .7rem; border-bottom: 1px solid var(--line); }
thead th { border-bottom: 2px solid var(--line); white-space: nowrap; }
.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
small { display: block; color: var(--quiet); font-weight: normal; }
.words { min-width: 18rem; } tbody th { white-space: nowrap; }
.higher { color: var(--higher); } .lower { color: var(--lower); }
.cut { display: inline-block; padding: 0 .4rem; white-space: normal; font-size: .85em;
  color: var(--cut); background: var(--cut-paper); border-radius: .25rem; }
p.cut { display: block; padding: .6rem .9rem; font-size: 1rem; }
figure { margin: 0; padding: .75rem; background: #fff; border: 1px solid var(--line); border-radius: .5rem; }
img { display: block; width: 100%; height: auto; }
.reading { max-width: 46rem; } .reading dl { display: block; } .reading dt { color: var(--ink); font-weight: 600; }
.reading dd { margin: 0 0 .75rem; }
"""

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


def write_ladder(
    comparisons: Sequence[RungComparison],
    rungs: Sequence[RungRuns],
    *,
    title: str,
    environment: Mapping[str, str],
    folder: Path,
) -> tuple[Path, ...]:
    """Write `ladder.html`, `ladder.csv`, `ladder.png` and `curves.png`, each whole or not at all; return their paths.

    The page is one file that needs nothing beside it: pictures inside, no script, nothing fetched.

    Args:
        comparisons: what the table and the first picture show.
        rungs: whose curves the second picture shows.
        title: of the page.
        environment: what else the page says of the ladder (machine, versions), in this order.
        folder: created where it is not there.
    """
    ladder, curves = png_bytes(ladder_figure(comparisons)), png_bytes(curves_figure(rungs))
    to_csv(comparisons, folder / CSV)
    page = _page(comparisons, title=title, environment=environment, ladder=ladder, curves=curves).encode()
    for name, content in ((LADDER, ladder), (CURVES, curves), (PAGE, page)):
        with atomic_write(folder / name) as file:
            file.write(content)
    return tuple(folder / name for name in (PAGE, CSV, LADDER, CURVES))


def _page(
    comparisons: Sequence[RungComparison], *, title: str, environment: Mapping[str, str], ladder: bytes, curves: bytes
) -> str:
    words = words_of(comparisons)
    cut = sorted({rung.reduced for rung in comparisons if rung.reduced is not None})
    warnings = "".join(
        f'<p class="cut">Reduced budget: {escape(text)}. These {words.row}s are not what the full {words.whole} '
        "gives.</p>"
        for text in cut
    )
    terms = "".join(f"<dt>{escape(name)}</dt><dd>{escape(value)}</dd>" for name, value in environment.items())
    reading = "".join(f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in _READING.items())
    rows = "\n".join(map(_row, comparisons)) or '<tr><td colspan="8">no rung is recorded here yet</td></tr>'
    heads = "".join(
        f'<th scope="col"{attribute}>{name}</th>'
        for name, attribute in (
            (words.row.capitalize(), ""),
            (f"{words.accuracy.capitalize()}, %", ' class="number"'),
            ("Difference, points", ' class="number"'),
            ("p (Holm)", ' class="number"'),
            ("What it brought", ""),
            ("Params, M", ' class="number"'),
            ("Training, s", ' class="number"'),
            ("Images/s", ' class="number"'),
        )
    )
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(title)}</title>
<style>{_STYLE}</style>
</head>
<body>
<h1>{escape(title)}</h1>
<dl>{terms}</dl>
{warnings}
<h2>{words.heading}</h2>
<div class="wide"><table>
<thead><tr>{heads}</tr></thead>
<tbody>
{rows}
</tbody>
</table></div>
<h2>The {words.whole}</h2>
{_picture(ladder, alt=f"{words.accuracy.capitalize()} of each {words.row}; the numbers are those of the table.")}
<h2>Loss and accuracy while training</h2>
{_picture(curves, alt=f"Training loss and accuracy of each {words.row} against epoch.")}
<h2>How to read it</h2>
<div class="reading"><dl>{reading}</dl></div>
</body>
</html>
"""


def _row(rung: RungComparison) -> str:
    cells = {name: escape(text) for name, text in cells_of(rung).items()}
    name = cells["rung"] + (f"<small>from {cells['from']}</small>" if rung.parent is not None else "")
    if rung.reduced is not None:
        name += f'<small><span class="cut">{cells["budget"]}</span></small>'
    words = f'<span class="{_tone(rung.finding)}">{cells["verdict"]}</span>'
    unadjusted = f", p {cells['p_value']} before Holm" if rung.p_value is not None else ""
    words += f"<small>{cells['test']}{unadjusted}</small>" if rung.test else ""
    words += f"<small>{cells['change']}</small>" if rung.change else ""
    words += f"<small>{cells['status']}</small>" if rung.status != "complete" and rung.seeds else ""
    kind = f"<small>{cells['interval']}</small>" if rung.ci_kind else ""
    seconds = rung.train_seconds or 0.0
    time = f"<small>{escape(duration(seconds))}</small>" if seconds >= 90 else ""
    numbers = (
        f"{cells[ACCURACY]}<small>{escape(accuracy_interval(rung))}</small>{kind}",
        f"{escape(difference_text(rung))}<small>{escape(difference_interval(rung))}</small>",
        cells["p_holm"],
    )
    costs = (cells["parameters_millions"], cells["train_seconds"] + time, cells["images_per_second"])
    return (
        f'<tr><th scope="row">{name}</th>'
        + "".join(f'<td class="number">{number}</td>' for number in numbers)
        + f'<td class="words">{words}</td>'
        + "".join(f'<td class="number">{cost}</td>' for cost in costs)
        + "</tr>"
    )


def _tone(finding: Finding) -> str:
    return finding.value if finding in (Finding.HIGHER, Finding.LOWER) else "plain"


def _picture(png: bytes, *, alt: str) -> str:
    data = base64.b64encode(png).decode("ascii")
    return f'<figure><img alt="{escape(alt)}" src="data:image/png;base64,{data}"></figure>'
