"""The climb beyond the notebook: one change per rung, the same steps at laptop size, and its last rung as best.yaml."""

from __future__ import annotations

from pathlib import Path

from cifar_core.config import RESET_BY_NAME
from sweeps.core.trial import MeasuredOn
from sweeps.files.ladder_file import load_ladder

EXPERIMENTS = Path(__file__).parents[3] / "experiments"

WITH_ITS_RATE = {
    "momentum": {"optimizer.momentum", "optimizer.nesterov"},
    "triangular": {"schedule", "optimizer.lr"},
    "batch-500": {"data.batch_size", "optimizer.lr"},
    "lean": {"model"},
    "rate": {"optimizer.lr", "optimizer.momentum"},
    "reflected": {"data.normalization", "data.augmentation"},
    "growing": {"data.start_size", "data.grown_at"},
}
"""Rungs that change more than one key, since the keys belong together."""


def test_best_yaml_is_the_last_climb_configuration_on_all_images() -> None:
    climb, best = load_ladder(EXPERIMENTS / "climb.yaml"), load_ladder(EXPERIMENTS / "best.yaml")

    (rung,) = best.rungs

    assert climb.final().rung("views").config.canonical() == rung.config.canonical()
    assert (best.measured_on, best.seeds, best.resources.cpus_per_trial) == (MeasuredOn.TEST, 3, 2)
    assert rung.config.train_images() == 50_000


def test_each_rung_of_the_climb_is_one_change() -> None:
    climb = load_ladder(EXPERIMENTS / "climb.yaml")

    for rung in climb.rungs[1:]:
        paths = {change.path for change in rung.changes}
        keys = {path.partition(".")[0] if path.partition(".")[0] in RESET_BY_NAME else path for path in paths}
        if rung.name == "activations" or rung.name in {"gelu", "whitened"}:
            assert len(paths) == 1
        else:
            assert len(keys) == 1 or keys == WITH_ITS_RATE[rung.name], rung.name
    assert [rung.parent for rung in climb.rungs] == [None, *(rung.name for rung in climb.rungs[:-1])]


def test_both_climbs_are_compared_on_validation_images() -> None:
    climb, small = (load_ladder(EXPERIMENTS / f"{name}.yaml") for name in ("climb", "climb-laptop"))

    assert climb.measured_on is small.measured_on is MeasuredOn.VALIDATION
    assert [rung.name for rung in climb.rungs] == [rung.name for rung in small.rungs]
    assert {rung.config.epochs for rung in small.rungs} == {5}
    assert {rung.config.train_images() for rung in small.rungs} == {10_000}
