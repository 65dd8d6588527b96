"""The settings, seeds and progress of trials in the live state."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sweep_fakes import epoch

from cifar_core.config import TrainingConfig
from sweeps.core.trial import Outcome, RungLabel, TrialRecord
from sweeps.search.state import DriverState, SweepState
from sweeps.views.live.live_state import MAX_EPOCH_PROGRESS, LiveTrial, Watcher


def trial(number: int, *, seed: int = 0, rung: RungLabel | None = None, **changes: Any) -> TrialRecord:
    config = TrainingConfig.model_validate({"epochs": 3, "seed": seed, "model": {"name": "resnet"}} | changes)
    epochs = (replace(epoch(1, 0.25), seconds=10.0, finished_at=1000.0),)
    return TrialRecord(
        sweep="tiny", study="tiny", number=number, key=f"k{number}", config_id=f"c{number}", config=config,
        outcome=Outcome.RUNNING, epochs=epochs, started=990.0, rung=rung,
    )  # fmt: skip


def running(*records: TrialRecord, now: float = 1005.0) -> tuple[LiveTrial, ...]:
    state = SweepState(
        sweep="tiny", metric="val_accuracy", maximize=True, records=records, driver=DriverState(began=980.0)
    )
    return Watcher(state).live_state(now=now).running


def test_differing_parameters_come_first_and_numbers_have_their_names() -> None:
    first, second = running(
        trial(0, data={"augmentation": "none", "batch_size": 32}), trial(1, data={"augmentation": "flip-crop"})
    )

    assert first.settings.split(", ")[:2] == ["batch_size 32", "augmentation none"]
    assert second.settings.split(", ")[:2] == ["batch_size 64", "flip-crop"]
    assert second.settings.split(", ")[2:] == ["resnet", "width 64", "lr 0.01"]


def test_a_rung_shows_its_changes_and_seed_only() -> None:
    def rung(number: int, name: str, parent: str | None, **changes: Any) -> TrialRecord:
        return trial(number, seed=number % 2, rung=RungLabel(name=name, index=0, parent=parent), **changes)

    small = {"data": {"batch_size": 32}}
    *_, last = running(
        rung(0, "a", None), rung(1, "a", None), rung(2, "b", "a", **small),
        rung(3, "c", "b", **small, optimizer={"lr": 0.5}),
    )  # fmt: skip

    assert (last.seed, last.settings.partition(", ")[0]) == (1, "lr 0.5")
    assert "seed" not in last.settings


def test_the_progress_of_an_epoch_is_estimated_from_the_one_before() -> None:
    begun = replace(trial(1), epochs=(), started=1000.0)

    assert [each.epoch_progress for each in running(trial(0), begun)] == [0.5, 0.5]
    assert [each.epoch_progress for each in running(trial(0), now=1100.0)] == [MAX_EPOCH_PROGRESS]
    assert [each.epoch_progress for each in running(begun)] == [None]
