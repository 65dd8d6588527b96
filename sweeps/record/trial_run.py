"""The one door from MLflow's runs to this project: a run is understood whole, once, or named and left out.

Tags and metrics are texts and numbers that people, and other tools, edit. Behind this door each has the type and the
range that its name promises.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.core.errors import RecordError
from sweeps.core.formatting import plural
from sweeps.core.results import Confusion, as_confusion
from sweeps.core.trial import FORMAT, MeasuredOn, Outcome, unsupported_format
from sweeps.record.mapping import (
    CONFIG,
    CONFUSION,
    FORMAT_TAG,
    METRICS,
    NOT_FINITE,
    VAL_CONFUSION,
    read_not_finite,
)
from sweeps.record.ownership import OWNER, Ownership
from sweeps.record.recorded_run import ALL, RecordedRun, RunStore, Wanted

_log = logging.getLogger(__name__)

_NAMED = 20
"""Runs that a reader names one by one; `sweeps doctor` names them all."""
_LATEST_MS = 253_402_300_799_000
"""The year 9999: no later time can be shown."""
_LARGEST = 1e300
"""MLflow stores infinity as 1.8e308; this project writes none."""
_OURS = frozenset({"key", "config_id", "study"})
"""Tags of a trial of which no other tool writes two."""


@dataclass(frozen=True, kw_only=True)
class TrialRun(RecordedRun):
    """A trial's run that was understood."""

    sweep: str
    study: str
    trial: int
    seed: int
    key: str
    outcome: Outcome
    epochs: int | None
    rung_index: int | None
    full_epochs: int | None
    full_train_images: int | None
    replicate_of: int | None
    confusion: Confusion | None
    val_confusion: Confusion | None
    not_finite: Mapping[tuple[str, int], float]


@dataclass(frozen=True, kw_only=True)
class UnreadableRun:
    """A trial's run that was not understood, and why."""

    run: RecordedRun
    what: str
    """`tag trial`, `metric val_accuracy`."""
    value: object
    """None where it is missing."""
    expected: str

    @property
    def is_of_a_tag(self) -> bool:
        """Whether the run is right again once its tags are."""
        return self.what.startswith("tag ")

    @property
    def is_of_other_format(self) -> bool:
        """Whether another version wrote it, or somebody has edited the tag that says which did."""
        return self.what == f"tag {FORMAT_TAG}"

    @property
    def advice(self) -> str:
        """What to do, in words."""
        mend = "`sweeps doctor --fix` writes it anew from the journal"
        return f"read it with the version that wrote it, or {mend}" if self.is_of_other_format else mend

    def __str__(self) -> str:
        said = "is missing" if self.value is None else f"is {_short(self.value)}, not {self.expected}"
        return f"run {self.run.run_id} ({self.run.name}): its {self.what} {said}"


def _whole(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,19}", text) or int(text) >= 2**63:
        raise ValueError
    return int(text)


def _text(text: str) -> str:
    if not text.strip():
        raise ValueError
    return text


def _object(text: str) -> dict[str, Any]:
    value = json.loads(text)
    if not isinstance(value, dict):
        raise ValueError
    return value


def _confusion(text: str) -> Confusion | None:
    rows = json.loads(text)
    if rows is not None and not all(
        len(row) == len(rows) and all(type(count) is int and count >= 0 for count in row) for row in rows
    ):
        raise ValueError
    return as_confusion(rows)


_TAGS: Mapping[str, tuple[Callable[[str], Any], str]] = {
    "sweep": (_text, "a name"),
    "study": (_text, "a name"),
    "trial": (_whole, "a whole number"),
    "seed": (_whole, "a whole number"),
    "key": (_text, "a key"),
    "outcome": (Outcome, f"one of {', '.join(Outcome)}"),
    "epochs_done": (_whole, "a whole number"),
    "rung_index": (_whole, "a whole number"),
    "full_epochs": (_whole, "a whole number"),
    "full_train_images": (_whole, "a whole number"),
    "replicate_of": (_whole, "a whole number"),
    "measured_on": (MeasuredOn, f"one of {', '.join(MeasuredOn)}"),
    CONFIG: (_object, "a configuration in JSON"),
    CONFUSION: (_confusion, "a square of whole numbers in JSON"),
    VAL_CONFUSION: (_confusion, "a square of whole numbers in JSON"),
    NOT_FINITE: (read_not_finite, "a list in JSON"),
}
"""The parser of each tag that a reader computes with, and its type in words. All others are texts."""

_NEEDED = ("sweep", "study", "trial", "seed", "key", "outcome")
_NEEDED_OF_A_RUNG = ("rung_index", "measured_on")

UNDERSTOOD = frozenset({FORMAT_TAG, "kind", "rung", "imported_from", OWNER, *_OURS, *_TAGS})
"""The tags by which a run is understood: to be read of each, whatever else is."""


def understand(run: RecordedRun) -> TrialRun | UnreadableRun | None:
    """Return a trial's run, or why it is none; None for a run that is no trial of this project."""
    tags = run.tags
    if tags.get("kind") != "trial":
        # What a crash left of an import has no kind, and is written anew by the next one.
        is_ours = len(tags.keys() & _OURS) > 1 and tags.get("kind") != "sweep" and "imported_from" not in tags
        return UnreadableRun(run=run, what="tag kind", value=tags.get("kind"), expected="trial") if is_ours else None
    if tags.get(FORMAT_TAG) != str(FORMAT):
        return UnreadableRun(run=run, what=f"tag {FORMAT_TAG}", value=tags.get(FORMAT_TAG), expected=str(FORMAT))
    values: dict[str, Any] = {}
    for name, (read, expected) in _TAGS.items():
        text = tags.get(name)
        if text is None:
            if name in _NEEDED or (name in _NEEDED_OF_A_RUNG and "rung" in tags):
                return UnreadableRun(run=run, what=f"tag {name}", value=None, expected=expected)
            continue
        try:
            values[name] = read(text)
        except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
            return UnreadableRun(run=run, what=f"tag {name}", value=text, expected=expected)
    for name, value in run.metrics.items():
        if fault := _metric_fault(name, value):
            return UnreadableRun(run=run, what=f"metric {name}", value=value, expected=fault)
    if not isinstance(run.start_ms, int) or not 0 <= run.start_ms <= _LATEST_MS:
        return UnreadableRun(run=run, what="start time", value=run.start_ms, expected="a time in milliseconds")
    epochs = run.metrics.get("epochs")
    return TrialRun(
        **{field.name: getattr(run, field.name) for field in dataclasses.fields(RecordedRun)},
        **{name: values[name] for name in _NEEDED},
        epochs=values.get("epochs_done", None if epochs is None else int(epochs)),
        rung_index=values.get("rung_index"),
        full_epochs=values.get("full_epochs"),
        full_train_images=values.get("full_train_images"),
        replicate_of=values.get("replicate_of"),
        confusion=values.get(CONFUSION),
        val_confusion=values.get(VAL_CONFUSION),
        not_finite=values.get(NOT_FINITE, {}),
    )


def _metric_fault(name: str, value: object) -> str | None:
    if name not in METRICS:
        return None  # a person's own metric
    if not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > _LARGEST:
        return "a finite number"
    if name.endswith("_accuracy") and not 0 <= value <= 1:
        return "between 0 and 1"
    return None


def sorted_runs(runs: Iterable[RecordedRun]) -> tuple[list[TrialRun], list[UnreadableRun]]:
    """Return the trials among runs, and those that are meant to be trials and cannot be understood."""
    trials: list[TrialRun] = []
    unreadable: list[UnreadableRun] = []
    for run in runs:
        found = understand(run)
        if isinstance(found, TrialRun):
            trials.append(found)
        elif found is not None:
            unreadable.append(found)
    return trials, unreadable


def read_trials(store: RunStore, *, sweep: str | None = None, wanted: Wanted = ALL) -> list[TrialRun]:
    """Return the trials of a store, of one sweep where it is named; what cannot be understood is named once.

    Raises:
        RecordError: the store cannot be read, or all that it holds of trials is of another format.
    """
    if wanted.tags is not None:
        wanted = dataclasses.replace(wanted, tags=wanted.tags | UNDERSTOOD)
    if sweep is None:
        runs = store.runs({}, wanted=wanted)
    else:
        runs = store.runs({"sweep": sweep}, wanted=wanted, or_without="sweep")
    trials, unreadable = sorted_runs(runs)
    require_format(trials, unreadable)
    for each in unreadable[:_NAMED]:
        _name(f"{each}; {each.advice}")
    if len(unreadable) > _NAMED:
        _name(f"{len(unreadable) - _NAMED} more runs that cannot be read; `sweeps doctor` names them all")
    return trials


def require_format(trials: Sequence[TrialRun], unreadable: Sequence[UnreadableRun]) -> None:
    """Refuse a record of which nothing can be read since another version wrote it.

    Raises:
        RecordError: says which format it has, and what to do.
    """
    others = [each for each in unreadable if each.is_of_other_format]
    if others and not trials:
        raise RecordError(unsupported_format(f"the record of {plural(len(others), 'trial')}", others[0].value))


def own_trials(runs: Path, store: RunStore, *, sweep: str | None = None, wanted: Wanted = ALL) -> list[TrialRun]:
    """Return what `read_trials` does, without another runs folder's trials of a sweep that is in this one too."""
    ownership = Ownership(runs)
    return [run for run in read_trials(store, sweep=sweep, wanted=wanted) if ownership.takes(run)]


@functools.lru_cache(maxsize=1024)
def _name(fault: str) -> None:
    """Say once in a process that a run is left out."""
    _log.warning("left out: %s", fault)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
