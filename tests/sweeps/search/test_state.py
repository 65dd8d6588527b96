"""The state of a sweep: best trial, number of ended trials, time left; live and from its journal."""

from __future__ import annotations

import os
import socket
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sweep_fakes import book, epoch, epoch_with, next_trial

from cifar_core.config import TrainingConfig
from sweeps.core.results import TestResult
from sweeps.core.trial import MeasuredOn, Outcome, RungLabel, TrialMessage, TrialRecord
from sweeps.search.best import best_first
from sweeps.search.state import DriverState, Measuring, SweepState, read_state, sweep_names


def trial(number: int, *accuracies: float, outcome: Outcome = Outcome.COMPLETE, **changes: Any) -> TrialRecord:
    record = TrialRecord(
        sweep="tiny", study="tiny", number=number, key=f"k{number}", config_id=f"c{number}", config=TrainingConfig(),
        outcome=outcome, epochs=tuple(epoch(at, accuracy) for at, accuracy in enumerate(accuracies, start=1)),
        started=1000.0,
    )  # fmt: skip
    return replace(record, **changes)


def state(*records: TrialRecord, **options: Any) -> SweepState:
    return SweepState(**{"sweep": "tiny", "metric": "val_accuracy", "maximize": True, "records": records} | options)


def test_the_best_is_the_complete_trial_with_the_best_last_epoch() -> None:
    records = (trial(0, 0.9, 0.5), trial(1, 0.1, 0.6), trial(2, 0.8, outcome=Outcome.PRUNED), trial(3))

    best, lowest_loss = state(*records).best(), state(*records, metric="val_loss", maximize=False).best()
    worst = state(*records, maximize=False).best()

    assert best is not None
    assert lowest_loss is not None
    assert worst is not None
    assert (best.number, lowest_loss.number, worst.number) == (1, 1, 0)
    assert state(trial(3), trial(2, 0.8, outcome=Outcome.PRUNED)).best() is None


def test_a_metric_of_0_is_a_value_like_any_other() -> None:
    best = state(trial(0, 0.0), trial(1, 0.1), maximize=False).best()

    assert best is not None
    assert best.number == 0


def test_the_value_of_a_trial_is_of_its_last_epoch() -> None:
    found = state()

    assert (found.value(trial(0, 0.2, 0.4)), found.value(trial(0))) == (0.4, None)
    unvalidated = epoch_with(1, val_loss=0.5)
    assert found.value(replace(trial(0), epochs=(unvalidated,))) is None


def test_the_counts_are_of_outcomes_and_done_is_what_ended() -> None:
    found = state(trial(0, 0.1), trial(1, outcome=Outcome.RUNNING), trial(2, outcome=Outcome.FAILED), trial(3, 0.2))

    assert found.counts() == {Outcome.COMPLETE: 2, Outcome.RUNNING: 1, Outcome.FAILED: 1}
    assert found.done == 3
    assert [record.number for record in found.records] == [0, 1, 2, 3]


@given(
    changes=st.lists(
        st.tuples(st.integers(0, 5), st.sampled_from([0.25, 0.5, 0.75])), unique_by=lambda change: change[0]
    ),
    maximize=st.booleans(),
)
def test_a_state_updated_by_every_change_equals_one_of_the_end(
    changes: list[tuple[int, float]], maximize: bool
) -> None:
    told = state(maximize=maximize)
    ends = []
    for number, accuracy in changes:
        end = trial(number, accuracy, outcome=Outcome.PRUNED if number == 3 else Outcome.COMPLETE)
        for change in (trial(number, outcome=Outcome.RUNNING), end, replace(end, log="tested")):
            told.enter(change)
        ends.append(replace(end, log="tested"))
    made = state(*ends, maximize=maximize)

    assert (told.best(), told.counts(), told.done) == (made.best(), made.counts(), made.done)
    assert told.best() == next(iter(best_first(ends, metric="val_accuracy", maximize=maximize)), None)


def test_the_end_of_a_trial_is_reported_once() -> None:
    found = state()
    running, ended = trial(0, 0.1, outcome=Outcome.RUNNING), trial(0, 0.1, 0.2)

    assert [found.enter(record) for record in (running, ended, replace(ended, log="tested"))] == [False, True, False]
    assert found.records == [replace(ended, log="tested")]


def test_the_time_left_is_a_trials_time_times_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "time", lambda: now)
    found = state(trial(0, 0.1), driver=DriverState(target=10, slots=1))
    assert found.seconds_left() is None

    now = 1060.0
    found.enter(trial(1, 0.1))
    assert found.seconds_left() is None  # one trial says too little
    found.enter(trial(2, 0.1))

    assert found.seconds_left() == pytest.approx(60 / 2 * 7)


def test_with_more_slots_as_many_trials_must_have_ended_first(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "time", lambda: now)
    found = state(driver=DriverState(target=10, slots=3))
    now = 1030.0
    for number in range(2):
        found.enter(trial(number, 0.1))
    assert found.seconds_left() is None
    found.enter(trial(2, 0.1))

    assert found.seconds_left() == pytest.approx(30 / 3 * 7)
    assert state(*found.records, driver=DriverState(slots=1)).seconds_left() is None  # the number of trials is unknown


def test_slots_that_join_shorten_the_time_left_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "time", lambda: now)
    found = state(driver=DriverState(target=12, slots=1))
    now = 1060.0
    for number in range(2):
        found.enter(trial(number, 0.1))
    assert found.seconds_left() == pytest.approx(30 * 10)

    found.set_slots(2)
    assert found.seconds_left() == pytest.approx(30 * 10 / 2)

    now = 1090.0
    for number in range(2, 4):
        found.enter(trial(number, 0.1))
    assert found.seconds_left() == pytest.approx(30 * 8 / 2)
    found.set_slots(1)
    assert found.seconds_left() == pytest.approx(30 * 8)


def test_the_last_change_is_an_epoch_or_an_end() -> None:
    running = trial(0, 0.1, outcome=Outcome.RUNNING)
    assert state(running).last_change() == running.epochs[-1].finished_at
    assert state(running, trial(1, finished=2e9)).last_change() == 2e9
    assert state(trial(1, finished=5.0), running).last_change() == running.epochs[-1].finished_at
    assert state().last_change() is None


def test_the_state_is_read_from_the_journal(runs: Path) -> None:
    tiny = book(runs, metric={"name": "val_loss", "goal": "minimize"})
    ledger = tiny.open()
    for accuracies in ((0.5, 0.6), (0.5, 0.7)):
        number = next_trial(ledger).number
        for at, accuracy in enumerate(accuracies, start=1):
            ledger.receive(number, TrialMessage(epoch=epoch(at, accuracy)))
        ledger.receive(number, TrialMessage(outcome=Outcome.COMPLETE))

    found = read_state(runs, "tiny")

    assert (found.sweep, found.metric, found.driver, found.damage, found.runs) == ("tiny", "val_loss", None, None, runs)
    best = found.best()
    assert best is not None
    assert best.number == 1  # the lower loss


def test_an_open_trial_runs_while_a_driver_holds_the_sweep(runs: Path) -> None:
    tiny = book(runs)
    next_trial(tiny.open())

    with tiny.folder.locked():
        while_driven = read_state(runs, "tiny")
    after = read_state(runs, "tiny")

    assert while_driven.driver == f"process {os.getpid()} on {socket.gethostname()}"
    assert [record.outcome for record in while_driven.records] == [Outcome.RUNNING]
    assert (after.driver, [record.outcome for record in after.records]) == (None, [Outcome.INTERRUPTED])


def test_the_sweeps_of_a_folder_are_those_with_a_journal(runs: Path) -> None:
    assert sweep_names(runs) == []
    for name in ("b", "a"):
        next_trial(book(runs, name=name).open())
    (runs / "sweeps" / "empty").mkdir()

    assert sweep_names(runs) == ["a", "b"]


TEST = TestResult(loss=1.0, correct=b"\xff", count=8)


def rung(number: int, **changes: Any) -> TrialRecord:
    return trial(number, 0.5, **{"rung": RungLabel(name=f"r{number}", index=number, parent=None)} | changes)


def test_trained_and_partly_measured_means_measuring() -> None:
    found = state(rung(0, test=TEST), rung(1), driver=DriverState(target=3))
    assert found.measuring is None, "one is still to be trained"

    found.enter(rung(2))
    assert found.measuring == Measuring(done=1, of=3)
    assert found.seconds_left() is None

    found.enter(rung(1, test=TEST))
    left = found.seconds_left(time.time() + 10)
    assert left == pytest.approx(10, abs=1), "one was measured in ten seconds, one is left"

    found.enter(rung(2, test=TEST))
    assert found.measuring is None


@pytest.mark.parametrize(
    "record",
    [
        trial(0, 0.5),
        rung(0, rung=RungLabel(name="r", index=0, parent=None, measured_on=MeasuredOn.VALIDATION)),
        rung(0, outcome=Outcome.FAILED),
    ],
    ids=["a search", "a ladder compared on validation images", "a failed run"],
)
def test_without_test_images_there_is_no_measuring_phase(record: TrialRecord) -> None:
    assert state(record, driver=DriverState(target=1)).measuring is None
