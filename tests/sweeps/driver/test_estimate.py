"""The estimated cost of a sweep. Times of train steps are fixed, except in one test."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from cifar_core.config import TrainingConfig
from sweeps.core.errors import SweepError
from sweeps.driver import estimate
from sweeps.driver.dry_runs import check_networks
from sweeps.driver.estimate import estimate_cost, makespan, total_seconds
from sweeps.stopping.asha import Asha
from sweeps.stopping.never import Never
from sweeps.tasks import image_probe
from sweeps.tasks.image_probe import ImageProbe, Timed, time_images


@pytest.fixture
def _a_millisecond_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    timed = Timed(train=0.001, evaluate=0.0005)
    monkeypatch.setattr(image_probe, "time_images", lambda config, *, threads, device: timed)
    monkeypatch.setattr(estimate, "START_SECONDS", 0.0)
    for constant in ("RUN_SECONDS", "EPOCH_SECONDS", "TEST_SECONDS"):
        monkeypatch.setattr(image_probe, constant, 0.0)
    monkeypatch.setattr(estimate, "CONTENTION", 1.0)


def config(epochs: int, *, train_size: int = 1000, width: int = 16) -> TrainingConfig:
    return TrainingConfig.model_validate(
        {"epochs": epochs, "data": {"train_size": train_size}, "model": {"width": width}}
    )


@pytest.mark.usefixtures("_a_millisecond_an_image")
class TestCost:
    def test_without_early_stopping_every_trial_takes_all_its_epochs(self) -> None:
        cost = estimate_cost([config(2), config(6)], trials=10, early=Never(), slots=2, probe=ImageProbe())

        assert (cost.trials, cost.trial_epochs, cost.max_trial_epochs) == (10, 40, 40)
        # Four seconds per trial, ten trials, two at a time.
        assert cost.seconds == pytest.approx(4.0 * 10 / 2)
        assert cost.probed == 1

    def test_early_stopping_saves_epochs_and_seconds_in_the_same_share(self) -> None:
        early = Asha(min_epochs=1, reduction_factor=3)
        cost = estimate_cost([config(9)], trials=30, early=early, slots=1, probe=ImageProbe())

        assert cost.trial_epochs == pytest.approx(30 * early.expected_epochs(9))
        assert cost.trial_epochs < cost.max_trial_epochs == 270
        assert cost.seconds == pytest.approx(cost.trial_epochs * 1.0)

    def test_each_network_is_timed_once(self) -> None:
        probe = ImageProbe()
        assert not probe.is_timed(config(1))
        assert probe.seconds(config(3)) == pytest.approx(3.0)
        assert probe.seconds(config(2, train_size=500)) == pytest.approx(1.0)
        probe.seconds(config(1, width=8))
        assert probe.is_timed(config(1))
        assert probe.timed == 2

    def test_a_run_evaluates_each_epoch_and_grows_its_images(self) -> None:
        data = {"train_size": 1000, "validation_size": 500, "start_size": 16, "grown_at": 1.0}
        grown = TrainingConfig.model_validate({"epochs": 2, "data": data, "model": {"name": "lean"}})

        # 16 pixels, then 24: more than twice the work. Two evaluations of 500 images.
        assert ImageProbe().seconds(grown) == pytest.approx(1.0 + 2.25 + 0.5)

    def test_the_test_set_costs_an_evaluation_of_ten_thousand_images(self) -> None:
        assert ImageProbe().test_seconds(config(2)) == pytest.approx(5.0)


def test_the_estimate_includes_the_start_and_the_overhead_per_run() -> None:
    # A hundred images: only the overhead of a run.
    run, probe = config(1, train_size=100, width=4), ImageProbe()

    assert probe.seconds(run) > image_probe.RUN_SECONDS + image_probe.EPOCH_SECONDS
    assert probe.test_seconds(run) > image_probe.TEST_SECONDS
    assert total_seconds([4.0, 2.0, 2.0], slots=1) == pytest.approx(estimate.START_SECONDS + 8.0)
    assert total_seconds([4.0, 2.0, 2.0], slots=2) == pytest.approx(estimate.START_SECONDS + 4.0 * estimate.CONTENTION)


def test_a_real_step_is_timed() -> None:
    # The minimum of several measurements, since other work of this process adds to each.
    timed = [time_images(config(1, width=4)) for _ in range(3)]

    assert 0 < min(each.evaluate for each in timed) < min(each.train for each in timed) < 1


@pytest.mark.parametrize("threads", [1, 2])
def test_a_step_is_timed_with_as_many_threads_as_a_run_has(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(image_probe, "time_images", time_images)
    monkeypatch.setattr(torch, "set_num_threads", seen.append)
    before = torch.get_num_threads()

    ImageProbe(threads=threads).seconds(config(1, width=4))

    assert seen == [threads, before]


@given(st.lists(st.floats(0.1, 100), min_size=1, max_size=12), st.integers(1, 4))
def test_the_makespan_is_at_least_the_longest_run_and_the_average(seconds: list[float], slots: int) -> None:
    together = makespan(seconds, slots=slots)

    assert together >= max(*seconds, sum(seconds) / slots) - 1e-9
    assert together <= sum(seconds) / slots + max(seconds) + 1e-9


def test_runs_on_one_slot_are_sequential() -> None:
    assert makespan([1.0, 2.0, 3.0], slots=1) == 6.0
    assert makespan([3.0, 3.0, 2.0, 2.0, 2.0], slots=2) == 7.0


def test_a_network_that_cannot_be_built_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "net_to_check.py").write_text(
        "from torch import nn\nclass Net(nn.Sequential):\n    def __init__(self, num_classes):\n"
        "        super().__init__(nn.Flatten(), nn.Linear(3072, num_classes))\n",
        encoding="utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    net = TrainingConfig.model_validate({"model": {"name": "net_to_check:Net"}})

    check_networks([net, TrainingConfig()])
    for wrong in ({"name": "net_to_check:Other"}, {"name": "no_such_module:Net"},
                  {"name": "net_to_check:Net", "options": {"depth": 3}}):  # fmt: skip
        with pytest.raises(SweepError, match=r"model\.name: model"):
            check_networks([net, TrainingConfig.model_validate({"model": wrong})])
