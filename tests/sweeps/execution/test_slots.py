"""How many trials train at once. The numbers stand in for machines that are not here."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.errors import SweepError
from sweeps.execution import inline_backend
from sweeps.execution.inline_backend import InlineBackend
from sweeps.execution.slots import Slots, slots_of
from sweeps.spec import Limits, Resources


def slots(
    *, cpus: float, gpus: float = 0, each: float | str = "auto", cores: int = 1, at_most: int | str = "auto"
) -> Slots:
    resources = Resources.model_validate({"cpus_per_trial": cores, "gpus_per_trial": each})
    return slots_of(resources, Limits.model_validate({"max_concurrent_trials": at_most}), cpus=cpus, gpus=gpus)


@pytest.mark.parametrize(
    ("machine", "count", "device"),
    [
        ({"cpus": 2}, 2, "cpu"),
        ({"cpus": 7, "cores": 2}, 3, "cpu"),
        ({"cpus": 16, "gpus": 4}, 4, "cuda"),
        ({"cpus": 2, "gpus": 4}, 2, "cuda"),
        ({"cpus": 16, "gpus": 2, "each": 0.5}, 4, "cuda"),
        ({"cpus": 16, "gpus": 4, "each": 2}, 2, "cuda"),
        ({"cpus": 16, "gpus": 4, "each": 1}, 4, "cuda"),
        # Two trials of 0.4 fit on each of two GPUs; the 0.2 that both leave are no fifth one.
        ({"cpus": 16, "gpus": 2, "each": 0.4}, 4, "cuda"),
        ({"cpus": 16, "gpus": 1, "each": 1 / 3}, 3, "cuda"),
        ({"cpus": 16, "gpus": 4, "each": 0}, 16, "cpu"),
        ({"cpus": 16, "at_most": 3}, 3, "cpu"),
        ({"cpus": 2, "at_most": 3}, 2, "cpu"),
    ],
)  # fmt: skip
def test_as_many_trials_as_cores_and_gpus_hold(machine: dict[str, float], count: int, device: str) -> None:
    found = slots(**machine)  # type: ignore[arg-type]

    assert (found.count, found.device) == (count, device)


@given(st.integers(1, 8), st.floats(0.05, 1.0))
def test_a_gpu_is_never_shared_beyond_its_whole(gpus: int, each: float) -> None:
    found = slots(cpus=1000, gpus=gpus, each=each)

    on_each = found.count / gpus
    assert on_each == int(on_each)
    assert on_each * each <= 1 + 1e-6 < (on_each + 1) * each + 1e-5


@pytest.mark.parametrize(
    "machine", [{"cpus": 1, "cores": 2}, {"cpus": 4, "each": 1}, {"cpus": 4, "gpus": 1, "each": 2}]
)
def test_a_trial_that_needs_more_than_there_is_is_refused(machine: dict[str, float]) -> None:
    with pytest.raises(SweepError, match="lower resources"):
        slots(**machine)  # type: ignore[arg-type]


def test_what_a_slot_holds_is_said_in_words() -> None:
    assert slots(cpus=2).describe() == "2 slots of 1 core"
    assert slots(cpus=8, gpus=1, each=0.5).describe() == "2 slots of 0.5 GPU"


def test_inline_a_trial_takes_the_gpu_unless_it_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inline_backend, "local_gpus", lambda: 1)

    assert InlineBackend(Resources()).slots().device == "cuda"
    assert InlineBackend(Resources(gpus_per_trial=0)).slots().device == "cpu"
