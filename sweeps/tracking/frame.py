"""The record as one table: its columns, a row from a run, numbers as numbers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from cifar_core.config import TrainingConfig
from sweeps.tracking.columns import COLUMNS, LAST_COLUMNS, RECORD_COLUMNS
from sweeps.tracking.mapping import parse_param
from sweeps.tracking.trial_run import TrialRun

if TYPE_CHECKING:
    import pandas as pd


def frame_of(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Return rows as the record's table: all its columns in order, numbers as numbers."""
    import pandas as pd

    rows = list(rows)
    configuration = sorted({name for row in rows for name in row} - RECORD_COLUMNS.keys(), key=_order_in_config)
    names = [*COLUMNS, *configuration, *LAST_COLUMNS]
    columns = {name: _series(name, [row.get(name) for row in rows]) for name in names}
    return pd.DataFrame(columns, columns=names)


def _series(name: str, values: list[Any]) -> pd.Series:
    import pandas as pd

    if name in RECORD_COLUMNS:
        return pd.Series(values, dtype=RECORD_COLUMNS[name].kind.dtype)
    if not _are_numbers(values):
        return pd.Series(values, dtype="object")
    whole = all(isinstance(value, int) for value in values if value is not None)
    return pd.Series(values, dtype="Int64" if whole else "float64")


def _are_numbers(values: list[Any]) -> bool:
    present = [value for value in values if value is not None]
    return bool(present) and all(isinstance(value, int | float) and not isinstance(value, bool) for value in present)


def _order_in_config(name: str) -> tuple[int, int, str]:
    """Order a dotted name as the configuration's own fields are, an unknown one after its block."""
    block, _, field = name.partition(".")
    blocks = TrainingConfig.model_fields
    if block not in blocks:
        return len(blocks), 0, name
    fields = list(getattr(blocks[block].annotation, "model_fields", ()))
    return list(blocks).index(block), fields.index(field) if field in fields else len(fields), name


def row_of(run: TrialRun) -> dict[str, Any]:
    """Return a trial's run as a row."""
    params = {name: parse_param(text) for name, text in run.params.items()}
    read = {name: column.read(run) for name, column in RECORD_COLUMNS.items() if column.read is not None}
    return {name: value for name, value in params.items() if name not in RECORD_COLUMNS} | read
