"""Parameter effects: the importance of each parameter and the effect of each of its values."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from sweeps.core.formatting import plural, short_names
from sweeps.views.effects_table import effect_text, unit_and_epoch
from sweeps.views.html.content import Content
from sweeps.views.html.figure import ZERO, Marks, Row, Spec, by_kind, figure, layer, listed, numeric, zoom
from sweeps.views.html.text import safe

if TYPE_CHECKING:
    from sweeps.analysis.effects import Effects

CONCLUSIVE, INCONCLUSIVE = "conclusive verdict", "not conclusive yet"
_MARKS: Marks = {
    CONCLUSIVE: ("circle", "var(--blue)", "var(--blue)"),
    INCONCLUSIVE: ("circle", "var(--paper)", "var(--orange)"),
}


def effects_section(content: Content) -> str:
    """Return the conclusive verdicts, and charts of importances and effects."""
    effects = content.effects
    if effects is None:
        reason = "Parameter effects were not estimated. The slices below show the results of the trials."
        return f"<p>{safe(content.effects_error or reason)}</p>"
    if not effects.parameters:
        return "<p>No parameter was searched.</p>"
    warning = "" if effects.enough else f'<p class="note">{safe(_too_few(effects))}</p>'
    charts = f'<div class="charts">{_importances(effects)}{_effects(effects)}</div>'
    return f"<p>{safe(_finding(effects))}</p>{warning}{charts}<p>{safe(effects.method)}</p>"


def importances_of(effects: Effects) -> list[Row]:
    """Return the importance of each parameter in percent, with its interval."""
    return [
        {
            "name": name, "share": _percent(parameter.importance), "low": _percent(parameter.importance_low),
            "high": _percent(parameter.importance_high), "optuna": _percent(parameter.ped_anova),
            "verdict": parameter.verdict, "condition": parameter.condition,
        }
        for name, parameter in zip(_names(effects), effects.parameters, strict=True)
    ]  # fmt: skip


def effects_of(effects: Effects) -> list[Row]:
    """Return the effect of each value of each parameter with its interval, in `Effects.unit`; None if not estimated."""
    return [
        {
            "name": f"{name}: {level.label}", "effect": level.effect, "low": level.low, "high": level.high,
            "trials": level.trials, "verdict": CONCLUSIVE if parameter.is_conclusive else INCONCLUSIVE,
        }
        for name, parameter in zip(_names(effects), effects.parameters, strict=True)
        for level in parameter.levels
    ]  # fmt: skip


def _names(effects: Effects) -> list[str]:
    return short_names([parameter.name for parameter in effects.parameters])


def _percent(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _rows_of(rows: Iterable[Row]) -> Spec:
    return listed("name", names=[row["name"] for row in rows], ticks=False, domain=False, labelLimit=170)


def _importances(effects: Effects) -> str:
    rows = importances_of(effects)
    known = [row for row in rows if row["share"] is not None]
    x, y = numeric("share", "importance, % of the variance", ends=(0, 100)), _rows_of(known)
    columns = {"name": "parameter", "share": "importance, %", "low": "from", "high": "to", "verdict": "verdict"}
    return figure(
        "Importance of each parameter",
        "Share of the variance between the trials that each parameter explains, with its 95 % interval.",
        layer("importances", {"type": "bar", "fill": "var(--blue)", "height": 14}, x=x, y=y),
        layer("importances", {"type": "rule"}, x=x | {"field": "low"}, x2={"field": "high"}, y=y),
        height=26 * max(len(known), 1),
        rows={"importances": rows},
        columns=columns | {"condition": "active where", "optuna": "Optuna’s PED-ANOVA, %"},
        notes=[_describe(row) for row in rows],
        heading="Importance of each parameter",
    )


def _describe(row: Row) -> str:
    """Return a parameter with its importance, verdict and condition."""
    share = "" if row["share"] is None else f"{row['share']:.0f} % ({row['low']:.0f} to {row['high']:.0f} %), "
    optuna = "" if row["optuna"] is None else f"; Optuna’s PED-ANOVA: {row['optuna']:.0f} %"
    condition = f"; active where {row['condition']}" if row["condition"] else ""
    return f"{row['name']}: {share}{row['verdict']}{optuna}{condition}."


def _effects(effects: Effects) -> str:
    rows = effects_of(effects)
    known = [row for row in rows if row["effect"] is not None]
    if not known:
        return ""
    better = "" if effects.maximize else " (lower is better)"
    x, y = numeric("effect", f"{unit_and_epoch(effects)}{better}", format="+~f"), _rows_of(known)
    conclusive = [row for row in known if row["verdict"] == CONCLUSIVE]
    first = (max if effects.maximize else min)(conclusive, key=lambda row: row["effect"], default=None)
    summary = "No verdict is conclusive yet." if first is None else (
        f"Best value of a parameter with a conclusive verdict: {first['name']}, "
        f"{effect_text(first['effect'], unit=effects.unit)} {effects.unit}."
    )  # fmt: skip
    return figure(
        "Effect of each value",
        f"{summary} The lines are 95 % intervals.",
        layer("zero", ZERO, x=x),
        layer("effects", {"type": "rule"}, x=x | {"field": "low"}, x2={"field": "high"}, y=y),
        layer("effects", {"type": "point"}, zoom("x"), x=x, y=y, **by_kind("verdict", _MARKS, known)),
        height=20 * len(known),
        rows={"effects": rows, "zero": [{"effect": 0.0}]},
        columns={"name": "value", "effect": effects.unit, "low": "from", "high": "to", "trials": "trials"},
        heading="Effect of each value",
    )


def _finding(effects: Effects) -> str:
    """Return the most important parameter, the conclusive verdicts, and the number of missing trials."""
    first = effects.parameters[0]
    if first.importance is None or first.importance_low is None or first.importance_high is None:
        return f"No effect can be estimated yet. {first.name}: {first.verdict}."
    ends = f"{100 * first.importance_low:.0f} to {100 * first.importance_high:.0f} %"
    verdicts = [
        f"{parameter.name}: {parameter.verdict}." for parameter in effects.parameters if parameter.is_conclusive
    ]
    more = "" if effects.more_trials is None or not effects.enough else (
        f" The next conclusive verdict needs about {plural(effects.more_trials, 'more trial')}."
    )  # fmt: skip
    return (
        f"{first.name} explains the largest share of the variance between {effects.trials} trials: "
        f"{100 * first.importance:.0f} % ({ends}). {' '.join(verdicts)}{more}"
    )


def _too_few(effects: Effects) -> str:
    missing = effects.more_trials
    more = "" if missing is None else f" The first one needs about {plural(missing, 'more trial')}."
    return f"No verdict is conclusive yet.{more}"
