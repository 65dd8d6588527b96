"""What a name means, the same in every verb: a configuration with all its runs, or one run.

`quick-017`, `quick/17` and `ladder/deep` are configurations, `quick` is the best one of a sweep; `quick-017-s1`,
`ladder/deep-s1` and the beginning of a run id or a key are runs. A name that has two meanings has none; `small-001/` is
the sweep `small-001`, and `small/1` the trial.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sweeps.analysis.ranking import rank_configurations
from sweeps.core.errors import SweepError
from sweeps.core.formatting import plural
from sweeps.core.identity import replicate_group, trial_name
from sweeps.core.trial import Outcome
from sweeps.record.table import Row, Table

if TYPE_CHECKING:
    from sweeps.record.reader import RecordReader

_RUN_ID_CHARACTERS = 8
"""Characters of a run id that tables and messages show."""
_MIN_RUN_ID_CHARACTERS = 4
"""Characters of a run id, or of a key, from which on it names a run."""
_MAX_LISTED_RUNS = 5
"""Runs that a message lists."""


@dataclass(frozen=True, kw_only=True)
class NamedRuns:
    """What a name stands for."""

    name: str
    """What people call it: `quick-017`, `ladder/deep`; of a run `quick-017-s1`."""
    rows: tuple[Row, ...]
    """Rows of the record: the runs that confirm it first, then what else is complete, then the others."""
    own: Row
    """The row that says what is trained: the search's own, of a rung that of its first seed."""

    @property
    def confirming(self) -> list[Row]:
        """Its complete runs under seeds that its search did not look at."""
        return [row for row in self.rows if confirms(row, self.rows) and row["status"] == Outcome.COMPLETE]

    @property
    def row(self) -> Row:
        """The run that stands for it: whose weights are used, and which is trained again."""
        return self.rows[0]

    def run_name(self, row: Row) -> str:
        """Return the name of one of its runs, which finds it again in every verb."""
        if len(self.rows) == 1:
            return self.name
        of_seed = [each for each in self.rows if each["seed"] == row["seed"]]
        return f"{self.name}-s{row['seed']}" if of_seed[0] is row else str(row["run_id"][:_RUN_ID_CHARACTERS])


def find_named(reader: RecordReader, name: str) -> NamedRuns:
    """Return what a name stands for.

    Args:
        reader: of the record.
        name: as above. Of a rung that ran under several budgets the full one, of one that was edited the newest.

    Raises:
        SweepError: nothing, or more than one thing, is called so; says which, and what to type.
    """
    if (sweep := named_sweep(reader, name)) is not None:
        return _best_of(reader.runs(sweep=sweep), sweep)
    found = _find_in_sweeps(reader, name)
    if not found:
        rows = reader.runs().rows
        found = [*_rungs(rows, name)] or [*_refuse_number(rows, name)] or [*_by_id(rows, name)]
        if not found:
            raise SweepError(_unknown_name(rows, name))
    if len(found) > 1:
        each = ", ".join(
            f"{named.name} (run {named.row['run_id'][:_RUN_ID_CHARACTERS]})" for named in found[:_MAX_LISTED_RUNS]
        )
        raise SweepError(f"{name!r} may be any of {each}: name one of them, or the beginning of its run id")
    return found[0]


def named_sweep(reader: RecordReader, name: str, *, sweeps: Sequence[str] = ()) -> str | None:
    """Return the sweep that a name means, `quick` or `quick/`; None where it means none.

    Args:
        reader: of the record.
        name: as it was typed.
        sweeps: those that are known besides the recorded ones.

    Raises:
        SweepError: without the slash it also means a trial of another sweep; says what to type for each.
    """
    sweep = name.removesuffix("/")
    if sweep not in sweeps and not reader.runs(sweep=sweep).rows:
        return None
    for named in _find_in_sweeps(reader, name):
        own = named.own
        raise SweepError(
            f"{name!r} is a sweep, and also trial {own['trial']} of {own['sweep']}: type {_with_slash(named)} for that "
            f"trial, or {name}/ for the sweep"
        )
    return sweep


def _find_in_sweeps(reader: RecordReader, name: str) -> list[NamedRuns]:
    """Return what a name means that begins with its sweep's. What other sweeps hold is not read."""
    return [
        named
        for sweep, part in _split_name(name)
        for named in _find_in_sweep(reader.runs(sweep=sweep).rows, sweep, part)
    ]


def _split_name(name: str) -> list[tuple[str, str]]:
    """Return the sweeps that a name may begin with, each with what stands behind it: `quick-003`, `quick/3-s1`."""
    numbered = re.fullmatch(r"(.+)-(\d+(?:-s\d+)?)", name)
    sweep, _, part = name.partition("/")
    found = [(sweep, part)] if sweep and part else []
    return [*found, (numbered[1], numbered[2])] if numbered and "/" not in name else found


def _find_in_sweep(rows: Sequence[Row], sweep: str, part: str) -> Iterator[NamedRuns]:
    """Yield what a part of a sweep's name means: a rung, a trial, or one of them under a seed."""
    rungs = [row for row in rows if row["rung"] is not None]
    seeded = re.fullmatch(r"(.+)-s(\d+)", part)
    if any(row["rung"] == part for row in rungs):
        yield _rung(rungs, sweep, part)
    elif seeded and any(row["rung"] == seeded[1] for row in rungs):
        yield from _run_of(_rung(rungs, sweep, seeded[1]), seed=int(seeded[2]))
    elif number := re.fullmatch(r"0*(\d+)(?:-s(\d+))?", part):
        own = [row for row in rows if row["trial"] == int(number[1])]
        for row in _one_per_configuration(own):
            named = _configuration(rows, row)
            yield from [named] if number[2] is None else _run_of(named, seed=int(number[2]))


def _rung(rungs: Sequence[Row], sweep: str, name: str) -> NamedRuns:
    """Return a rung's configuration: of those with a result that under the full budget, of these the newest."""
    rows = [row for row in rungs if row["rung"] == name]
    complete = [row for row in rows if row["status"] == Outcome.COMPLETE] or rows
    full = [row for row in complete if row["reduced"] is None] or complete
    newest = max(full, key=lambda row: (row["started"], row["trial"]))
    return _configuration(rows, newest, name=f"{sweep}/{name}")


def _configuration(rows: Sequence[Row], own: Row, *, name: str | None = None) -> NamedRuns:
    """Return the configuration of a run, with all its runs in the sweep."""
    same = [row for row in rows if group_of(row) == group_of(own)]

    def order(row: Row) -> tuple[Any, ...]:
        is_own = row["trial"] == own["trial"] and row["rung"] is None
        is_taken = row["reused_from"] is not None
        return row["status"] != Outcome.COMPLETE, not confirms(row, same), not is_own, row["seed"], is_taken

    ordered = tuple(sorted(same, key=order))
    searched = (row for row in same if row["replicate_of"] is None and row["trial"] == own["trial"])
    first = next(searched, own)
    if first["rung"] is not None:
        first = min(ordered, key=lambda row: (row["status"] != Outcome.COMPLETE, row["seed"]))
    return NamedRuns(name=name or name_of_run(first | {"replicate_of": None}), rows=ordered, own=first)


def confirms(row: Row, rows: Sequence[Row]) -> bool:
    """Return whether a run confirms its configuration, given all its runs.

    A seed that the search looked at was chosen for its luck, and confirms nothing, however long it was trained.
    """
    search_seeds = {each["seed"] for each in rows if each["replicate_of"] is None}
    return row["replicate_of"] is not None and row["seed"] not in search_seeds


def _run_of(named: NamedRuns, *, seed: int) -> Iterator[NamedRuns]:
    """Yield a configuration's run under a seed, the one that came furthest."""
    for row in [row for row in named.rows if row["seed"] == seed][:1]:
        yield NamedRuns(name=f"{named.name}-s{seed}", rows=(row,), own=row)


def _best_of(recorded: Table, sweep: str) -> NamedRuns:
    """Return the best configuration of a sweep."""
    best = rank_configurations(recorded).rows[0]
    row = next(row for row in recorded.rows if row["run_id"] == best["run_id"])
    named = _configuration(recorded.rows, row)
    if best["rank"] is None and best["status"] != Outcome.COMPLETE:
        raise SweepError(
            f"no run of {sweep} has a rank (yet): `sweeps leaderboard {sweep}` lists them, name one of them, such as "
            f"{named.name}"
        )
    if row["rung"] is not None and best["val_accuracy"] is None:
        raise SweepError(
            f"{sweep} is ordered by its test accuracy, and nothing is chosen by that: name one of its runs, such as "
            f"{named.name}"
        )
    return named


def _with_slash(named: NamedRuns) -> str:
    if named.own["rung"] is not None:
        return named.name
    seed = re.search(r"-s\d+$", named.name)
    return f"{named.own['sweep']}/{named.own['trial']}{seed[0] if seed else ''}"


def _rungs(rows: Sequence[Row], name: str) -> Iterator[NamedRuns]:
    """Yield the rungs of all ladders that are called so."""
    for sweep in dict.fromkeys(row["sweep"] for row in rows if row["rung"] is not None):
        of_sweep = [row for row in rows if row["sweep"] == sweep and row["rung"] is not None]
        seeded = re.fullmatch(r"(.+)-s\d+", name)
        if any(row["rung"] in (name, seeded and seeded[1]) for row in of_sweep):
            yield from _find_in_sweep(of_sweep, sweep, name)


def _refuse_number(rows: Sequence[Row], name: str) -> Iterator[NamedRuns]:
    """Refuse a bare number that trials have: it may be the beginning of a run id by chance."""
    if not name.isdigit() or len(name) >= _RUN_ID_CHARACTERS:
        return
    meant = [name_of_run(row) for row in rows if row["trial"] == int(name) and row["replicate_of"] is None]
    meant = list(dict.fromkeys(meant))
    if meant:
        raise SweepError(
            f"{name} is a number that a trial of every sweep has: name it with its sweep: {' or '.join(meant[:3])}?"
        )
    yield from ()


def _by_id(rows: Sequence[Row], name: str) -> Iterator[NamedRuns]:
    """Yield the runs whose id, or key, begins so.

    Raises:
        SweepError: there are some, and it is too short to mean one of them.
    """
    found = [row for row in rows if name and row["run_id"].startswith(name)]
    if not found:
        # Of one result that several sweeps list the run that was trained, of one that was stopped its full length.
        same = [row for row in rows if name and row["key"].startswith(name)]
        same.sort(key=lambda row: (row["reused_from"] is not None, row["status"] != Outcome.COMPLETE))
        found = list({row["key"]: row for row in reversed(same)}.values())
    if found and len(name) < _MIN_RUN_ID_CHARACTERS:
        ids = ", ".join(
            f"{row['run_id'][:_RUN_ID_CHARACTERS]} ({name_of_run(row)})" for row in found[:_MAX_LISTED_RUNS]
        )
        more = f" and {len(found) - _MAX_LISTED_RUNS} more" if len(found) > _MAX_LISTED_RUNS else ""
        raise SweepError(
            f"{name!r} is too short for a run id: type at least {_MIN_RUN_ID_CHARACTERS} characters of one; "
            f"{plural(len(found), 'run')} begin{'s' if len(found) == 1 else ''} so: {ids}{more}"
        )
    for row in found:
        yield NamedRuns(name=name_of_run(row), rows=(row,), own=row)


def _unknown_name(rows: Sequence[Row], name: str) -> str:
    names = list(dict.fromkeys(name_of_run(row) for row in rows))
    sweeps = list(dict.fromkeys(row["sweep"] for row in rows))
    numbers = [f"{row['sweep']}/{row['trial']}" for row in rows if row["rung"] is None]
    near = difflib.get_close_matches(name, [*names, *numbers, *sweeps], n=3)
    hint = f"did you mean {' or '.join(near)}? " if near else ""
    return f"no run {name!r}: {hint}`sweeps leaderboard` lists them; name one as SWEEP/TRIAL, such as quick/3"


def _one_per_configuration(rows: Sequence[Row]) -> list[Row]:
    """Return one row of each configuration, the search's own before a replicate of it."""
    own_first = sorted(rows, key=lambda row: row["replicate_of"] is not None)
    return list({group_of(row): row for row in reversed(own_first)}.values())


def group_of(row: Row) -> tuple[str, str]:
    """Return what the runs of one configuration have in common."""
    return replicate_group(config_id=row["config_id"], source=row["source"])


def name_of_run(row: Row) -> str:
    """Return what people call a run, as tables show it: `quick-003`, `quick-003-s1` of a replicate, `ladder/deep`."""
    seed = None if row["replicate_of"] is None else row["seed"]
    return trial_name(row["sweep"], row["trial"], replicate_seed=seed, rung=row["rung"])


NAME_COLUMNS = frozenset({"sweep", "rung", "trial", "replicate_of", "seed"})
"""The columns that `name_of_run` reads."""
