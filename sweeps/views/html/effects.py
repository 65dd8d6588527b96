"""What helped: how much each parameter matters, and what each of its values adds."""

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

SURE, UNSURE = "sure", "not sure yet"
_MARKS: Marks = {SURE: ("circle", "var(--blue)", "var(--blue)"), UNSURE: ("circle", "var(--paper)", "var(--orange)")}


def effects_section(content: Content) -> str:
    """Return what is sure in words, the importances with the verdict of each parameter, and what each value adds."""
    effects = content.effects
    if effects is None:
        why = "What each parameter did was not estimated: the slices below show the trials themselves."
        return f"<p>{safe(content.effects_error or why)}</p>"
    if not effects.parameters:
        return "<p>Nothing was searched.</p>"
    warning = "" if effects.enough else f'<p class="note">{safe(_too_few(effects))}</p>'
    charts = f'<div class="charts">{_importances(effects)}{_effects(effects)}</div>'
    return f"<p>{safe(_finding(effects))}</p>{warning}{charts}<p>{safe(effects.method)}</p>"


def importances_of(effects: Effects) -> list[Row]:
    """Return the share of the differences that each parameter accounts for, in percent, with its interval."""
    return [
        {
            "name": name, "share": _percent(parameter.importance), "low": _percent(parameter.importance_low),
            "high": _percent(parameter.importance_high), "optuna": _percent(parameter.ped_anova),
            "verdict": parameter.verdict, "condition": parameter.condition,
        }
        for name, parameter in zip(_names(effects), effects.parameters, strict=True)
    ]  # fmt: skip


def effects_of(effects: Effects) -> list[Row]:
    """Return what each value of each parameter adds, with its interval, in the effects' unit; None where unknown."""
    return [
        {
            "name": f"{name}: {level.label}", "effect": level.effect, "low": level.low, "high": level.high,
            "trials": level.trials, "sure": SURE if parameter.is_sure else UNSURE,
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
    x, y = numeric("share", "importance, % of the differences", ends=(0, 100)), _rows_of(known)
    columns = {"name": "parameter", "share": "importance, %", "low": "from", "high": "to", "verdict": "verdict"}
    return figure(
        "How much each parameter matters",
        "Each parameter's share of the differences between the trials, with its 95 % interval.",
        layer("importances", {"type": "bar", "fill": "var(--blue)", "height": 14}, x=x, y=y),
        layer("importances", {"type": "rule"}, x=x | {"field": "low"}, x2={"field": "high"}, y=y),
        height=26 * max(len(known), 1),
        rows={"importances": rows},
        columns=columns | {"condition": "active where", "optuna": "Optuna’s PED-ANOVA, %"},
        notes=[_in_words(row) for row in rows],
        heading="How much each parameter matters",
    )


def _in_words(row: Row) -> str:
    """Return a parameter with its importance, its verdict, and when it plays a part at all."""
    share = "" if row["share"] is None else f"{row['share']:.0f} % ({row['low']:.0f} to {row['high']:.0f} %), "
    optuna = "" if row["optuna"] is None else f"; Optuna’s PED-ANOVA: {row['optuna']:.0f} %"
    condition = f"; active where {row['condition']}" if row["condition"] else ""
    return f"{row['name']}: {share}{row['verdict']}{optuna}{condition}."


def _effects(effects: Effects) -> str:
    rows = effects_of(effects)
    known = [row for row in rows if row["effect"] is not None]
    if not known:
        return ""
    better = "" if effects.maximize else " (less is better)"
    x, y = numeric("effect", f"{unit_and_epoch(effects)}{better}", format="+~f"), _rows_of(known)
    sure = [row for row in known if row["sure"] == SURE]
    first = (max if effects.maximize else min)(sure, key=lambda row: row["effect"], default=None)
    says = "The trials are sure of none of these effects." if first is None else (
        f"Of the parameters of which the trials are sure, {first['name']} adds the most: "
        f"{effect_text(first['effect'], unit=effects.unit)} {effects.unit}."
    )  # fmt: skip
    return figure(
        "What each value adds",
        f"{says} The lines are 95 % intervals.",
        layer("zero", ZERO, x=x),
        layer("effects", {"type": "rule"}, x=x | {"field": "low"}, x2={"field": "high"}, y=y),
        layer("effects", {"type": "point"}, zoom("x"), x=x, y=y, **by_kind("sure", _MARKS, known)),
        height=20 * len(known),
        rows={"effects": rows, "zero": [{"effect": 0.0}]},
        columns={"name": "value", "effect": effects.unit, "low": "from", "high": "to", "trials": "trials"},
        heading="What each value adds",
    )


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
