"""Parsing and validation of trials' runs from MLflow; an invalid run is reported and left out.

Users and other tools can edit tags and metrics. After parsing, each has its type and range.
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
from sweeps.record.recorded_run import ALL_FIELDS, RecordedRun, RunFields, RunStore

_log = logging.getLogger(__name__)

_MAX_LISTED = 20
"""Maximum number of invalid runs in warnings; `sweeps doctor` lists them all."""
_LATEST_MS = 253_402_300_799_000
"""The year 9999, the latest time that can be displayed."""
_LARGEST = 1e300
"""MLflow stores infinity as 1.8e308, which this project does not write."""
_OURS = frozenset({"key", "config_id", "study"})
"""Tags of a trial; a run with two of them was written by this project."""


@dataclass(frozen=True, kw_only=True)
class TrialRun(RecordedRun):
    """A valid run of a trial."""

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
    """An invalid run of a trial."""

    run: RecordedRun
    field: str
    """`tag trial`, `metric val_accuracy`."""
    value: object
    """None if it is missing."""
    expected: str

    @property
    def is_tag(self) -> bool:
        """Whether the invalid field is a tag, so that rewriting the tags repairs the run."""
        return self.field.startswith("tag ")

    @property
    def has_other_format(self) -> bool:
        """Whether another version wrote the run, or the format tag was edited."""
        return self.field == f"tag {FORMAT_TAG}"

    @property
    def advice(self) -> str:
        """What to do, as a sentence."""
        repair = "`sweeps doctor --fix` to rewrite it from the journal."
        return f"Read it with the version that wrote it, or run {repair}" if self.has_other_format else f"Run {repair}"

    def __str__(self) -> str:
        problem = "is missing" if self.value is None else f"is {_short(self.value)}, not {self.expected}"
        return f"run {self.run.run_id} ({self.run.name}): its {self.field} {problem}"


def _integer(text: str) -> int:
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
    "trial": (_integer, "an integer"),
    "seed": (_integer, "an integer"),
    "key": (_text, "a key"),
    "outcome": (Outcome, f"one of {', '.join(Outcome)}"),
    "epochs_done": (_integer, "an integer"),
    "rung_index": (_integer, "an integer"),
    "full_epochs": (_integer, "an integer"),
    "full_train_images": (_integer, "an integer"),
    "replicate_of": (_integer, "an integer"),
    "measured_on": (MeasuredOn, f"one of {', '.join(MeasuredOn)}"),
    CONFIG: (_object, "a configuration in JSON"),
    CONFUSION: (_confusion, "a square matrix of integers in JSON"),
    VAL_CONFUSION: (_confusion, "a square matrix of integers in JSON"),
    NOT_FINITE: (read_not_finite, "a list in JSON"),
}
"""Parser and expected type of each tag that is not only text."""

_NEEDED = ("sweep", "study", "trial", "seed", "key", "outcome")
_NEEDED_OF_A_RUNG = ("rung_index", "measured_on")

PARSED_TAGS = frozenset({FORMAT_TAG, "kind", "rung", "imported_from", OWNER, *_OURS, *_TAGS})
"""Tags that are needed to parse a run."""


def parse_run(run: RecordedRun) -> TrialRun | UnreadableRun | None:
    """Return the parsed run of a trial or the reason why it is invalid; None for a run that is not a trial."""
    tags = run.tags
    if tags.get("kind") != "trial":
        # An incomplete import has no kind and is written again by the next import.
        is_ours = len(tags.keys() & _OURS) > 1 and tags.get("kind") != "sweep" and "imported_from" not in tags
        return UnreadableRun(run=run, field="tag kind", value=tags.get("kind"), expected="trial") if is_ours else None
    if tags.get(FORMAT_TAG) != str(FORMAT):
        return UnreadableRun(run=run, field=f"tag {FORMAT_TAG}", value=tags.get(FORMAT_TAG), expected=str(FORMAT))
    values: dict[str, Any] = {}
    for name, (read, expected) in _TAGS.items():
        text = tags.get(name)
        if text is None:
            if name in _NEEDED or (name in _NEEDED_OF_A_RUNG and "rung" in tags):
                return UnreadableRun(run=run, field=f"tag {name}", value=None, expected=expected)
            continue
        try:
            values[name] = read(text)
        except (ValueError, TypeError, LookupError, ArithmeticError, RecursionError):
            return UnreadableRun(run=run, field=f"tag {name}", value=text, expected=expected)
    for name, value in run.metrics.items():
        if required := _metric_problem(name, value):
            return UnreadableRun(run=run, field=f"metric {name}", value=value, expected=required)
    if not isinstance(run.start_ms, int) or not 0 <= run.start_ms <= _LATEST_MS:
        return UnreadableRun(run=run, field="start time", value=run.start_ms, expected="a time in milliseconds")
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


def _metric_problem(name: str, value: object) -> str | None:
    if name not in METRICS:
        return None  # a metric logged by a user
    if not isinstance(value, int | float) or not math.isfinite(value) or abs(value) > _LARGEST:
        return "a finite number"
    if name.endswith("_accuracy") and not 0 <= value <= 1:
        return "between 0 and 1"
    return None


def parse_runs(runs: Iterable[RecordedRun]) -> tuple[list[TrialRun], list[UnreadableRun]]:
    """Return the valid and the invalid trials among runs."""
    trials: list[TrialRun] = []
    unreadable: list[UnreadableRun] = []
    for run in runs:
        found = parse_run(run)
        if isinstance(found, TrialRun):
            trials.append(found)
        elif found is not None:
            unreadable.append(found)
    return trials, unreadable


def read_trials(store: RunStore, *, sweep: str | None = None, fields: RunFields = ALL_FIELDS) -> list[TrialRun]:
    """Return the trials of a store; only those of `sweep` unless it is None. Invalid runs are logged once.

    Raises:
        RecordError: The store cannot be read, or all trials have another format.
    """
    if fields.tags is not None:
        fields = dataclasses.replace(fields, tags=fields.tags | PARSED_TAGS)
    if sweep is None:
        runs = store.runs({}, fields=fields)
    else:
        runs = store.runs({"sweep": sweep}, fields=fields, or_without="sweep")
    trials, unreadable = parse_runs(runs)
    require_format(trials, unreadable)
    for each in unreadable[:_MAX_LISTED]:
        _warn_once(f"{each}. {each.advice}")
    if len(unreadable) > _MAX_LISTED:
        _warn_once(f"{len(unreadable) - _MAX_LISTED} more invalid runs. Run `sweeps doctor` to list them all.")
    return trials


def require_format(trials: Sequence[TrialRun], unreadable: Sequence[UnreadableRun]) -> None:
    """Check that not all trials of a record have another format.

    Raises:
        RecordError: They have.
    """
    others = [each for each in unreadable if each.has_other_format]
    if others and not trials:
        raise RecordError(unsupported_format(f"the record of {plural(len(others), 'trial')}", others[0].value))


def read_folder_trials(
    runs: Path, store: RunStore, *, sweep: str | None = None, fields: RunFields = ALL_FIELDS
) -> list[TrialRun]:
    """Return the result of `read_trials` without trials of another runs folder's sweep with the same name."""
    ownership = Ownership(runs)
    return [run for run in read_trials(store, sweep=sweep, fields=fields) if ownership.includes(run)]


@functools.lru_cache(maxsize=1024)
def _warn_once(problem: str) -> None:
    """Log once per process that a run is left out."""
    _log.warning("left out: %s", problem)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:57]}..."
