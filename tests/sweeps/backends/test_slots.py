"""The number of slots on made-up machines and clusters."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sweep_fakes import Cli, tiny, write_yaml

from sweeps.backends import inline as inline_backend
from sweeps.backends.inline import InlineBackend
from sweeps.backends.slots import Slots, local_slots, require_custom, slots_of
from sweeps.core.errors import SweepError
from sweeps.files.settings import Limits, Resources
from sweeps.tasks.image_classification import ImageClassification

UNBOUND = Limits()


def slots(
    *, cpus: float, gpus: float = 0, each: float | str = "auto", cores: int = 1, at_most: int | str = "auto"
) -> Slots:
    """Return the slots of one node."""
    limits = Limits.model_validate({"max_concurrent_trials": at_most})
    return slots_on([{"CPU": cpus, "GPU": gpus}], limits, cpus_per_trial=cores, gpus_per_trial=each)


def slots_on(nodes: Sequence[Mapping[str, float]], limits: Limits = UNBOUND, **resources: object) -> Slots:
    return slots_of(Resources.model_validate(resources), limits, nodes)


@pytest.mark.parametrize(
    ("machine", "count", "device"),
    [
        ({"cpus": 2}, 2, "cpu"),
        ({"cpus": 7, "cores": 2}, 3, "cpu"),
        ({"cpus": 16, "gpus": 4}, 4, "cuda"),
        ({"cpus": 2, "gpus": 4}, 2, "cuda"),
        ({"cpus": 16, "gpus": 2, "each": 0.5}, 4, "cuda"),
        ({"cpus": 16, "gpus": 4, "each": 1}, 4, "cuda"),
        # Two trials of 0.4 fit on each of two GPUs; the remaining 0.2 of both are no fifth slot.
        ({"cpus": 16, "gpus": 2, "each": 0.4}, 4, "cuda"),
        ({"cpus": 16, "gpus": 1, "each": 1 / 3}, 3, "cuda"),
        ({"cpus": 16, "gpus": 4, "each": 0}, 16, "cpu"),
        ({"cpus": 16, "at_most": 3}, 3, "cpu"),
        ({"cpus": 2, "at_most": 3}, 2, "cpu"),
    ],
)  # fmt: skip
def test_slots_are_limited_by_cores_and_gpus(machine: dict[str, float], count: int, device: str) -> None:
    found = slots(**machine)  # type: ignore[arg-type]

    assert (found.count, found.device) == (count, device)


@given(st.integers(1, 8), st.floats(0.05, 1.0))
def test_shares_of_a_gpu_never_exceed_it(gpus: int, each: float) -> None:
    found = slots(cpus=1000, gpus=gpus, each=each)

    on_each = found.count / gpus
    assert on_each == int(on_each)
    # Ray rounds down to ten-thousandths.
    assert on_each * (each - 1e-4) < 1 < (on_each + 1) * each + 1e-5


@pytest.mark.parametrize("machine", [{"cpus": 1, "cores": 2}, {"cpus": 4, "each": 1}, {"cpus": 4, "each": 0.5}])
def test_a_trial_that_needs_more_than_there_is_is_refused(machine: dict[str, float]) -> None:
    with pytest.raises(SweepError, match="Lower resources"):
        slots(**machine)  # type: ignore[arg-type]


BARE: list[dict[str, float]] = [{"CPU": 1}, {"CPU": 1}, {"CPU": 4, "GPU": 2, "fast": 3}]
"""Two nodes with one core and a large one."""


@pytest.mark.parametrize(
    ("asked", "count"),
    [
        ({"gpus_per_trial": 0}, 6),
        ({"gpus_per_trial": 0, "cpus_per_trial": 2}, 2),
        ({"gpus_per_trial": 0, "cpus_per_trial": 3}, 1),
        ({}, 2),
        ({"gpus_per_trial": 0.5}, 4),
        ({"gpus_per_trial": 0.6}, 2),
        ({"gpus_per_trial": 1}, 2),
        ({"gpus_per_trial": 0, "custom": {"fast": 1}}, 3),
        ({"gpus_per_trial": 0.5, "custom": {"fast": 2}}, 1),
        ({"gpus_per_trial": 0, "custom": {"fast": 0.5}}, 4),
    ],
)
def test_a_trial_is_on_one_node_and_never_on_two(asked: dict[str, object], count: int) -> None:
    assert slots_on(BARE, **asked).count == count


def test_a_head_node_without_a_core_is_no_slot() -> None:
    assert slots_on([{"node:__internal_head__": 1.0, "memory": 1e9}, {"CPU": 2}]).count == 2


CPUS, GPUS, FAST = range(7), range(3), (0, 0.5, 1, 2)
"""Resources of nodes."""
CORES_EACH, GPUS_EACH, FAST_EACH = (1, 2), (0, 0.29, 1 / 3, 0.4, 0.5, 0.6, 1), (0, 0.5, 1)
"""Demands of trials."""


def count_on(nodes: Sequence[tuple[int, int, float]], cores: int, gpus: float, fast: float) -> tuple[int, int]:
    """Return the counted slots of nodes, and how many trials can be placed on them."""
    offers = [{"CPU": node[0], "GPU": node[1], "fast": node[2]} for node in nodes]
    most = sum(most_on(node[0], (1.0,) * node[1], node[2], cores, gpus, fast) for node in nodes)
    try:
        custom = {"fast": fast} if fast else {}
        return slots_on(offers, cpus_per_trial=cores, gpus_per_trial=gpus, custom=custom).count, most
    except SweepError:
        return 0, most


def test_slots_are_exactly_where_trials_can_be_put() -> None:
    cases = list(itertools.product(CPUS, GPUS, FAST, CORES_EACH, GPUS_EACH, FAST_EACH))

    wrong = [case for case in cases if len(set(count_on([case[:3]], *case[3:]))) > 1]

    assert wrong == []


@settings(deadline=None)
@given(
    st.lists(st.tuples(*map(st.sampled_from, (CPUS, GPUS, FAST))), min_size=2, max_size=5),
    *map(st.sampled_from, (CORES_EACH, GPUS_EACH, FAST_EACH)),
)
def test_free_resources_of_several_nodes_are_no_slot(
    nodes: list[tuple[int, int, float]], cores: int, gpus: float, fast: float
) -> None:
    counted, most = count_on(nodes, cores, gpus, fast)

    assert counted == most


@lru_cache
def most_on(cpus: float, gpus: tuple[float, ...], fast: float, cores: int, each: float, fast_each: float) -> int:
    """Return how many trials can be placed on a node, by trying each GPU for each of them."""
    if cpus < cores or fast < fast_each:
        return 0
    if each >= 1:
        whole = [gpu for gpu in gpus if gpu == 1]
        rests = [tuple(whole[int(each) :])] if len(whole) >= each else []
    elif each:
        rests = [
            tuple(sorted((*gpus[:n], gpu - each, *gpus[n + 1 :]))) for n, gpu in enumerate(gpus) if gpu > each - 1e-9
        ]
    else:
        rests = [gpus]
    return max((1 + most_on(cpus - cores, rest, fast - fast_each, cores, each, fast_each) for rest in rests), default=0)


def test_a_node_that_joins_is_counted_and_one_that_left_is_not() -> None:
    before = slots_on([{"CPU": 2}, {"CPU": 1}])

    assert before.on([{"CPU": 2}, {"CPU": 1}, {"CPU": 5}], UNBOUND).count == 8
    assert before.on([{"CPU": 1}], UNBOUND).count == 1
    assert before.on([{"CPU": 2}, {"CPU": 5}], Limits(max_concurrent_trials=4)).count == 4


def test_a_trials_demand_is_unchanged_when_a_node_with_gpus_joins() -> None:
    before = slots_on([{"CPU": 2}])

    joined = before.on([{"CPU": 2}, {"CPU": 2, "GPU": 2}], UNBOUND)

    assert (joined.count, joined.demand) == (4, {"CPU": 1})


def test_without_a_node_one_trial_waits() -> None:
    assert slots_on([{"CPU": 2}]).on([], UNBOUND).count == 1


@pytest.mark.parametrize(
    ("nodes", "asked", "words"),
    [
        (
            BARE,
            {"cpus_per_trial": 8, "gpus_per_trial": 1},
            "a trial needs 8 CPUs and 1 GPU, but no node has that. The closest node has 4 CPUs and 2 GPUs. Lower "
            "resources.cpus_per_trial, or add a node that has it.",
        ),
        (
            [{"CPU": 16}, {"CPU": 1, "GPU": 1}],
            {"cpus_per_trial": 2, "gpus_per_trial": 1},
            "The closest node has 1 CPU and 1 GPU. Lower resources.cpus_per_trial",
        ),
        (
            BARE,
            {"gpus_per_trial": 0, "custom": {"slow": 1}},
            "1 CPU and 1 slow, but no node has that. The closest node has 1 CPU and 0 slow. "
            "Lower resources.custom.slow",
        ),
        ([{"CPU": 2}], {"cpus_per_trial": 4}, "4 CPUs, but this machine has 2 CPUs. Lower resources.cpus_per_trial"),
        ([], {}, "1 CPU, but this machine has 0 CPUs"),
    ],
)
def test_a_trial_that_fits_no_node_is_refused_with_the_closest(
    nodes: list[dict[str, float]], asked: dict[str, object], words: str
) -> None:
    with pytest.raises(SweepError) as refused:
        slots_on(nodes, **asked)

    assert words in str(refused.value)


def test_custom_resources_need_a_cluster_that_offers_them() -> None:
    resources = Resources(custom={"fast": 2})

    require_custom(resources, address="127.0.0.1:6379")
    require_custom(Resources(), address=None)
    with pytest.raises(SweepError, match=r"--resources='\{\"fast\": 2\}'"):
        require_custom(resources, address=None)


@pytest.mark.parametrize("backend", ["inline", "ray"])
def test_a_missing_gpu_is_an_error_before_the_start(
    backend: str, tmp_path: Path, runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    path = write_yaml(tmp_path, tiny(resources={"gpus_per_trial": 1}))

    for verb in (("run", path, "--runs", runs, "--backend", backend), ("plan", path, "--no-probe")):
        result = cli(*verb)
        assert result.exit_code == 2
        assert "gpus_per_trial is 1, and no GPU was found: CUDA_VISIBLE_DEVICES is empty" in result.stderr
    assert not runs.exists()


def test_the_slots_of_this_machine_leave_custom_resources_out() -> None:
    assert local_slots(Resources(custom={"fast": 2}), UNBOUND) == local_slots(Resources(), UNBOUND)


def test_the_description_of_a_slot() -> None:
    assert slots(cpus=2).describe() == "2 slots of 1 core"
    assert slots(cpus=8, gpus=1, each=0.5).describe() == "2 slots of 0.5 GPU"
    assert slots_on(BARE, custom={"fast": 1}, gpus_per_trial=0).describe() == "3 slots of 1 core and 1 fast"


def test_inline_a_trial_takes_the_gpu_unless_it_may_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inline_backend, "local_gpus", lambda: 1)

    assert InlineBackend(ImageClassification(), Resources()).slots().device == "cuda"
    assert InlineBackend(ImageClassification(), Resources(gpus_per_trial=0)).slots().device == "cpu"
