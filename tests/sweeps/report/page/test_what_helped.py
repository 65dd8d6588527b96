"""What the page says of the parameters' effects."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from page_fakes import content_of, many

from sweeps.report.page.helped import helped_section
from sweeps.report.page.template import page_of


@dataclass(frozen=True, kw_only=True)
class Level:
    label: str
    trials: int = 4
    effect: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class ParameterEffect:
    name: str
    importance: float
    importance_low: float
    importance_high: float
    levels: tuple[Level, ...]
    verdict: str
    condition: str | None = None
    ped_anova: float | None = None


@dataclass(frozen=True, kw_only=True)
class Effects:
    sweep: str = "made"
    metric: str = "val_accuracy"
    unit: str = "points"
    trials: int = 20
    epochs_used: int = 1
    parameters: tuple[ParameterEffect, ...]
    method: str = "A forest was asked."
    enough: bool = True
    more_trials: int | None = None


LR = ParameterEffect(
    name="optimizer.lr", importance=0.6, importance_low=0.4, importance_high=0.8, verdict="helps",
    levels=(Level(label="0.001–0.01", effect=-2, low=-4, high=0.5), Level(label="0.01–0.3", effect=3, low=1, high=5)),
)  # fmt: skip
MODEL = replace(LR, name="model.name", importance=0.2, verdict="resnet is best", condition="for <b>all</b>")


def effects(**changes: Any) -> Any:
    return Effects(**({"parameters": (LR, MODEL)} | changes))


def test_the_importance_and_each_verdict_are_said_in_words() -> None:
    said = helped_section(content_of(many(20), effects=effects()))

    assert "optimizer.lr matters most: 60 % (40 to 80 %)" in said
    assert "resnet is best for &lt;b&gt;all&lt;/b&gt;" in said
    assert "0.01–0.3: +3.00 points (+1.00 to +5.00), 4 trials" in said
    assert "A forest was asked." in said
    assert "too few" not in said


def test_too_few_trials_are_named_first() -> None:
    said = helped_section(content_of(many(20), effects=effects(enough=False, more_trials=12)))

    assert said.startswith('<p class="note">')
    assert "About 12 more would do" in said


@pytest.mark.parametrize("given", [None, effects(parameters=())])
def test_without_effects_it_says_why(given: Any) -> None:
    assert "<p>" in helped_section(content_of(many(20), effects=given))


def test_other_sections_follow_the_order_of_importance() -> None:
    content = content_of(many(20), effects=effects())

    assert [varied.path for varied in content.varied][:2] == ["optimizer.lr", "model.name"]
    assert "in the order of their importance" in page_of(content)
