"""The example queries of the docs page on the leaderboard have results."""

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
EXAMPLES = re.findall(r"\| `(select [^`]*)` \|", PAGE.read_text(encoding="utf-8"))


@pytest.fixture
def record(recorded_runs: Path) -> Path:
    """A runs folder with one complete trial."""
    trial = replace(next_trial(book(recorded_runs).open()), outcome=Outcome.COMPLETE)
    trial = replace(trial, epochs=(epoch(1, 0.25), epoch(2, 0.6), epoch(3, 0.5)), finished=trial.started + 3)
    with Tracker(RecordedStudy(sweep="tiny", name=trial.study), runs=recorded_runs, environment={}) as tracker:
        tracker.write(trial)
    return recorded_runs


def test_the_page_has_ten_examples() -> None:
    assert len(EXAMPLES) == 10


def test_every_example_has_a_result(record: Path) -> None:
    results = {example: sweeps.query(example, runs=record) for example in EXAMPLES}

    empty = {example for example, result in results.items() if result.empty}
    # The only trial has another name and is not confirmed.
    assert all("quick-017" in example or "confirmed" in example for example in empty)


def test_epochs_and_runs_have_one_row_each(record: Path) -> None:
    rows = sweeps.query("select epoch, val_accuracy from epochs where trial = 'tiny-000' order by epoch", runs=record)

    assert rows.to_dict(orient="list") == {"epoch": [1, 2, 3], "val_accuracy": [0.25, 0.6, 0.5]}
    assert sweeps.query("select count(*) as n from runs", runs=record)["n"].tolist() == [1]


def test_a_sum_that_exceeds_64_bits_has_a_result(record: Path) -> None:
    (found,) = sweeps.query("select sum(9e18::bigint) as total from range(3)", runs=record)["total"]
    assert found == pytest.approx(2.7e19)
