"""The record's tables as Arrow for DuckDB, and an answer as a table of the same kinds of columns."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sweeps.views.names import trial_names

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

TIMES = ("started", "finished")
"""Columns that the record holds as text of ISO 8601 in UTC, and SQL as times."""


def arrow_of(frame: pd.DataFrame) -> pa.Table:
    """Return a table of the record's columns for DuckDB: `model.name` is the field `name` of the struct `model`.

    A missing value is NULL, a text that is a time is one. A column holds one kind of value: one with text and numbers
    in it becomes text. `trial` is what people call the run, `number` the trial's number.
    """
    import pyarrow as pa

    columns: dict[str, pa.Array] = {}
    for name in frame:
        if name == "trial":
            columns |= {"trial": pa.array(trial_names(frame), pa.string()), "number": _column(frame[name])}
        else:
            columns[str(name)] = _column(frame[name])
    return pa.table(_nested(columns))


def _nested(columns: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
    """Return columns with those of a block as one struct. Where the block has a value of its own they stay dotted."""
    import pyarrow as pa

    blocks: dict[str, dict[str, pa.Array]] = {}
    found: dict[str, pa.Array] = {}
    for name, column in columns.items():
        block, dot, field = name.partition(".")
        if dot and block not in columns:
            found.setdefault(block)
            blocks.setdefault(block, {})[field] = column
        else:
            found[name] = column
    for block, fields in blocks.items():
        inside = _nested(fields)
        found[block] = pa.StructArray.from_arrays(list(inside.values()), names=list(inside))
    return found


def flat(table: pa.Table) -> pa.Table:
    """Return a table with the fields of a struct as columns of their own: `model.name`."""
    import pyarrow as pa

    while any(pa.types.is_struct(kind) for kind in table.schema.types):
        table = table.flatten()
    return table


def _column(values: pd.Series) -> pa.Array:
    import pyarrow as pa

    if values.dtype != "object" and values.name not in TIMES:
        return pa.array(values, from_pandas=True)
    cells = [None if _is_missing(cell) else cell for cell in values]
    if values.name in TIMES:
        return pa.array(cells, type=pa.string()).cast(pa.timestamp("us", tz="UTC"))
    kinds = {type(cell) for cell in cells} - {type(None)}
    if kinds <= {bool} or kinds <= {str}:
        # No value in any row: NULL, which compares with everything.
        return pa.array(cells)
    if kinds <= {int, float}:
        return pa.array(cells, type=pa.float64())
    return pa.array([cell if isinstance(cell, str) or cell is None else _as_text(cell) for cell in cells], pa.string())


def _as_text(cell: Any) -> str:
    return str(cell).lower() if isinstance(cell, bool) else str(cell)


def _is_missing(cell: Any) -> bool:
    import pandas as pd

    return cell is None or cell is pd.NA or cell != cell


def frame_of_answer(table: pa.Table) -> pd.DataFrame:
    """Return an answer: whole numbers as `Int64`, times as the record writes them, structs as dotted columns."""
    import pandas as pd

    table = flat(table)
    names = _unlike(name.replace("count_star()", "count(*)") for name in table.column_names)
    series = [_series(table.column(index)) for index in range(table.num_columns)]
    frame = pd.concat(series, axis=1) if series else pd.DataFrame()
    frame.columns = pd.Index(names)
    return frame


def _unlike(names: Iterable[str]) -> list[str]:
    """Return names of which none stands twice: `trial`, `trial_1`."""
    found: list[str] = []
    for name in names:
        numbered = (f"{name}_{number}" for number in itertools.count(1))
        found.append(name if name not in found else next(other for other in numbered if other not in found))
    return found


def _series(column: pa.ChunkedArray) -> pd.Series:
    import pandas as pd
    import pyarrow as pa

    kind = column.type
    if pa.types.is_integer(kind):
        return pd.Series(column.cast(pa.int64(), safe=False).to_pandas(types_mapper={pa.int64(): pd.Int64Dtype()}.get))
    if pa.types.is_decimal(kind) and kind.scale == 0:
        # DuckDB adds whole numbers up as 128 bits; few sums need more than 64.
        if any(cell is not None and abs(cell) >= 2**63 for cell in column.to_pylist()):
            return pd.Series(column.cast(pa.float64()).to_pandas())
        return pd.Series([None if cell is None else int(cell) for cell in column.to_pylist()], dtype="Int64")
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return pd.Series(column.cast(pa.float64()).to_pandas())
    if pa.types.is_timestamp(kind):
        return pd.Series([None if cell is None else _time(cell) for cell in column.to_pylist()], dtype="object")
    return pd.Series(column.to_pylist(), dtype="object")


def _time(moment: Any) -> str:
    text: str = moment.isoformat(timespec="microseconds" if moment.microsecond else "seconds")
    return text.replace("+00:00", "Z")
