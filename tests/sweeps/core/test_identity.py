"""Identity of runs, replicates and comparable protocols."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cifar_core.config import TRAIN_IMAGES, TrainingConfig
from sweeps.core.identity import Identifier, Protocol, generation, name_of_generation, replicate_group, study_name


def protocol(epochs: int = 6, **data: Any) -> Protocol:
    return Protocol.of(TrainingConfig.model_validate({"epochs": epochs, "data": data}))


class TestProtocol:
    def test_without_train_size_all_images_that_validation_leaves_are_used(self) -> None:
        assert protocol(validation_size=5000) == protocol(validation_size=5000, train_size=45_000)

    @pytest.mark.parametrize(
        "other",
        [
            protocol(epochs=7, validation_size=5000),
            protocol(validation_size=4000),
            protocol(validation_size=5000, train_size=10_000),
            protocol(validation_size=5000, split_seed=1),
        ],
    )
    def test_another_budget_or_other_images_are_another_protocol(self, other: Protocol) -> None:
        assert protocol(validation_size=5000) != other

    def test_the_split_seed_is_ignored_without_validation_images(self) -> None:
        assert protocol(split_seed=3) == protocol()

    @given(st.integers(0, 20_000), st.one_of(st.none(), st.integers(1, 30_000)), st.integers(0, 9), st.integers(1, 99))
    def test_the_budget_is_images_times_epochs(
        self, validation: int, train: int | None, split: int, epochs: int
    ) -> None:
        found = protocol(epochs, validation_size=validation, train_size=train, split_seed=split)

        assert found.budget == (train or TRAIN_IMAGES - validation) * epochs


OWN = TrainingConfig.model_validate({"model": {"name": "nets:Tiny"}})


class TestIdentity:
    def test_an_edited_network_is_another_run_under_the_same_configuration(self) -> None:
        before = Identifier(data_fingerprint="", source_of=lambda _: "a")(OWN)
        after = Identifier(data_fingerprint="", source_of=lambda _: "b")(OWN)

        assert before.config_id == after.config_id
        assert before.key != after.key
        assert (before.source, after.source) == ("a", "b")

    def test_other_images_are_another_run(self) -> None:
        first, second = (Identifier(data_fingerprint=fingerprint)(TrainingConfig()) for fingerprint in ("a", "b"))

        assert first.key != second.key

    def test_a_seed_is_another_run_and_the_same_configuration(self) -> None:
        identify = Identifier(data_fingerprint="")
        first, second = (identify(TrainingConfig(seed=seed)) for seed in (0, 1))

        assert first.key != second.key
        assert first.config_id == second.config_id


class TestReplicates:
    def test_custom_networks_with_different_code_are_different_groups(self) -> None:
        first, second = (replicate_group(config_id="c", source=source) for source in ("a", "b"))

        assert first != second


@given(st.sampled_from(["quick-0123abcd", "my.sweep-0123abcd", "a.2-00000000"]), st.integers(0, 1000))
def test_the_generation_of_a_study_follows_from_its_name(base: str, number: int) -> None:
    assert generation(name_of_generation(base, number), of=base) == number
    assert generation(name_of_generation(f"{base}x", number), of=base) is None
    assert generation(f"{base}.replicates", of=base) is None
    assert (name_of_generation(base, 0), name_of_generation(base, 1)) == (base, f"{base}.2")


def test_a_study_keeps_its_name() -> None:
    # Another name would start a new study for every recorded sweep.
    assert study_name("tiny", {"b": 1, "a": [0.5, None]}) == study_name("tiny", {"a": [0.5, None], "b": 1})
    assert study_name("ladder", {"kind": "ladder"}) == "ladder-358ee388"
