"""Number of trials that a conclusive verdict needs."""

from __future__ import annotations

from sweeps.analysis.effect_verdict import trials_needed


def needed(**changes: float) -> float:
    values: dict[str, float] = {
        "difference": 4.0,
        "deviation": 2.0,
        "noise": 3.0,
        "levels": 4,
        "active": 1.0,
        "trials": 40,
    }
    return trials_needed(**(values | changes))  # type: ignore[arg-type]


def test_half_the_difference_takes_four_times_the_trials() -> None:
    assert needed(difference=2.0) == 4 * needed()


def test_a_more_certain_difference_takes_fewer_trials_down_to_the_noise() -> None:
    assert needed(deviation=1.5) < needed()
    assert needed(deviation=0.001) == needed(deviation=0.0001) > 0


def test_a_parameter_that_is_rarely_active_takes_more() -> None:
    assert needed(deviation=0.001, active=0.5) == 2 * needed(deviation=0.001)


def test_more_values_take_more() -> None:
    assert needed(deviation=0.001, levels=8) == 2 * needed(deviation=0.001)
