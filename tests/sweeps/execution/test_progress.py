"""What a person sees of a running sweep, and that drawing it costs the training nothing."""

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

from cifar_core.config import TrainingConfig
from sweeps.execution.progress import LiveProgress, PlainProgress, headline, trial_line
from sweeps.spec import SearchSpace
from sweeps.study import SweepState
from sweeps.study.ledger import Ledger
from sweeps.trial_record import Outcome, RungLabel, TrialRecord


@pytest.fixture
def record(runs: Path) -> TrialRecord:
    return replace(next_trial(book(runs).open()), epochs=(epoch(1, 0.25),))


def state(*records: TrialRecord, target: int | None = 4) -> SweepState:
    return SweepState(sweep="tiny", metric="val_accuracy", maximize=True, records=records, target=target)


def complete(record: TrialRecord, *, number: int = 0, accuracy: float = 0.5) -> TrialRecord:
    epochs = (epoch(1, 0.25), epoch(2, accuracy))
    return replace(record, number=number, outcome=Outcome.COMPLETE, epochs=epochs)


def test_the_headline_names_the_best_complete_trial_in_percent(record: TrialRecord) -> None:
    found = headline(state(complete(record, accuracy=0.5), complete(record, number=1, accuracy=0.6)))

    assert found.startswith("2 of 4 trials done, best val_accuracy 60.00 % (trial 1, simple 4, batch 32, lr ")


def test_a_metric_that_is_minimized_has_its_smallest_value_as_best(record: TrialRecord) -> None:
    low, high = complete(record, accuracy=0.9), complete(record, number=1, accuracy=0.1)  # val_loss is 1 - accuracy
    losses = SweepState(sweep="tiny", metric="val_loss", maximize=False, records=[low, high])

    assert losses.best() == low


def test_the_time_left_is_told_from_trials_of_this_start_alone(record: TrialRecord) -> None:
    sweep = state(*(complete(record, number=number) for number in range(2)), target=6)
    assert sweep.seconds_left() is None

    ends = [sweep.enter(complete(record, number=number)) for number in (2, 3)]

    assert ends == [True, True]
    assert sweep.seconds_left() is not None


def test_a_trial_ends_once_also_when_its_test_result_comes_later(record: TrialRecord) -> None:
    sweep = state(record)

    assert sweep.enter(complete(record))
    assert not sweep.enter(replace(complete(record), parameters=7))


def test_without_a_terminal_there_is_a_line_a_trial(record: TrialRecord) -> None:
    output = io.StringIO()
    progress = PlainProgress(Console(file=output, width=100), state())

    progress.update(record)
    progress.update(complete(record))

    (line,) = output.getvalue().splitlines()
    assert line.startswith("trial 0 complete after 2 of 2 epochs, val_accuracy 50.00 % (simple 4, batch 32, lr ")


LONG = "my_experiments.networks.residual:TinyResidualNetworkWithAttention"


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("model", ["simple", LONG])
def test_the_live_view_cuts_nothing_of_a_running_trial(record: TrialRecord, width: int, model: str) -> None:
    named = replace(record, rung=RungLabel(name="a-rung-with-a-long-name", index=0, parent=None))
    config = TrainingConfig.model_validate({"model": {"name": model}, "epochs": 2})

    lines = drawn(replace(named, config=config), width=width)

    assert lines[0].startswith("a-rung-with-a-long-name  1/2")
    assert max(map(len, lines)) <= width
    said = "".join(lines).replace(" ", "")
    assert all(word in said for word in ("25.00%", model, "batch64", "lr0.01"))
    assert "0 of 4 trials done" in lines[-1]


def test_the_live_view_has_a_bar_where_there_is_room_for_it(record: TrialRecord) -> None:
    assert drawn(record, width=120)[0].endswith("━" * 10 + "─" * 10)
    assert "━" not in drawn(record, width=60)[0]


def test_the_live_view_counts_the_trials_for_which_the_screen_is_too_low(record: TrialRecord) -> None:
    many = [replace(record, number=number) for number in range(30)]

    lines = drawn(*many, width=80, height=12)

    assert lines[0].startswith("trial 0 ")
    assert lines[-2:] == ["and 21 more", "0 of 4 trials done"]
    assert len(lines) < 12


def test_a_ladders_runs_of_one_rung_are_told_apart_by_their_seed(record: TrialRecord) -> None:
    rung = RungLabel(name="baseline", index=0, parent=None)
    config = record.config.model_copy(update={"seed": 7})
    run = replace(record, rung=rung, config=config)

    assert ", seed 7" in drawn(run, width=120)[0]
    assert trial_line(complete(run), state()).endswith(", seed 7)")
    assert "seed" not in trial_line(complete(record), state())


@pytest.mark.parametrize("width", [40, 80, 120])
def test_the_line_of_a_trial_that_ended_is_shown_whole(record: TrialRecord, width: int) -> None:
    output = io.StringIO()
    view = LiveProgress(Console(file=output, force_terminal=True, width=width, color_system=None), state(record))

    view.update(complete(record))

    shown = output.getvalue()
    assert shown.startswith("trial 0 complete after 2 of 2 epochs")
    assert " ".join(shown.split()) == trial_line(complete(record), state())


def drawn(*records: TrialRecord, width: int, height: int = 25) -> list[str]:
    """Return the lines of the live view of running trials."""
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=width, height=height)
    with console.capture() as captured:
        console.print(LiveProgress(console, state(*records))._draw())
    return captured.get().splitlines()


def test_what_others_print_while_it_draws_does_not_come_to_the_terminal(record: TrialRecord) -> None:
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

    view._draw()


def test_a_space_is_counted_once_however_often_its_size_is_asked_for(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    counted: list[SearchSpace] = []
    assignments = SearchSpace.assignments

    def counting(space: SearchSpace) -> Iterator[dict[str, Any]]:
        counted.append(space)
        return assignments(space)

    monkeypatch.setattr(SearchSpace, "assignments", counting)
    ledger = book(runs).open()

    assert [ledger.target for _ in range(5)] == [2] * 5
    assert len(counted) <= 1
