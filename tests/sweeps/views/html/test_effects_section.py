"""The section of parameter effects of the report."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from page_fakes import content_of, figures, many, state_of

from sweeps.analysis.effects import Effects, Level, ParameterEffect
from sweeps.record.reader import MlflowReader
from sweeps.views.html.effects import effects_of, effects_section, importances_of
from sweeps.views.html.template import page_of
from sweeps.views.html.write import read_content

LR = ParameterEffect(
    name="optimizer.lr", importance=0.6, importance_low=0.4, importance_high=0.8,
    verdict="0.01 to 0.3 is best (conclusive, 99 %)", is_conclusive=True,
    more_trials=None, condition=None, ped_anova=None,
    levels=(
        Level(label="0.001 to 0.01", trials=4, effect=-2.0, low=-4.0, high=0.5),
        Level(label="0.01 to 0.3", trials=16, effect=3.0, low=1.0, high=5.0),
    ),
)  # fmt: skip
MODEL = replace(
    LR, name="model.name", importance=0.2, verdict="too few trials: about 12 more needed", is_conclusive=False,
    more_trials=12, condition="it is <b>all</b>",
)  # fmt: skip
NOT_ESTIMATED = replace(
    LR, name="schedule.gamma", importance=None, importance_low=None, importance_high=None, is_conclusive=False,
    verdict="not estimated", levels=(Level(label="0.1", trials=20, effect=None, low=None, high=None),
                                       Level(label="0.5", trials=0, effect=None, low=None, high=None)),
)  # fmt: skip


def effects(**changes: Any) -> Effects:
    values: dict[str, Any] = {
        "sweep": "made", "metric": "val_accuracy", "unit": "points", "maximize": True, "trials": 20,
        "epochs_used": (1,), "parameters": (LR, MODEL), "method": "Made by a random forest.", "enough": True,
        "more_trials": None,
    }  # fmt: skip
    return Effects(**(values | changes))


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def test_importance_verdict_and_condition_are_in_the_text() -> None:
    section = effects_section(content_of(many(20), effects=effects()))

    text = words(section)
    assert "optimizer.lr explains the largest share of the variance between 20 trials: 60 % (40 to 80 %)" in text
    assert "lr: 60 % (40 to 80 %), 0.01 to 0.3 is best (conclusive, 99 %)." in text
    assert "active where it is &lt;b&gt;all&lt;/b&gt;" in section
    assert "Best value of a parameter with a conclusive verdict: lr: 0.01 to 0.3, +3.0 points" in text
    assert "Made by a random forest." in section
    assert "No verdict is conclusive" not in section


def test_charts_show_each_importance_and_effect_with_its_interval() -> None:
    given = effects()

    assert [(row["name"], row["share"], row["low"], row["high"]) for row in importances_of(given)] == [
        ("lr", 60, 40, 80), ("model", 20, 40, 80),
    ]  # fmt: skip
    fields = ("name", "effect", "low", "high", "verdict")
    assert [tuple(row[field] for field in fields) for row in effects_of(given)[1:3]] == [
        ("lr: 0.01 to 0.3", 3.0, 1.0, 5.0, "conclusive verdict"),
        ("model: 0.001 to 0.01", -2.0, -4.0, 0.5, "not conclusive yet"),
    ]  # fmt: skip


def test_without_a_conclusive_verdict_the_missing_trials_come_first() -> None:
    section = effects_section(content_of(many(20), effects=effects(enough=False, more_trials=12, parameters=(MODEL,))))

    assert "No verdict is conclusive yet. The first one needs about 12 more trials." in section
    assert section.index("No verdict is conclusive") < section.index("<figure")
    assert "Best value of" not in section


def test_without_estimates_only_the_verdicts_are_shown() -> None:
    given = effects(parameters=(NOT_ESTIMATED,), enough=False)
    section = effects_section(content_of(many(20), effects=given))

    assert "No effect can be estimated yet. schedule.gamma: not estimated." in section
    assert "gamma: not estimated." in words(section)
    assert [(row["name"], row["effect"], row["trials"]) for row in effects_of(given)] == [
        ("gamma: 0.1", None, 20), ("gamma: 0.5", None, 0),
    ]  # fmt: skip


def test_optunas_importance_is_shown_if_there_is_one() -> None:
    assert "PED-ANOVA:" not in effects_section(content_of(many(20), effects=effects()))
    with_it = effects(parameters=(replace(LR, ped_anova=0.25),))
    assert "Optuna’s PED-ANOVA: 25 %" in effects_section(content_of(many(20), effects=with_it))


def test_for_a_loss_lower_is_better() -> None:
    section = effects_section(content_of(many(20), effects=effects(unit="nats", maximize=False)))

    title = figures(section)["Effect of each value"]["spec"]["layer"][-1]["encoding"]["x"]["title"]
    assert title == "nats after epoch 1 (lower is better)"
    assert "conclusive verdict: lr: 0.001 to 0.01, -2.000 nats" in words(section)


@pytest.mark.parametrize("given", [None, effects(parameters=())])
def test_without_effects_there_is_a_reason(given: Any) -> None:
    assert "<p>" in effects_section(content_of(many(20), effects=given))


@pytest.mark.parametrize("enough", [True, False])
def test_other_sections_follow_the_order_of_importance(enough: bool) -> None:
    content = content_of(many(20), effects=effects(enough=enough))

    assert [parameter.path for parameter in content.varying][:2] == ["optimizer.lr", "model.name"]
    assert "in the order of their importance" in page_of(content)


def test_the_page_of_a_sweep_without_a_journal_reports_it(tmp_path: Path) -> None:
    content = read_content(MlflowReader(tmp_path), state_of(many(3), runs=tmp_path))

    assert content.effects is None
    assert "no sweep 'made'" in html.unescape(effects_section(content))
