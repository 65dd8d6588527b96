"""Parameter effects in a terminal and as files."""

from __future__ import annotations

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from benchmarks.effects_power import GroundTruth, made_sweep
from sweeps.analysis.effects import Effects, effects_of
from sweeps.views.effects_table import effect_text, effects_to_csv, effects_to_json, print_effects

RECORDS, SEARCHED = made_sweep(GroundTruth(adds={"model.name": {"resnet": 20.0}}), trials=40, seed=3)
EFFECTS = effects_of(RECORDS, searched=SEARCHED)


def shown(effects: Effects, *, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    print_effects(effects, console)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined,no-any-return]


@pytest.mark.parametrize("width", [72, 80, 120, 200])
def test_no_line_is_wider_than_the_screen(width: int) -> None:
    lines = shown(EFFECTS, width=width)

    assert max(map(len, lines)) <= width
    assert any(line.startswith("  pad-flip-gray-crop ") for line in lines)


def test_each_value_is_below_its_parameter_with_effect_interval_and_trials() -> None:
    lines = shown(EFFECTS, width=80)

    assert "points after epoch 1" in lines[0]
    model = next(index for index, line in enumerate(lines) if line.startswith("model.name"))
    share = lines[model].split()[1]
    assert lines[model].split() == ["model.name", share, "%", "resnet", "is", "best", "(conclusive,", "99", "%)"]
    resnet = next(line for line in lines[model:] if line.startswith("  resnet")).split()
    level = next(level for level in EFFECTS.parameters[0].levels if level.label == "resnet")
    assert level.effect is not None
    assert resnet[1] == f"{level.effect:+.1f}"
    assert resnet[-1] == str(level.trials)


def test_intervals_are_drawn_if_they_fit() -> None:
    narrow, wide = ("\n".join(shown(EFFECTS, width=width)) for width in (80, 120))

    assert "--o--" not in narrow
    assert "--o--" in wide


def test_the_method_and_the_missing_trials_are_below_the_table() -> None:
    text = " ".join(" ".join(shown(replace(EFFECTS, more_trials=1), width=80)).split())

    assert " ".join(EFFECTS.method.split()) in text
    assert "The next conclusive verdict needs about 1 more trial." in text


def test_for_a_loss_lower_is_better() -> None:
    assert any("lower is better" in line for line in shown(replace(EFFECTS, maximize=False, unit="nats"), width=100))


def test_missing_numbers_are_left_out() -> None:
    text = "\n".join(shown(effects_of([], searched=SEARCHED), width=80))

    assert "None" not in text
    assert "nan" not in text
    assert "not tried" in text


def test_optunas_importance_has_a_column_only_if_there_is_one() -> None:
    assert "Optuna" not in "\n".join(shown(EFFECTS, width=100))
    with_optuna = replace(EFFECTS, parameters=(replace(EFFECTS.parameters[0], ped_anova=0.25),))
    lines = shown(with_optuna, width=100)
    assert "Optuna's" in lines[0]
    assert "25 %" in lines[1]


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [(2.14, "points", "+2.1"), (-0.04, "points", "0.0"), (-0.0344, "nats", "-0.034"), (0.0001, "nats", "0.000")],
)
def test_an_effect_has_its_sign_and_0_has_none(value: float, unit: str, expected: str) -> None:
    assert effect_text(value, unit=unit) == expected


def test_the_json_is_complete() -> None:
    read = json.loads(effects_to_json(EFFECTS))

    assert read["parameters"][0]["levels"][2]["effect"] == EFFECTS.parameters[0].levels[2].effect
    assert read["epochs_used"] == [1]


def test_the_csv_has_a_row_per_value(tmp_path: Path) -> None:
    rows = effects_to_csv(EFFECTS, tmp_path / "effects.csv")

    with (tmp_path / "effects.csv").open(encoding="utf-8", newline="") as file:
        read = list(csv.DictReader(file))
    assert len(read) == rows == sum(len(parameter.levels) for parameter in EFFECTS.parameters)
    assert float(read[2]["effect_points"]) == EFFECTS.parameters[0].levels[2].effect
    assert (read[2]["parameter"], read[2]["value"], read[2]["verdict"]) == (
        "model.name",
        "resnet",
        "resnet is best (conclusive, 99 %)",
    )
