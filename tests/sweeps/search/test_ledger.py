"""The ledger: each key is stored once in the study, with its actual outcome.

Real Optuna studies in real journals; nothing is trained.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState
from sweep_fakes import IDENTIFY, Book, book, epoch, key_of, next_trial

from cifar_core.config import TrainingConfig
from sweeps.core.errors import StoreError
from sweeps.core.identity import Identity
from sweeps.core.results import TestResult
from sweeps.core.trial import CompleteResult, ErrorClass, Outcome, RungLabel, TrialMessage, TrialRecord
from sweeps.search.ledger import EXHAUSTED, Ledger
from sweeps.search.opening import read_study
from sweeps.search.proposers import Candidate, ListProposer, Proposal
from sweeps.search.stored_trials import read_records
from sweeps.store.folder import SweepFolder
from sweeps.store.storage import WritingBackend

FOUR = {"optimizer.lr": {"values": [0.01, 0.02, 0.03, 0.05]}}


STOP = {"type": "asha", "mode": "stop", "min_epochs": 1, "reduction_factor": 2}


def grid(runs: Path, **changes: Any) -> Book:
    return book(runs, method="grid", run_cap=None, **changes)


def train(ledger: Ledger, *accuracies: float, outcome: Outcome | None = Outcome.COMPLETE) -> TrialRecord:
    """Run the next trial through its epochs and end it."""
    record = next_trial(ledger)
    for number, accuracy in enumerate(accuracies, start=1):
        if ledger.receive(record.number, TrialMessage(epoch=epoch(number, accuracy))):
            return ledger.records[record.number]
    if outcome is not None:
        ledger.finish(record.number, outcome)
    return next(r for r in ledger.records if r.number == record.number)


def stored(a_book: Book) -> list[optuna.trial.FrozenTrial]:
    """Return what another process reads from the journal."""
    return read_study(a_book.folder).get_trials()


class TestTargetValue:
    def test_no_trial_follows_an_epoch_that_reaches_the_target(self, runs: Path) -> None:
        ledger = grid(runs).open(target_value=0.6)
        first, second = next_trial(ledger), next_trial(ledger)
        ledger.receive(first.number, TrialMessage(epoch=epoch(1, 0.59)))
        ledger.receive(second.number, TrialMessage(epoch=epoch(1, 0.6)))

        assert ledger.next_trial() is None
        ledger.receive(first.number, TrialMessage(epoch=epoch(2, 0.58), outcome=Outcome.COMPLETE))
        assert (ledger.next_trial(), ledger.is_done) == (None, False)
        ledger.receive(second.number, TrialMessage(epoch=epoch(2, 0.5), outcome=Outcome.COMPLETE))

        assert (ledger.next_trial(), ledger.is_done, ledger.remaining) == (EXHAUSTED, True, 0)
        assert ledger.reached is not None
        assert (ledger.reached[0], ledger.reached[1].epoch) == (second.number, 1)

    def test_a_loss_reaches_it_from_above(self, runs: Path) -> None:
        loss = {"name": "val_loss"}
        ledger = grid(runs, metric=loss).open(target_value=0.0)
        train(ledger, 0.5)
        assert ledger.reached is None
        assert grid(runs, metric=loss).open(target_value=100.0).reached is not None

    def test_the_next_driver_resumes_an_interrupted_trial_and_starts_none(self, runs: Path) -> None:
        ledger = grid(runs).open(target_value=0.6)
        interrupted = next_trial(ledger)
        train(ledger, 0.7, 0.7)

        again = grid(runs).open(target_value=0.6)

        assert next_trial(again).number == interrupted.number
        again.receive(interrupted.number, TrialMessage(epoch=epoch(1, 0.1)))
        again.finish(interrupted.number, Outcome.COMPLETE)
        assert again.next_trial() is EXHAUSTED

    def test_a_higher_value_continues_the_search(self, runs: Path) -> None:
        train(grid(runs).open(target_value=0.6), 0.7, 0.7)

        assert next_trial(grid(runs).open(target_value=0.9)).number == 1


class TestEndOfATrial:
    def test_a_complete_trial_has_the_last_epochs_value(self, runs: Path) -> None:
        tiny = grid(runs)

        train(tiny.open(), 0.5, 0.4)

        trial = stored(tiny)[0]
        assert (trial.state, trial.value) == (TrialState.COMPLETE, 0.4)
        assert trial.intermediate_values == {1: 0.5, 2: 0.4}

    def test_a_pruned_trial_is_pruned_in_the_study_with_its_curve(self, runs: Path) -> None:
        tiny = grid(
            runs,
            early_terminate={"type": "asha", "mode": "stop", "min_epochs": 2, "reduction_factor": 2},
            base=base(epochs=4),
        )
        ledger = tiny.open()
        train(ledger, 0.2, 0.9, 0.9, 0.9)

        pruned = train(ledger, 0.1, 0.2, 0.3, 0.3)

        assert (pruned.outcome, len(pruned.epochs)) == (Outcome.PRUNED, 2)
        trial = stored(tiny)[1]
        assert trial.state is TrialState.PRUNED
        assert trial.intermediate_values == {1: 0.1, 2: 0.2}

    def test_a_trial_to_start_with_is_pruned_as_any_other(self, runs: Path) -> None:
        early = {**STOP, "reduction_factor": 3}
        ledger = book(runs, start_with=[{"optimizer.lr": 0.02}], early_terminate=early).open()
        start, beside = next_trial(ledger), next_trial(ledger)
        assert start.config.optimizer.lr == 0.02

        assert not ledger.receive(beside.number, TrialMessage(epoch=epoch(1, 0.4)))
        assert ledger.receive(start.number, TrialMessage(epoch=epoch(1, 0.3)))

        assert ledger.records[start.number].outcome is Outcome.PRUNED

    def test_a_diverged_trial_is_pruned_so_that_the_sampler_avoids_it(self, runs: Path) -> None:
        tiny = grid(runs)

        train(tiny.open(), 0.1, outcome=Outcome.DIVERGED)

        trial = stored(tiny)[0]
        assert (trial.state, trial.intermediate_values) == (TrialState.PRUNED, {1: 0.1})
        assert tiny.open().records[0].outcome is Outcome.DIVERGED

    def test_a_failed_trial_is_failed_in_the_study_and_keeps_its_error(self, runs: Path) -> None:
        tiny = grid(runs)
        ledger = tiny.open()

        ledger.finish(next_trial(ledger).number, Outcome.FAILED, error="OSError: no")

        assert stored(tiny)[0].state is TrialState.FAIL
        assert tiny.open().records[0].error == "OSError: no"

    def test_parameters_and_environment_of_a_trial_are_stored_and_observed(self, runs: Path) -> None:
        tiny = grid(runs)
        ledger = tiny.open()
        number = next_trial(ledger).number
        before = time.time()

        ledger.receive(number, TrialMessage(epoch=epoch(1, 0.5), parameters=1234, environment={"host": "node"}))
        ledger.receive(number, TrialMessage(epoch=epoch(2, 0.6)))
        ledger.receive(
            number, TrialMessage(outcome=Outcome.FAILED, error="broke", error_class="OSError", traceback="  File a.py")
        )

        for record in (ledger.records[0], tiny.open().records[0]):
            assert (record.parameters, record.environment) == (1234, {"host": "node"})
            assert (record.error, record.error_class, record.traceback) == ("broke", "OSError", "  File a.py")
            assert record.finished is not None
            assert before <= record.finished <= time.time()

    def test_a_note_of_a_trial_that_ended_changes_nothing(self, runs: Path) -> None:
        ledger = grid(runs).open()
        done = train(ledger, 0.5, 0.6)

        ledger.note(done.number, log="another.log")

        assert ledger.records == [done]

    def test_closing_a_trial_twice_keeps_the_first_outcome(self, runs: Path) -> None:
        ledger = grid(runs).open()
        record = train(ledger, 0.1, 0.2)

        ledger.finish(record.number, Outcome.FAILED, error="too late")

        assert ledger.records[0] == record

    def test_the_last_epoch_is_never_pruned(self, runs: Path) -> None:
        ledger = grid(
            runs, early_terminate={"type": "asha", "mode": "stop", "min_epochs": 2, "reduction_factor": 2}
        ).open()
        train(ledger, 0.1, 0.9)

        assert train(ledger, 0.1, 0.1).outcome is Outcome.COMPLETE

    def test_a_minimized_metric_is_reported_unchanged(self, runs: Path) -> None:
        tiny = grid(runs, metric={"name": "val_loss", "goal": "minimize"})

        train(tiny.open(), 0.5, 0.75)

        assert stored(tiny)[0].value == 0.25


def base(**changes: Any) -> dict[str, Any]:
    return {"epochs": 2, "data": {"train_size": 300, "validation_size": 200}} | changes


class Fixed:
    """Proposes these learning rates, also duplicates."""

    def __init__(self, *rates: float) -> None:
        self._rates = list(rates)

    def ask(self, study: optuna.Study, *, repeats: int, chosen: Any = None) -> Proposal | None:
        if not self._rates:
            return None
        config = TrainingConfig.model_validate(base(optimizer={"lr": self._rates.pop(0)}))
        return Proposal(trial=study.ask(), config=config)

    def total(self) -> int | None:
        return None

    def concerns(self, key: str) -> bool:
        return True


class TestDuplicateProposals:
    def test_a_duplicate_gets_the_recorded_result_and_is_not_trained(self, runs: Path) -> None:
        tiny = Book(runs=runs, spec=grid(runs).spec, proposer=lambda: Fixed(0.1, 0.1, 0.2))
        ledger = tiny.open()
        first = train(ledger, 0.5, 0.6)

        second = next_trial(ledger)

        assert second.key != first.key
        assert [(t.state, t.value) for t in stored(tiny)[:2]] == [(TrialState.COMPLETE, 0.6)] * 2
        assert stored(tiny)[1].intermediate_values == {1: 0.5, 2: 0.6}

    def test_a_duplicate_of_a_running_trial_waits_for_its_result(self, runs: Path) -> None:
        tiny = Book(runs=runs, spec=grid(runs).spec, proposer=lambda: Fixed(0.1, 0.1))
        ledger = tiny.open()
        first = next_trial(ledger)

        assert ledger.next_trial() is None
        assert stored(tiny)[1].state is TrialState.RUNNING
        ledger.receive(first.number, TrialMessage(epoch=epoch(1, 0.5)))
        ledger.finish(first.number, Outcome.DIVERGED)

        assert (stored(tiny)[1].state, stored(tiny)[1].intermediate_values) == (TrialState.PRUNED, {1: 0.5})
        assert ledger.next_trial() is EXHAUSTED

    def test_a_duplicate_stores_the_number_of_the_first_trial(self, runs: Path) -> None:
        tiny = Book(runs=runs, spec=grid(runs).spec, proposer=lambda: Fixed(0.1, 0.1, 0.2))
        ledger = tiny.open()
        first = train(ledger, 0.5, 0.6)
        next_trial(ledger)

        assert stored(tiny)[1].user_attrs["key"] == first.key
        assert stored(tiny)[1].user_attrs["duplicate_of"] == first.number

    def test_a_duplicate_of_a_failed_trial_fails(self, runs: Path) -> None:
        tiny = Book(runs=runs, spec=grid(runs).spec, proposer=lambda: Fixed(0.1, 0.1))
        ledger = tiny.open()
        train(ledger, outcome=Outcome.FAILED)

        ledger.next_trial()

        assert stored(tiny)[1].state is TrialState.FAIL

    def test_a_duplicate_left_by_a_killed_driver_is_not_a_record(self, runs: Path) -> None:
        tiny = Book(runs=runs, spec=grid(runs).spec, proposer=lambda: Fixed(0.1, 0.1))
        first = tiny.open()
        next_trial(first)
        first.next_trial()

        reopened = tiny.open()

        assert [record.number for record in reopened.records] == [0]
        assert stored(tiny)[1].state is TrialState.FAIL

    def test_many_duplicates_in_a_row_do_not_end_a_grid(self, runs: Path) -> None:
        # 300 combinations with the constant schedule are the same run.
        ignored = {"min": 1, "max": 300}
        parameters = {"schedule.name": {"values": ["constant", "step"]}, "schedule.step_size": ignored}
        ledger = grid(runs, parameters=parameters).open(study=optuna.create_study())
        train(ledger, 0.1, 0.2)

        assert next_trial(ledger).config.schedule.name == "step"

    def test_a_small_space_with_a_large_budget_is_trained_once_and_ends(self, runs: Path) -> None:
        for method in ("bayes", "random", "grid"):
            ledger = book(runs, name=method, method=method, run_cap=50).open()

            while ledger.next_trial() is not EXHAUSTED:
                open_ones = [r for r in ledger.records if r.outcome is Outcome.RUNNING]
                ledger.receive(open_ones[0].number, TrialMessage(epoch=epoch(1, 0.1)))
                ledger.receive(open_ones[0].number, TrialMessage(epoch=epoch(2, 0.2)))
                ledger.finish(open_ones[0].number, Outcome.COMPLETE)

            assert sorted(r.config.optimizer.lr for r in ledger.records) == [0.01, 0.02, 0.03, 0.05]
            assert ledger.is_done


class TestTheBudget:
    def test_it_counts_distinct_keys(self, runs: Path) -> None:
        tiny = Book(runs=runs, spec=book(runs, run_cap=2).spec, proposer=lambda: Fixed(0.1, 0.1, 0.1, 0.2, 0.3))
        ledger = tiny.open()

        trained = [train(ledger, 0.1, 0.2), train(ledger, 0.1, 0.2)]

        assert [record.config.optimizer.lr for record in trained] == [0.1, 0.2]
        assert ledger.next_trial() is EXHAUSTED

    def test_live_trials_count(self, runs: Path) -> None:
        ledger = book(runs, run_cap=2).open()
        next_trial(ledger)
        next_trial(ledger)

        assert ledger.next_trial() is None

    def test_a_larger_one_extends_a_finished_sweep(self, runs: Path) -> None:
        ledger = book(runs, run_cap=2).open()
        before = [train(ledger, 0.1, 0.2), train(ledger, 0.1, 0.2)]

        extended = book(runs, run_cap=3).open()
        assert not extended.is_done
        train(extended, 0.1, 0.2)

        assert extended.records[:2] == before
        assert extended.is_done
        assert extended.next_trial() is EXHAUSTED

    def test_remaining_trials_are_known_with_a_budget(self, runs: Path) -> None:
        ledger = book(runs, run_cap=3).open()
        assert ledger.remaining == 3
        running = next_trial(ledger)
        assert ledger.remaining == 2

        # Its machine has failed: it is returned again.
        ledger.receive(running.number, TrialMessage(outcome=Outcome.INTERRUPTED))

        assert ledger.remaining == 3
        for _ in range(3):
            train(ledger, 0.5, 0.5)
        assert ledger.remaining == 0

    def test_a_finished_sweep_is_done_when_it_is_opened_again(self, runs: Path) -> None:
        ledger = book(runs, run_cap=1).open()
        train(ledger, 0.1, 0.2)

        assert book(runs, run_cap=1).open().is_done

    @pytest.mark.parametrize("method", ["grid", "random"])
    def test_a_space_with_an_impossible_combination_is_done_when_the_others_are(self, method: str, runs: Path) -> None:
        sizes = {"data.train_size": {"values": [300, 49_800]}, "data.validation_size": {"values": [200, 250]}}
        tiny = book(runs, method=method, run_cap=9, parameters=sizes)
        ledger = tiny.open()
        for _ in range(3):
            train(ledger, 0.5, 0.6)
        assert ledger.next_trial() is EXHAUSTED

        reopened = tiny.open()

        assert len(reopened.records) == 3
        assert reopened.is_done

    def test_a_sweep_with_an_interrupted_trial_is_not_done(self, runs: Path) -> None:
        next_trial(book(runs, run_cap=1).open())

        assert not book(runs, run_cap=1).open().is_done


class TestAfterADriverWasKilled:
    def test_interrupted_trials_come_first_with_their_epochs(self, runs: Path) -> None:
        tiny = grid(runs)
        dead = tiny.open()
        train(dead, 0.3, outcome=None)
        next_trial(dead)

        reopened = tiny.open()
        assert [record.outcome for record in reopened.records] == [Outcome.INTERRUPTED] * 2
        handed_out = [next_trial(reopened) for _ in range(3)]

        assert [record.number for record in handed_out] == [0, 1, 2]
        assert handed_out[0].epochs == (epoch(1, 0.3),)
        assert handed_out[0].outcome is Outcome.RUNNING

    def test_epochs_that_are_reported_again_change_nothing(self, runs: Path) -> None:
        tiny = grid(runs)
        train(tiny.open(), 0.3, outcome=None)
        reopened = tiny.open()
        number = next_trial(reopened).number

        assert not reopened.receive(number, TrialMessage(epoch=replace(epoch(1, 0.9), finished_at=1.0)))
        assert not reopened.receive(number, TrialMessage(epoch=epoch(2, 0.4)))
        reopened.finish(number, Outcome.COMPLETE)

        assert [e.metrics["val_accuracy"] for e in reopened.records[0].epochs] == [0.3, 0.4]
        assert stored(tiny)[0].intermediate_values == {1: 0.3, 2: 0.4}

    def test_a_crash_between_the_outcome_and_the_tell_is_repaired(self, runs: Path) -> None:
        tiny = grid(runs)
        train(tiny.open(), 0.3, 0.4, outcome=None)
        study = optuna.load_study(study_name=stored_name(tiny), storage=tiny.folder.open_study_storage())
        optuna.Trial(study, study.trials[0]._trial_id).set_user_attr("outcome", "complete")

        reopened = tiny.open()

        assert reopened.records[0].outcome is Outcome.COMPLETE
        assert (stored(tiny)[0].state, stored(tiny)[0].value) == (TrialState.COMPLETE, 0.4)
        assert next_trial(reopened).number == 1

    def test_a_crash_between_an_epoch_and_its_report_is_repaired(self, runs: Path) -> None:
        tiny = grid(runs)
        next_trial(tiny.open())
        study = optuna.load_study(study_name=stored_name(tiny), storage=tiny.folder.open_study_storage())
        optuna.Trial(study, study.trials[0]._trial_id).set_user_attr("epoch:0001", epoch(1, 0.3).as_dict())

        tiny.open()

        assert stored(tiny)[0].intermediate_values == {1: 0.3}

    @pytest.mark.parametrize("early", [STOP, {"type": "median"}])
    def test_a_crash_before_the_pruners_decision_is_repaired(
        self, early: dict[str, Any], runs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        rates = {"optimizer.lr": {"values": [number / 100 for number in range(1, 9)]}}
        tiny = grid(runs, base=base(epochs=4), early_terminate=early, parameters=rates)
        ledger = tiny.open()
        for _ in range(5 if early["type"] == "median" else 1):
            train(ledger, 0.5, 0.5, 0.5, 0.5)
        number = next_trial(ledger).number
        with monkeypatch.context() as killed:
            killed.setattr(optuna.Trial, "should_prune", lambda trial: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                ledger.receive(number, TrialMessage(epoch=epoch(1, 0.1)))

        reopened = tiny.open()

        assert reopened.records[number].outcome is Outcome.PRUNED
        assert stored(tiny)[number].state is TrialState.PRUNED

    def test_a_crash_before_the_configuration_is_stored_leaves_no_open_trial(self, runs: Path) -> None:
        tiny = grid(runs)
        tiny.open()
        study = optuna.load_study(study_name=stored_name(tiny), storage=tiny.folder.open_study_storage())
        study.ask()
        study.enqueue_trial({"optimizer.lr": 0.05})

        reopened = tiny.open()

        assert [t.state for t in stored(tiny)] == [TrialState.FAIL] * 2
        assert reopened.records == []
        assert [train(reopened, 0.1, 0.2).config.optimizer.lr for _ in range(4)] == [0.01, 0.02, 0.03, 0.05]

    def test_a_resumed_search_proposes_the_same_trials(self, runs: Path) -> None:
        parameters = {"optimizer.lr": {"min": 0.001, "max": 0.3, "distribution": "log_uniform_values"}}
        whole = book(runs, name="whole", method="bayes", parameters=parameters, run_cap=14).open()
        uninterrupted = [search_step(whole) for _ in range(14)]
        halved = book(runs, name="halved", method="bayes", parameters=parameters, run_cap=14)

        first, second = halved.open(), None
        reopened = [search_step(first) for _ in range(12)]
        second = halved.open()
        reopened += [search_step(second) for _ in range(2)]

        assert reopened == uninterrupted
        assert len(stored(halved)) == len(set(uninterrupted)) == 14

    @given(order=st.lists(st.integers(0, 5), min_size=5, max_size=40), accuracies=st.randoms(use_true_random=False))
    @settings(max_examples=10, deadline=None)
    def test_asha_decides_as_it_would_have_without_the_stop(self, order: list[int], accuracies: random.Random) -> None:
        curves = {lr: [round(accuracies.random(), 3) for _ in range(9)] for lr in range(6)}
        early = STOP
        parameters = {"optimizer.lr": {"values": [0.01, 0.02, 0.03, 0.04, 0.05, 0.06]}}

        def decisions(runs: Path, *, reopen_before: int | None) -> list[bool]:
            tiny = grid(runs, early_terminate=early, parameters=parameters, base=base(epochs=9))
            ledger = tiny.open()
            numbers = [next_trial(ledger).number for _ in range(6)]
            found = []
            for index, number in enumerate(order):
                if index == reopen_before:
                    ledger = tiny.open()
                    for _ in range(sum(r.outcome is Outcome.INTERRUPTED for r in ledger.records)):
                        next_trial(ledger)
                record = ledger.records[numbers[number]]
                if not record.outcome.is_final and len(record.epochs) < 9:
                    done = len(record.epochs)
                    found.append(
                        ledger.receive(record.number, TrialMessage(epoch=epoch(done + 1, curves[number][done])))
                    )
            return found

        with TemporaryDirectory() as one, TemporaryDirectory() as other:
            assert decisions(Path(one), reopen_before=len(order) // 2) == decisions(Path(other), reopen_before=None)


def search_step(ledger: Ledger) -> float:
    record = next_trial(ledger)
    lr = record.config.optimizer.lr
    for number in (1, 2):
        ledger.receive(record.number, TrialMessage(epoch=epoch(number, 1 / (1 + abs(lr - 0.1)))))
    ledger.finish(record.number, Outcome.COMPLETE)
    return lr


def stored_name(a_book: Book) -> str:
    return read_study(a_book.folder).study_name


def stopped_by(error_class: ErrorClass) -> TrialMessage:
    return TrialMessage(outcome=Outcome.INTERRUPTED, error="its machine", error_class=error_class)


class TestInterruptedTrials:
    def test_a_trial_whose_process_failed_is_retried_three_times(self, runs: Path) -> None:
        tiny = grid(runs)
        ledger = tiny.open()
        for _ in range(4):
            assert next_trial(ledger).number == 0
            assert ledger.receive(0, stopped_by(ErrorClass.PROCESS_DIED))

        assert ledger.records[0].outcome is Outcome.FAILED
        assert ledger.records[0].error == "its machine (after 3 retries)"
        assert stored(tiny)[0].state is TrialState.FAIL
        assert next_trial(ledger).number == 1

    def test_an_out_of_memory_trial_is_retried_alone_then_pruned(self, runs: Path) -> None:
        tiny = grid(runs)
        ledger = tiny.open()
        large, beside = next_trial(ledger), next_trial(ledger)
        ledger.receive(large.number, stopped_by(ErrorClass.OUT_OF_MEMORY))

        assert ledger.next_trial() is None, "another one runs still"
        ledger.receive(beside.number, TrialMessage(epoch=epoch(1, 0.5)))
        ledger.finish(beside.number, Outcome.COMPLETE)
        assert next_trial(ledger).number == large.number
        assert ledger.next_trial() is None, "it runs alone"
        ledger.receive(large.number, stopped_by(ErrorClass.OUT_OF_MEMORY))

        assert (ledger.records[0].outcome, ledger.records[0].error_class) == (Outcome.FAILED, "out_of_memory")
        assert stored(tiny)[0].state is TrialState.PRUNED
        assert next_trial(ledger).number == 2

    @pytest.mark.parametrize(
        ("error_class", "how"),
        [(ErrorClass.PROCESS_DIED, "after 3 retries"), (ErrorClass.OUT_OF_MEMORY, "also when it ran alone")],
    )
    def test_the_error_contains_the_number_of_retries(self, error_class: ErrorClass, how: str, runs: Path) -> None:
        ledger = grid(runs).open()
        told = []
        for _ in range(5):
            if not told or not told[-1].outcome.is_final:
                assert next_trial(ledger).number == 0
                ledger.receive(0, TrialMessage(outcome=Outcome.INTERRUPTED, error="it died", error_class=error_class))
                told.append(ledger.records[0])

        *before, last = told
        assert {(record.outcome, record.error) for record in before} == {(Outcome.INTERRUPTED, "it died")}
        assert (last.outcome, last.error) == (Outcome.FAILED, f"it died ({how})")

    def test_a_trial_that_fits_alone_is_complete_without_error(self, runs: Path) -> None:
        tiny = grid(runs)
        ledger = tiny.open()
        next_trial(ledger)
        ledger.receive(0, stopped_by(ErrorClass.OUT_OF_MEMORY))

        train(ledger, 0.4, 0.5)

        for records in (ledger.records, tiny.open().records):
            assert (records[0].outcome, records[0].error, records[0].error_class) == (Outcome.COMPLETE, None, None)
        assert next_trial(ledger).number == 1

    def test_the_next_driver_retries_it_alone_too(self, runs: Path) -> None:
        tiny = grid(runs)
        ledger = tiny.open()
        large, beside = next_trial(ledger), next_trial(ledger)
        ledger.receive(large.number, stopped_by(ErrorClass.OUT_OF_MEMORY))

        reopened = tiny.open()

        assert next_trial(reopened).number == large.number
        assert reopened.next_trial() is None
        reopened.finish(large.number, Outcome.FAILED, error_class=ErrorClass.OUT_OF_MEMORY)
        assert next_trial(reopened).number == beside.number

    def test_a_process_failure_while_alone_is_retried_alone(self, runs: Path) -> None:
        ledger = grid(runs).open()
        next_trial(ledger)
        ledger.receive(0, stopped_by(ErrorClass.OUT_OF_MEMORY))
        assert next_trial(ledger).number == 0
        ledger.receive(0, stopped_by(ErrorClass.PROCESS_DIED))

        assert next_trial(ledger).number == 0
        assert ledger.next_trial() is None

    def test_a_process_failure_that_is_reported_twice_counts_once(self, runs: Path) -> None:
        ledger = grid(runs).open()
        next_trial(ledger)
        ledger.receive(0, stopped_by(ErrorClass.PROCESS_DIED))
        ledger.receive(0, stopped_by(ErrorClass.PROCESS_DIED))

        assert next_trial(ledger).number == 0
        assert next_trial(ledger).number == 1


class TestTheSourceOfANetwork:
    def opened(self, runs: Path, *, outcome: Outcome | None) -> tuple[TrialRecord, Ledger]:
        """Return a trial of the earlier code, and the ledger of a start with the current code."""
        tiny = grid(runs)

        def identify(source: str) -> Callable[[TrainingConfig], Identity]:
            return lambda config: replace(IDENTIFY(config), key=f"{IDENTIFY(config).key}-{source}", source=source)

        tiny.options["identify"] = identify("before")
        first = next_trial(tiny.open()) if outcome is None else train(tiny.open(), outcome=outcome)
        tiny.options["identify"] = identify("now")
        return first, tiny.open(retry_failed=True)

    def test_a_trained_trial_keeps_the_one_it_was_trained_with(self, runs: Path) -> None:
        first, ledger = self.opened(runs, outcome=Outcome.DIVERGED)

        assert ledger.records == [first]
        assert first.source == "before"

    @pytest.mark.parametrize("outcome", [None, Outcome.FAILED], ids=["begun", "failed"])
    def test_a_trial_without_result_is_added_again_with_the_new_code(self, runs: Path, outcome: Outcome | None) -> None:
        first, ledger = self.opened(runs, outcome=outcome)

        again = next_trial(ledger)

        assert (again.config, again.source) == (first.config, "now")
        assert again.number != first.number
        assert [record.key for record in ledger.records] == [again.key]
        study = read_study(SweepFolder(runs, "tiny"))
        assert [record.key for record in read_records(study, sweep="tiny")] == [again.key]

    def test_a_failed_trial_that_is_complete_with_fixed_code_is_not_retried(self, runs: Path) -> None:
        a_book = book(runs, method="random", run_cap=4, parameters={"optimizer.lr": {"values": [0.01, 0.02]}})

        def opened(source: str, *, retry_failed: bool = False) -> Ledger:
            def identify(config: TrainingConfig) -> Identity:
                return replace(IDENTIFY(config), key=f"{key_of(config)}-{source}", source=source)

            return a_book.open(identify=identify, retry_failed=retry_failed)

        first = opened("before")
        failed = [train(first, outcome=Outcome.FAILED) for _ in range(2)]
        fixed = opened("now")
        complete = [train(fixed, 0.3, 0.4) for _ in range(2)]
        assert {r.config.optimizer.lr for r in failed} == {r.config.optimizer.lr for r in complete}

        again = opened("now", retry_failed=True)

        assert again.next_trial() is EXHAUSTED
        assert again.records == [*failed, *complete]

    def test_two_failed_trials_with_the_same_new_key_are_retried_once(self, runs: Path) -> None:
        a_book = book(runs, method="random", run_cap=4, parameters={"optimizer.lr": {"values": [0.01]}})
        for source in ("before", "between"):
            key = f"-{source}"
            a_book.options["identify"] = lambda config, key=key: replace(IDENTIFY(config), key=key_of(config) + key)
            train(a_book.open(), outcome=Outcome.FAILED)

        ledger = a_book.open(identify=IDENTIFY, retry_failed=True)
        retried = train(ledger, 0.3, 0.4)

        assert ledger.next_trial() is EXHAUSTED
        assert retried in ledger.records


class TestRetryOfFailedTrials:
    @pytest.mark.parametrize("method", ["grid", "bayes"])
    def test_a_retried_trial_replaces_the_failed_record(self, method: str, runs: Path) -> None:
        tiny = book(runs, method=method, run_cap=4)
        ledger = tiny.open()
        failed = train(ledger, 0.1, outcome=Outcome.FAILED)
        others = [train(ledger, 0.1, 0.2) for _ in range(3)]

        again = tiny.open(retry_failed=True)
        assert not again.is_done
        retried = train(again, 0.3, 0.4)

        assert (retried.key, retried.outcome) == (failed.key, Outcome.COMPLETE)
        assert [e.metrics["val_accuracy"] for e in retried.epochs] == [0.3, 0.4]
        assert sorted(r.key for r in again.records) == sorted(r.key for r in [retried, *others])
        assert again.next_trial() is EXHAUSTED

    def test_the_record_keeps_which_file_the_network_was_of(self, runs: Path) -> None:
        def identify(config: TrainingConfig) -> Identity:
            return replace(IDENTIFY(config), source="f" * 16)

        tiny = grid(runs)
        tiny.options["identify"] = identify
        failed = train(tiny.open(), outcome=Outcome.FAILED)

        again = next_trial(tiny.open(retry_failed=True))

        assert (again.key, again.source) == (failed.key, "f" * 16)

    def test_without_the_option_a_failed_trial_is_not_retried(self, runs: Path) -> None:
        tiny = grid(runs)
        train(tiny.open(), outcome=Outcome.FAILED)

        reopened = tiny.open()

        assert next_trial(reopened).config.optimizer.lr == 0.02
        assert reopened.records[0].outcome is Outcome.FAILED

    def test_a_retried_rung_keeps_its_labels(self, runs: Path) -> None:
        config = TrainingConfig.model_validate(base())
        label = RungLabel(name="baseline", index=0, parent=None)
        rungs = [Candidate(config=config, rung=label)]
        ladder = Book(runs=runs, spec=grid(runs).spec, proposer=lambda: ListProposer(rungs, key_of=key_of))
        train(ladder.open(), outcome=Outcome.FAILED)

        retried = next_trial(ladder.open(retry_failed=True))

        assert (retried.rung, retried.error) == (label, None)

    def test_a_retried_trial_is_one_record_for_the_next_driver(self, runs: Path) -> None:
        tiny = grid(runs)
        train(tiny.open(), outcome=Outcome.FAILED)
        train(tiny.open(retry_failed=True), 0.3, 0.4)

        (record,) = tiny.open().records

        assert record.outcome is Outcome.COMPLETE


class Recorded:
    """Has a complete result for one key."""

    def __init__(self, key: str, *, study: str = "another") -> None:
        self._key = key
        self._study = study
        self.test = TestResult(loss=1.0, correct=b"\xf0", count=8)

    def complete_result(self, key: str) -> CompleteResult | None:
        epochs = (epoch(1, 0.5), epoch(2, 0.6))
        found = CompleteResult(run_id="abc", study=self._study, epochs=epochs, parameters=42, test=self.test)
        return found if key == self._key else None


class TestReusedResults:
    def first(self, runs: Path) -> tuple[Book, Ledger]:
        key = next_trial(grid(runs / "other").open()).key
        tiny = Book(runs=runs, spec=grid(runs).spec, recorded=Recorded(key))
        return tiny, tiny.open()

    def test_a_recorded_result_is_reused_with_its_curve(self, runs: Path) -> None:
        tiny, ledger = self.first(runs)

        handed_out = next_trial(ledger)

        assert handed_out.number == 1
        taken = ledger.records[0]
        assert (taken.outcome, taken.reused_from, taken.parameters) == (Outcome.COMPLETE, "abc", 42)
        assert [e.metrics["val_accuracy"] for e in taken.epochs] == [0.5, 0.6]
        assert (stored(tiny)[0].value, stored(tiny)[0].intermediate_values) == (0.6, {1: 0.5, 2: 0.6})

    def test_a_result_of_the_same_study_is_not_marked_as_reused(self, runs: Path) -> None:
        tiny, _ = self.first(runs)
        trial = next_trial(grid(runs / "other").open())
        tiny.recorded = Recorded(trial.key, study=trial.study)

        ledger = tiny.open()
        next_trial(ledger)

        assert (ledger.records[0].outcome, ledger.records[0].reused_from) == (Outcome.COMPLETE, None)

    def test_a_reused_result_is_there_for_the_next_driver(self, runs: Path) -> None:
        tiny, ledger = self.first(runs)
        next_trial(ledger)

        assert tiny.open().records[0] == ledger.records[0]

    def test_the_test_result_is_reused_too(self, runs: Path) -> None:
        _, ledger = self.first(runs)
        next_trial(ledger)

        test = ledger.records[0].test
        assert test is not None
        assert test.accuracy == 0.5


class TestALadder:
    def ladder(self, runs: Path, *rates: float) -> Book:
        rungs = [
            Candidate(
                config=TrainingConfig.model_validate(base(optimizer={"lr": lr})),
                rung=RungLabel(name=f"lr-{lr}", index=0, parent=None),
            )
            for lr in rates
        ]
        return Book(runs=runs, spec=grid(runs).spec, proposer=lambda: ListProposer(rungs, key_of=key_of))

    def test_other_rungs_are_trained_although_the_study_has_as_many(self, runs: Path) -> None:
        train(self.ladder(runs, 0.1).open(), 0.1, 0.2)

        other = self.ladder(runs, 0.2).open()

        assert not other.is_done
        assert next_trial(other).name == "lr-0.2"

    def test_an_interrupted_rung_that_is_not_requested_is_not_resumed(self, runs: Path) -> None:
        next_trial(self.ladder(runs, 0.1).open())

        other = self.ladder(runs, 0.2).open()
        train(other, 0.1, 0.2)

        assert other.next_trial() is EXHAUSTED
        assert [r.name for r in other.records] == ["lr-0.2"]
        assert next_trial(self.ladder(runs, 0.1).open()).name == "lr-0.1"

    def test_a_test_result_is_stored_in_the_study(self, runs: Path) -> None:
        ladder = self.ladder(runs, 0.1)
        ledger = ladder.open()
        record = train(ledger, 0.1, 0.2)
        test = TestResult(loss=1.5, correct=b"\x0f", count=8)

        ledger.note_test(record.number, test)

        assert ladder.open().records[0].test == test


def test_observers_are_called_at_each_change(runs: Path) -> None:
    heard: list[tuple[int, Outcome, int]] = []
    ledger = grid(runs).open()
    ledger.observe(lambda r: heard.append((r.number, r.outcome, len(r.epochs))))

    train(ledger, 0.1, 0.2)

    assert heard[0] == (0, Outcome.RUNNING, 0)
    assert heard[-1] == (0, Outcome.COMPLETE, 2)
    assert (0, Outcome.RUNNING, 1) in heard


def test_a_trial_running_at_the_end_is_interrupted_and_stays_open(runs: Path) -> None:
    tiny = grid(runs)
    ledger = tiny.open()
    train(ledger, 0.1, outcome=None)

    ledger.interrupt()

    assert ledger.records[0].outcome is Outcome.INTERRUPTED
    assert stored(tiny)[0].state is TrialState.RUNNING


@given(data=st.data())
@settings(max_examples=15, deadline=None)
def test_each_key_is_stored_once_and_final_outcomes_do_not_change(data: st.DataObject) -> None:
    cap = data.draw(st.integers(1, 5), label="run_cap")
    method = data.draw(st.sampled_from(["random", "bayes", "grid"]), label="method")
    with TemporaryDirectory() as folder:
        early = STOP
        tiny = book(Path(folder), method=method, run_cap=cap, early_terminate=early, base=base(epochs=3))
        ledger, final = tiny.open(), dict[str, TrialRecord]()
        for step in data.draw(st.lists(st.sampled_from(["next", "next", "epoch", "end", "reopen"]), max_size=30)):
            take_step(step, data, tiny, running := [r for r in ledger.records if r.outcome is Outcome.RUNNING], ledger)
            if step == "reopen":
                ledger = tiny.open()
            assert len(running) <= cap
            records = ledger.records
            keys = [record.key for record in records]
            assert len(set(keys)) == len(keys) <= cap
            by_key = {record.key: record for record in records}
            assert all(by_key[key] == record for key, record in final.items())
            final = {record.key: record for record in records if record.outcome.is_final}


def take_step(step: str, data: st.DataObject, tiny: Book, running: list[TrialRecord], ledger: Ledger) -> None:
    if step == "next":
        ledger.next_trial()
    elif running and step in ("epoch", "end"):
        record = data.draw(st.sampled_from(running))
        done = len(record.epochs)
        if step == "epoch" and done < 3:
            ledger.receive(record.number, TrialMessage(epoch=epoch(done + 1, data.draw(st.floats(0, 1)))))
        elif done == 3:
            ledger.finish(record.number, Outcome.COMPLETE)
        elif step == "end":
            ledger.finish(record.number, data.draw(st.sampled_from([Outcome.DIVERGED, Outcome.FAILED])))


class TestWrites:
    def test_observers_receive_changes_after_they_are_stored(self, runs: Path) -> None:
        a_book = grid(runs)
        ledger = a_book.open()
        seen: list[tuple[Outcome, str]] = []
        ledger.observe(lambda record: seen.append((record.outcome, stored(a_book)[record.number].state.name)))
        record = next_trial(ledger)
        ledger.receive(record.number, TrialMessage(epoch=epoch(1, 0.5), outcome=Outcome.COMPLETE))
        assert seen[0] == (Outcome.RUNNING, "RUNNING")
        assert seen[-1] == (Outcome.COMPLETE, "COMPLETE")
        assert {state for _, state in seen[1:]} == {"COMPLETE"}

    def test_observers_receive_no_change_that_could_not_be_stored(
        self, runs: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        ledger = grid(runs).open()
        record = next_trial(ledger)
        seen: list[TrialRecord] = []
        ledger.observe(seen.append)

        def fail(self: WritingBackend, logs: list[dict[str, Any]]) -> None:
            if self._buffer is None:
                raise StoreError("the disk is full")
            append(self, logs)

        append = WritingBackend.append_logs
        with monkeypatch.context() as broken:
            broken.setattr(WritingBackend, "append_logs", fail)
            with pytest.raises(StoreError):
                ledger.receive(record.number, TrialMessage(epoch=epoch(1, 0.5)))
        assert seen == []
        with ledger.in_one_write():  # a block after a failed one
            ledger.note(record.number, log="logs/0.log")
            assert seen == []
        assert [each.log for each in seen] == ["logs/0.log"]
