"""The race of the best configurations on a simulated clock: its order, its time, and its restarts."""

from __future__ import annotations

import heapq
import itertools
import random
import time as clock
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_fakes import IDENTIFY, epoch

from cifar_core.config import TrainingConfig
from sweeps.core.results import ConfirmResult, EpochResult
from sweeps.core.trial import Outcome, TrialMessage, TrialRecord
from sweeps.driver.race import RaceTime, RacingReplicates
from sweeps.files.settings import Confirm, Metric
from sweeps.search.ledger import Ledger

EPOCHS = 3


def searched(count: int) -> list[TrialRecord]:
    """Return the complete trials of a search, the best first."""
    found = []
    for number in range(count):
        config = TrainingConfig.model_validate({"epochs": EPOCHS, "optimizer": {"lr": (1 + number) / 100}})
        identity = IDENTIFY(config)
        record = TrialRecord(
            sweep="tiny", study="s", number=number, key=identity.key, config_id=identity.config_id, config=config,
            outcome=Outcome.COMPLETE, started=0.0,
            epochs=tuple(epoch(at, 0.9 - number / 100) for at in range(1, EPOCHS + 1)),
        )  # fmt: skip
        found.append(record)
    return found


@dataclass
class Track:
    """Races in one study on simulated slots, of which each start may be killed."""

    monkeypatch: pytest.MonkeyPatch
    settings: Confirm
    means: tuple[float, ...]
    speeds: tuple[float, ...] = ()
    slots: int = 2
    deviation: float = 0.01
    examples: int = 0
    lost: dict[tuple[int, int], Outcome] = field(default_factory=dict)
    """Trial and seed to the outcome of a run that does not end well."""
    now: float = 1000.0
    study: optuna.Study = field(
        default_factory=lambda: optuna.create_study(direction="maximize", pruner=optuna.pruners.NopPruner())
    )
    busy: list[int] = field(default_factory=list)
    """Number of busy slots at each event."""
    trained: Counter[str] = field(default_factory=Counter)
    """Key to the number of epochs that it was trained for."""

    def start(self, *, kill_after: int | None = None, retries: bool = False) -> tuple[RacingReplicates, Ledger]:
        """Carry out one start; kill it after so many epochs."""
        for module_clock in ("monotonic", "time"):
            self.monkeypatch.setattr(f"sweeps.driver.race.time.{module_clock}", lambda: self.now)
        search = searched(len(self.means))
        race = RacingReplicates(
            RaceTime(self.settings, self.study, examples=self.examples, began=self.now),
            Metric(),
            chosen=lambda: search,
            search=lambda: search,
            used_seeds=lambda: [0],
            retries=retries,
        )
        ledger = Ledger(
            self.study, sweep="tiny", metric="val_accuracy", proposer=race, run_cap=None, identify=IDENTIFY, gate=race,
            retry_failed=retries,
        )  # fmt: skip
        if ledger.is_done:
            return race, ledger
        running: list[tuple[float, int, TrialRecord, int]] = []
        order, events = itertools.count(), 0

        def fill() -> None:
            while len(running) < self.slots:
                proposed = ledger.next_trial()
                if not isinstance(proposed, TrialRecord):
                    break
                self.begin(running, order, proposed, len(proposed.epochs) + 1)
            self.busy.append(len(running))

        fill()
        while running:
            self.now, _, record, number = heapq.heappop(running)
            events += 1
            if kill_after is not None and events > kill_after:
                race.time.save()
                return race, ledger
            self.trained[record.key] += 1
            if not ledger.receive(record.number, self.message(record, number)):
                self.begin(running, order, record, number + 1)
            fill()
        race.time.end(is_used_up=not race.race().is_decided)
        return race, ledger

    def begin(self, running: list[Any], order: Any, record: TrialRecord, number: int) -> None:
        speed = self.speeds[record.trial] if self.speeds else 10.0
        heapq.heappush(running, (self.now + speed, next(order), record, number))

    def message(self, record: TrialRecord, number: int) -> TrialMessage:
        draw = random.Random(f"{record.trial} {record.config.seed}")
        value = self.means[record.trial] + draw.gauss(0, self.deviation)
        lost = self.lost.get((record.trial, record.config.seed))
        if lost is not None:
            return TrialMessage(outcome=lost, error="it did not work")
        result = EpochResult(
            epoch=number,
            seconds=self.speeds[record.trial] if self.speeds else 10.0,
            finished_at=self.now,
            metrics={"val_accuracy": value},
        )
        is_last = number == EPOCHS
        confirm = ConfirmResult(part="new", examples=self.examples, metrics={"val_accuracy": value - 0.1})
        return TrialMessage(
            epoch=result,
            outcome=Outcome.COMPLETE if is_last else None,
            confirm=confirm if is_last and self.examples else None,
        )


@pytest.fixture(autouse=True)
def _quiet() -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)


def seeds_of(ledger: Ledger) -> dict[int, list[int]]:
    found: dict[int, list[int]] = {}
    for record in ledger.records:
        found.setdefault(record.trial, []).append(record.config.seed)
    return {trial: sorted(seeds) for trial, seeds in found.items()}


def test_seeds_go_to_the_leader_and_its_closest_challenger(monkeypatch: pytest.MonkeyPatch) -> None:
    track = Track(monkeypatch, Confirm(top=3, at_most=3_000.0), means=(0.80, 0.79, 0.50), slots=1)

    race, ledger = track.start()

    seeds = seeds_of(ledger)
    assert seeds[2] == [1, 2]
    assert min(len(seeds[0]), len(seeds[1])) > 3
    assert seeds[0] == list(range(1, len(seeds[0]) + 1))
    assert race.race().is_decided or race.time.state.is_used_up


def test_a_clear_best_one_ends_the_race_early(monkeypatch: pytest.MonkeyPatch) -> None:
    track = Track(monkeypatch, Confirm(top=2), means=(0.80, 0.50))

    race, ledger = track.start()

    assert race.race().is_decided
    assert sum(map(len, seeds_of(ledger).values())) <= 8
    assert not race.time.state.is_used_up
    assert "tiny-000 is the best with 95 %" in race.race().sentences()
    assert {record.confirm_until for record in ledger.records} == {0.95}


def test_equal_configurations_use_all_the_time_and_not_more(monkeypatch: pytest.MonkeyPatch) -> None:
    track = Track(monkeypatch, Confirm(top=2, at_most=300.0), means=(0.7, 0.7))

    race, ledger = track.start()

    assert 1300 - 60 < track.now <= 1300
    assert race.time.state.is_used_up
    assert all(record.outcome is Outcome.COMPLETE for record in ledger.records)
    assert "cannot be distinguished in 5 min 00 s" in race.race().sentences()


def test_a_second_start_with_nothing_to_do_is_done_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    track = Track(monkeypatch, Confirm(top=2, at_most=300.0), means=(0.7, 0.7))
    _, first = track.start()
    track.now += 10_000

    _, second = track.start()
    assert second.is_done
    assert len(second.records) == len(first.records)

    track.settings = Confirm(top=2, at_most=600.0)
    race, third = track.start()
    assert len(third.records) > len(first.records), "a larger at_most continues it"
    assert race.time.state.spent <= 600


def test_both_slots_stay_busy_until_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    track = Track(monkeypatch, Confirm(top=3, at_most=600.0), means=(0.7, 0.7, 0.7), speeds=(10.0, 17.0, 5.0))

    track.start()

    assert set(track.busy[:-8]) == {2}


def test_a_fast_configuration_uses_the_time_that_a_slow_one_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    track = Track(monkeypatch, Confirm(top=2, at_most=500.0), means=(0.7, 0.7), speeds=(60.0, 5.0), slots=1)

    _, ledger = track.start()

    assert track.now <= 1500
    assert 1500 - track.now < 3 * 5.0 + 5.0
    assert max(record.started for record in ledger.records if record.trial == 0) <= 1500


@pytest.mark.parametrize("outcome", [Outcome.DIVERGED, Outcome.FAILED])
def test_a_lost_run_ends_its_configurations_race(monkeypatch: pytest.MonkeyPatch, outcome: Outcome) -> None:
    track = Track(monkeypatch, Confirm(top=3), means=(0.8, 0.6, 0.3), lost={(0, 2): outcome})

    race, ledger = track.start()

    assert max(seeds_of(ledger)[0]) <= 3
    assert race.race().is_decided
    assert "tiny-001 is the best" in race.race().sentences()
    assert f"tiny-000 cannot be the best: it {outcome.value} under seed 2." in race.race().sentences()


def test_a_failed_run_that_is_tried_again_lets_its_configuration_win(monkeypatch: pytest.MonkeyPatch) -> None:
    track = Track(monkeypatch, Confirm(top=2), means=(0.8, 0.6), lost={(0, 2): Outcome.FAILED})
    track.start()
    track.lost = {}

    race, ledger = track.start(retries=True)

    assert not [record for record in ledger.records if record.outcome is Outcome.FAILED]
    assert "tiny-000 is the best" in race.race().sentences()


def test_values_on_the_confirmation_part_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    track = Track(monkeypatch, Confirm(top=2), means=(0.80, 0.60), examples=50)

    race, ledger = track.start()

    assert [round(value, 1) for value in race.race().contenders[0].values] == [0.7] * len(seeds_of(ledger)[0])
    assert all(record.confirm is not None and record.confirm.examples == 50 for record in ledger.records)


@settings(max_examples=25, deadline=None)
@given(
    kills=st.lists(st.integers(0, 12), max_size=4),
    slots=st.integers(1, 3),
    means=st.lists(st.sampled_from([0.6, 0.62, 0.7]), min_size=2, max_size=4),
)
def test_a_killed_race_neither_loses_nor_doubles_a_run(kills: list[int], slots: int, means: list[float]) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        track = Track(monkeypatch, Confirm(top=4, at_most=700.0), means=tuple(means), slots=slots)
        for kill_after in kills:
            track.start(kill_after=kill_after)
        race, ledger = track.start()

        keys = [record.key for record in ledger.records]
        assert len(keys) == len(set(keys))
        assert all(
            track.trained[record.key] == EPOCHS for record in ledger.records if record.outcome is Outcome.COMPLETE
        )
        assert race.race().is_decided or race.time.state.is_used_up
        assert track.now <= 1000 + 700 + 10
        for seeds in seeds_of(ledger).values():
            assert seeds == list(range(1, len(seeds) + 1)), "no seed is left out"


def test_a_race_on_one_slot_is_the_same_after_a_kill(monkeypatch: pytest.MonkeyPatch) -> None:
    def seeds(*kills: int) -> list[tuple[int, int]]:
        track = Track(monkeypatch, Confirm(top=3, at_most=1e6), means=(0.70, 0.69, 0.65), slots=1)
        for kill_after in kills:
            track.start(kill_after=kill_after)
        return [(record.trial, record.config.seed) for record in track.start()[1].records]

    assert seeds(4, 3, 7) == seeds()


def test_the_clock_is_the_real_one() -> None:
    race_time = RaceTime(Confirm(at_most=50.0), optuna.create_study(), examples=0, began=clock.monotonic() - 10)
    assert 39 < race_time.left < 40.5
