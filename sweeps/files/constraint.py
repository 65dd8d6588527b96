"""Conditions over named numbers, such as `model.width * epochs <= 800`: parsed and evaluated without `eval`."""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Mapping
from typing import Any

MAX_LENGTH = 400
"""Longest condition in characters, so that its evaluation cannot exceed Python's recursion."""
SMALLEST = 1e-9
"""Excess of a condition that is violated by nothing measurable, such as `x < 1` at 1."""


def _arithmetic(compute: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    """Return an operation for numbers only: a text times a large number needs unlimited memory."""

    def computed(left: Any, right: Any) -> Any:
        if not all(isinstance(side, int | float) for side in (left, right)):
            raise TypeError("arithmetic needs numbers")
        return compute(left, right)

    return computed


_BINARY: Mapping[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: _arithmetic(operator.add),
    ast.Sub: _arithmetic(operator.sub),
    ast.Mult: _arithmetic(operator.mul),
    ast.Div: _arithmetic(operator.truediv),
    ast.FloorDiv: _arithmetic(operator.floordiv),
    ast.Mod: _arithmetic(operator.mod),
    # In floats, so that no number of the file can need unlimited memory.
    ast.Pow: _arithmetic(math.pow),
}
_COMPARED: Mapping[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.In: lambda value, listed: value in listed,
    ast.NotIn: lambda value, listed: value not in listed,
}
_FUNCTIONS: Mapping[str, Callable[..., Any]] = {"min": min, "max": max, "abs": abs}
_CONSTANTS = {"true": True, "false": False, "none": None}
_SYNTAX = "numbers, texts in quotes, names, + - * / // % **, comparisons, in [...], and, or, not, min, max, abs"


class ConstraintError(ValueError):
    """A condition cannot be parsed, or not be evaluated for some values."""


class Constraint:
    """One condition. Immutable."""

    def __init__(self, text: str) -> None:
        """Parse a condition.

        Raises:
            ConstraintError: it is not a condition, or uses more than arithmetic, comparisons, `and`, `or`, `not`, `in`,
                `min`, `max` and `abs`.
        """
        if len(text) > MAX_LENGTH:
            raise ConstraintError(f"has {len(text)} characters, and a condition at most {MAX_LENGTH}")
        try:
            self._tree = ast.parse(text.strip(), mode="eval").body
            self.text = ast.unparse(self._tree)
            """The condition, equal for equal conditions with other spaces or brackets."""
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            raise ConstraintError(f"{text!r} is not a condition such as 'model.width * epochs <= 800'") from None
        self.names: tuple[str, ...] = tuple(dict.fromkeys(self._checked(self._tree)))
        """Dotted names in the order of their first use."""
        if not isinstance(self._tree, ast.Compare | ast.BoolOp) and not _is_negation(self._tree):
            raise ConstraintError(f"{text!r} is a value, not a condition. Compare it, as in '{text.strip()} <= 800'")
        if not self.names:
            raise ConstraintError(f"{text!r} names no parameter, so that it is the same for all configurations")

    def holds(self, values: Mapping[str, Any]) -> bool:
        """Return whether it holds for values by name, of which none may be missing.

        A number that cannot be computed, as with a division by zero or the root of a negative one, makes it false.

        Raises:
            ConstraintError: values of these types cannot be compared or computed with.
        """
        try:
            return bool(self._value(self._tree, values))
        except (ArithmeticError, ValueError):
            return False
        except TypeError as error:
            shown = ", ".join(f"{name} is {values[name]!r}" for name in self.names)
            raise ConstraintError(f"{self.text!r} cannot be computed where {shown}: {error}") from None

    def excess(self, values: Mapping[str, Any]) -> float:
        """Return by how much it is violated, relative to the larger side of its comparison; 0 if it holds.

        Of `and` the largest excess counts, of `or` the smallest.

        Raises:
            ConstraintError: as `holds`.
        """
        if self.holds(values):
            return 0.0
        try:
            found = self._excess(self._tree, values)
        except (ArithmeticError, ValueError):
            return 1.0
        return max(found, SMALLEST) if math.isfinite(found) else 1.0

    def _checked(self, node: ast.expr) -> list[str]:
        """Return the names below a node.

        Raises:
            ConstraintError: it is not allowed in a condition.
        """
        if isinstance(node, ast.Constant) and isinstance(node.value, bool | int | float | str | None):
            return []
        if (name := _name(node)) is not None:
            return [] if name in _CONSTANTS else [name]
        parts: list[ast.expr]
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            parts = [node.left, node.right]
        elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.USub | ast.UAdd):
            parts = [node.operand]
        elif isinstance(node, ast.BoolOp):
            parts = node.values
        elif isinstance(node, ast.Compare) and all(type(op) in _COMPARED for op in node.ops):
            if any(_needs_list(op, right) for op, right in zip(node.ops, node.comparators, strict=True)):
                raise ConstraintError(f"{ast.unparse(node)!r}: `in` needs a list, as in 'model.name in [\"vgg\"]'")
            parts = [node.left, *node.comparators]
        elif isinstance(node, ast.List | ast.Tuple):
            parts = node.elts
        elif isinstance(node, ast.Call) and _is_function(node.func) and not node.keywords and node.args:
            parts = node.args
        else:
            raise ConstraintError(f"{ast.unparse(node)!r} is not allowed in a condition, which takes {_SYNTAX}")
        return [name for part in parts for name in self._checked(part)]

    def _value(self, node: ast.expr, values: Mapping[str, Any]) -> Any:
        if isinstance(node, ast.Constant):
            return node.value
        if (name := _name(node)) is not None:
            return _CONSTANTS[name] if name in _CONSTANTS else values[name]
        if isinstance(node, ast.BinOp):
            return _BINARY[type(node.op)](self._value(node.left, values), self._value(node.right, values))
        if isinstance(node, ast.UnaryOp):
            operand = self._value(node.operand, values)
            return (
                not operand if isinstance(node.op, ast.Not) else -operand if isinstance(node.op, ast.USub) else operand
            )
        if isinstance(node, ast.BoolOp):
            decide = all if isinstance(node.op, ast.And) else any
            return decide(self._value(part, values) for part in node.values)
        if isinstance(node, ast.Compare):
            sides = [self._value(part, values) for part in (node.left, *node.comparators)]
            pairs = zip(node.ops, sides, sides[1:], strict=False)
            return all(_COMPARED[type(op)](left, right) for op, left, right in pairs)
        if isinstance(node, ast.List | ast.Tuple):
            return [self._value(part, values) for part in node.elts]
        assert isinstance(node, ast.Call)
        assert isinstance(node.func, ast.Name)
        return _FUNCTIONS[node.func.id](*(self._value(part, values) for part in node.args))

    def _excess(self, node: ast.expr, values: Mapping[str, Any], *, wanted: bool = True) -> float:
        """Return the excess of a part that should have a truth value; at most 0 if it has."""
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return self._excess(node.operand, values, wanted=not wanted)
        if isinstance(node, ast.BoolOp):
            found = [self._excess(part, values, wanted=wanted) for part in node.values]
            return max(found) if isinstance(node.op, ast.And) is wanted else min(found)
        if isinstance(node, ast.Compare):
            sides = [self._value(part, values) for part in (node.left, *node.comparators)]
            pairs = zip(node.ops, sides, sides[1:], strict=False)
            each = [_excess_of(op, left, right, wanted=wanted) for op, left, right in pairs]
            return max(each) if wanted else min(each)
        return 0.0 if bool(self._value(node, values)) is wanted else 1.0


def _excess_of(op: ast.cmpop, left: Any, right: Any, *, wanted: bool) -> float:
    """Return by how much a comparison misses its wanted truth value, relative to the larger side; at most 0 if not."""
    if _COMPARED[type(op)](left, right) is wanted:
        return 0.0
    if not all(isinstance(side, int | float) for side in (left, right)):
        return 1.0
    return float(abs(left - right) / max(abs(left), abs(right), SMALLEST))


def _is_negation(node: ast.expr) -> bool:
    return isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not)


def _is_function(node: ast.expr) -> bool:
    return isinstance(node, ast.Name) and node.id in _FUNCTIONS


def _needs_list(op: ast.cmpop, right: ast.expr) -> bool:
    return isinstance(op, ast.In | ast.NotIn) and not isinstance(right, ast.List | ast.Tuple)


def _name(node: ast.expr) -> str | None:
    """Return the dotted name of a node; None if it is none."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (inner := _name(node.value)) is not None:
        return f"{inner}.{node.attr}"
    return None
