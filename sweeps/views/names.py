"""Resolve a name to a configuration with all its runs, or to one run; the same in all verbs.

`quick-017`, `quick/17` and `ladder/deep` are configurations, and `quick` is the best one of a sweep. `quick-017-s1`,
`ladder/deep-s1` and the start of a run id or a key are runs. An ambiguous name is an error: `small-001/` is the sweep
`small-001`, `small/1` the trial.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sweeps.analysis.ranking import rank_configurations
from sweeps.core.errors import OTHER_FOLDER, SweepError, did_you_mean
from sweeps.core.formatting import plural
from sweeps.core.identity import replicate_group, trial_name
from sweeps.core.trial import Outcome
from sweeps.record.table import Row, Table

if TYPE_CHECKING:
    from sweeps.record.reader import RecordReader

_RUN_ID_CHARACTERS = 8
"""Shown characters of a run id."""
_MIN_RUN_ID_CHARACTERS = 4
"""Fewest characters of a run id or key that name a run."""
_MAX_LISTED_RUNS = 5
"""Runs listed in a message."""


@dataclass(frozen=True, kw_only=True)
class NamedRuns:
    """The runs that a name refers to."""

    name: str
    """Canonical name: `quick-017`, `ladder/deep`, or `quick-017-s1` for a run."""
    rows: tuple[Row, ...]
    """Rows of the record: confirming runs first, then other complete runs, then the rest."""
    defining_row: Row
    """Row with the configuration: the trial of the search, or the first seed of a rung."""

    @property
    def confirming(self) -> list[Row]:
        """Complete runs under seeds that the search did not use."""
        return [row for row in self.rows if confirms(row, self.rows) and row["status"] == Outcome.COMPLETE]

    @property
    def row(self) -> Row:
        """Representative run, whose weights are used and which is trained again."""
        return self.rows[0]

    def run_name(self, row: Row) -> str:
        """Return the name of one of its runs, which every verb accepts."""
        if len(self.rows) == 1:
            return self.name
        of_seed = [each for each in self.rows if each["seed"] == row["seed"]]
        return f"{self.name}-s{row['seed']}" if of_seed[0] is row else str(row["run_id"][:_RUN_ID_CHARACTERS])


def find_named(reader: RecordReader, name: str) -> NamedRuns:
    """Return the runs that a name refers to.

    Args:
        reader: reader of the record.
        name: see the module. A rung refers to the full budget if there are several, and to its newest configuration.

    Raises:
        SweepError: the name is unknown or ambiguous.
    """
    if (sweep := named_sweep(reader, name)) is not None:
        return _best_of(reader.runs(sweep=sweep), sweep)
    found = _find_in_sweeps(reader, name)
    if not found:
        rows = reader.runs().rows
        found = [*_rungs(rows, name)] or [*_refuse_number(rows, name)] or [*_by_id(rows, name)]
        if not found:
            raise SweepError(_unknown_name(rows, name, location=reader.location))
    if len(found) > 1:
        each = ", ".join(
            f"{named.name} (run {named.row['run_id'][:_RUN_ID_CHARACTERS]})" for named in found[:_MAX_LISTED_RUNS]
        )
        raise SweepError(f"{name!r} is ambiguous: {each}. Name one of them, or type the start of its run id")
    return found[0]


def named_sweep(reader: RecordReader, name: str, *, sweeps: Sequence[str] = ()) -> str | None:
    """Return the sweep that `quick` or `quick/` refers to; None if it is not a sweep.

    Args:
        reader: reader of the record.
        name: as typed.
        sweeps: known sweeps in addition to the recorded ones.

    Raises:
        SweepError: the name without the slash is also a trial of another sweep.
    """
    sweep = name.removesuffix("/")
    if sweep not in sweeps and not reader.runs(sweep=sweep).rows:
        return None
    for named in _find_in_sweeps(reader, name):
        row = named.defining_row
        raise SweepError(
            f"{name!r} is a sweep and also trial {row['trial']} of {row['sweep']}. Type {name}/ for the sweep or "
            f"{_with_slash(named)} for the trial"
        )
    return sweep


def _find_in_sweeps(reader: RecordReader, name: str) -> list[NamedRuns]:
    """Return the matches of a name that starts with that of its sweep. Other sweeps are not read."""
    return [
        named
        for sweep, part in _split_name(name)
        for named in _find_in_sweep(reader.runs(sweep=sweep).rows, sweep, part)
    ]


def _split_name(name: str) -> list[tuple[str, str]]:
    """Return the possible splits of a name into a sweep and the rest: `quick-003`, `quick/3-s1`."""
    numbered = re.fullmatch(r"(.+)-(\d+(?:-s\d+)?)", name)
    sweep, _, part = name.partition("/")
    found = [(sweep, part)] if sweep and part else []
    return [*found, (numbered[1], numbered[2])] if numbered and "/" not in name else found


def _find_in_sweep(rows: Sequence[Row], sweep: str, part: str) -> Iterator[NamedRuns]:
    """Yield the rung or trial of a sweep that matches, or its run under a seed."""
    rungs = [row for row in rows if row["rung"] is not None]
    seeded = re.fullmatch(r"(.+)-s(\d+)", part)
    if any(row["rung"] == part for row in rungs):
        yield _rung(rungs, sweep, part)
    elif seeded and any(row["rung"] == seeded[1] for row in rungs):
        yield from _run_of(_rung(rungs, sweep, seeded[1]), seed=int(seeded[2]))
    elif number := re.fullmatch(r"0*(\d+)(?:-s(\d+))?", part):
        of_trial = [row for row in rows if row["trial"] == int(number[1])]
        for row in _one_per_configuration(of_trial):
            named = _configuration(rows, row)
            yield from [named] if number[2] is None else _run_of(named, seed=int(number[2]))


def _rung(rungs: Sequence[Row], sweep: str, name: str) -> NamedRuns:
    """Return the configuration of a rung, preferring runs with a result, then the full budget, then the newest."""
    rows = [row for row in rungs if row["rung"] == name]
    complete = [row for row in rows if row["status"] == Outcome.COMPLETE] or rows
    full = [row for row in complete if row["reduced"] is None] or complete
    newest = max(full, key=lambda row: (row["started"], row["trial"]))
    return _configuration(rows, newest, name=f"{sweep}/{name}")


def _configuration(rows: Sequence[Row], run: Row, *, name: str | None = None) -> NamedRuns:
    """Return the configuration of a run, with all its runs in the sweep."""
    same = [row for row in rows if group_of(row) == group_of(run)]

    def order(row: Row) -> tuple[Any, ...]:
        is_same_trial = row["trial"] == run["trial"] and row["rung"] is None
        is_reused = row["reused_from"] is not None
        return row["status"] != Outcome.COMPLETE, not confirms(row, same), not is_same_trial, row["seed"], is_reused

    ordered = tuple(sorted(same, key=order))
    searched = (row for row in same if row["replicate_of"] is None and row["trial"] == run["trial"])
    first = next(searched, run)
    if first["rung"] is not None:
        first = min(ordered, key=lambda row: (row["status"] != Outcome.COMPLETE, row["seed"]))
    return NamedRuns(name=name or name_of_run(first | {"replicate_of": None}), rows=ordered, defining_row=first)


def confirms(row: Row, rows: Sequence[Row]) -> bool:
    """Return whether a run confirms its configuration, given all runs of that.

    A seed of the search does not: the selection biases its result.
    """
    search_seeds = {each["seed"] for each in rows if each["replicate_of"] is None}
    return row["replicate_of"] is not None and row["seed"] not in search_seeds


def _run_of(named: NamedRuns, *, seed: int) -> Iterator[NamedRuns]:
    """Yield the best run of a configuration under a seed, in the order of `NamedRuns.rows`."""
    for row in [row for row in named.rows if row["seed"] == seed][:1]:
        yield NamedRuns(name=f"{named.name}-s{seed}", rows=(row,), defining_row=row)


def _best_of(recorded: Table, sweep: str) -> NamedRuns:
    """Return the best configuration of a sweep.

    Raises:
        SweepError: no run has a rank, or the ranks are by test accuracy.
    """
    best = rank_configurations(recorded).rows[0]
    row = next(row for row in recorded.rows if row["run_id"] == best["run_id"])
    named = _configuration(recorded.rows, row)
    if best["rank"] is None and best["status"] != Outcome.COMPLETE:
        raise SweepError(
            f"no run of {sweep} has a rank yet. Name one of its runs, such as {named.name} (`sweeps leaderboard "
            f"{sweep}` lists them)"
        )
    if row["rung"] is not None and best["val_accuracy"] is None:
        raise SweepError(
            f"{sweep} is ordered by test accuracy, which must not select a run. Name one of its runs, such as "
            f"{named.name}"
        )
    return named


def _with_slash(named: NamedRuns) -> str:
    if named.defining_row["rung"] is not None:
        return named.name
    seed = re.search(r"-s\d+$", named.name)
    return f"{named.defining_row['sweep']}/{named.defining_row['trial']}{seed[0] if seed else ''}"


def _rungs(rows: Sequence[Row], name: str) -> Iterator[NamedRuns]:
    """Yield the rungs of all ladders with this name."""
    for sweep in dict.fromkeys(row["sweep"] for row in rows if row["rung"] is not None):
        of_sweep = [row for row in rows if row["sweep"] == sweep and row["rung"] is not None]
        seeded = re.fullmatch(r"(.+)-s\d+", name)
        if any(row["rung"] in (name, seeded and seeded[1]) for row in of_sweep):
            yield from _find_in_sweep(of_sweep, sweep, name)


def _refuse_number(rows: Sequence[Row], name: str) -> Iterator[NamedRuns]:
    """Yield nothing.

    Raises:
        SweepError: the name is the number of a trial, which might match a run id by chance.
    """
    if not name.isdigit() or len(name) >= _RUN_ID_CHARACTERS:
        return
    trials = [name_of_run(row) for row in rows if row["trial"] == int(name) and row["replicate_of"] is None]
    trials = list(dict.fromkeys(trials))
    if trials:
        raise SweepError(f"{name} is a trial number. Name the trial with its sweep: {' or '.join(trials[:3])}")
    yield from ()


def _by_id(rows: Sequence[Row], name: str) -> Iterator[NamedRuns]:
    """Yield the runs whose id or key starts with the name.

    Raises:
        SweepError: there are some, but the name is too short.
    """
    found = [row for row in rows if name and row["run_id"].startswith(name)]
    if not found:
        # Of runs with the same key, prefer the trained one over reused ones, and complete ones over stopped ones.
        same = [row for row in rows if name and row["key"].startswith(name)]
        same.sort(key=lambda row: (row["reused_from"] is not None, row["status"] != Outcome.COMPLETE))
        found = list({row["key"]: row for row in reversed(same)}.values())
    if found and len(name) < _MIN_RUN_ID_CHARACTERS:
        ids = ", ".join(
            f"{row['run_id'][:_RUN_ID_CHARACTERS]} ({name_of_run(row)})" for row in found[:_MAX_LISTED_RUNS]
        )
        more = f" and {len(found) - _MAX_LISTED_RUNS} more" if len(found) > _MAX_LISTED_RUNS else ""
        raise SweepError(
            f"{name!r} is too short for a run id. Type at least {_MIN_RUN_ID_CHARACTERS} characters. "
            f"{plural(len(found), 'run')} start{'s' if len(found) == 1 else ''} with it: {ids}{more}"
        )
    for row in found:
        yield NamedRuns(name=name_of_run(row), rows=(row,), defining_row=row)


def _unknown_name(rows: Sequence[Row], name: str, *, location: str) -> str:
    if not rows:
        return f"no run {name!r}: the record at {location} has no runs. {OTHER_FOLDER}"
    names = list(dict.fromkeys(name_of_run(row) for row in rows))
    sweeps = list(dict.fromkeys(row["sweep"] for row in rows))
    numbers = [f"{row['sweep']}/{row['trial']}" for row in rows if row["rung"] is None]
    hint = did_you_mean(name, [*sweeps, *names, *numbers])
    return (
        f"no run {name!r} in the record at {location}.{hint} Name a run as SWEEP/NUMBER, such as "
        f"{[*numbers, *names][0]}. `sweeps leaderboard` lists the runs."
    )


def _one_per_configuration(rows: Sequence[Row]) -> list[Row]:
    """Return one row per configuration, preferring trials of the search over replicates."""
    searched_first = sorted(rows, key=lambda row: row["replicate_of"] is not None)
    return list({group_of(row): row for row in reversed(searched_first)}.values())


def group_of(row: Row) -> tuple[str, str]:
    """Return the key shared by the runs of one configuration."""
    return replicate_group(config_id=row["config_id"], source=row["source"])


def name_of_run(row: Row) -> str:
    """Return the name of a run in tables: `quick-003`, `quick-003-s1` for a replicate, `ladder/deep`."""
    seed = None if row["replicate_of"] is None else row["seed"]
    return trial_name(row["sweep"], row["trial"], replicate_seed=seed, rung=row["rung"])


NAME_COLUMNS = frozenset({"sweep", "rung", "trial", "replicate_of", "seed"})
"""Columns that `name_of_run` reads."""
