"""The page of the leaderboard asks questions that the record answers."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest
from sweep_fakes import book, epoch, next_trial

import sweeps
from sweeps.core.trial import Outcome
from sweeps.record.parent_run import RecordedStudy
from sweeps.record.writer import Tracker

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "leaderboard.md"
QUESTIONS = re.findall(r"\| `(select [^`]*)` \|", PAGE.read_text(encoding="utf-8"))


@pytest.fixture
def record(recorded_runs: Path) -> Path:
    """A runs folder with one complete trial."""
    trial = replace(next_trial(book(recorded_runs).open()), outcome=Outcome.COMPLETE)
    trial = replace(trial, epochs=(epoch(1, 0.25), epoch(2, 0.6), epoch(3, 0.5)), finished=trial.started + 3)
    with Tracker(RecordedStudy(sweep="tiny", name=trial.study), runs=recorded_runs, environment={}) as tracker:
        tracker.write(trial)
    return recorded_runs


def test_the_page_has_ten_questions() -> None:
    assert len(QUESTIONS) == 10


def test_every_question_is_answered(record: Path) -> None:
    answers = {question: sweeps.query(question, runs=record) for question in QUESTIONS}

    empty = {question for question, answer in answers.items() if answer.empty}
    # The one trial has another name, nobody has confirmed it.
    assert all("quick-017" in question or "confirmed" in question for question in empty)


def test_an_epoch_is_a_row_and_a_run_is_one(record: Path) -> None:
    rows = sweeps.query("select epoch, val_accuracy from epochs where trial = 'tiny-000' order by epoch", runs=record)

    assert rows.to_dict(orient="list") == {"epoch": [1, 2, 3], "val_accuracy": [0.25, 0.6, 0.5]}
    assert sweeps.query("select count(*) as n from runs", runs=record)["n"].tolist() == [1]


def test_a_sum_that_64_bits_do_not_hold_is_answered(record: Path) -> None:
    (found,) = sweeps.query("select sum(9e18::bigint) as total from range(3)", runs=record)["total"]
    assert found == pytest.approx(2.7e19)
