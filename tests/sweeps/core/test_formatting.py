"""Numbers and words are formatted in one way everywhere."""

from __future__ import annotations

import io
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from cifar_core.config import TrainingConfig
from sweeps.core.formatting import (
    accuracy,
    duration,
    escaped,
    log_path,
    make_console,
    metric_cell,
    metric_heading,
    metric_text,
    p_in_words,
    p_value,
    percent,
    plain_width,
    points,
    print_sentence,
    truncated,
)
from sweeps.tasks.registry import describe
from sweeps.tasks.values import value_text

PACKAGE = Path(__file__).parents[3] / "sweeps"


def test_an_accuracy_is_percent_with_two_decimals_everywhere() -> None:
    assert (accuracy(0.6465), percent(0.6465), percent(None)) == ("64.65 %", "64.65", "")
    assert (metric_text("val_accuracy", 0.108), metric_cell("val_accuracy", 0.108)) == ("10.80 %", "10.80")
    assert metric_heading("val_accuracy") == "val_accuracy %"


def test_a_p_value_has_two_digits_and_none_below_a_thousandth() -> None:
    assert [p_value(p) for p in (1.0, 0.0123, 0.001, 0.00099, 0.0)] == ["1", "0.012", "0.001", "< 0.001", "< 0.001"]
    assert (p_in_words(0.25), p_in_words(1e-99)) == ("p = 0.25", "p < 0.001")


def test_a_loss_has_four_decimals_and_no_unit() -> None:
    assert (metric_text("val_loss", 1.5), metric_cell("val_loss", 1.5)) == ("1.5000", "1.5000")
    assert metric_heading("val_loss") == "val_loss"


def test_a_metric_of_any_size_keeps_four_digits() -> None:
    assert [metric_text("rmse", value) for value in (0.0, 0.00001234, 0.25, 123456.0, 12345678.0)] == [
        "0.0000", "1.234e-05", "0.2500", "123456.0000", "1.235e+07"
    ]  # fmt: skip


def test_a_custom_metric_is_not_taken_for_a_share_by_its_name() -> None:
    assert (metric_text("accuracy", 93.1), metric_heading("eval/accuracy")) == ("93.1000", "eval/accuracy")


def test_nothing_but_the_formatting_module_writes_percent() -> None:
    own = re.compile(r":\.\d%|100 \* [\w.]*accuracy|factor=100")
    drawn = {
        "ladder_plots.py",
        "comparison.py",
        "tradeoff.py",
        "charts.py",
    }  # they draw and calculate in percent, but format no text
    files = [path for path in PACKAGE.rglob("*.py") if path.name not in {"formatting.py"} | drawn]

    assert [path.name for path in files if own.search(path.read_text(encoding="utf-8"))] == []


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (59.4, "59 s"), (59.6, "1 min 00 s"), (165, "2 min 45 s"),
        (599.4, "9 min 59 s"), (600, "10 min"), (5399, "1 h 30 min"), (11_100, "3 h 05 min"), (7_199, "2 h 00 min"),
    ],
)  # fmt: skip
def test_a_duration_has_at_most_two_units(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_points_have_a_sign_and_zero_is_positive() -> None:
    assert [points(value) for value in (4.123, -0.3, -0.001)] == ["+4.12", "-0.30", "+0.00"]


def test_a_truncated_text_ends_with_an_ellipsis() -> None:
    assert (truncated("abcdef", 6), truncated("abcdefg", 6)) == ("abcdef", "abcde…")


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0161, "0.0161"), (0.0, "0"), (None, ""), (True, "true"), ([256, 64], "256 64"), ([], "none"), ("deep", "deep")],
)
def test_a_value_is_written_as_in_a_file(value: object, text: str) -> None:
    assert value_text(value) == text


def test_equal_operations_are_distinguished_by_non_default_arguments() -> None:
    def text(*operations: Any) -> str:
        config = TrainingConfig.model_validate({"data": {"augmentation": ["normalize", *operations]}})
        return value_text(config.dotted()["data.augmentation"])

    assert text("flip", "erase", {"crop": {"padding": 4}}) == "flip-erase-crop"
    reflected = {"crop": {"padding": 2, "fill": "reflect"}}
    assert text("flip", reflected) == "normalize flip crop(padding 2, fill reflect)"
    assert text({"flip": {"alternate": True}}, reflected).startswith("normalize flip(alternate true) crop(")
    assert text("flip", {"erase": {"scale": [0.1, 0.2]}}) == "normalize flip erase(scale 0.1 0.2)"


def test_a_configuration_is_described_by_network_batch_and_learning_rate() -> None:
    config = TrainingConfig.model_validate({"model": {"name": "resnet", "width": 16}, "optimizer": {"lr": 0.0129}})

    assert describe(config) == "resnet, width 16, batch 64, lr 0.0129"


@pytest.mark.parametrize(
    ("columns", "width"), [("140", 140), ("60", 60), ("", 100), ("0", 100), ("-5", 100), ("wide", 100)]
)
def test_without_a_terminal_columns_sets_the_width(columns: str, width: int) -> None:
    assert plain_width({"COLUMNS": columns}) == width
    assert plain_width({}) == 100


@pytest.mark.parametrize("columns", [50, 70, None])
def test_a_table_in_a_pipe_has_the_width_of_columns(columns: int | None) -> None:
    environment = {name: value for name, value in os.environ.items() if name != "COLUMNS"}
    code = "from sweeps.cli.main import main; main()"
    said = subprocess.run(
        [sys.executable, "-c", code, "plan", str(PACKAGE.parent / "experiments/quick.yaml"), "--no-probe"],
        env=environment if columns is None else environment | {"COLUMNS": str(columns)},
        capture_output=True,
        text=True,
        check=True,
    )

    table = said.stdout[said.stdout.index("trial ") : said.stdout.index("20 trials")].splitlines()
    table = [line for line in table if not line.startswith("columns that do not fit")]
    assert max(map(len, table)) in range((columns or 100) - 9, (columns or 100) + 1)


def test_the_path_of_a_log_can_be_opened_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    assert log_path("sweeps/a/logs/0.log", Path("runs")) == "runs/sweeps/a/logs/0.log"
    assert log_path("sweeps/a/logs/0.log", tmp_path / "runs") == "runs/sweeps/a/logs/0.log"
    assert log_path("sweeps/a/logs/0.log", Path("/elsewhere")) == "/elsewhere/sweeps/a/logs/0.log"
    assert log_path(None, Path("runs")) == "none"


@pytest.mark.parametrize(
    ("terminal", "lines"), [(True, ["[a] trial that", "was stopped"]), (False, ["[a] trial that was stopped"])]
)
def test_a_sentence_wraps_between_words_on_terminals_only(terminal: bool, lines: list[str]) -> None:
    output = io.StringIO()

    print_sentence(
        Console(file=output, width=16, force_terminal=terminal, color_system=None), "[a] trial that was stopped"
    )

    assert [line.rstrip() for line in output.getvalue().splitlines()] == lines


def test_a_console_prints_markup_literally() -> None:
    from rich.table import Table

    output = io.StringIO()
    table = Table("[bold]heading", box=None)
    table.add_row("photo [final].jpg :dog: [/red]")
    console = make_console(output, width=60)
    console.print(table)
    console.print("[/red] :dog:")

    assert [line.strip() for line in output.getvalue().splitlines()] == [
        "[bold]heading",
        "photo [final].jpg :dog: [/red]",
        "[/red] :dog:",
    ]


def test_a_name_that_is_not_utf_8_is_escaped() -> None:
    assert escaped(os.fsdecode(b"a\xff b\x1b.png")) == r"a\xff b\x1b.png"
    assert escaped("Übung → 1.png") == "Übung → 1.png"
