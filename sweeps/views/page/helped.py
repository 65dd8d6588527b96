"""What helped: how much each parameter matters, and what each of its values adds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sweeps.formatting import plural
from sweeps.views.effects_table import effect_text, unit_and_epoch
from sweeps.views.page.content import Content
from sweeps.views.page.scale import Scale, linear
from sweeps.views.page.svg import num
from sweeps.views.page.text import safe, scroll_box

if TYPE_CHECKING:
    from sweeps.results import Effects, Level, ParameterEffect

HEIGHT = 18.0
"""Of one value's drawing, in pixels."""
MARGIN = 7.0
"""At both ends of it, in percent of its width."""
BAR = 120.0
"""Of an importance of 100 %."""


def helped_section(content: Content) -> str:
    """Return a table: a row a parameter with its importance and verdict, below it a row a value with its effect."""
    effects = content.effects
    if effects is None:
        why = "What each parameter did was not estimated: the slices below show the trials themselves."
        return f"<p>{safe(content.why_no_effects or why)}</p>"
    if not effects.parameters:
        return "<p>Nothing was searched.</p>"
    warning = "" if effects.enough else f'<p class="note">{safe(_too_few(effects))}</p>'
    return f"<p>{safe(_finding(effects))}</p>{warning}{_table(effects)}<p>{safe(effects.method)}</p>"


def _finding(effects: Effects) -> str:
    """Return in a sentence what is sure and how many trials the rest takes."""
    first = effects.parameters[0]
    if first.importance is None or first.importance_low is None or first.importance_high is None:
        return f"Nothing can be said yet of what helped: {first.verdict}."
    ends = f"{100 * first.importance_low:.0f} to {100 * first.importance_high:.0f} %"
    sure = [f"{parameter.name}: {parameter.verdict}." for parameter in effects.parameters if parameter.is_sure]
    more = "" if effects.more_trials is None or not effects.enough else (
        f" About {plural(effects.more_trials, 'more trial')} would tell of the next parameter."
    )  # fmt: skip
    return (
        f"{first.name} accounts for the most of the differences between {effects.trials} trials: "
        f"{100 * first.importance:.0f} % ({ends}). {' '.join(sure)}{more}"
    )


def _too_few(effects: Effects) -> str:
    more = "" if effects.more_trials is None else f" About {effects.more_trials:,} more would tell of one parameter."
    return f"These trials are sure of nothing yet.{more}"


def _table(effects: Effects) -> str:
    caption = f"What each parameter did to {effects.metric}, in {effects.unit}, with 95 % intervals"
    has_optuna = any(parameter.ped_anova is not None for parameter in effects.parameters)
    scale = linear(
        [0.0, *(end for p in effects.parameters for v in p.levels for end in (v.low, v.high) if end is not None)]
    )
    better = "" if effects.maximize else " (less is better)"
    head = (
        '<th scope="col">Parameter, value</th>'
        f'<th scope="col" class="n">Effect, {safe(unit_and_epoch(effects))}{better}</th>'
        f'<th scope="col">{_axis(scale, effects.unit)}</th><th scope="col" class="n">Trials</th>'
    )
    bodies = "".join(
        f"<tbody>{_parameter(parameter, has_optuna=has_optuna)}"
        f"{''.join(_level(effects, level, scale, sure=parameter.is_sure) for level in parameter.levels)}</tbody>"
        for parameter in effects.parameters
    )
    return scroll_box(
        f'<table id="effects"><caption class="aside">{safe(caption)}</caption><thead><tr>{head}</tr></thead>{bodies}'
        "</table>",
        label=caption,
    )


def _parameter(parameter: ParameterEffect, *, has_optuna: bool) -> str:
    condition = f"<small>active where {safe(parameter.condition)}</small>" if parameter.condition else ""
    verdict = f"<strong>{safe(parameter.verdict)}</strong>" if parameter.is_sure else safe(parameter.verdict)
    optuna = ""
    if has_optuna and parameter.ped_anova is not None:
        optuna = f"<small>Optuna’s PED-ANOVA: {100 * parameter.ped_anova:.0f} %</small>"
    return (
        f'<tr class="group"><th scope="rowgroup" colspan="4"><span class="path">{safe(parameter.name)}</span>'
        f'<span class="share">{_importance(parameter)}</span><span>{verdict}</span>{optuna}{condition}</th></tr>'
    )


def _importance(parameter: ParameterEffect) -> str:
    """Return the importance as a bar with its interval, and in percent."""
    if parameter.importance is None or parameter.importance_low is None or parameter.importance_high is None:
        return ""
    low, high = BAR * parameter.importance_low, BAR * parameter.importance_high
    says = (
        f"importance {100 * parameter.importance:.0f} % "
        f"({100 * parameter.importance_low:.0f} to {100 * parameter.importance_high:.0f} %)"
    )
    return (
        f'<svg viewBox="0 0 {num(BAR)} 14" width="{num(BAR)}" height="14" role="img" aria-label="{safe(says)}">'
        f"<title>{safe(says)}</title>"
        f'<rect class="idle" x="0" y="0" width="{num(BAR)}" height="14"/>'
        f'<rect class="train" x="0" y="0" width="{num(BAR * parameter.importance)}" height="14"/>'
        f'<path class="line whisker" d="M{num(low)} 7H{num(high)}"/></svg> '
        f"{100 * parameter.importance:.0f} %"
    )


def _level(effects: Effects, level: Level, scale: Scale, *, sure: bool) -> str:
    cells = f'<th scope="row">{safe(level.label)}</th>'
    if level.effect is None or level.low is None or level.high is None:
        cells += f'<td class="n">{"–" if level.trials else "not tried"}</td><td></td>'
    else:
        ends = " to ".join(effect_text(end, unit=effects.unit) for end in (level.low, level.high))
        said = effect_text(level.effect, unit=effects.unit)
        cells += (
            f'<td class="n">{said} <small>({ends})</small></td>'
            f"<td>{_drawing(level.effect, level.low, level.high, scale, kind='dot' if sure else 'ring')}</td>"
        )
    return f'<tr>{cells}<td class="n">{level.trials}</td></tr>'


def _drawing(effect: float, low: float, high: float, scale: Scale, *, kind: str) -> str:
    """Return a dot with its interval; what it says stands beside it in words."""
    left, middle, right, zero = (_x(scale, value) for value in (low, effect, high, 0.0))
    half = num(HEIGHT / 2)
    return (
        f'<svg class="effect" height="{num(HEIGHT)}" aria-hidden="true">'
        f'<line class="zero" x1="{zero}" x2="{zero}" y1="0" y2="{num(HEIGHT)}"/>'
        f'<line class="line whisker" x1="{left}" x2="{right}" y1="{half}" y2="{half}"/>'
        f'<circle class="{kind}" cx="{middle}" cy="{half}" r="4.5"/></svg>'
    )


def _axis(scale: Scale, unit: str) -> str:
    """Return what the drawings below are drawn to: the outer round values, and where no effect is."""
    values = sorted({0.0, *(value for value, _ in (*scale.ticks[:1], *scale.ticks[-1:]))})
    marks = "".join(
        f'<text x="{_x(scale, value)}" y="14" text-anchor="middle">{safe(_tick(value, unit))}</text>'
        for value in values
    )
    return f'<svg class="effect" height="{num(HEIGHT)}" aria-hidden="true">{marks}</svg>'


def _tick(value: float, unit: str) -> str:
    return "0" if not value else f"{value:+g}" if unit == "points" else effect_text(value, unit=unit)


def _x(scale: Scale, value: float) -> str:
    """Return a place as a share of the drawing's width, so that dots stay round and text legible at every width."""
    return f"{MARGIN + (100 - 2 * MARGIN) * scale.place(value):.1f}%"
