"""A table in each output format: complete in files, formatted on screens and pages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sweeps.core.errors import LeaderboardError
from sweeps.core.formatting import plural, print_sentence
from sweeps.core.trial import Outcome
from sweeps.record.columns import RECORD_COLUMNS
from sweeps.record.table import Table
from sweeps.views.by_value import by_value
from sweeps.views.columns import column_named
from sweeps.views.exports import csv_text, html_table, to_json, to_parquet, to_text
from sweeps.views.leaderboard import query_leaderboard
from sweeps.views.leaderboard_table import LEFT, board_cells, print_leaderboard, remarks
from sweeps.views.names import name_of_run
from sweeps.views.paper import PaperTable
from sweeps.views.paper_tables import board_table, versions_of
from sweeps.views.result_table import by_value_cells, print_cells, result_cells, result_remarks
from sweeps.views.tables import columns_that_fit, print_columns, screen_width

if TYPE_CHECKING:
    from rich.console import Console

    from sweeps.record.reader import RecordReader

TEXT_FORMATS = ("csv", "json", "md", "html", "latex")


class View:
    """View of a query result."""

    def __init__(self, table: Table) -> None:
        self.table = table

    def cells(self) -> tuple[dict[str, list[str]], set[str]]:
        """Return heading → formatted cells, and the headings of text columns."""
        return result_cells(self.table)

    def remarks(self) -> list[str]:
        """Return the remarks below the table."""
        return result_remarks(self.table, left_out=[])

    def show(self, console: Console) -> None:
        """Print the table as wide as the screen."""
        cells, left = self.cells()
        print_cells(self.table, cells, left, console)

    def text(self, format: str) -> str:
        """Return the table in one of `TEXT_FORMATS`."""
        if format == "csv":
            return csv_text(self.table)
        if format == "json":
            return to_json(self.table)
        cells, left = self.cells()
        if format == "html":
            return html_table(cells, left=sorted(left), remarks=self.remarks())
        return self.paper().text(format)

    def paper(self) -> PaperTable:
        """Return the table for a paper."""
        cells, left = self.cells()
        return PaperTable(
            name="leaderboard",
            caption="Query result",
            columns={heading: list(column) for heading, column in cells.items()},
            right=frozenset(cells.keys() - left),
            notes=tuple(self.remarks()),
        )

    def write(self, format: str, path: Path) -> None:
        """Write the table to a file in one of `TEXT_FORMATS`, or as `parquet`.

        Raises:
            LeaderboardError: the file cannot be written.
        """
        try:
            if path.is_dir():
                raise LeaderboardError(f"{path} is a folder. Name a file")
            if format == "parquet":
                to_parquet(self.table, path)
            else:
                to_text(self.text(format), path)
        except OSError as error:
            raise LeaderboardError(f"{path} cannot be written ({error.strerror or error})") from error


class BoardView(View):
    """The leaderboard: results, varying parameters, costs."""

    def __init__(self, table: Table, *, reader: RecordReader | None = None) -> None:
        """Create it.

        Args:
            table: From `query_leaderboard`.
            reader: Adds seeds and versions to the notes of a table for a paper.
        """
        super().__init__(table)
        self._reader = reader

    def paper(self) -> PaperTable:
        ranked = [row for row in self.table.rows if row["rank"] is not None]
        if self._reader is None or not ranked:
            return board_table(self.table)
        sweeps = {row["sweep"] for row in ranked}
        each_run = query_leaderboard(self._reader, sweep=sweeps.pop() if len(sweeps) == 1 else None, each_run=True)
        confirming = [row["seed"] for row in each_run.rows if row["confirmed"] and row["rank"] is not None]
        return board_table(self.table, seeds=confirming, versions=versions_of(self._reader, ranked[0]))

    def cells(self) -> tuple[dict[str, list[str]], set[str]]:
        return board_cells(self.table, self.table.rows), set(LEFT)

    def remarks(self) -> list[str]:
        rows = len(self.table.rows)
        hidden = max(rows, self.table.rows_in_all) - rows
        return remarks(self.table, shown=rows, hidden=hidden, left_out=[])

    def show(self, console: Console) -> None:
        print_leaderboard(self.table, console)


class CompactBoardView(BoardView):
    """The leaderboard in few columns: configurations, mean with interval, runs, varying parameters."""

    _LEFT_OUT = frozenset(
        {"expected_value", "val_std", "metric_std", "search_accuracy", "epochs", "train_seconds", "parameters_millions"}
    )
    _MAX_ROWS = 20

    def cells(self) -> tuple[dict[str, list[str]], set[str]]:
        cells, left = super().cells()
        hidden = {RECORD_COLUMNS[name].heading for name in self._LEFT_OUT}
        if set(cells["status"]) <= {Outcome.COMPLETE.value}:
            hidden.add("status")
        return {heading: column[: self._MAX_ROWS] for heading, column in cells.items() if heading not in hidden}, left

    def remarks(self) -> list[str]:
        hidden = len(self.table.rows) - self._MAX_ROWS
        more = [f"{plural(hidden, 'more row')}: see `leaderboard`"] if hidden > 0 else []
        return [*more, *self.table.notes]

    def show(self, console: Console) -> None:
        cells, left = self.cells()
        columns, _ = columns_that_fit(cells, width=screen_width(console), at_least=1)
        print_columns(columns, console, left=left)
        for line in self.remarks():
            print_sentence(console, line)

    def html(self, *, below: Sequence[str]) -> str:
        """Return the table as HTML, with further remarks below it."""
        cells, left = self.cells()
        return html_table(cells, left=sorted(left), remarks=[*self.remarks(), *below])


class ColumnsView(View):
    """Selected columns of the leaderboard."""

    def __init__(self, board: Table, names: Sequence[str]) -> None:
        """Select the columns.

        Raises:
            LeaderboardError: a column does not exist; names the closest ones.
        """
        chosen = list(dict.fromkeys(column_named(name, board.columns) for name in names))
        super().__init__(replace(board, columns={name: board.columns[name] for name in chosen}))

    def cells(self) -> tuple[dict[str, list[str]], set[str]]:
        named = [row | {"trial": name_of_run(row)} for row in self.table.rows]
        return result_cells(replace(self.table, rows=named), of_board=True)


class ByValueView(View):
    """Results by value of a column."""

    def __init__(self, board: Table, column: str) -> None:
        """Group the ranked rows by the column.

        Raises:
            LeaderboardError: the column does not exist, or no ranked row has a value of it.
        """
        super().__init__(by_value(board, column_named(column, board.columns)))

    def cells(self) -> tuple[dict[str, list[str]], set[str]]:
        return by_value_cells(self.table)
