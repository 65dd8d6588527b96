"""Points of a search space as vectors."""

from __future__ import annotations

import numpy as np
import pytest

from sweeps.files.parameter import Parameter
from sweeps.files.space import SearchSpace
from sweeps.search.features import Features

SPACE = SearchSpace(
    parameters={
        "model.name": Parameter(values=("simple", "resnet", "vgg")),
        "model.width": Parameter(values=(8, 16, 64), when={"model.name": ["resnet"]}),
        "optimizer.lr": Parameter(min=0.001, max=0.1, distribution="log_uniform_values"),
    },
    base={},
)


def test_ranges_are_logarithmic_and_listed_numbers_are_ranks() -> None:
    features = Features(SPACE)

    found = features.of({"model.name": "resnet", "model.width": 64, "optimizer.lr": 0.01})

    assert features.groups == [0, 0, 0, 1, 2]
    assert found == pytest.approx([0, 0.5**0.5, 0, 1, 0.5])


def test_two_listed_words_are_one_apart() -> None:
    points = [{"model.name": name, "optimizer.lr": 0.01} for name in ("simple", "vgg")]

    left, right = (Features(SPACE).of(point) for point in points)

    assert np.linalg.norm(left - right) == pytest.approx(1)


def test_an_inactive_parameter_is_in_the_middle() -> None:
    assert Features(SPACE).of({"model.name": "simple", "optimizer.lr": 0.1})[3:] == pytest.approx([0.5, 1])
