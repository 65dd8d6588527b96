"""The search with a model of learning curves: its budget, its order, and what it knows at the end."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from sweep_fakes import book, epoch, next_trial

from sweeps.core.trial import Outcome, TrialMessage, TrialRecord
from sweeps.driver.estimate import preview
from sweeps.driver.plan import warm_start_of
from sweeps.search.curve_search import FIRST_POINTS, CurveSearch
from sweeps.search.ledger import Ledger
from sweeps.search.opening import read_study
from sweeps.search.pausing import pausing_of
from sweeps.search.stored_trials import DUPLICATE_OF, KEY, read_records
from sweeps.search.warm_start import WARM_START

EPOCHS = 8
BASE = {"epochs": EPOCHS, "data": {"train_size": 300, "validation_size": 200}, "schedule": {"name": "step"}}
SPACE: dict[str, Any] = {
    "model.name": {"values": ["simple", "resnet"]},
    "model.width": {"values": [4, 8], "when": {"model.name": "resnet"}},
    "optimizer.lr": {"min": 0.001, "max": 0.1, "distribution": "log_uniform_values"},
}


def accuracy(record: TrialRecord, after: int) -> float:
    """Return a curve whose height depends on the learning rate: the best one is 0.01."""
    lr = float(record.config.optimizer.lr)  # type: ignore[attr-defined]
    return max(0.0, 0.8 - 0.3 * abs(math.log10(lr) + 2)) * (1 - 0.6**after)


def run(ledger: Ledger, *, slots: int = 1) -> int:
    """Train to the end, the slots in turn. Return the number of trained epochs."""
    trained = 0
    running: list[int] = []
    while True:
        while len(running) < slots and isinstance(record := ledger.next_trial(), TrialRecord):
            running.append(record.number)
        if not running:
            return trained
        number = running.pop(0)
        record = next(each for each in ledger.records if each.number == number)
        done = len(record.epochs) + 1
        message = TrialMessage(
            epoch=epoch(done, accuracy(record, done)),
            outcome=Outcome.COMPLETE if done == EPOCHS else None,
        )
        trained += 1
        if not ledger.receive(number, message):
            running.append(number)


def sweep(runs: Path, **changes: Any) -> Any:
    fields = {"method": "bayes", "run_cap": 16, "base": BASE, "parameters": SPACE}
    return book(runs, **(fields | {"early_terminate": {"type": "curve_model"}} | changes))


@settings(max_examples=10, deadline=None)
@given(cap=st.integers(1, 12), slots=st.integers(1, 3), seed=st.integers(0, 99))
def test_a_search_keeps_its_budget_and_completes_a_trial(
    cap: int, slots: int, seed: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    tiny = sweep(tmp_path_factory.mktemp("runs"), run_cap=cap, seed=seed)
    ledger = tiny.open()

    trained = run(ledger, slots=slots)

    expected = tiny.spec.early_terminate.expected_epochs(EPOCHS)
    assert trained <= max(EPOCHS, math.ceil(cap * expected))
    assert any(record.outcome is Outcome.COMPLETE for record in ledger.records)
    assert ledger.is_done


def test_it_spends_most_epochs_near_the_best_configurations(runs: Path) -> None:
    ledger = sweep(runs, run_cap=30).open()

    run(ledger)

    best = max(ledger.records, key=lambda record: (record.outcome is Outcome.COMPLETE, accuracy(record, EPOCHS)))
    assert accuracy(best, EPOCHS) > 0.75
    later = ledger.records[len(ledger.records) // 2 :]
    assert sum(accuracy(record, EPOCHS) > 0.6 for record in later) > len(later) / 2


def test_given_configurations_come_first(runs: Path) -> None:
    given = {"model.name": "resnet", "model.width": 8, "optimizer.lr": 0.02}

    record = next_trial(sweep(runs, start_with=[given]).open())

    assert record.config.model.name == "resnet"  # type: ignore[attr-defined]
    assert record.config.optimizer.lr == 0.02  # type: ignore[attr-defined]


def test_a_refused_configuration_is_not_proposed(runs: Path) -> None:
    tiny = sweep(runs, where=["optimizer.lr < 0.02"])

    run(tiny.open())

    rates = [record.config.optimizer.lr for record in read_records(read_study(tiny.folder), sweep=tiny.spec.name)]
    assert len(rates) > 5
    assert max(rates) < 0.02
    trials = read_study(tiny.folder).get_trials()
    recorded = [trial.number for trial in trials if KEY in trial.user_attrs]
    # The first points do not know the conditions, and the proposer refuses them.
    chosen_from = recorded[len(SPACE) + FIRST_POINTS - 1]
    assert [trial.number for trial in trials if trial.number > chosen_from] == [n for n in recorded if n > chosen_from]


def test_the_expected_values_of_complete_trials_are_stored(runs: Path) -> None:
    tiny = sweep(runs)
    run(tiny.open())

    records = tiny.open().records
    complete = [record for record in records if record.outcome is Outcome.COMPLETE]

    assert complete
    assert all(record.expected_value is None for record in records if record not in complete)
    for record in complete:
        assert record.expected_value == pytest.approx(accuracy(record, EPOCHS), abs=0.1)


def test_a_failed_trial_is_not_continued(runs: Path) -> None:
    ledger = sweep(runs).open()
    first = next_trial(ledger)
    ledger.finish(first.number, Outcome.FAILED, error="broken")

    run(ledger)

    assert ledger.records[0].outcome is Outcome.FAILED
    assert any(record.outcome is Outcome.COMPLETE for record in ledger.records)


def test_the_preview_names_the_first_configurations_of_the_search(runs: Path) -> None:
    tiny = sweep(runs)
    shown = [config.config_id() for config in preview(tiny.spec)]
    ledger = tiny.open()

    run(ledger)

    assert len(shown) == len(SPACE) + FIRST_POINTS
    assert [record.config_id for record in ledger.records][: len(shown)] == shown


def test_curves_of_another_sweep_guide_the_search(runs: Path) -> None:
    rates = [0.001, 0.002, 0.004, 0.008, 0.01, 0.02, 0.05, 0.1]

    def mean_accuracy(earlier: list[tuple[Any, list[float]]]) -> float:
        tiny = sweep(runs / str(len(earlier)), parameters={"optimizer.lr": SPACE["optimizer.lr"]}, run_cap=8)
        study = tiny.study()
        pausing = pausing_of(
            tiny.spec.early_terminate,
            space=tiny.spec.space,
            method="bayes",
            seed=0,
            epochs=EPOCHS,
            run_cap=8,
            maximize=True,
            study=study,
            earlier=earlier,
        )
        ledger = tiny.open(study=study, pausing=pausing)
        run(ledger)
        chosen = ledger.records[1 + FIRST_POINTS :]
        return statistics.fmean(accuracy(record, EPOCHS) for record in chosen)

    def height(rate: float, after: int) -> float:
        return (0.8 - 0.3 * abs(math.log10(rate) + 2)) * (1 - 0.6**after)

    known = [({"optimizer.lr": rate}, [height(rate, after) for after in range(1, EPOCHS + 1)]) for rate in rates]
    assert mean_accuracy(known) > mean_accuracy([]) + 0.03


def test_the_model_reads_the_curves_of_a_warm_start(runs: Path) -> None:
    first = sweep(runs, name="first")
    run(first.open())
    second = sweep(runs, name="second", warm_start=["first"])
    study = second.study()
    warm = warm_start_of(second.spec)
    assert warm is not None
    # The fake epochs end in the future.
    study.set_user_attr(WARM_START, replace(warm(second.folder.runs), at=math.inf).stored)

    ledger = second.open(study=study)
    run(ledger)

    assert len(ledger._pausing._earlier) > 5  # type: ignore[union-attr]
    assert any(record.outcome is Outcome.COMPLETE for record in ledger.records)


def test_no_configuration_is_chosen_twice(runs: Path) -> None:
    space = {"optimizer.lr": SPACE["optimizer.lr"], "data.batch_size": {"values": [32, 64]}}
    tiny = sweep(runs, parameters=space, run_cap=30)

    run(tiny.open())

    trials = read_study(tiny.folder).get_trials()
    assert not any(DUPLICATE_OF in trial.user_attrs for trial in trials)


def test_after_a_failed_trial_a_small_search_tries_another_one(runs: Path) -> None:
    ledger = sweep(runs, run_cap=2).open()
    ledger.finish(next_trial(ledger).number, Outcome.FAILED, error="broken")

    run(ledger)

    assert [record.outcome for record in ledger.records] == [Outcome.FAILED, Outcome.COMPLETE]
    assert ledger.is_done


@pytest.mark.parametrize("outcome", [Outcome.FAILED, Outcome.DIVERGED])
def test_the_end_of_a_trial_without_an_epoch_changes_the_decision(outcome: Outcome, runs: Path) -> None:
    search = CurveSearch(
        sweep(runs).spec.space,
        milestones=(1, 2, 4),
        epochs=8,
        run_cap=1,
        expected_epochs=8.0,
        maximize=True,
        seed=0,
        scores_new=True,
    )
    for number in (0, 1):
        search.begin(number, {})
    search.enter(0, epoch=1, value=0.5)
    search.pause(0, epoch=1, value=0.5)
    assert search.next(may_start=True, is_closing=False) is None, "the other one may need the rest of the budget"

    search.end(1, outcome)

    assert search.next(may_start=True, is_closing=False) == 0


def test_a_search_continues_in_a_space_with_another_parameter(runs: Path) -> None:
    tiny = sweep(runs, run_cap=6)
    run(tiny.open())
    wider = SPACE | {"data.batch_size": {"values": [32, 64, 128]}}
    tiny.spec = tiny.spec.model_validate(tiny.spec.model_dump(exclude_unset=True) | {"parameters": wider, "run_cap": 9})

    ledger = tiny.open(study=tiny.study(widen=True))
    run(ledger)

    assert len(ledger.records) > 6


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "grid", "parameters": {"optimizer.lr": {"values": [0.01, 0.1]}}},
        {"metrics": [{"name": "val_accuracy", "goal": "maximize"}, {"name": "optimizer.lr", "goal": "minimize"}]},
    ],
)
def test_a_grid_and_several_objectives_are_refused(changes: dict[str, Any], runs: Path) -> None:
    with pytest.raises(ValidationError, match=r"early_terminate\.type: curve_model .*Use type: asha"):
        sweep(runs, **changes)


def test_a_driver_killed_after_the_last_epoch_loses_no_expected_value(
    runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tiny = sweep(runs)
    with monkeypatch.context() as patched:
        patched.setattr(Ledger, "_end_paused", lambda self: None)
        patched.setattr(Ledger, "_note_expected", lambda self: None)
        run(tiny.open())

    records = tiny.open().records

    assert all(record.outcome is not Outcome.PAUSED for record in records)
    assert any(record.expected_value is not None for record in records)
