"""Functions that steer a sweep while it runs: add or skip a trial, change limits, pause and resume."""

from __future__ import annotations

import json
import re
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sweeps.core.commands import DEFAULT_RUNS, command_on
from sweeps.core.errors import NoSuchSweepError, SweepError
from sweeps.core.formatting import listed
from sweeps.core.identity import trial_name
from sweeps.core.steering import Command, Steering, Verb
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.store.folder import SweepFolder
from sweeps.views.printed import Printed

if TYPE_CHECKING:
    import optuna
    from rich.console import Console

WAIT_SECONDS = 2.0
"""How long a verb waits for the reply of the driver."""
_ASK_SECONDS = 0.1
_RUN = re.compile(r"(.+)[-/](\d+)(-s\d+)?")


@dataclass(frozen=True, kw_only=True, repr=False)
class SteeringReply(Printed):
    """What became of a command."""

    text: str
    """The reply in words."""
    state: Literal["applied", "waiting", "next start"]
    """`applied` by the driver, `waiting` for it, or left for the `next start`, because no driver runs."""
    values: Mapping[str, Any]
    """What was asked for: parameter or limit to value."""

    def print_to(self, console: Console) -> None:
        """Print the reply."""
        from sweeps.core.formatting import print_sentence

        print_sentence(console, self.text)


def add(
    sweep: str,
    values: Mapping[str, Any],
    *,
    rest: Literal["best", "sampler"] = "best",
    runs: str | Path = DEFAULT_RUNS,
) -> SteeringReply:
    """Try a configuration next in a search.

    Args:
        sweep: its name.
        values: parameter to value; a short name such as `lr` suffices where it is unambiguous.
        rest: where the other values come from: the best trial so far, or the sampler.
        runs: the runs folder.

    Raises:
        NoSuchSweepError: there is no sweep of this name.
        SweepError: a value is not in the space, the combination is not allowed, or a trial has it.

    Example:
        >>> sweeps.add("quick", {"lr": 0.05, "model": "resnet"})
    """
    from sweeps.files.asked import asked_point, named_parameters
    from sweeps.files.definition import space_of
    from sweeps.search.stored_trials import read_records
    from sweeps.tasks.values import value_text

    folder, study = _opened(sweep, Path(runs))
    _require_search(study, sweep, "has no search space. Write the configuration in its file as a rung")
    space = space_of(json.loads(study.user_attrs.get("definition", "{}")))
    if space is None:
        raise SweepError(f"the search space of {sweep} cannot be read, so nothing can be added to it")
    if not values:
        raise SweepError(f"name at least one value, such as {next(iter(space.parameters))}=VALUE")
    records = list(read_records(study, sweep=sweep))
    best = _best(records, study) if rest == "best" else None
    name = "" if best is None else trial_name(sweep, best.trial)
    config = None if best is None else best.config
    point = asked_point(named_parameters(values, space), space, rest=config, of=name)
    for record in records:
        if point.config is not None and record.config.is_same_run(point.config):
            raise SweepError(f"{trial_name(sweep, record.trial)} has this configuration: it is {record.outcome}.")
    reply = _send(folder, study, "add", values=json.loads(json.dumps(point.values)))
    shown = {path: value_text(value) for path, value in point.values.items()}
    texts = [f"{path} {text}" for path, text in shown.items() if path not in point.taken]
    others = [f"{path} {shown[path]}" for path in point.taken]
    more = f" From {name}, the best so far: {listed(others)}." if others else ""
    unset = space.unset(point.values)
    more += f" The sampler proposes {listed(unset)}." if unset else ""
    return replace(reply, text=f"{reply.text} It has {listed(texts)}.{more}", values=point.values)


def _best(records: list[TrialRecord], study: optuna.Study) -> TrialRecord | None:
    """Return the most promising trial so far; None if none has an epoch."""
    from sweeps.files.settings import Metric
    from sweeps.search.replicates import candidates_to_confirm

    goal = "maximize" if study.direction.name == "MAXIMIZE" else "minimize"
    metric = Metric.model_validate({"name": study.user_attrs.get("metric", "val_accuracy"), "goal": goal})
    unfinished = (Outcome.PAUSED, Outcome.INTERRUPTED)  # the latter also stands for a running one
    usable = [replace(each, outcome=Outcome.PRUNED) if each.outcome in unfinished else each for each in records]
    return next(iter(candidates_to_confirm(usable, metric=metric, top=1)), None)


def skip(run: str, *, undo: bool = False, runs: str | Path = DEFAULT_RUNS) -> SteeringReply:
    """End a trial of a search after its current epoch, so that it can continue later.

    Args:
        run: its name, such as `quick-007`.
        undo: continue it.
        runs: the runs folder.

    Raises:
        NoSuchSweepError: there is no sweep of this name.
        SweepError: it is not a trial of a search, or has ended.
    """
    match = _RUN.fullmatch(run)
    if match is None:
        raise SweepError(
            f"{run!r} is not a trial. Name one, such as quick-007: `{command_on('list', runs=Path(runs))}`"
        )
    sweep, trial = match[1], int(match[2])
    folder, study = _opened(sweep, Path(runs))
    _require_search(study, sweep, "measures each of its runs. Stop it with `sweeps stop`, and remove the rung")
    if match[3]:
        raise SweepError(
            f"{run} is a replicate, which confirms a configuration. Only trials of the search are skipped."
        )
    from sweeps.search.stored_trials import read_records

    records = {record.trial: record for record in read_records(study, sweep=sweep)}
    if trial not in records:
        last = max(records, default=None)
        known = "has no trial yet" if last is None else f"has the trials {min(records)} to {last}"
        raise SweepError(f"there is no trial {trial} in {sweep}, which {known}.")
    record = records[trial]
    if record.outcome.is_final and not record.skipped:
        what = "continue" if undo else "skip"
        raise SweepError(f"{trial_name(sweep, trial)} is {record.outcome}: there is nothing to {what}.")
    return _send(folder, study, "skip", values={"trial": trial, "undo": undo})


def set_limits(sweep: str, *, runs: str | Path = DEFAULT_RUNS, **limits: Any) -> SteeringReply:
    """Change limits of a sweep: `run_cap`, `max_concurrent_trials`, `timeout`, `budget`.

    Args:
        sweep: its name.
        runs: the runs folder.
        limits: limit to value; a time as `2h` or in seconds, and `timeout=None` for no limit.

    Raises:
        NoSuchSweepError: there is no sweep of this name.
        SweepError: a limit or a value is invalid.
    """
    from sweeps.files.asked import asked_limits

    folder, study = _opened(sweep, Path(runs))
    checked = asked_limits(limits)
    if not checked:
        raise SweepError("name at least one limit, such as run_cap=40")
    of_search = [name for name in checked if name in ("run_cap", "budget")]
    if of_search:
        _require_search(study, sweep, f"has no {of_search[0]}: its file lists its runs")
    return _send(folder, study, "set", values=checked)


def pause(sweep: str, *, runs: str | Path = DEFAULT_RUNS) -> SteeringReply:
    """Begin no new epoch of a sweep until it is resumed. Its driver waits.

    Args:
        sweep: its name.
        runs: the runs folder.

    Raises:
        NoSuchSweepError: there is no sweep of this name.
        SweepError: it is paused already.
    """
    return _send(*_opened(sweep, Path(runs)), "pause")


def resume(sweep: str, *, runs: str | Path = DEFAULT_RUNS) -> SteeringReply:
    """Continue a sweep that was paused.

    Args:
        sweep: its name.
        runs: the runs folder.

    Raises:
        NoSuchSweepError: there is no sweep of this name.
        SweepError: it is not paused.
    """
    return _send(*_opened(sweep, Path(runs)), "resume")


def _opened(sweep: str, runs: Path) -> tuple[SweepFolder, optuna.Study]:
    """Return the folder of a sweep and the study of its search, for reading."""
    from sweeps.search.opening import read_study

    folder = SweepFolder(runs.resolve(), sweep)
    if not folder.exists:
        raise NoSuchSweepError.under(runs, sweep)
    return folder, read_study(folder)


def _require_search(study: optuna.Study, sweep: str, why: str) -> None:
    definition = json.loads(study.user_attrs.get("definition", "{}"))
    if "kind" in definition:
        kind = "ladder" if definition["kind"] == "ladder" else "list of retrained runs"
        raise SweepError(f"{sweep} is a {kind}, which {why}.")


def _send(
    folder: SweepFolder, study: optuna.Study, verb: Verb, *, values: Mapping[str, Any] | None = None
) -> SteeringReply:
    """Store a command, wait for the reply of the driver, and return it.

    Raises:
        SweepError: the command cannot be stored, or the driver has refused it.
    """
    from sweeps.core.identity import replicate_study_name
    from sweeps.search.stored_trials import name_in_record
    from sweeps.store.command_queue import command_queue

    driver = folder.driver()
    trains = driver is not None and driver.get("doing", "run") == "run"
    of_replicates = trains and driver is not None and driver.get("part") == "replicates"
    name = name_in_record(study)
    if of_replicates and verb not in ("add", "skip"):
        name = replicate_study_name(name)
    elif verb in ("pause", "resume") and not trains:
        _require_change(study, folder, pauses=verb == "pause")
    command = Command(id=secrets.token_hex(8), verb=verb, study=name, given=time.time(), values=values or {})
    stored = {key: getattr(command, key) for key in ("id", "verb", "study", "given", "values")}
    command_queue(folder).append(stored)
    given = command.values
    if not trains or (of_replicates and verb in ("add", "skip")):
        state = "is not running" if not trains else "trains its replicates now"
        start = "The next start of its search" if of_replicates else "Its next start"
        return SteeringReply(
            text=f"Saved. {folder.sweep} {state}. {start} applies it.", state="next start", values=given
        )
    found = _wait(lambda: _published(folder, command.id))
    if found is None:
        text = (
            f"Saved. The driver of {folder.sweep} has not answered within {WAIT_SECONDS:.0f} s: it starts, ends, or is "
            f"busy. It applies the command then, else the next start does: see `{_status(folder)}`."
        )
        return SteeringReply(text=text, state="waiting", values=given)
    is_refused, text = found
    if is_refused:
        raise SweepError(text)
    return SteeringReply(text=text, state="applied", values=given)


def _require_change(study: optuna.Study, folder: SweepFolder, *, pauses: bool) -> None:
    if Steering(study.user_attrs).is_paused == pauses:
        state = "paused already" if pauses else "not paused"
        raise SweepError(f"{folder.sweep} is {state}. It is not running: see `{_status(folder)}`.")


def _status(folder: SweepFolder) -> str:
    return command_on("status", folder.sweep, runs=folder.runs)


def _published(folder: SweepFolder, command: str) -> tuple[bool, str] | None:
    driver = folder.driver()
    replies = json.loads(str((driver or {}).get("replies", "{}")))
    if command not in replies:
        return None
    is_refused, text = replies[command]
    return bool(is_refused), str(text)


def _wait(ask: Callable[[], tuple[bool, str] | None]) -> tuple[bool, str] | None:
    ends = time.monotonic() + WAIT_SECONDS
    while (found := ask()) is None and time.monotonic() < ends:
        time.sleep(_ASK_SECONDS)
    return found
