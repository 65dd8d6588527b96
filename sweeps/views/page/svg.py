"""Charts as inline SVG: a frame with axes, marks with tooltips, lines. Colours and sizes are the style sheet's."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from sweeps.formatting import truncated
from sweeps.trial_record import Outcome
from sweeps.views.page.scale import Scale
from sweeps.views.page.text import safe

Point = tuple[float, float]

SHAPES = {
    Outcome.COMPLETE: "dot",
    Outcome.PRUNED: "ring",
    Outcome.DIVERGED: "diamond",
    Outcome.FAILED: "cross",
    Outcome.INTERRUPTED: "bar",
    Outcome.RUNNING: "triangle",
}
"""Mark of a trial by its outcome: told apart without colour."""
REPLICATE = "square"
CHARACTER = 6.8
"""Width of a character of a chart's text, about, in pixels."""

_PATHS = {
    "diamond": "M{x} {n}l5 5-5 5-5-5z",
    "cross": "M{w} {u}l8 8m0-8l-8 8",
    "bar": "M{w} {y}h8",
    "triangle": "M{x} {n}l5 9h-10z",
    "square": "M{w} {u}h8v8h-8z",
    "star": "M{x} {n}l1.5 3.4 3.7.4-2.8 2.5.8 3.7-3.2-1.9-3.2 1.9.8-3.7-2.8-2.5 3.7-.4z",
}


def num(value: float) -> str:
    """Return a coordinate with a tenth of a pixel."""
    return f"{value:.1f}".removesuffix(".0")


def shape(name: str, x: float, y: float, *, trial: str | None = None, tip: str = "", kind: str = "") -> str:
    """Return one mark.

    Args:
        name: `dot`, `ring` or a key of the paths.
        x: in pixels, as y.
        y: downwards.
        trial: what it is highlighted with.
        tip: what is read when a pointer rests on it.
        kind: further classes.
    """
    mark = "" if trial is None else f' data-t="{safe(trial)}"'
    classes = f"{name} {kind}".strip()
    title = f"<title>{safe(tip)}</title>" if tip else ""
    if name in ("dot", "ring"):
        return f'<circle class="{classes}" cx="{num(x)}" cy="{num(y)}" r="4"{mark}>{title}</circle>'
    places = {"x": num(x), "y": num(y), "w": num(x - 4), "u": num(y - 4), "n": num(y - 5)}
    return f'<path class="{classes}" d="{_PATHS[name].format(**places)}"{mark}>{title}</path>'


def line(points: Sequence[Point], *, kind: str, trial: str | None = None, tip: str = "") -> str:
    """Return a line through points in pixels."""
    if not points:
        return ""
    d = "M" + "L".join(f"{num(x)} {num(y)}" for x, y in points)
    mark = "" if trial is None else f' data-t="{safe(trial)}"'
    title = f"<title>{safe(tip)}</title>" if tip else ""
    return f'<path class="line {kind}" d="{d}"{mark}>{title}</path>'


def text(content: object, x: float, y: float, *, anchor: str = "start", kind: str = "") -> str:
    """Return a line of text; `anchor` is SVG's."""
    classes = f' class="{kind}"' if kind else ""
    return f'<text x="{num(x)}" y="{num(y)}" text-anchor="{anchor}"{classes}>{safe(content)}</text>'


def steps(points: Iterable[Point], *, until: float) -> list[Point]:
    """Return the corners of a stair that keeps each value until the next, and the last one until `until`."""
    corners: list[Point] = []
    for x, y in points:
        if corners:
            corners.append((x, corners[-1][1]))
        corners.append((x, y))
    return [*corners, (until, corners[-1][1])] if corners else []


@dataclass(kw_only=True)
class Chart:
    """A frame with two axes; what is added lies within, in the order in which it is added."""

    x: Scale
    y: Scale
    x_label: str
    y_label: str
    width: float = 460
    height: float = 260
    left: float = 46
    right: float = 14
    top: float = 26
    bottom: float = 44
    grid: bool = True
    _parts: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        if _is_crowded(self.x.ticks):
            self.bottom += 13
            self.height += 13

    def at(self, x: float, y: float) -> Point:
        """Return where two values meet, in pixels."""
        across = self.left + self.x.place(x) * (self.width - self.left - self.right)
        up = self.height - self.bottom - self.y.place(y) * (self.height - self.top - self.bottom)
        return across, up

    def add(self, markup: str) -> None:
        """Add a part."""
        self._parts.append(markup)

    def mark(self, name: str, x: float, y: float, *, trial: str | None = None, tip: str = "", kind: str = "") -> None:
        """Add a mark at two values."""
        self.add(shape(name, *self.at(x, y), trial=trial, tip=tip, kind=kind))

    def line(self, points: Iterable[Point], *, kind: str, trial: str | None = None, tip: str = "") -> None:
        """Add a line through pairs of values."""
        self.add(line([self.at(*point) for point in points], kind=kind, trial=trial, tip=tip))

    def render(self, *, label: str) -> str:
        """Return the SVG.

        Args:
            label: what it shows, in words: it is all that a screen reader says of it.
        """
        return frame("".join([self._axes(), *self._parts]), width=self.width, height=self.height, label=label)

    def _axes(self) -> str:
        parts = []
        left, base, right = self.left, self.height - self.bottom, self.width - self.right
        turned = _is_crowded(self.x.ticks)
        for value, name in self.y.ticks:
            _, y = self.at(self.x.low, value)
            if self.grid:
                parts.append(f'<path class="grid" d="M{num(left)} {num(y)}H{num(right)}"/>')
            parts.append(text(truncated(name, 14), left - 6, y + 4, anchor="end"))
        for place, (value, name) in enumerate(self.x.ticks):
            x, _ = self.at(value, self.y.low)
            parts.append(f'<path class="axis" d="M{num(x)} {num(base)}v4"/>')
            # Long names stand on two lines by turns.
            name = truncated(name, 18)
            half = CHARACTER * len(name) / 2
            x, anchor = (self.width - 1, "end") if x + half > self.width else (max(x, half), "middle")
            parts.append(text(name, x, base + (29 if turned and place % 2 else 17), anchor=anchor))
        parts.append(f'<path class="axis" d="M{num(left)} {num(base)}H{num(right)}"/>')
        parts.append(text(self.x_label, right, self.height - 4, anchor="end", kind="name"))
        parts.append(text(self.y_label, 2, 13, kind="name"))
        return "".join(parts)


def _is_crowded(ticks: Sequence[tuple[float, str]]) -> bool:
    """Return whether names of categories need two lines, by turns."""
    return len(ticks) > 3 and any(len(name) > 9 for _, name in ticks)


def frame(content: str, *, width: float, height: float, label: str, kind: str = "chart") -> str:
    """Return an SVG picture that scales with the page."""
    box = f'viewBox="0 0 {num(width)} {num(height)}"'
    return f'<svg class="{kind}" role="img" aria-label="{safe(label)}" {box}>{content}</svg>'


def figure(picture: str, *, caption: str, kind: str = "") -> str:
    """Return a picture with what it says, and how it was made, beneath it.

    Args:
        picture: SVG.
        caption: HTML.
        kind: further classes.
    """
    classes = f' class="{kind}"' if kind else ""
    return f"<figure{classes}>{picture}<figcaption>{caption}</figcaption></figure>"


def legend(entries: Iterable[tuple[str, str]]) -> str:
    """Return what marks mean: name of a shape, or `line KIND`, and the words for it."""
    items = []
    for name, words in entries:
        first, _, kind = name.partition(" ")
        picture = line([(0, 7), (22, 7)], kind=kind) if first == "line" else shape(first, 11, 7, kind=kind)
        items.append(f'<li><svg class="key" aria-hidden="true" viewBox="0 0 22 14">{picture}</svg> {safe(words)}</li>')
    return f'<ul class="legend">{"".join(items)}</ul>' if items else ""


def outcome_legend(outcomes: Iterable[Outcome], *, replicates: bool = False) -> str:
    """Return what the marks of these outcomes mean, each once."""
    found = set(outcomes)
    words = {Outcome.PRUNED: "stopped early"}
    entries = [(SHAPES[outcome], words.get(outcome, outcome.value)) for outcome in Outcome if outcome in found]
    return legend([*entries, *([(REPLICATE, "confirming run, new seed")] if replicates else [])])
