"""The front and its hypervolume, against their definitions."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.core.front import dominates, front, hypervolume, relative_hypervolume

SMALL = st.integers(0, 4)


def points(objectives: int) -> st.SearchStrategy[list[tuple[int, ...]]]:
    return st.lists(st.tuples(*[SMALL] * objectives), max_size=8)


@given(found=points(2) | points(3))
def test_the_front_is_what_no_other_point_dominates(found: list[tuple[int, ...]]) -> None:
    expected = [i for i, point in enumerate(found) if not any(dominates(other, point) for other in found)]

    assert front(found) == expected


@given(found=points(1) | points(2) | points(3))
def test_the_hypervolume_counts_the_dominated_unit_cubes(found: list[tuple[int, ...]]) -> None:
    objectives = len(found[0]) if found else 2
    cubes = itertools.product(range(5), repeat=objectives)
    dominated = sum(any(all(a <= c for a, c in zip(point, cube, strict=True)) for point in found) for cube in cubes)

    assert hypervolume(found, reference=[5] * objectives) == dominated


def test_a_whole_front_has_all_of_the_relative_hypervolume() -> None:
    among = [(0.0, 10.0), (0.5, 4.0), (1.0, 0.0), (1.0, 10.0)]

    assert relative_hypervolume(among[:3], among=among) == 1
    assert 0 < relative_hypervolume(among[:1], among=among) < relative_hypervolume(among[:2], among=among) < 1
    assert relative_hypervolume([], among=among) == relative_hypervolume([], among=[]) == 0


def test_the_scale_of_an_objective_does_not_change_the_relative_hypervolume() -> None:
    among = [(0.0, 10.0), (0.5, 4.0), (1.0, 0.0)]
    scaled = [(a - 3, 1000 * b) for a, b in among]

    assert relative_hypervolume(scaled[1:], among=scaled) == pytest.approx(relative_hypervolume(among[1:], among=among))
