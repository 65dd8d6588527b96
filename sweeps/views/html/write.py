"""Write the report of a sweep from its journal and its record."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from cifar_core.common.files import atomic_write
from sweeps.analysis.comparison import compare_rungs
from sweeps.analysis.effects import Effects, read_effects
from sweeps.analysis.rungs import Recipe, RungRuns, read_rungs
from sweeps.core.errors import RecordError, SweepError
from sweeps.search.state import SweepState, read_state
from sweeps.system.machine import machine_and_versions
from sweeps.views.html.content import Content
from sweeps.views.html.verdict import verdict_of
from sweeps.views.leaderboard import query_leaderboard

if TYPE_CHECKING:
    from sweeps.record.reader import RecordReader
    from sweeps.record.table import Row, Table


FileRecipes = Mapping[tuple[str, str | None], Recipe]
PAGE_START = b"<!doctype html>"


def report_path(runs: Path, sweep: str) -> Path:
    """Return the default path of a sweep's report."""
    return runs / "reports" / f"{sweep}.html"


def write_report(
    reader: RecordReader, *, sweep: str, runs: Path, out: Path | None = None, file_recipes: FileRecipes | None = None
) -> Path:
    """Write the report of a sweep or ladder atomically; return its path.

    The report is a single file that needs no network. If the record cannot be read, it shows the content of the journal
    and a note.

    Args:
        reader: reader of the record.
        sweep: name of the sweep or ladder.
        runs: the runs folder.
        out: path of the file; None for `report_path`.
        file_recipes: recipes of a ladder's file, as for `read_rungs`.

    Raises:
        NoSuchSweepError: no sweep has this name.
        DamagedJournalError: its journal cannot be read.
        SweepError: the file cannot be written.
    """
    from sweeps.views.html.template import page_of  # takes half a second

    path = report_path(runs, sweep) if out is None else out
    _check_writable(path)
    page = page_of(read_content(reader, read_state(runs, sweep), file_recipes=file_recipes))
    try:
        with atomic_write(path) as file:
            file.write(page.encode("utf-8", errors="replace"))
    except OSError as error:
        raise SweepError(f"{path} cannot be written ({error.strerror}). Name another file with --out") from None
    return path


def _check_writable(path: Path) -> None:
    """Raise if the file exists and is not an HTML page."""
    if not path.is_file():  # missing, or a pipe, which must not be read
        return
    try:
        with path.open("rb") as file:
            begins = file.read(len(PAGE_START))
    except FileNotFoundError:
        return
    except OSError as error:
        raise SweepError(f"{path} cannot be written ({error.strerror}). Name another file with --out") from None
    if begins and begins.lower() != PAGE_START:
        raise SweepError(f"{path} exists and is not an HTML page. Name another file with --out")


def read_content(
    reader: RecordReader, state: SweepState, *, file_recipes: FileRecipes | None = None, now: float | None = None
) -> Content:
    """Return the content of a report.

    Args:
        reader: reader of the record.
        state: from `read_state`.
        file_recipes: as for `write_report`.
        now: Unix time in seconds; None for the present.
    """
    rows: Sequence[Row] | None = None
    rungs: tuple[RungRuns, ...] = ()
    rows_error = ""
    is_ladder = any(record.rung is not None for record in state.records)
    try:
        if is_ladder:
            rungs = tuple(read_rungs(reader, sweep=state.sweep, file_recipes=file_recipes))
        else:
            rows = query_leaderboard(reader, sweep=state.sweep).rows
    except SweepError as error:
        if not isinstance(error, RecordError) and state.records:
            rows_error = f"none of its runs is recorded yet ({error})"
        else:
            rows_error = str(error)
    effects, effects_error = (None, "") if is_ladder else _effects(state)
    return Content(
        state=state,
        rows=rows,
        rows_error=rows_error,
        effects=effects,
        effects_error=effects_error,
        comparisons=tuple(compare_rungs(rungs)),
        rungs=rungs,
        environment=machine_and_versions(),
        now=time.time() if now is None else now,
    )


def verdict(sweep: str, board: Table, *, runs: Path) -> list[str]:
    """Return the verdict on a search as two paragraphs.

    Args:
        sweep: name of the sweep.
        board: its leaderboard, one row per configuration.
        runs: the runs folder.
    """
    state = read_state(runs, sweep)
    return verdict_of(Content(state=state, rows=board.rows, environment={}, now=time.time()))


def _effects(state: SweepState) -> tuple[Effects | None, str]:
    """Return the parameter effects, or the reason why there are none."""
    try:
        return read_effects(state.runs, state.sweep), ""
    except SweepError as error:
        return None, str(error)
