"""Convert tables of the record to Arrow for DuckDB, and query results back to tables."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sweeps.record.columns import Kind
from sweeps.record.table import Table
from sweeps.views.names import NAME_COLUMNS, name_of_run

if TYPE_CHECKING:
    import pyarrow as pa


def arrow_of(table: Table) -> pa.Table:
    """Return an Arrow table for DuckDB: `model.name` becomes the field `name` of the struct `model`.

    Missing values become NULL, times become timestamps. A column with text and numbers becomes text. `trial` is the
    name of the run, `number` the number of the trial.
    """
    import pyarrow as pa

    columns: dict[str, pa.Array] = {}
    for name, kind in table.columns.items():
        column = _column(table.values(name), kind)
        # In a query result `trial` may already be the name.
        if name == "trial" and kind is Kind.INTEGER and all(row.keys() >= NAME_COLUMNS for row in table.rows[:1]):
            columns |= {"trial": pa.array(map(name_of_run, table.rows), pa.string()), "number": column}
        else:
            columns[name] = column
    return pa.table(_nested(columns))


def _nested(columns: Mapping[str, pa.Array]) -> dict[str, pa.Array]:
    """Return the columns of each block as one struct. They stay dotted if a column has the name of the block."""
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
    """Return a table with the fields of structs as dotted columns: `model.name`."""
    import pyarrow as pa

    while any(pa.types.is_struct(kind) for kind in table.schema.types):
        table = table.flatten()
    return table


def _column(values: Sequence[Any], kind: Kind) -> pa.Array:
    import pyarrow as pa

    types = {Kind.INTEGER: pa.int64(), Kind.REAL: pa.float64(), Kind.BOOLEAN: pa.bool_()}
    if kind in types:
        return pa.array(values, types[kind])
    if kind is Kind.TIME:
        return pa.array(values, pa.string()).cast(pa.timestamp("us", tz="UTC"))
    found = {type(value) for value in values} - {type(None)}
    if found <= {bool} or found <= {str}:
        # No value in any row: NULL, which compares with everything.
        return pa.array(values)
    return pa.array([None if value is None else _as_text(value) for value in values], pa.string())


def _as_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def table_of_result(result: pa.Table) -> Table:
    """Return a query result: times in the format of the record, structs as dotted columns."""
    result = flat(result)
    names = _unique_names(name.replace("count_star()", "count(*)") for name in result.column_names)
    kinds, columns = zip(*map(_kind_and_values, result.columns), strict=True)
    rows = [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]
    return Table(columns=dict(zip(names, kinds, strict=True)), rows=rows)


def _unique_names(names: Iterable[str]) -> list[str]:
    """Return the names with suffixes for duplicates: `trial`, `trial_1`."""
    found: list[str] = []
    for name in names:
        numbered = (f"{name}_{number}" for number in itertools.count(1))
        found.append(name if name not in found else next(other for other in numbered if other not in found))
    return found


def _kind_and_values(column: pa.ChunkedArray) -> tuple[Kind, list[Any]]:
    import pyarrow as pa

    kind, values = column.type, column.to_pylist()
    if pa.types.is_integer(kind):
        return Kind.INTEGER, column.cast(pa.int64(), safe=False).to_pylist()
    # DuckDB sums integers as 128 bits; most sums fit into 64.
    if pa.types.is_decimal(kind) and kind.scale == 0 and all(abs(value or 0) < 2**63 for value in values):
        return Kind.INTEGER, [None if value is None else int(value) for value in values]
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        reals = column.cast(pa.float64()).to_pylist()
        return Kind.REAL, [None if value != value else value for value in reals]
    if pa.types.is_timestamp(kind):
        return Kind.TIME if kind.tz else Kind.TEXT, [None if value is None else _time(value) for value in values]
    return Kind.TEXT, values


def _time(moment: Any) -> str:
    text: str = moment.isoformat(timespec="microseconds" if moment.microsecond else "seconds")
    return text.replace("+00:00", "Z")
