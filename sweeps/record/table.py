"""The record as one table, used for reading, ranking and display."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sweeps.record.columns import COLUMNS, LAST_COLUMNS, RECORD_COLUMNS, Kind
from sweeps.record.mapping import parse_param
from sweeps.record.trial_run import TrialRun
from sweeps.tasks.registry import IMAGES

if TYPE_CHECKING:
    import pandas as pd

Row = dict[str, Any]
"""Column name → value; None if it is missing."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under named columns."""

    columns: Mapping[str, Kind]
    """Displayed columns in order, with their kinds. A row may have more."""
    rows: Sequence[Row]
    rows_in_all: int = 0
    """Number of rows before a limit was applied."""
    how: tuple[str, ...] = ()
    """Sentences on how the numbers were computed."""
    notes: tuple[str, ...] = ()
    """Remarks on the runs behind the rows."""
    why_empty: str | None = None
    """Values in the columns of a filter that matched nothing."""

    def values(self, name: str) -> list[Any]:
        """Return the values of a column."""
        return [row[name] for row in self.rows]

    def frame(self) -> pd.DataFrame:
        """Return a data frame, with pandas' missing values and protocols as text."""
        import pandas as pd

        columns = {}
        for name, kind in self.columns.items():
            values = self.values(name)
            if kind is Kind.PROTOCOL:
                values = [None if value is None else str(value) for value in values]
            columns[name] = pd.Series(values, dtype=kind.dtype)
        return pd.DataFrame(columns, columns=list(self.columns))


def table_of(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Return rows as a table with all columns of the record in order, each with numbers of one kind."""
    rows = list(rows)
    configuration = sorted({name for row in rows for name in row} - RECORD_COLUMNS.keys(), key=_order_in_config)
    kinds: dict[str, Kind] = {}
    columns = []
    for name in (*COLUMNS, *configuration, *LAST_COLUMNS):
        values = [row.get(name) for row in rows]
        kinds[name] = RECORD_COLUMNS[name].kind if name in RECORD_COLUMNS else _kind_of(values)
        columns.append([*map(_real, values)] if kinds[name] is Kind.REAL else values)
    return Table(columns=kinds, rows=[dict(zip(kinds, cells, strict=True)) for cells in zip(*columns, strict=True)])


def _kind_of(values: Iterable[Any]) -> Kind:
    """Return the kind of a parameter's values: a number kind if all are numbers, else text."""
    types = {type(value) for value in values} - {type(None)}
    if not types or not types <= {int, float}:
        return Kind.TEXT
    return Kind.REAL if float in types else Kind.INTEGER


def _real(value: float | None) -> float | None:
    return None if value is None or value != value else float(value)


def _order_in_config(name: str) -> tuple[int, int, str]:
    """Return the sort key of a dotted name: the order of the configuration's fields, unknown names last."""
    block, _, field = name.partition(".")
    blocks = IMAGES.config_type.model_fields
    if block not in blocks:
        return len(blocks), 0, name
    fields = list(getattr(blocks[block].annotation, "model_fields", ()))
    return list(blocks).index(block), fields.index(field) if field in fields else len(fields), name


def row_of(run: TrialRun) -> Row:
    """Convert a trial's run to a row."""
    params = {name: parse_param(text) for name, text in run.params.items()}
    read = {name: column.read(run) for name, column in RECORD_COLUMNS.items() if column.read is not None}
    return {name: value for name, value in params.items() if name not in RECORD_COLUMNS} | read
