"""The fields in which configurations differ."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sweeps.files.difference import Differences

configs = st.lists(
    st.fixed_dictionaries(
        {"model.name": st.sampled_from(["simple", "deep"]), "optimizer.lr": st.sampled_from([0.1, 0.2])},
        optional={
            "model.width": st.sampled_from([8, 16]),
            "model.head": st.just((64,)),
            "data.crop": st.sampled_from([None, 4]),
        },
    ),
    min_size=1,
    max_size=8,
)


@given(configs=configs)
def test_paths_are_those_with_two_values_under_one_network(configs: list[dict[str, Any]]) -> None:
    differences = Differences()
    for config in configs:
        differences.add(config)

    assert set(differences.paths()) == {path for config in configs for path in config if varies(path, configs)}


def varies(path: str, configs: list[dict[str, Any]]) -> bool:
    """Compare each configuration with each other."""
    given = [config for config in configs if path in config]
    pairs = [(one, other) for one in given for other in given if one[path] != other[path]]
    if path.startswith("model.") and path != "model.name":
        return any(one["model.name"] == other["model.name"] for one, other in pairs)
    return bool(pairs)


def test_fields_that_follow_from_the_network_or_schedule_do_not_differ() -> None:
    differences = Differences()
    differences.add({"model.name": "vgg", "model.head": (512,), "schedule.name": "step", "schedule.gamma": 0.1})
    differences.add({"model.name": "deep", "model.head": (64,), "schedule.name": "constant"})

    assert differences.paths() == ["model.name", "schedule.name"]
