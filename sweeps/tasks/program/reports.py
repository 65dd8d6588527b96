"""What a program has reported: lines of numbers, of which those with the metric of the sweep are results.

A guard (`guard.py`) appends each line to one file per trial, over all starts of the program. Reading that file from its
beginning gives the same results each time, so that none is lost when the process of the trial is killed.
"""

from __future__ import annotations

import contextlib
import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cifar_core.common.errors import DivergedError, ModelError
from sweeps.core.results import EpochResult
from sweeps.tasks.metric_names import OTHER_CHARACTERS, SHARES, TAKEN_METRICS

EPOCH = "epoch"
"""Name under which a program counts its epochs, from any first number."""


@dataclass(frozen=True, kw_only=True)
class End:
    """The end of one start of a program."""

    exit: int | None = None
    """Its exit code, negative for a signal; None if it was never started."""
    was_stopped: bool = False
    """Whether it was stopped, and did not end by itself."""
    error: str | None = None
    """Why it could not be started."""
    output: str = ""
    """The last lines that it printed."""
    memory: int | None = None
    """Largest memory of one of its processes, in bytes."""


def end_of(line: Mapping[str, Any]) -> End | None:
    """Return the end of a start that a line of the file describes; None for another line."""
    return End(**line["end"]) if "end" in line else None


class ReportFile:
    """The file that a guard appends to."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._offset = 0

    def new_lines(self) -> Iterator[dict[str, Any]]:
        """Yield the complete lines since the last call."""
        try:
            with self.path.open("rb") as file:
                file.seek(self._offset)
                content = file.read()
        except FileNotFoundError:
            return
        complete = content[: content.rfind(b"\n") + 1]
        self._offset += len(complete)
        for line in complete.splitlines():
            try:
                parsed = json.loads(line)
            except ValueError:  # torn by a crash of the machine
                continue
            if isinstance(parsed, dict):
                yield parsed


def starts_again(path: Path) -> bool:
    """Return whether the last start of a program began at its first epoch again, by its file of reports."""
    first: dict[str, Any] | None = None
    begun: dict[str, Any] | None = None
    is_next = False
    for line in ReportFile(path).new_lines():
        is_next = is_next or "start" in line
        if is_next and "report" in line:
            with contextlib.suppress(ValueError):
                begun, is_next = json.loads(line["report"]), False
                first = begun if first is None else first
    if first is None or begun is None or first is begun:
        return False
    return bool(begun.get(EPOCH) is None or begun.get(EPOCH) == first.get(EPOCH))


@dataclass(kw_only=True)
class Reports:
    """Counts the results among the reports of all starts of a program."""

    program: str
    metric: str
    labels: list[float] = field(default_factory=list)
    """The epoch of each result as the program counts them; where it does not, the number of the result."""
    end: End | None = None
    """The end of the last start; None while it runs."""
    notes: list[str] = field(default_factory=list)
    """Remarks for the log of the trial."""
    _pending: dict[str, float] = field(default_factory=dict)
    _count: int = 0
    """Results of this start."""
    _offset: int | None = None
    """Earlier results that this start continues from; None before its first result."""
    _since: float = 0.0
    _names: set[str] = field(default_factory=set)
    _first: dict[str, float] = field(default_factory=dict)

    def add(self, line: Mapping[str, Any]) -> EpochResult | None:
        """Add a line of the file; return the result that it completes, unless an earlier start has reported it.

        Raises:
            ModelError: a report is not a JSON object of numbers.
            DivergedError: the metric of the sweep is not finite.
        """
        at = float(line.get("at", 0.0))
        if "start" in line:
            self.end, self._pending, self._count, self._offset, self._since = None, {}, 0, None, at
        elif (end := end_of(line)) is not None:
            self.end = end
        elif "report" in line:
            return self._add_report(str(line["report"]), at=at)
        return None

    def _add_report(self, text: str, *, at: float) -> EpochResult | None:
        values = _parsed(text, program=self.program)
        label = self._numbers(values)
        if self.metric not in self._pending:
            return None
        metrics, self._pending = self._pending, {}
        if self._offset is None:
            self._offset = 0 if label is None else sum(known < label for known in self.labels)
        self._count += 1
        number, seconds, self._since = self._offset + self._count, max(0.0, at - self._since), at
        if not math.isfinite(value := metrics[self.metric]):
            raise DivergedError(epoch=number, loss=value, what=self.metric, advice="try other parameters")
        if number <= len(self.labels):
            return None
        self.labels.append(number if label is None else label)
        return EpochResult(epoch=number, seconds=seconds, finished_at=at, metrics=metrics)

    def _numbers(self, values: Mapping[str, Any]) -> float | None:
        """Keep the numbers of a report for the next result, and return the epoch that it names."""
        label: float | None = None
        for name, value in values.items():
            number = _number(value)
            if name == EPOCH and number is not None:
                label = number
                continue
            self._names.add(name)
            key = recorded_name(name)
            if number is None:
                self._note(f"{name} is not recorded, because {_shown(value)} is not a number")
            elif name in SHARES and math.isfinite(number) and not 0 <= number <= 1:
                raise ModelError(
                    f"{self.program} reports {name}={number:g}: an accuracy of this name is a share from 0 to 1. "
                    f"Report a share, or another name such as {name.replace('accuracy', 'acc_percent')}"
                )
            elif not math.isfinite(number) and key != self.metric:
                self._note(f"{name} is not recorded in epochs where it is not finite")
            else:
                self._pending[key] = number
        return label

    def _note(self, remark: str) -> None:
        if remark not in self.notes:
            self.notes.append(remark)

    @property
    def names(self) -> Sequence[str]:
        """Names of all reported numbers."""
        return sorted(self._names)


def recorded_name(name: str) -> str:
    """Return the name under which a reported number is recorded: `reported.epochs` where the record has its own."""
    plain = re.sub(OTHER_CHARACTERS, "_", name)
    return f"reported.{plain}" if plain in TAKEN_METRICS else plain


def _parsed(text: str, *, program: str) -> dict[str, Any]:
    try:
        values = json.loads(text)
    except ValueError:
        values = None
    if not isinstance(values, dict):
        raise ModelError(
            f"{program} wrote {text[:80]!r} to SWEEPS_REPORT: write one JSON object per line, such as "
            '{"epoch": 1, "val_loss": 0.5}'
        )
    return values


def _number(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) else None


def _shown(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"
