"""What helped: how much each parameter matters, and what each of its values is worth."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweeps.report.page.content import Content
from sweeps.report.page.scale import Scale, linear
from sweeps.report.page.svg import figure, frame, num, shape, text
from sweeps.report.page.text import safe

if TYPE_CHECKING:
    from sweeps.results import Effects, ParameterEffect

WIDTH, ROW, LEFT = 460.0, 24.0, 132.0
SHOWN = 12
"""Parameters, the first ones."""


def helped_section(content: Content) -> str:
    """Return the importance of all parameters, and a chart of the values of each."""
    effects = content.effects
    if effects is None:
        why = "What each parameter is worth was not estimated: the slices below show the trials themselves."
        return f"<p>{safe(content.why_no_effects or why)}</p>"
    if not effects.parameters:
        return f"<p>{safe(effects.method)}</p>"
    warning = "" if effects.enough else f'<p class="note">{safe(_too_few(effects))}</p>'
    shown = effects.parameters[:SHOWN]
    charts = "".join(_levels(effects, parameter) for parameter in shown if parameter.levels)
    return (
        f'{warning}{_importance(effects)}<div class="charts small">{charts}</div>'
        f"<p>{safe(effects.method)} Of {effects.trials} trials.</p>"
    )


def _too_few(effects: Effects) -> str:
    more = f" About {effects.more_trials} more would do." if effects.more_trials else ""
    return f"These are too few trials to be sure of any of it.{more}"


def _importance(effects: Effects) -> str:
    shown = effects.parameters[:SHOWN]
    ends = [parameter.importance_high for parameter in shown] + [parameter.importance for parameter in shown]
    scale = linear([0.0, *(100 * end for end in ends)], zero=True)
    rows = []
    for place, parameter in enumerate(shown):
        y = 18 + place * ROW
        rows.append(text(_short(parameter.name), LEFT - 8, y + 4, anchor="end"))
        width = max(_x(scale, 100 * parameter.importance) - LEFT, 0.5)
        rows.append(f'<rect class="train" x="{num(LEFT)}" y="{num(y - 7)}" width="{num(width)}" height="14"/>')
        low, high = (_x(scale, 100 * end) for end in (parameter.importance_low, parameter.importance_high))
        rows.append(
            f'<path class="line whisker" d="M{num(low)} {num(y)}H{num(high)}'
            f'M{num(low)} {num(y - 4)}v8M{num(high)} {num(y - 4)}v8"/>'
        )
    height = 18 + ROW * len(shown)
    rows.append(_axis(scale, height))
    rows.append(
        text("importance, % of the differences that are explained", WIDTH - 10, height + 32, anchor="end", kind="name")
    )
    first = shown[0]
    says = (
        f"{first.name} matters most: {100 * first.importance:.0f} % "
        f"({100 * first.importance_low:.0f} to {100 * first.importance_high:.0f} %)."
    )
    picture = frame("".join(rows), width=WIDTH, height=height + 38, label=f"Importance of each parameter. {says}")
    return figure(picture, caption=f"<p>{safe(says)}</p>", kind="beside")


def _levels(effects: Effects, parameter: ParameterEffect) -> str:
    ends = [end for level in parameter.levels for end in (level.low, level.high, level.effect)]
    scale = linear([0.0, *ends])
    rows = [f'<path class="zero" d="M{num(_x(scale, 0))} 6V{num(18 + ROW * len(parameter.levels))}"/>']
    for place, level in enumerate(parameter.levels):
        y = 18 + place * ROW
        rows.append(text(_short(level.label), LEFT - 8, y + 4, anchor="end"))
        low, high = _x(scale, level.low), _x(scale, level.high)
        rows.append(f'<path class="line whisker" d="M{num(low)} {num(y)}H{num(high)}"/>')
        ends_text = f"{level.low:+.2f} to {level.high:+.2f}"
        tip = f"{level.label}: {level.effect:+.2f} {effects.unit} ({ends_text}), {level.trials} trials"
        rows.append(shape("dot", _x(scale, level.effect), y, tip=tip))
    height = 18 + ROW * len(parameter.levels)
    rows.append(_axis(scale, height))
    rows.append(text(f"effect, {effects.unit}", WIDTH - 10, height + 32, anchor="end", kind="name"))
    condition = f" {parameter.condition}" if parameter.condition else ""
    says = f"{parameter.verdict}{condition}"
    picture = frame("".join(rows), width=WIDTH, height=height + 38, label=f"Effect of {parameter.name}. {says}")
    return figure(picture, caption=f"<h3>{safe(parameter.name)}</h3><p>{safe(says)}</p>")


def _axis(scale: Scale, y: float) -> str:
    parts = [f'<path class="axis" d="M{num(LEFT)} {num(y)}H{num(WIDTH - 10)}"/>']
    for value, name in scale.ticks:
        x = _x(scale, value)
        parts.append(f'<path class="axis" d="M{num(x)} {num(y)}v4"/>{text(name, x, y + 16, anchor="middle")}')
    return "".join(parts)


def _x(scale: Scale, value: float) -> float:
    return LEFT + scale.place(value) * (WIDTH - 10 - LEFT)


def _short(name: str) -> str:
    return name if len(name) <= 19 else f"{name[:18]}…"
