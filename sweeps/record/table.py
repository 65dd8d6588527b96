"""The record as one table: the form in which runs are read, ranked and shown."""

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
"""Name of a column to value; None where there is none."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """Rows under named columns."""

    columns: Mapping[str, Kind]
    """Those that are shown, in order, with what their values are. A row may hold more."""
    rows: Sequence[Row]
    rows_in_all: int = 0
    """How many rows there were before a limit."""
    how: tuple[str, ...] = ()
    """How its numbers were computed, in a sentence or two."""
    why_empty: str | None = None
    """What the columns of a filter hold that nothing matched."""

    def values(self, name: str) -> list[Any]:
        """Return the values of a column."""
        return [row[name] for row in self.rows]

    def frame(self) -> pd.DataFrame:
        """Return it for people who work with pandas: a missing value as pandas has it, a protocol in words."""
        import pandas as pd

        columns = {}
        for name, kind in self.columns.items():
            values = self.values(name)
            if kind is Kind.PROTOCOL:
                values = [None if value is None else str(value) for value in values]
            columns[name] = pd.Series(values, dtype=kind.dtype)
        return pd.DataFrame(columns, columns=list(self.columns))


def table_of(rows: Iterable[Mapping[str, Any]]) -> Table:
    """Return rows as the record's table: all its columns in order, a column's numbers of one kind."""
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
    """Return what a parameter's values are: numbers, or whatever else as it is."""
    types = {type(value) for value in values} - {type(None)}
    if not types or not types <= {int, float}:
        return Kind.TEXT
    return Kind.REAL if float in types else Kind.WHOLE


def _real(value: float | None) -> float | None:
    return None if value is None or value != value else float(value)


def _order_in_config(name: str) -> tuple[int, int, str]:
    """Order a dotted name as the configuration's own fields are, an unknown one after its block."""
    block, _, field = name.partition(".")
    blocks = IMAGES.config_type.model_fields
    if block not in blocks:
        return len(blocks), 0, name
    fields = list(getattr(blocks[block].annotation, "model_fields", ()))
    return list(blocks).index(block), fields.index(field) if field in fields else len(fields), name


def row_of(run: TrialRun) -> Row:
    """Return a trial's run as a row."""
    params = {name: parse_param(text) for name, text in run.params.items()}
    read = {name: column.read(run) for name, column in RECORD_COLUMNS.items() if column.read is not None}
    return {name: value for name, value in params.items() if name not in RECORD_COLUMNS} | read
