"""A sweep's page from its journal and its record."""

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
    """Return where a sweep's page lies unless another file is named."""
    return runs / "reports" / f"{sweep}.html"


def write_report(
    reader: RecordReader, *, sweep: str, runs: Path, out: Path | None = None, meant: FileRecipes | None = None
) -> Path:
    """Write a sweep's or a ladder's page, whole or not at all; return its path.

    The page is one file that needs nothing beside it and asks nothing of any network. Where the record cannot be read,
    it shows what the journal holds, and says so.

    Args:
        reader: of the record.
        sweep: its name.
        runs: the runs folder.
        out: the file; None takes `report_path`.
        meant: of a ladder: what its file means by each rung; see `read_rungs`.

    Raises:
        NoSuchSweepError: there is none of this name.
        DamagedJournalError: its journal holds nothing that can be read.
        SweepError: the file cannot be written.
    """
    from sweeps.views.html.template import page_of  # which imports what draws charts: half a second

    path = report_path(runs, sweep) if out is None else out
    _check_writable(path)
    page = page_of(read_content(reader, read_state(runs, sweep), meant=meant))
    try:
        with atomic_write(path) as file:
            file.write(page.encode("utf-8", errors="replace"))
    except OSError as error:
        raise SweepError(f"{path} cannot be written ({error.strerror}): name another file with --out") from None
    return path


def _check_writable(path: Path) -> None:
    """Refuse to replace what is no page: a name may have been mistyped."""
    if not path.is_file():  # nothing, or a pipe, which may be waited for in vain
        return
    try:
        with path.open("rb") as file:
            begins = file.read(len(PAGE_START))
    except FileNotFoundError:
        return
    except OSError as error:
        raise SweepError(f"{path} cannot be written ({error.strerror}): name another file with --out") from None
    if begins and begins.lower() != PAGE_START:
        raise SweepError(f"{path} is there and is no HTML page: name another file with --out")


def read_content(
    reader: RecordReader, state: SweepState, *, meant: FileRecipes | None = None, now: float | None = None
) -> Content:
    """Return what a page says of a sweep: its state, its leaderboard, what helped, or a ladder's steps.

    Args:
        reader: of the record.
        state: from `read_state`.
        meant: as for `write_report`.
        now: Unix time in seconds; None takes the clock's.
    """
    rows: Sequence[Row] | None = None
    rungs: tuple[RungRuns, ...] = ()
    why = ""
    is_ladder = any(record.rung is not None for record in state.records)
    try:
        if is_ladder:
            rungs = tuple(read_rungs(reader, sweep=state.sweep, meant=meant))
        else:
            rows = query_leaderboard(reader, sweep=state.sweep).rows
    except SweepError as error:
        if not isinstance(error, RecordError) and state.records:
            why = f"no run of it is in the record yet ({error})"
        else:
            why = str(error)
    effects, effects_error = (None, "") if is_ladder else _effects(state)
    return Content(
        state=state,
        rows=rows,
        rows_error=why,
        effects=effects,
        effects_error=effects_error,
        comparisons=tuple(compare_rungs(rungs)),
        rungs=rungs,
        environment=machine_and_versions(),
        now=time.time() if now is None else now,
    )


def verdict(sweep: str, board: Table, *, runs: Path) -> list[str]:
    """Return what won a search and how sure that is, and how it was found: two sentences.

    Args:
        sweep: its name.
        board: its leaderboard, a row a configuration.
        runs: the runs folder.
    """
    state = read_state(runs, sweep)
    return verdict_of(Content(state=state, rows=board.rows, environment={}, now=time.time()))


def _effects(state: SweepState) -> tuple[Effects | None, str]:
    """Return what helped, or why it is not known."""
    try:
        return read_effects(state.runs, state.sweep), ""
    except SweepError as error:
        return None, str(error)
