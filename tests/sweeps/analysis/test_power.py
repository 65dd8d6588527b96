"""What seeds distinguish follows from the spread that was measured, and else from a typical one that is named."""

from __future__ import annotations

import math
from typing import Any

import pytest

from sweeps.analysis.power import TYPICAL, known_spread
from sweeps.core.identity import Protocol
from sweeps.core.measure import Measure

PROTOCOL = Protocol(train_images=300, validation_images=200, split_seed=0, epochs=2)
ACCURACY = Measure(name="val_accuracy")
LOSS = Measure(name="val_loss", maximize=False)


def row(seed: int, value: float, **changes: Any) -> dict[str, Any]:
    fields = {
        "status": "complete",
        "did_not_learn": 0,
        "sweep": "s",
        "replicate_of": 3,
        "rung": None,
        "config_id": "a",
        "source": None,
        "protocol": PROTOCOL,
        "seed": seed,
        "metric": "val_accuracy",
        "val_accuracy": value,
        "metric_value": value,
    }
    return fields | changes


def replicates(*values: float, **changes: Any) -> list[dict[str, Any]]:
    return [row(seed, value, **changes) for seed, value in enumerate(values, 1)]


def spread(rows: list[dict[str, Any]], *, measure: Measure = ACCURACY) -> Any:
    return known_spread(rows, measure=measure, protocol=PROTOCOL, sweeps=frozenset({"s"}))


def test_the_replicates_of_the_sweep_come_first() -> None:
    own = replicates(0.60, 0.61, 0.62) + replicates(0.70, 0.71, 0.72, config_id="b")
    found = spread(own + replicates(0.1, 0.5, 0.9, 0.2, 0.3, 0.7, sweep="other", config_id="c"))

    assert found.deviation == pytest.approx(1.0)
    assert found.source == "from 2 confirmed configurations of s"
    assert found.sentence(3).startswith("3 seeds each distinguish differences of 2.")


def test_other_sweeps_count_only_with_the_same_protocol() -> None:
    other = replicates(0.60, 0.61, 0.62, 0.60, 0.62, sweep="other")
    assert spread(other).source == "from 1 confirmed configuration with the same data and epochs"

    longer = Protocol(train_images=300, validation_images=200, split_seed=0, epochs=9)
    assert spread([each | {"protocol": longer} for each in other]).is_typical


def test_few_replicates_are_replaced_by_the_typical_spread_which_is_named() -> None:
    found = spread(replicates(0.600, 0.601))

    assert found.is_typical
    assert found.spread == TYPICAL
    assert "a typical one, measured on 13 rungs of ladder-laptop.yaml" in found.sentence(3)
    assert "differences of 2.9 points or more" in found.sentence(3)


def test_search_seeds_and_runs_without_learning_do_not_count() -> None:
    searched = replicates(0.1, 0.3, 0.5, 0.7, 0.9, 0.2, replicate_of=None)
    unlearned = replicates(0.1, 0.3, 0.5, 0.7, 0.9, 0.2, did_not_learn=1)
    assert spread(searched).is_typical
    assert spread(unlearned).is_typical


def test_another_metric_has_no_typical_spread() -> None:
    assert spread([], measure=LOSS) is None
    found = spread(replicates(0.5, 0.6, 0.7, metric="val_loss"), measure=LOSS)
    assert found.deviation == pytest.approx(0.1)
    assert not math.isinf(found.distinguishes(3))


def test_more_seeds_distinguish_smaller_differences() -> None:
    found = spread([])
    assert found.distinguishes(2) > found.distinguishes(3) > found.distinguishes(10)
