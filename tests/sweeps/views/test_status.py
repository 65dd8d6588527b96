"""The status of a sweep on screens of all widths."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from rich.console import Console
from sweep_fakes import book, epoch, next_trial

from sweeps.core.results import TestResult
from sweeps.core.trial import Outcome, RungLabel, TrialRecord
from sweeps.search.state import SweepState
from sweeps.views.status import print_status

NAME = "a-rung-with-a-long-name"


@pytest.fixture
def trial(runs: Path) -> TrialRecord:
    return replace(next_trial(book(runs).open()), outcome=Outcome.COMPLETE, epochs=(epoch(1, 0.25), epoch(2, 0.5)))


@pytest.fixture
def rung(trial: TrialRecord) -> TrialRecord:
    """A run of a ladder with 3 of 8 test images correct."""
    test = TestResult(loss=1.0, correct=np.packbits([1, 0, 1, 0, 1, 0, 0, 0]).tobytes(), count=8)
    config = trial.config.model_copy(update={"seed": 7})
    label = RungLabel(name=NAME, index=0, parent=None)
    return replace(trial, config=config, rung=label, test=test)


def test_a_search_has_no_column_for_an_absent_seed_or_test(trial: TrialRecord) -> None:
    header, line, *_ = printed(trial, width=100)

    assert header.split() == ["trial", "status", "epochs", "val_accuracy", "%", "time", "configuration"]
    assert line.split()[:6] == ["0", "complete", "2/2", "50.00", "2.0", "s"]


def test_a_ladders_run_is_shown_with_its_seed_and_its_test_accuracy(rung: TrialRecord) -> None:
    untested = replace(rung, test=None, outcome=Outcome.RUNNING)

    header, tested, running, *_ = printed(rung, untested, width=120)

    assert header.split()[:7] == ["trial", "status", "seed", "epochs", "test", "acc", "%"]
    assert tested.split()[:6] == [NAME, "complete", "7", "2/2", "37.50", "50.00"]
    assert running.split()[:5] == [NAME, "running", "7", "2/2", "50.00"]


@pytest.mark.parametrize("width", [30, 40, 60, 80, 100, 120])
def test_trial_and_status_are_never_truncated(rung: TrialRecord, width: int) -> None:
    lines = printed(rung, width=width)

    assert lines[1].startswith(f"{NAME}  complete")
    assert "…" not in "".join(lines)
    assert width < 40 or max(map(len, lines[:-1])) <= width


def test_a_failed_run_is_named_as_in_its_line(rung: TrialRecord) -> None:
    failed = replace(rung, outcome=Outcome.FAILED, error="it broke", log="a.log")

    assert f"{NAME} failed: it broke; its log: a.log" in printed(failed, width=120)


def test_columns_that_do_not_fit_are_named(rung: TrialRecord) -> None:
    assert "columns that do not fit: time, configuration" in printed(rung, width=79)
    assert "do not fit" not in "".join(printed(rung, width=120))


def test_a_long_configuration_wraps(trial: TrialRecord) -> None:
    lines = printed(trial, width=64)

    assert lines[1].endswith("simple, width 4,")
    assert lines[2].strip().startswith("batch 32, lr")


def test_the_summary_wraps_on_a_terminal_and_not_in_a_file(trial: TrialRecord) -> None:
    summary = "tiny: not running; 1 complete; best val_accuracy 50.00 % (trial 0); last epoch"

    assert printed(trial, width=50)[-1].startswith(summary)
    assert printed(trial, width=50, force_terminal=True, color_system=None)[-2].endswith(" best val_accuracy")


def printed(*records: TrialRecord, width: int, **terminal: Any) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False, **terminal)
    numbered = [replace(record, number=number) for number, record in enumerate(records)]
    print_status(SweepState(sweep="tiny", metric="val_accuracy", maximize=True, records=numbered), console)
    return [line.rstrip() for line in console.file.getvalue().splitlines()]  # type: ignore[attr-defined]
