"""What the page says of the parameters' effects."""

from __future__ import annotations

import html
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from page_fakes import content_of, many, state_of

from sweeps.results import Effects, Level, ParameterEffect
from sweeps.tracking import MlflowReader
from sweeps.views.page.helped import helped_section
from sweeps.views.page.template import page_of
from sweeps.views.page.write import read_content

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


def test_importance_verdict_and_each_effect_are_said_in_words() -> None:
    said = helped_section(content_of(many(20), effects=effects()))

    assert "optimizer.lr accounts for the most of the differences between 20 trials: 60 % (40 to 80 %)" in words(said)
    assert "active where it is &lt;b&gt;all&lt;/b&gt;" in said
    assert "0.01 to 0.3 +3.0 (+1.0 to +5.0) 16" in words(said)
    assert "importance 60 % (40 to 80 %)" in said
    assert "A forest was asked." in said
    assert "sure of nothing" not in said


def test_what_cannot_be_told_is_named_first_with_the_trials_it_takes() -> None:
    said = helped_section(content_of(many(20), effects=effects(enough=False, more_trials=12, parameters=(MODEL,))))

    assert "sure of nothing yet. About 12 more would tell" in said
    assert said.index("sure of nothing") < said.index("<table")


def test_where_nothing_is_known_the_values_stand_there_without_effects() -> None:
    said = helped_section(content_of(many(20), effects=effects(parameters=(SILENT,), enough=False)))

    assert "Nothing can be said yet of what helped: cannot show yet." in said
    assert "0.1 – 20" in words(said)
    assert "0.5 not tried 0" in words(said)


def test_optunas_importance_stands_beside_where_there_is_one() -> None:
    assert "PED-ANOVA" not in helped_section(content_of(many(20), effects=effects()))
    with_it = effects(parameters=(replace(LR, ped_anova=0.25),))
    assert "Optuna’s PED-ANOVA: 25 %" in helped_section(content_of(many(20), effects=with_it))


def test_of_a_loss_less_is_better() -> None:
    said = helped_section(content_of(many(20), effects=effects(unit="nats", maximize=False)))

    assert "Effect, nats after epoch 1 (less is better)" in said
    assert "+3.000" in said


@pytest.mark.parametrize("given", [None, effects(parameters=())])
def test_without_effects_it_says_why(given: Any) -> None:
    assert "<p>" in helped_section(content_of(many(20), effects=given))


def test_it_is_the_first_table_of_the_page() -> None:
    page = page_of(content_of(many(20), effects=effects()))

    assert re.findall(r"<table[^>]*>", page)[0] == '<table id="effects">'


@pytest.mark.parametrize("enough", [True, False])
def test_other_sections_follow_the_order_of_importance(enough: bool) -> None:
    content = content_of(many(20), effects=effects(enough=enough))

    assert [varied.path for varied in content.varied][:2] == ["optimizer.lr", "model.name"]
    assert "in the order of their importance" in page_of(content)


def test_a_sweep_whose_journal_is_gone_has_a_page_that_says_so(tmp_path: Path) -> None:
    content = read_content(MlflowReader(tmp_path), state_of(many(3), runs=tmp_path))

    assert content.effects is None
    assert "no sweep 'made'" in html.unescape(helped_section(content))
