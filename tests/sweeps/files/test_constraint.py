"""Conditions: what can be written, and what it means."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.files.constraint import MAX_LENGTH, Constraint, ConstraintError

VALUES = {"model.width": 8, "epochs": 3, "model.name": "vgg", "augmented": True}


@pytest.mark.parametrize(
    ("text", "holds"),
    [
        ("model.width * epochs <= 24", True),
        ("model.width * epochs < 24", False),
        ("1 < epochs <= 3", True),
        ("1 < epochs < 3", False),
        ("model.name in ['vgg', 'deep'] and not epochs > 3", True),
        ("model.name not in ['vgg']", False),
        ("model.name == 'vgg' or epochs == 0", True),
        ("max(model.width, epochs) - min(model.width, epochs) == abs(-5)", True),
        ("model.width ** 2 // 10 % 4 == 2", True),
        ("augmented == true", True),
        ("epochs / 0 < 1", False),
        ("10.0 ** (model.width * 1000) > 1", False),
    ],
)
def test_a_condition_means_what_python_means(text: str, holds: bool) -> None:
    assert Constraint(text).holds(VALUES) is holds


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs <", "is not a condition"),
        ("epochs", "is a value, not a condition"),
        ("1 < 2", "names no parameter"),
        ("epochs < open('x')", "is not allowed"),
        ("epochs.__class__.mro() == 1", "is not allowed"),
        ("(lambda: 1)() < epochs", "is not allowed"),
        ("[each for each in epochs] == 1", "is not allowed"),
        ("epochs in model.name", "needs a list"),
        ("epochs <" + "1 +" * MAX_LENGTH + "1", "at most"),
        ("(" * 390 + "epochs < 1", "is not a condition"),
    ],
)
def test_anything_else_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConstraintError, match=message):
        Constraint(text)


@pytest.mark.parametrize(
    "text", ["model.name < 3", "model.name * 10 ** 9 != epochs", "model.name % 3 == 1", "max(epochs) < 1"]
)
def test_arithmetic_with_texts_is_an_error_with_the_values(text: str) -> None:
    with pytest.raises(ConstraintError, match="cannot be computed where"):
        Constraint(text).holds(VALUES)


def test_spaces_and_brackets_do_not_change_the_text() -> None:
    assert Constraint("( a*b )<= 3").text == Constraint("a * b <= 3").text == "a * b <= 3"


def test_the_excess_is_relative_to_the_larger_side() -> None:
    assert Constraint("a <= 4").excess({"a": 5}) == pytest.approx(0.2)
    assert Constraint("a < 4 and b < 1").excess({"a": 5, "b": 2}) == pytest.approx(0.5)
    assert Constraint("a < 4 or b < 1").excess({"a": 5, "b": 2}) == pytest.approx(0.2)
    assert Constraint("not a >= 4").excess({"a": 5}) == pytest.approx(0.2)
    assert Constraint("n in ['x']").excess({"n": "y"}) == 1


NUMBERS = st.floats(min_value=-1e6, max_value=1e6) | st.integers(-5, 5)


@given(a=NUMBERS, b=NUMBERS)
@pytest.mark.parametrize(
    "text",
    ["a < b", "a <= b", "a == b", "a != b", "not (a < b and b > 1)", "a < 1 or not b <= a", "0 < a < b", "a / b < 1"],
)
def test_the_excess_is_zero_exactly_where_it_holds(text: str, a: float, b: float) -> None:
    constraint = Constraint(text)
    excess = constraint.excess({"a": a, "b": b})

    assert excess >= 0
    assert (excess == 0) is constraint.holds({"a": a, "b": b})


def test_a_nan_violates_a_limit() -> None:
    assert Constraint("a < 1").excess({"a": float("nan")}) == 1


@pytest.mark.parametrize("text", ["x ** 0.5 < 1", "1 / (x + 2) < 1", "x ** 1001 < 1e9 ** 99"])
def test_a_number_that_cannot_be_computed_violates_a_condition(text: str) -> None:
    assert Constraint(text).excess({"x": -2}) == 1.0


def test_a_condition_that_is_nested_too_deeply_is_refused() -> None:
    with pytest.raises(ConstraintError, match="is not a condition"):
        Constraint("-" * 390 + "x < 1")
