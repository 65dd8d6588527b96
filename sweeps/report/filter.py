"""The filter language of the leaderboard: comparisons over columns, and nothing that can run code.

`model.width > 8 and val_accuracy >= 0.6 and model.name in ['resnet', 'vgg']`

An expression is read into tokens, its columns are replaced by placeholders, and Python's parser builds the
tree; only the node types named here are computed. Nothing is ever handed to `eval`.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from sweeps.errors import LeaderboardError
from sweeps.formatting import is_accuracy
from sweeps.report.columns import column_named

if TYPE_CHECKING:
    import pandas as pd


MAX_LENGTH = 2000
"""Python's parser recurses; an expression that a person wrote is far shorter."""

_TOKEN = re.compile(
    r"""
      (?P<space>\s+)
    | (?P<text>'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*")
    | (?P<ticked>`[^`\n]+`)
    | (?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?(?![\w.]))
    | (?P<name>[^\W\d]\w*(?:\.\w+)*)
    | (?P<operator>==|!=|<>|<=|>=|&&|\|\||[=<>()\[\],+\-*/&|!~])
    """,
    re.VERBOSE,
)

_ESCAPE, _UNESCAPED = r"\\(.)", r"\1"
_WORDS = {"and", "or", "not", "in", "is"}
_CONSTANTS = {"true": "True", "false": "False", "none": "None", "null": "None"}
_OPERATORS = {
    "=": "==",
    "<>": "!=",
    "&": " and ",
    "&&": " and ",
    "|": " or ",
    "||": " or ",
    "~": " not ",
    "!": " not ",
}

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Is: operator.eq,
    ast.IsNot: operator.ne,
}
_ARITHMETIC: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}


def translate(expression: str, *, columns: Iterable[str]) -> tuple[str, dict[str, str]]:
    """Return the expression with each column as a placeholder, and placeholder to column.

    Raises:
        LeaderboardError: on a character or a column that is not known.
    """
    columns = list(columns)
    if len(expression) > MAX_LENGTH:
        raise LeaderboardError(f"the filter has {len(expression)} characters; at most {MAX_LENGTH}")
    parts: list[str] = []
    names: dict[str, str] = {}
    position = 0
    while position < len(expression):
        token = _TOKEN.match(expression, position)
        if token is None:
            raise LeaderboardError(
                f"cannot read {expression[position]!r} at character {position + 1} of {expression!r}: {_HELP}"
            )
        kind, text = str(token.lastgroup), token.group()
        position = token.end()
        if kind == "operator":
            parts.append(_OPERATORS.get(text, text))
        elif kind == "name" and text not in columns and text.lower() in _WORDS:
            parts.append(f" {text.lower()} ")
        elif kind == "name" and text not in columns and text.lower() in _CONSTANTS:
            parts.append(_CONSTANTS[text.lower()])
        elif kind in ("ticked", "name"):
            name = text.strip("`")
            column = column_named(name, columns, note=f" (a text is written in quotes: '{name}')")
            parts.append(f" {names.setdefault(column, f'column_{len(names)}')} ")
        elif kind == "text":
            parts.append(f" {re.sub(_ESCAPE, _UNESCAPED, text[1:-1])!r} ")
        else:
            parts.append(" " if kind == "space" else text)
    return "".join(parts).strip(), {placeholder: name for name, placeholder in names.items()}


def matching(frame: pd.DataFrame, expression: str) -> pd.Series:
    """Return one truth value a row: whether the expression holds. A missing value equals nothing but `none`.

    Raises:
        LeaderboardError: where the expression cannot be understood, or compares text with numbers.
    """
    import pandas as pd

    source, names = translate(expression, columns=frame.columns)
    try:
        tree = ast.parse(source, mode="eval").body
        result = _Evaluation(frame, expression=expression, names=names).value(tree)
    except (SyntaxError, ValueError, MemoryError, RecursionError) as error:
        raise LeaderboardError(f"cannot understand {expression!r}: {_HELP}") from error
    if not (isinstance(result, pd.Series) and _is_truth(result)):
        raise LeaderboardError(f"{expression!r} compares no column with anything: {_HELP}")
    return result.fillna(False).astype(bool)


def why_nothing(frame: pd.DataFrame, expression: str) -> str:
    """Return what the columns of a filter hold, for a filter that nothing matches."""
    _, names = translate(expression, columns=frame.columns)
    said = [_content(frame[column].dropna(), column) for column in dict.fromkeys(names.values())]
    return f"no row matches {expression!r}; " + "; ".join(said)


def _content(values: pd.Series, column: str) -> str:
    if values.empty:
        return f"{column} has no value in any row"
    if not _is_number(values):
        texts = sorted({str(value) for value in values})
        shown = ", ".join(texts[:MAX_VALUES]) + (", …" if len(texts) > MAX_VALUES else "")
        return f"{column} is one of {shown}"
    unit = " (a share: 0.6 is 60 %)" if is_accuracy(column) else ""
    return f"{column} is from {values.min():.6g} to {values.max():.6g}{unit}"


MAX_VALUES = 8
"""Different texts of a column that are named."""

_HELP = "write comparisons of columns, as in \"model.width > 8 and model.name in ['resnet', 'vgg']\""


class _Evaluation:
    """One pass over the tree of one expression."""

    def __init__(self, frame: pd.DataFrame, *, expression: str, names: dict[str, str]) -> None:
        self._frame = frame
        self._expression = expression
        self._names = names

    def value(self, node: ast.expr) -> Any:
        match node:
            case ast.BoolOp(op=ast.And(), values=values):
                return self._combined(values, operator.and_)
            case ast.BoolOp(op=ast.Or(), values=values):
                return self._combined(values, operator.or_)
            case ast.UnaryOp(op=ast.Not(), operand=operand):
                return ~self._truth(operand)
            case ast.UnaryOp(op=ast.USub(), operand=operand):
                return -self._number(operand)
            case ast.UnaryOp(op=ast.UAdd(), operand=operand):
                return self._number(operand)
            case ast.BinOp(left=left, op=op, right=right) if type(op) in _ARITHMETIC:
                return self._arithmetic(op, self._number(left), self._number(right))
            case ast.Compare(left=left, ops=ops, comparators=comparators):
                return self._compared(left, ops, comparators)
            case ast.Constant(value=bool() | int() | float() | str() | None as constant):
                return constant
            case ast.Name(id=placeholder) if placeholder in self._names:
                return self._frame[self._names[placeholder]]
            case _:
                raise self._refusal(f"{type(node).__name__.lower()} is not allowed")

    def _combined(self, nodes: list[ast.expr], combine: Callable[[Any, Any], Any]) -> pd.Series:
        result = self._truth(nodes[0])
        for node in nodes[1:]:
            result = combine(result, self._truth(node))
        return result

    def _truth(self, node: ast.expr) -> pd.Series:
        import pandas as pd

        value = self.value(node)
        if not (isinstance(value, pd.Series) and _is_truth(value)):
            raise self._refusal("`and`, `or` and `not` stand between comparisons")
        return value.fillna(False).astype(bool)

    def _number(self, node: ast.expr) -> Any:
        value = self.value(node)
        if not _is_number(value):
            raise self._refusal("only numbers can be calculated with")
        return value

    def _arithmetic(self, op: ast.operator, left: Any, right: Any) -> Any:
        try:
            return _ARITHMETIC[type(op)](left, right)
        except (ZeroDivisionError, OverflowError) as error:
            raise self._refusal(str(error)) from error

    def _compared(self, left: ast.expr, ops: list[ast.cmpop], comparators: list[ast.expr]) -> pd.Series:
        result: pd.Series | None = None
        for op, right in zip(ops, comparators, strict=True):
            if isinstance(op, ast.In | ast.NotIn):
                step = self._membership(left, right, negated=isinstance(op, ast.NotIn))
            else:
                step = self._comparison(self.value(left), op, self.value(right))
            result = step if result is None else result & step
            left = right
        assert result is not None, "a comparison has at least one operator"
        return result

    def _membership(self, left: ast.expr, right: ast.expr, *, negated: bool) -> pd.Series:
        if not isinstance(right, ast.List | ast.Tuple) or not right.elts:
            raise self._refusal("`in` wants a list in brackets: model.name in ['resnet', 'vgg']")
        value = self.value(left)
        found = self._comparison(value, ast.Eq(), self.value(right.elts[0]))
        for item in right.elts[1:]:
            found = found | self._comparison(value, ast.Eq(), self.value(item))
        return ~found if negated else found

    def _comparison(self, left: Any, op: ast.cmpop, right: Any) -> pd.Series:
        import pandas as pd

        if not isinstance(left, pd.Series) and not isinstance(right, pd.Series):
            raise self._refusal("a comparison needs a column on one side")
        if left is None or right is None:
            column = right if left is None else left
            if not isinstance(op, ast.Eq | ast.NotEq | ast.Is | ast.IsNot):
                raise self._refusal("none is neither more nor less than anything")
            missing: pd.Series = column.isna()
            return missing if isinstance(op, ast.Eq | ast.Is) else ~missing
        lefts, rights = _kinds(left), _kinds(right)
        if lefts and rights and not lefts & rights:
            kinds = f"{' or '.join(sorted(lefts))} with {' or '.join(sorted(rights))}"
            raise self._refusal(f"cannot compare {kinds}: text is written in quotes")
        return _cell_by_cell(left, right, _COMPARISONS[type(op)], index=self._frame.index)

    def _refusal(self, reason: str) -> LeaderboardError:
        return LeaderboardError(f"in the filter {self._expression!r}: {reason}; {_HELP}")


def _cell_by_cell(left: Any, right: Any, compare: Callable[[Any, Any], Any], *, index: pd.Index) -> pd.Series:
    """Compare with one rule for missing cells, which pandas' several kinds of columns do not share."""
    import pandas as pd

    lefts = left if isinstance(left, pd.Series) else [left] * len(index)
    rights = right if isinstance(right, pd.Series) else [right] * len(index)
    cells = [
        compare is operator.ne if pd.isna(one) or pd.isna(two) or _kind(one) != _kind(two) else bool(compare(one, two))
        for one, two in zip(lefts, rights, strict=True)
    ]
    return pd.Series(cells, index=index, dtype=bool)


def _kinds(value: Any) -> set[str]:
    """Return what a column or a constant holds; nothing for a column without values."""
    import pandas as pd

    return {_kind(cell) for cell in (value.dropna() if isinstance(value, pd.Series) else [value])}


def _kind(cell: Any) -> str:
    if isinstance(cell, str):
        return "text"
    return "truth value" if isinstance(cell, bool | np.bool_) else "number"


def _is_number(value: Any) -> bool:
    return value is not None and _kinds(value) <= {"number"}


def _is_truth(value: pd.Series) -> bool:
    return _kinds(value) <= {"truth value"}
