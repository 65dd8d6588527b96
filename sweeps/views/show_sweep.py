"""Print a sweep in a few lines: search space, status, best trial."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.core.errors import SweepError
from sweeps.core.formatting import print_sentence
from sweeps.files.parameter import Parameter
from sweeps.files.space import SearchSpace
from sweeps.search.opening import read_studies
from sweeps.search.state import SweepState, read_state
from sweeps.store.folder import SweepFolder
from sweeps.tasks.registry import task_named
from sweeps.tasks.values import value_text
from sweeps.views.status import headline
from sweeps.views.tables import print_space

if TYPE_CHECKING:
    from rich.console import Console

    from sweeps.record.reader import MlflowReader

_PARAMETERS, _BASE = "parameters.", "base."


def print_sweep(sweep: str, reader: MlflowReader, console: Console, *, runs: Path) -> None:
    """Print the status, search space, best configuration and file of a sweep.

    Raises:
        NoSuchSweepError: no sweep has this name.
        DamagedJournalError: its journal cannot be read.
    """
    state = read_state(runs, sweep)
    definition = json.loads(read_studies(SweepFolder(runs, sweep)).search.user_attrs.get("definition", "{}"))
    print_sentence(console, headline(state))
    for sentence in state.steering:
        print_sentence(console, f"{sweep}: {sentence}")
    fixed = {path.removeprefix(_BASE): value for path, value in definition.items() if path.startswith(_BASE)}
    if fixed:
        print_sentence(console, "fixed: " + ", ".join(f"{path} {value_text(value)}" for path, value in fixed.items()))
    rungs = list(dict.fromkeys(record.rung.name for record in state.records if record.rung is not None))
    if rungs:
        print_sentence(console, f"rungs: {', '.join(rungs)}")
    searched = {path.removeprefix(_PARAMETERS): p for path, p in definition.items() if path.startswith(_PARAMETERS)}
    if searched:
        print_space(_space(searched, fixed), console)
        _print_best(state, list(searched), console)
    _print_file(sweep, reader, console)
    print_sentence(console, f"see also: `sweeps leaderboard {sweep}`, `sweeps status {sweep}`, `sweeps report {sweep}`")


def _print_file(sweep: str, reader: MlflowReader, console: Console) -> None:
    try:
        content = reader.file_of(sweep)
    except SweepError as error:  # the rest comes from the journal
        print_sentence(console, f"the file of the sweep cannot be read from the record: {error}")
        return
    if content is not None:
        print_sentence(console, "file of the last run:")
        console.print(content.rstrip("\n"), markup=False, highlight=False, soft_wrap=True)


def _space(searched: dict[str, Any], fixed: dict[str, Any]) -> SearchSpace:
    base: dict[str, Any] = {}
    for path, value in fixed.items():
        block = base
        *parents, last = path.split(".")
        for parent in parents:
            block = block.setdefault(parent, {})
        block[last] = value
    parameters = {path: Parameter.model_validate(each) for path, each in searched.items()}
    return SearchSpace(parameters=parameters, base=base, task=task_named(base.get("train")))


def _print_best(state: SweepState, paths: list[str], console: Console) -> None:
    best = state.best()
    if best is not None:
        values = best.config.dotted()
        settings = ", ".join(f"{path} {value_text(values[path])}" for path in paths if values.get(path) is not None)
        print_sentence(console, f"best in the search: {best.name} ({settings})")
