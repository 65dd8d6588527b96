"""Commands to a running sweep: each is applied once, and a driver that resumes the sweep decides the same.

Real journals, studies and command files; nothing is trained.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from sweep_fakes import Book, book, epoch, next_trial

from sweeps._api import steering as verbs
from sweeps._api.steering import SteeringReply
from sweeps.core.errors import SweepError
from sweeps.core.steering import PERSON, PREFIX
from sweeps.core.trial import Outcome, TrialMessage, TrialRecord
from sweeps.driver.commands import SweepCommands, limits_of_file, read_steering, with_set_limits
from sweeps.driver.plan import plan_of_sweep
from sweeps.driver.stopping import Stopping
from sweeps.search.opening import read_study
from sweeps.search.state import read_state
from sweeps.store.command_queue import COMMAND_FILE

SPACE = {
    "optimizer.lr": {"min": 0.001, "max": 0.3, "distribution": "log_uniform_values"},
    "model.width": {"values": [4, 8, 16]},
}
ASHA = {"type": "asha", "min_epochs": 1, "reduction_factor": 2}


class Driver:
    """A driver of a sweep as the runner builds it, without a backend."""

    def __init__(self, a_book: Book) -> None:
        self.book = a_book
        study, plan, console = a_book.study(), plan_of_sweep(a_book.spec), Console(file=io.StringIO())
        self.steering = read_steering(study, plan, console)
        self.stopping = Stopping(limit=None, console=console)
        steered = with_set_limits(plan, self.steering)
        self.ledger = a_book.open(study=study, steering=self.steering, run_cap=steered.run_cap)
        self.commands = SweepCommands(
            study,
            plan=steered,
            of_file=limits_of_file(plan),
            steering=self.steering,
            ledger=self.ledger,
            stopping=self.stopping,
            folder=a_book.folder,
            console=console,
        )
        self.commands.poll()

    def take(self) -> None:
        """Apply new commands now."""
        self.commands._polled = -1.0
        self.commands.poll()

    def train(self, epochs: int = 2) -> TrialRecord:
        """Train the next trial for some of its epochs."""
        record = next_trial(self.ledger)
        for number in range(len(record.epochs) + 1, epochs + 1):
            outcome = Outcome.COMPLETE if number == record.config.epochs else None
            value = record.config.dotted()["optimizer.lr"] + 0.01 * number
            if self.ledger.receive(record.number, TrialMessage(epoch=epoch(number, value), outcome=outcome)):
                break
        return self.record(record.number)

    def record(self, number: int) -> TrialRecord:
        return next(each for each in self.ledger.records if each.number == number)

    def end_epoch(self, number: int) -> bool:
        """Report the next epoch of a running trial; return whether it has ended."""
        record = self.record(number)
        done = len(record.epochs) + 1
        outcome = Outcome.COMPLETE if done == record.config.epochs else None
        value = record.config.dotted()["optimizer.lr"] + 0.01 * done
        return self.ledger.receive(number, TrialMessage(epoch=epoch(done, value), outcome=outcome))


def searched(runs: Path, **changes: Any) -> Book:
    return book(runs, **{"method": "bayes", "run_cap": 6, "parameters": SPACE} | changes)


def points(driver: Driver) -> list[tuple[float, int, str | None, str, int]]:
    """Return what was proposed, by whom, and what became of it."""
    return [
        (
            record.config.dotted()["optimizer.lr"],
            record.config.dotted()["model.width"],
            record.proposed_by,
            record.outcome.value,
            len(record.epochs),
        )
        for record in driver.ledger.records
    ]


def said(driver: Driver) -> list[str]:
    """Return the replies that the study stores."""
    attributes = read_study(driver.book.folder).user_attrs
    return [attributes[name]["reply"] for name in sorted(attributes) if name.startswith(PREFIX)]


class TestAdd:
    def test_an_added_configuration_is_the_next_trial_and_a_persons(self, runs: Path) -> None:
        driver = Driver(searched(runs))
        driver.train()

        reply = verbs.add("tiny", {"lr": 0.05, "width": 16}, runs=runs)
        driver.take()
        record = next_trial(driver.ledger)

        assert reply.state == "next start"  # no lock is held in this test
        assert said(driver) == ["tiny-001 will be the next trial."]
        dotted = record.config.dotted()
        assert (dotted["optimizer.lr"], dotted["model.width"], record.proposed_by) == (0.05, 16, PERSON)
        assert driver.ledger.target == 7

    def test_unnamed_values_are_those_of_the_best_trial(self, runs: Path) -> None:
        driver = Driver(searched(runs))
        best = max((driver.train() for _ in range(3)), key=lambda record: record.config.dotted()["optimizer.lr"])

        reply = verbs.add("tiny", {"lr": 0.0456}, runs=runs)
        driver.take()

        width = best.config.dotted()["model.width"]
        assert reply.values == {"optimizer.lr": 0.0456, "model.width": width}
        assert f"From tiny-{best.trial:03d}, the best so far: model.width {width}." in reply.text
        assert next_trial(driver.ledger).config.dotted()["model.width"] == width

    def test_the_sampler_proposes_unnamed_values_where_it_is_asked_to(self, runs: Path) -> None:
        driver = Driver(searched(runs))
        driver.train()

        reply = verbs.add("tiny", {"lr": 0.0456}, rest="sampler", runs=runs)
        driver.take()

        assert "The sampler proposes model.width." in reply.text
        assert next_trial(driver.ledger).config.dotted()["optimizer.lr"] == 0.0456

    def test_the_study_has_the_value_and_its_result(self, runs: Path) -> None:
        driver = Driver(searched(runs))
        driver.train()
        verbs.add("tiny", {"lr": 0.05, "width": 16}, runs=runs)
        driver.take()
        driver.train()

        trial = read_study(driver.book.folder).get_trials()[1]
        assert trial.params == {"optimizer.lr": 0.05, "model.width": 16}
        assert (trial.state.name, trial.value) == ("COMPLETE", pytest.approx(0.07))

    @pytest.mark.parametrize(
        ("values", "words"),
        [
            ({"lr": 5}, "optimizer.lr: 5 is not between 0.001 and 0.3"),
            ({"width": 5}, "model.width: 5 is not one of [4, 8, 16]"),
            ({"rate": 0.1}, "rate is not a parameter of this sweep"),
            ({"lr": 0.1, "optimizer.lr": 0.2}, "optimizer.lr is given twice"),
            ({"lr": 0.3, "width": 16}, "violates where[0]"),
            ({"lr": "fast"}, "'fast' is not between"),
        ],
    )
    def test_values_outside_the_space_are_refused_with_the_range(
        self, values: dict[str, Any], words: str, runs: Path
    ) -> None:
        Driver(searched(runs, where=["model.width * optimizer.lr < 4"])).train()

        with pytest.raises(SweepError) as error:
            verbs.add("tiny", values, runs=runs)

        assert words in str(error.value)
        assert not (runs / "sweeps" / "tiny" / COMMAND_FILE).exists()

    def test_a_configuration_that_a_trial_has_is_refused(self, runs: Path) -> None:
        first = Driver(searched(runs)).train().config.dotted()

        with pytest.raises(SweepError, match="tiny-000 has this configuration"):
            verbs.add("tiny", {"lr": first["optimizer.lr"], "width": first["model.width"]}, runs=runs)

    def test_a_start_with_point_is_not_left_out(self, runs: Path) -> None:
        start = [{"optimizer.lr": 0.01, "model.width": 4}, {"optimizer.lr": 0.02, "model.width": 4}]
        driver = Driver(searched(runs, start_with=start))
        driver.train()
        verbs.add("tiny", {"lr": 0.05, "width": 16}, runs=runs)
        driver.take()
        driver.train()
        driver.train()

        assert [point[0] for point in points(driver)] == [0.01, 0.05, 0.02]

    def test_a_grid_tries_it_next_and_not_again(self, runs: Path) -> None:
        values = {"optimizer.lr": {"values": [0.01, 0.02, 0.03]}, "model.width": {"values": [4, 8]}}
        driver = Driver(searched(runs, method="grid", run_cap=None, parameters=values))
        driver.train()
        verbs.add("tiny", {"lr": 0.03, "width": 8}, runs=runs)
        driver.take()
        while not driver.ledger.is_done:
            driver.train()

        rates = [point[:3] for point in points(driver)]
        assert rates[:2] == [(0.01, 4, None), (0.03, 8, PERSON)]
        assert len(rates) == len(set(rates)) == 6

    def test_a_search_that_had_ended_tries_it(self, runs: Path) -> None:
        driver = Driver(searched(runs, run_cap=1))
        driver.train()
        assert driver.ledger.is_done

        verbs.add("tiny", {"lr": 0.05, "width": 16}, runs=runs)
        again = Driver(driver.book)

        assert not again.ledger.is_done
        assert again.train().proposed_by == PERSON
        assert again.ledger.is_done


class TestSkip:
    def test_a_running_trial_ends_after_its_epoch(self, runs: Path) -> None:
        driver = Driver(searched(runs, base={"epochs": 4, "data": {"train_size": 300, "validation_size": 200}}))
        driver.train(epochs=1)

        verbs.skip("tiny-000", runs=runs)
        driver.take()

        assert said(driver) == ["tiny-000 will end after epoch 2."]
        assert driver.end_epoch(0)
        record = driver.record(0)
        assert (record.outcome, len(record.epochs), record.skipped) == (Outcome.PAUSED, 2, True)
        assert next_trial(driver.ledger).number == 1

    def test_the_sampler_takes_it_for_pruned_with_its_curve(self, runs: Path) -> None:
        from sweeps.search.tpe import Window

        driver = Driver(searched(runs, base={"epochs": 4, "data": {"train_size": 300, "validation_size": 200}}))
        driver.train(epochs=1)
        verbs.skip("tiny-000", runs=runs)
        driver.take()
        driver.end_epoch(0)

        study = read_study(driver.book.folder)
        seen = Window().of(study.get_trials(), direction=study.direction)
        assert (seen[0].state.name, sorted(seen[0].intermediate_values)) == ("PRUNED", [1, 2])

    def test_it_continues_after_undo(self, runs: Path) -> None:
        driver = Driver(searched(runs, base={"epochs": 4, "data": {"train_size": 300, "validation_size": 200}}))
        driver.train(epochs=1)
        verbs.skip("tiny-000", runs=runs)
        driver.take()
        driver.end_epoch(0)

        verbs.skip("tiny-000", undo=True, runs=runs)
        driver.take()
        record = next_trial(driver.ledger)

        assert (record.number, record.skipped, len(record.epochs)) == (0, False, 2)
        assert driver.end_epoch(0) is False
        assert driver.end_epoch(0)
        assert driver.record(0).outcome is Outcome.COMPLETE

    def test_a_skipped_trial_is_pruned_at_the_end_and_can_continue_then(self, runs: Path) -> None:
        base = {"epochs": 4, "data": {"train_size": 300, "validation_size": 200}}
        driver = Driver(searched(runs, run_cap=1, base=base))
        driver.train(epochs=1)
        verbs.skip("tiny-000", runs=runs)
        driver.take()
        driver.end_epoch(0)
        driver.ledger.next_trial()
        assert (driver.record(0).outcome, driver.ledger.is_done) == (Outcome.PRUNED, True)

        verbs.skip("tiny-000", undo=True, runs=runs)
        again = Driver(driver.book)

        assert again.train(epochs=4).outcome is Outcome.COMPLETE

    def test_early_stopping_does_not_continue_a_skipped_trial(self, runs: Path) -> None:
        driver = Driver(searched(runs, early_terminate=ASHA, run_cap=3))
        paused = driver.train(epochs=1)
        assert paused.outcome is Outcome.PAUSED
        verbs.skip("tiny-000", runs=runs)
        driver.take()
        while not driver.ledger.is_done:
            driver.train()
        driver.ledger.next_trial()

        assert (driver.record(0).outcome, len(driver.record(0).epochs)) == (Outcome.PRUNED, 1)
        assert any(record.outcome is Outcome.COMPLETE for record in driver.ledger.records)

    def test_a_complete_trial_and_an_unknown_one_are_refused(self, runs: Path) -> None:
        Driver(searched(runs)).train()

        with pytest.raises(SweepError, match="tiny-000 is complete: there is nothing to skip"):
            verbs.skip("tiny-000", runs=runs)
        with pytest.raises(SweepError, match="no trial 9 in tiny, which has the trials 0 to 0"):
            verbs.skip("tiny/9", runs=runs)


class TestSet:
    def test_a_larger_run_cap_extends_the_search(self, runs: Path) -> None:
        driver = Driver(searched(runs, run_cap=1))
        driver.train()
        assert driver.ledger.is_done

        verbs.set_limits("tiny", runs=runs, run_cap=3)
        driver.take()

        assert (driver.ledger.is_done, driver.ledger.target) == (False, 3)
        assert said(driver) == ["tiny: run_cap is 3."]

    def test_fewer_slots_requeue_a_running_trial_after_its_epoch(self, runs: Path) -> None:
        driver = Driver(searched(runs, base={"epochs": 4, "data": {"train_size": 300, "validation_size": 200}}))
        driver.train(epochs=1)
        driver.train(epochs=1)

        verbs.set_limits("tiny", runs=runs, max_concurrent_trials=1)
        driver.take()

        assert driver.end_epoch(0)
        assert driver.record(0).outcome is Outcome.INTERRUPTED
        assert not driver.end_epoch(1)

    def test_the_file_holds_once_its_value_changes(self, runs: Path) -> None:
        driver = Driver(searched(runs, run_cap=2))
        driver.train()
        verbs.set_limits("tiny", runs=runs, run_cap=5)
        driver.take()
        assert Driver(searched(runs, run_cap=2)).ledger.target == 5

        assert Driver(searched(runs, run_cap=3)).ledger.target == 3
        assert Driver(searched(runs, run_cap=2)).ledger.target == 2

    def test_a_time_limit_counts_from_the_start_of_the_command(self, runs: Path) -> None:
        driver = Driver(searched(runs))
        driver.train()
        verbs.set_limits("tiny", runs=runs, timeout=0.001)
        driver.take()

        assert (driver.stopping(), driver.stopping.reason) == (True, "timeout")

    @pytest.mark.parametrize(
        ("limits", "words"),
        [
            ({"run_cap": 0}, "run_cap: 0 is not a number of trials"),
            ({"timeout": "soon"}, "'soon' is not a duration"),
            ({"max_concurrent_trials": 0}, "max_concurrent_trials"),
            ({"epochs": 3}, "epochs cannot be set while a sweep runs"),
        ],
    )
    def test_an_invalid_limit_is_refused(self, limits: dict[str, Any], words: str, runs: Path) -> None:
        Driver(searched(runs)).train()

        with pytest.raises(SweepError) as error:
            verbs.set_limits("tiny", runs=runs, **limits)

        assert words in str(error.value)

    def test_a_budget_needs_one_in_the_file(self, runs: Path) -> None:
        driver = Driver(searched(runs))
        driver.train()
        verbs.set_limits("tiny", runs=runs, budget="40m")
        driver.take()

        assert "was started without a time budget" in said(driver)[0]
        assert driver.steering.limits == {}


class TestPause:
    def test_no_epoch_begins_until_the_sweep_is_resumed(self, runs: Path) -> None:
        driver = Driver(searched(runs, base={"epochs": 4, "data": {"train_size": 300, "validation_size": 200}}))
        driver.train(epochs=1)
        verbs.pause("tiny", runs=runs)
        driver.take()

        assert driver.end_epoch(0)
        assert (driver.ledger.next_trial(), driver.ledger.is_on_hold) == (None, True)
        verbs.resume("tiny", runs=runs)
        driver.take()
        assert (next_trial(driver.ledger).number, driver.ledger.is_on_hold) == (0, False)

    def test_a_driver_that_starts_again_stays_paused(self, runs: Path) -> None:
        driver = Driver(searched(runs))
        driver.train()
        verbs.pause("tiny", runs=runs)
        driver.take()

        again = Driver(driver.book)

        assert again.ledger.next_trial() is None
        assert "paused since" in again.commands.sentences()[0]
        assert read_state(runs, "tiny").is_paused

    def test_a_paused_sweep_cannot_be_paused_again(self, runs: Path) -> None:
        driver = Driver(searched(runs))
        driver.train()
        verbs.pause("tiny", runs=runs)
        driver.take()

        with pytest.raises(SweepError, match="paused already"):
            verbs.pause("tiny", runs=runs)


Step = Callable[[Driver, Path], None]


def _train(epochs: int) -> Step:
    return lambda driver, runs: driver.train(epochs=epochs) and None  # type: ignore[func-returns-value]


def _give(give: Callable[[Path], SteeringReply]) -> Step:
    def step(driver: Driver, runs: Path) -> None:
        give(runs)
        driver.take()

    return step


def _end_epoch(driver: Driver, runs: Path) -> None:
    """End the epoch of trial 1, unless early stopping has paused it."""
    if driver.record(1).outcome is Outcome.RUNNING:
        driver.end_epoch(1)


SCRIPT: tuple[Step, ...] = (
    _train(4),
    _train(1),
    _give(lambda runs: verbs.add("tiny", {"lr": 0.05, "width": 16}, runs=runs)),
    _give(lambda runs: verbs.add("tiny", {"lr": 0.07}, rest="sampler", runs=runs)),
    _train(4),
    _give(lambda runs: verbs.skip("tiny-001", runs=runs)),
    _end_epoch,
    _train(4),
    _train(4),
    _give(lambda runs: verbs.set_limits("tiny", runs=runs, run_cap=8)),
    _give(lambda runs: verbs.pause("tiny", runs=runs)),
    _give(lambda runs: verbs.resume("tiny", runs=runs)),
    _give(lambda runs: verbs.skip("tiny-001", undo=True, runs=runs)),
    *[_train(4)] * 16,
)


@pytest.mark.parametrize("rule", [None, ASHA, {"type": "curve_model", "min_epochs": 1}], ids=["none", "asha", "model"])
def test_a_steered_search_proposes_the_same_after_crashes(rule: dict[str, Any] | None, tmp_path: Path) -> None:
    def steered(runs: Path, *, crashes: bool) -> list[tuple[float, int, str | None, str, int]]:
        base = {"epochs": 4, "data": {"train_size": 300, "validation_size": 200}}
        driver = Driver(searched(runs, base=base, early_terminate=rule))
        for step in SCRIPT:
            if not driver.ledger.is_done or not driver.ledger.records:
                step(driver, runs)
            if crashes and not driver.ledger.live:
                driver = Driver(driver.book)
        assert driver.ledger.is_done
        driver.ledger.next_trial()
        return points(driver)

    assert steered(tmp_path / "crashed", crashes=True) == steered(tmp_path / "whole", crashes=False)


class TestCommandFile:
    def test_a_command_is_applied_once_whatever_is_read_again(self, runs: Path) -> None:
        driver = Driver(searched(runs))
        driver.train()
        verbs.add("tiny", {"lr": 0.05, "width": 16}, runs=runs)

        for _ in range(3):
            driver = Driver(driver.book)
        path = driver.book.folder.path / COMMAND_FILE
        path.write_bytes(path.read_bytes() * 2)
        driver = Driver(driver.book)

        assert driver.ledger.to_add == 1

    def test_a_torn_or_changed_line_is_ignored(self, runs: Path) -> None:
        driver = Driver(searched(runs))
        driver.train()
        path = driver.book.folder.path / COMMAND_FILE
        verbs.set_limits("tiny", runs=runs, run_cap=20)
        changed = path.read_text().replace('"run_cap": 20', '"run_cap": 30')
        path.write_text(changed + '{"command": {"id": "a"')
        verbs.set_limits("tiny", runs=runs, run_cap=9)
        driver.take()

        assert driver.steering.limits == {"run_cap": 9}

    def test_a_command_of_another_study_of_this_name_is_not_applied(self, runs: Path) -> None:
        Driver(searched(runs)).train()
        verbs.set_limits("tiny", runs=runs, run_cap=9)
        other = searched(runs, parameters={"optimizer.lr": {"min": 0.01, "max": 0.3}})
        other.study(new=True)

        assert Driver(other).steering.limits == {}

    def test_each_command_is_one_line_of_the_journal(self, runs: Path) -> None:
        driver = Driver(searched(runs))
        driver.train()
        before = driver.book.folder.journal.read_text().splitlines()
        verbs.add("tiny", {"lr": 0.05, "width": 16}, runs=runs)
        driver.take()

        added = driver.book.folder.journal.read_text().splitlines()[len(before) :]
        assert len(added) == 1
        (stored,) = json.loads(added[0])["user_attr"].values()
        assert (stored["verb"], stored["values"]) == ("add", {"optimizer.lr": 0.05, "model.width": 16})

    def test_status_shows_a_command_that_waits_for_the_next_start(self, runs: Path) -> None:
        Driver(searched(runs)).train()
        verbs.set_limits("tiny", runs=runs, run_cap=9)

        assert "not applied yet: sweeps set tiny run_cap=9" in read_state(runs, "tiny").steering
