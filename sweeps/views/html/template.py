"""The page: one HTML file with embedded style and scripts, which needs no network."""

from __future__ import annotations

import base64
import hashlib
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from importlib.resources import files

from sweeps.views.html.board import board_section
from sweeps.views.html.content import Content, mark_of
from sweeps.views.html.curves import curves_section
from sweeps.views.html.effects import effects_section
from sweeps.views.html.failures import failures_section
from sweeps.views.html.figure import CONFIG, json_script
from sweeps.views.html.front import front_section, has_front
from sweeps.views.html.history import history_section
from sweeps.views.html.parallel import parallel_section
from sweeps.views.html.rungs import rungs_section
from sweeps.views.html.slices import slices_section
from sweeps.views.html.text import safe
from sweeps.views.html.timeline import timeline_section
from sweeps.views.html.tradeoff import of_rows, of_rungs, tradeoff_section
from sweeps.views.html.verdict import verdict_of

Section = tuple[str, str, Callable[[Content], str]]
"""Anchor, heading and the function that writes the section."""

_BOARD: Section = ("leaderboard", "Leaderboard", board_section)
_CURVES: Section = ("curves", "Learning curves", curves_section)
_TIMELINE: Section = ("slots", "Slots", timeline_section)
_TRADEOFF: Section = ("cost", "Accuracy and cost", tradeoff_section)
_FRONT: Section = ("front", "Front", front_section)
_FAILURES: Section = ("failures", "Failures", failures_section)
SEARCH: tuple[Section, ...] = (
    ("helped", "Parameter effects", effects_section),
    _FRONT,
    _BOARD,
    ("history", "Optimisation history", history_section),
    ("parallel", "Parallel coordinates", parallel_section),
    ("slices", "Slices and contours", slices_section),
    _CURVES,
    _TIMELINE,
    _TRADEOFF,
    _FAILURES,
)
LADDER: tuple[Section, ...] = (("steps", "Steps and gains", rungs_section), _CURVES, _TIMELINE, _TRADEOFF, _FAILURES)


KEYS = """Drag over a chart or click a mark to highlight trials in every chart. Drag with Shift to move a chart, use the
wheel with Ctrl to zoom, double-click to reset. Keys within a chart: ← and → select the previous or next trial, + and −
zoom, 0 resets the zoom, Escape clears the highlighting."""
NO_SCRIPT = "The charts and the tables of their data need JavaScript. The rest of the page does not."


def page_of(content: Content) -> str:
    """Return the report as HTML."""
    style, scripts = _asset("page.css"), [vega(), _asset("page.js")]
    allowed = " ".join(f"'{_digest(script)}'" for script in scripts)
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src {allowed}; base-uri 'none'; form-action 'none'"
    )
    sections = sections_of(content)
    title = safe(content.state.sweep)
    links = "".join(f'<li><a href="#{anchor}">{heading}</a></li>' for anchor, heading, _ in sections)
    verdict = "".join(f"<p>{safe(line)}</p>" for line in verdict_of(content))
    body = "\n".join(
        f'<section id="{anchor}" aria-labelledby="{anchor}-h"><h2 id="{anchor}-h">{heading}</h2>\n'
        f"{write(content)}\n</section>"
        for anchor, heading, write in sections
    )
    tips = {mark_of(record): content.tooltip(record) for record in reversed(content.all_records)}
    facts = "".join(f"<dt>{safe(name)}</dt><dd>{safe(value)}</dd>" for name, value in content.environment.items())
    return f"""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}: report</title>
<style>{style}</style>
</head>
<body>
<a class="skip" href="#main">Skip to the content</a>
<header>
<h1>{title}</h1>
<p>{_standing(content)}</p>
<div class="controls bar" hidden>
<label for="picked">Highlight</label>
<select id="picked"><option value="">no trial</option>{_options(content)}</select>
<button type="button" id="theme">Dark</button>
<p id="keys">{KEYS}</p>
</div>
<noscript><p class="note">{NO_SCRIPT}</p></noscript>
</header>
<nav aria-label="Sections"><ul>{links}</ul></nav>
<main id="main" tabindex="-1">
<section id="verdict" aria-labelledby="verdict-h" class="verdict"><h2 id="verdict-h">Verdict</h2>
{verdict}
</section>
{body}
</main>
<footer>
<h2>Environment</h2>
<dl>{facts}</dl>
</footer>
<p id="message" role="status"></p>
<p id="tip" aria-hidden="true"></p>
{json_script({"tips": tips, "config": CONFIG}, name="shared")}
{"".join(f"<script>{script}</script>" for script in scripts)}
</body>
</html>
"""


def sections_of(content: Content) -> list[Section]:
    """Return the sections of a page."""
    # Only accuracies are drawn against the cost.
    has_tradeoff = content.is_of_images or bool(of_rungs(content) if content.is_ladder else of_rows(content))
    left_out = [] if has_tradeoff else [_TRADEOFF]
    left_out += [] if has_front(content) else [_FRONT]
    return [section for section in (LADDER if content.is_ladder else SEARCH) if section not in left_out]


def _standing(content: Content) -> str:
    """Return the counts of the trials and the time of writing in one line."""
    counts = Counter(record.outcome for record in content.trials)
    summary = ", ".join(f"{count} {outcome}" for outcome, count in counts.items()) or "no trial yet"
    moment = datetime.fromtimestamp(content.now, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    written = f'page written <time datetime="{datetime.fromtimestamp(content.now, UTC).isoformat()}">{moment}</time>'
    state = (
        f'<strong class="note">Running now, by {safe(content.state.driver)}. This page is a snapshot.</strong> '
        if content.is_running
        else ""
    )
    damage = "" if content.state.damage is None else f'<strong class="note">{safe(content.state.damage)}</strong> '
    return f"{state}{damage}{summary}; {written}"


def _options(content: Content) -> str:
    names = {mark_of(record): record.rung.name if record.rung else f"trial {record.trial}" for record in content.trials}
    return "".join(f'<option value="{safe(mark)}">{safe(name)}</option>' for mark, name in names.items())


@cache
def vega() -> str:
    """Return the script that draws Vega-Lite charts. Bundling it takes two seconds."""
    import vl_convert

    return vl_convert.javascript_bundle("window.vegaEmbed = vegaEmbed;")


def _asset(name: str) -> str:
    return files("sweeps.views.html").joinpath(name).read_text(encoding="utf-8").strip()


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode('utf-8')).digest()).decode('ascii')}"
