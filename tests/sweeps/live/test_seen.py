"""What distinguishes the trials of a sweep, however they come to be known."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sweeps.live.seen import FIRST, NETWORK, Differences

configs = st.lists(
    st.fixed_dictionaries(
        {NETWORK: st.sampled_from(["simple", "deep"]), "optimizer.lr": st.sampled_from([0.1, 0.2])},
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
def test_the_parameters_that_tell_trials_apart_are_those_in_which_all_together_differ(
    configs: list[dict[str, Any]],
) -> None:
    differences = Differences()
    for config in configs:
        differences.add(config)

    assert differences.telling() == expected(configs)


def expected(configs: list[dict[str, Any]]) -> tuple[str, ...]:
    """Compare all of them with each other."""
    found = []
    for path in {path for config in configs for path in config}:
        pairs = {(config[NETWORK], repr(config.get(path))) for config in configs}
        follows = path.startswith("model.") and path != NETWORK and len(pairs) == len({name for name, _ in pairs})
        if len({value for _, value in pairs}) > 1 and not follows:
            found.append(path)
    first = {path: index for index, path in enumerate(FIRST)}
    return tuple(sorted(found, key=lambda path: (first.get(path, len(FIRST)), path)))
