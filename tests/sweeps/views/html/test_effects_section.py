"""What the page says of the parameters' effects."""

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
    name="optimizer.lr", importance=0.6, importance_low=0.4, importance_high=0.8, verdict="0.01 to 0.3 is best, sure",
    is_sure=True, more_trials=None, condition=None, ped_anova=None,
    levels=(
        Level(label="0.001 to 0.01", trials=4, effect=-2.0, low=-4.0, high=0.5),
        Level(label="0.01 to 0.3", trials=16, effect=3.0, low=1.0, high=5.0),
    ),
)  # fmt: skip
MODEL = replace(
    LR, name="model.name", importance=0.2, verdict="too few trials to tell: about 12 more", is_sure=False,
    more_trials=12, condition="it is <b>all</b>",
)  # fmt: skip
SILENT = replace(
    LR, name="schedule.gamma", importance=None, importance_low=None, importance_high=None, is_sure=False,
    verdict="cannot show yet", levels=(Level(label="0.1", trials=20, effect=None, low=None, high=None),
                                       Level(label="0.5", trials=0, effect=None, low=None, high=None)),
)  # fmt: skip


def effects(**changes: Any) -> Effects:
    values: dict[str, Any] = {
        "sweep": "made", "metric": "val_accuracy", "unit": "points", "maximize": True, "trials": 20,
        "epochs_used": (1,), "parameters": (LR, MODEL), "method": "A forest was asked.", "enough": True,
        "more_trials": None,
    }  # fmt: skip
    return Effects(**(values | changes))


def words(page: str) -> str:
    return " ".join(re.sub(r"<[^>]*>", " ", page).split())


def test_importance_verdict_and_condition_are_said_in_words() -> None:
    said = effects_section(content_of(many(20), effects=effects()))

    assert "optimizer.lr accounts for the most of the differences between 20 trials: 60 % (40 to 80 %)" in words(said)
    assert "lr: 60 % (40 to 80 %), 0.01 to 0.3 is best, sure." in words(said)
    assert "active where it is &lt;b&gt;all&lt;/b&gt;" in said
    assert "lr: 0.01 to 0.3 adds the most: +3.0 points" in words(said)
    assert "A forest was asked." in said
    assert "sure of nothing" not in said


def test_charts_show_each_importance_and_effect_with_its_interval() -> None:
    given = effects()

    assert [(row["name"], row["share"], row["low"], row["high"]) for row in importances_of(given)] == [
        ("lr", 60, 40, 80), ("model", 20, 40, 80),
    ]  # fmt: skip
    assert [(row["name"], row["effect"], row["low"], row["high"], row["sure"]) for row in effects_of(given)[1:3]] == [
        ("lr: 0.01 to 0.3", 3.0, 1.0, 5.0, "sure"), ("model: 0.001 to 0.01", -2.0, -4.0, 0.5, "not sure yet"),
    ]  # fmt: skip


def test_what_cannot_be_told_is_named_first_with_the_trials_it_takes() -> None:
    said = effects_section(content_of(many(20), effects=effects(enough=False, more_trials=12, parameters=(MODEL,))))

    assert "sure of nothing yet. About 12 more would tell" in said
    assert said.index("sure of nothing") < said.index("<figure")
    assert "adds the most" not in said


def test_where_nothing_is_known_nothing_is_drawn_and_the_verdict_stands() -> None:
    given = effects(parameters=(SILENT,), enough=False)
    said = effects_section(content_of(many(20), effects=given))

    assert "Nothing can be said yet of what helped: cannot show yet." in said
    assert "gamma: cannot show yet." in words(said)
    assert [(row["name"], row["effect"], row["trials"]) for row in effects_of(given)] == [
        ("gamma: 0.1", None, 20), ("gamma: 0.5", None, 0),
    ]  # fmt: skip


def test_optunas_importance_stands_beside_where_there_is_one() -> None:
    assert "PED-ANOVA:" not in effects_section(content_of(many(20), effects=effects()))
    with_it = effects(parameters=(replace(LR, ped_anova=0.25),))
    assert "Optuna’s PED-ANOVA: 25 %" in effects_section(content_of(many(20), effects=with_it))


def test_of_a_loss_less_is_better() -> None:
    said = effects_section(content_of(many(20), effects=effects(unit="nats", maximize=False)))

    title = figures(said)["What each value adds"]["spec"]["layer"][-1]["encoding"]["x"]["title"]
    assert title == "nats after epoch 1 (less is better)"
    assert "lr: 0.001 to 0.01 adds the most: -2.000 nats" in words(said)


@pytest.mark.parametrize("given", [None, effects(parameters=())])
def test_without_effects_it_says_why(given: Any) -> None:
    assert "<p>" in effects_section(content_of(many(20), effects=given))


@pytest.mark.parametrize("enough", [True, False])
def test_other_sections_follow_the_order_of_importance(enough: bool) -> None:
    content = content_of(many(20), effects=effects(enough=enough))

    assert [varying.path for varying in content.varying][:2] == ["optimizer.lr", "model.name"]
    assert "in the order of their importance" in page_of(content)


def test_a_sweep_whose_journal_is_gone_has_a_page_that_says_so(tmp_path: Path) -> None:
    content = read_content(MlflowReader(tmp_path), state_of(many(3), runs=tmp_path))

    assert content.effects is None
    assert "no sweep 'made'" in html.unescape(effects_section(content))
