"""The progress output of a running sweep, and that drawing does not slow down training."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sweep_fakes import book, epoch, next_trial

from sweeps.core.results import TestResult
from sweeps.core.trial import Outcome, RungLabel, TrialRecord
from sweeps.driver.progress import FirstWarning, LiveProgress, PlainProgress, headline, show_progress, trial_line
from sweeps.files.space import SearchSpace
from sweeps.search.ledger import Ledger
from sweeps.search.state import DriverState, SweepState


@pytest.fixture
def record(runs: Path) -> TrialRecord:
    return replace(next_trial(book(runs).open()), epochs=(epoch(1, 0.25),))


def state(*records: TrialRecord, target: int | None = 4) -> SweepState:
    return SweepState(
        sweep="tiny", metric="val_accuracy", maximize=True, records=records, driver=DriverState(target=target)
    )


def complete(record: TrialRecord, *, number: int = 0, accuracy: float = 0.5) -> TrialRecord:
    epochs = (epoch(1, 0.25), epoch(2, accuracy))
    return replace(record, number=number, config_id=f"c{number}", outcome=Outcome.COMPLETE, epochs=epochs)


def test_the_headline_names_the_best_complete_trial_in_percent(record: TrialRecord) -> None:
    found = headline(state(complete(record, accuracy=0.5), complete(record, number=1, accuracy=0.6)))

    assert found.startswith("2 of 4 trials done, best val_accuracy 60.00 % (trial 1, simple, width 4, batch 32, lr ")


def test_the_best_of_a_minimised_metric_is_the_smallest(record: TrialRecord) -> None:
    low, high = complete(record, accuracy=0.9), complete(record, number=1, accuracy=0.1)  # val_loss is 1 - accuracy
    losses = SweepState(sweep="tiny", metric="val_loss", maximize=False, records=[low, high])

    assert losses.best() == low


def test_the_remaining_time_only_uses_trials_of_this_start(record: TrialRecord) -> None:
    sweep = state(*(complete(record, number=number) for number in range(2)), target=6)
    assert sweep.seconds_left() is None

    ends = [sweep.enter(complete(record, number=number)) for number in (2, 3)]

    assert ends == [True, True]
    assert sweep.seconds_left() is not None


def test_a_trial_ends_once_also_when_its_test_result_comes_later(record: TrialRecord) -> None:
    sweep = state(record)

    assert sweep.enter(complete(record))
    assert not sweep.enter(replace(complete(record), parameters=7))


def test_without_a_terminal_lines_show_the_last_epoch(record: TrialRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.driver.progress.PLAIN_SECONDS", -1)
    output = io.StringIO()
    progress = PlainProgress(Console(file=output, width=100), state())

    progress.on_change(record)

    assert output.getvalue() == "0 of 4 trials done; trial 0 after 1 of 2 epochs\n"


def test_only_the_first_warning_of_a_trial_is_printed(record: TrialRecord) -> None:
    output = io.StringIO()
    warning = FirstWarning(Console(file=output, width=100))

    for warned in (record, replace(record, warning="no curves"), replace(record, number=1, warning="no curves")):
        warning.on_change(warned)

    assert output.getvalue() == "warning: trial 0: no curves\n"


def test_without_a_terminal_there_is_a_line_per_trial(record: TrialRecord) -> None:
    output = io.StringIO()
    progress = PlainProgress(Console(file=output, width=100), state())

    progress.on_change(record)
    progress.on_change(complete(record))

    (line,) = output.getvalue().splitlines()
    assert line.startswith("trial 0 complete after 2 of 2 epochs, val_accuracy 50.00 % (simple, width 4, batch 32, lr ")


def test_runs_of_one_rung_are_distinguished_by_their_seed(record: TrialRecord) -> None:
    rung = RungLabel(name="baseline", index=0, parent=None)
    config = record.config.model_copy(update={"seed": 7})
    run = replace(record, rung=rung, config=config)

    assert trial_line(complete(run), state()).endswith(", seed 7)")
    assert "seed" not in trial_line(complete(record), state())


def test_measuring_on_the_test_images_is_counted_line_by_line(record: TrialRecord) -> None:
    output = io.StringIO()
    rung = RungLabel(name="baseline", index=0, parent=None)
    runs = [replace(complete(record, number=number), rung=rung) for number in range(2)]
    progress = PlainProgress(Console(file=output, width=100), state(target=2))

    for run in runs:
        progress.on_change(run)
    for run in runs:
        progress.on_change(replace(run, test=TestResult(loss=1.0, correct=b"\xf0", count=8)))

    assert output.getvalue().splitlines()[2:] == [
        "evaluating on the test images: 0 of 2",
        "evaluating on the test images: 1 of 2 (baseline, seed 0: 50.00 %)",
        "evaluating on the test images: 2 of 2 (baseline, seed 0: 50.00 %)",
    ]


@pytest.mark.parametrize("width", [40, 80, 120])
def test_only_failures_are_printed_above_the_live_view(record: TrialRecord, width: int) -> None:
    output = io.StringIO()
    view = LiveProgress(Console(file=output, force_terminal=True, width=width, color_system=None), state(record))

    view.on_change(complete(record))
    failed = replace(record, number=1, outcome=Outcome.FAILED, error="CUDA out of memory", log="a.log")
    view.on_change(failed)

    assert " ".join(output.getvalue().split()) == trial_line(failed, state())


def test_a_dumb_terminal_gets_plain_lines(record: TrialRecord, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    output = io.StringIO()

    with show_progress(Console(file=output, force_terminal=True), state(), prints_through=True) as progress:
        progress.on_change(complete(record))

    assert output.getvalue().startswith("trial 0 complete after 2 of 2 epochs")
    assert "\x1b" not in output.getvalue()


def test_other_output_during_the_live_view_is_hidden(record: TrialRecord) -> None:
    before = sys.stdout

    with LiveProgress(Console(file=io.StringIO(), force_terminal=True), state(record)):
        during = sys.stdout

    assert during is before


def test_drawing_reads_no_ledger_and_counts_no_space(
    record: TrialRecord, runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger = book(runs).open()
    view = LiveProgress(Console(file=io.StringIO(), force_terminal=True), state(*ledger.records, target=ledger.target))

    def refused(*arguments: Any) -> Any:
        raise AssertionError(f"read from {threading.current_thread().name}")

    for name in ("records", "target", "live", "is_done"):
        monkeypatch.setattr(Ledger, name, property(refused))
    monkeypatch.setattr(SearchSpace, "assignments", refused)

    assert "trials done" in view._screen.drawn().plain


def test_the_size_of_a_space_is_counted_once(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: list[SearchSpace] = []
    assignments = SearchSpace.assignments

    def counting(space: SearchSpace) -> Iterator[dict[str, Any]]:
        counted.append(space)
        return assignments(space)

    monkeypatch.setattr(SearchSpace, "assignments", counting)
    ledger = book(runs).open()

    assert [ledger.target for _ in range(5)] == [2] * 5
    assert len(counted) <= 1
