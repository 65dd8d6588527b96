"""The questions that were asked in a runs folder, and their answers: a log that is only appended to.

All questions of a folder are one family, whose share of wrong answers is controlled. So the number of a question, the
number of answers before it and its seeds are fixed under a lock when it is asked first. No verb deletes a question.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import filelock

from sweeps.core.errors import DiskFullError, StoreError, SweepBusyError, is_disk_full
from sweeps.store.files import append_lines, ensure_folder, error_reason, read_file

QUESTIONS = "questions.jsonl"
"""File in the runs folder, a line for each question and one for each result."""
_LOCK = "questions.lock"
_LOCK_SECONDS = 30.0


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What is asked: whether one configuration is better than another."""

    first: str
    """Names, as they were typed first."""
    second: str
    first_key: str
    """Identities of configuration, data and custom code; the seed is that of no run."""
    second_key: str
    metric: str
    goal: str
    images: str = ""
    """The images or the part that the metric is measured on; empty for the metric of a custom training."""

    @property
    def identity(self) -> tuple[frozenset[str], str, str]:
        """Equal for the same question, also with the two exchanged."""
        return frozenset((self.first_key, self.second_key)), self.metric, self.images


@dataclass(frozen=True, kw_only=True)
class Result:
    """The result of asking a question once, from the first configuration's point of view."""

    number: int
    answer: str
    is_answered: bool
    seeds: int
    difference: float | None
    low: float | None
    high: float | None
    margin: float | None
    until: float
    when: str


@dataclass(frozen=True, kw_only=True)
class Question:
    """A question of a runs folder."""

    number: int
    """1 for the first."""
    asked: Asked
    until: float
    """Confidence of the whole family if this is the first question: 0.95."""
    answers_before: int
    """Number of other questions that were answered when it was asked first."""
    first_seed: int
    seeds: int
    """Number of seeds that are reserved for it."""
    when: str
    """ISO 8601, UTC, to the second."""
    result: Result | None = None
    """The last result; None before the first."""
    is_answered: bool = False
    """Whether any result was an answer."""

    @property
    def sweep(self) -> str:
        """Name of the sweep that contains its runs."""
        return f"judge-{self.number}"


def read_questions(runs: Path) -> list[Question]:
    """Return the questions of a runs folder in the order in which they were asked first, with their last results.

    Raises:
        StoreError: The log cannot be read.
    """
    questions: dict[int, Question] = {}
    for line in (read_file(runs / QUESTIONS) or b"").decode("utf-8", errors="replace").splitlines():
        # A crash may have left an incomplete line.
        with contextlib.suppress(ValueError, TypeError, KeyError, RecursionError):
            kind, fields = _parsed(json.loads(line))
            if kind == "asked":
                question = Question(**fields | {"asked": Asked(**fields["asked"])})
                questions.setdefault(question.number, question)
            else:
                result = Result(**fields)
                before = questions[result.number]
                questions[result.number] = replace(
                    before, result=result, is_answered=before.is_answered or result.is_answered
                )
    return list(questions.values())


def _parsed(line: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    ((kind, fields),) = line.items()
    return kind, dict(fields)


def find_question(questions: Sequence[Question], asked: Asked) -> Question | None:
    """Return the question that asks the same; None if it was never asked."""
    return next((each for each in questions if each.asked.identity == asked.identity), None)


def ask(runs: Path, asked: Asked, *, until: float, last_used_seed: int, seeds: int) -> Question:
    """Return the question that asks this; add it if it was never asked. Its seeds are those of no other question.

    Args:
        runs: The runs folder.
        asked: What is asked.
        until: Confidence of the family, if this is the first question.
        last_used_seed: The largest seed of recorded runs of the two configurations; -1 without any.
        seeds: Number of seeds to reserve.

    Raises:
        SweepBusyError: Another process holds the lock for too long.
        DiskFullError: The disk is full.
        StoreError: The log cannot be read or written.
    """
    with _locked(runs):
        questions = read_questions(runs)
        if (known := find_question(questions, asked)) is not None:
            return known
        reserved = max((each.first_seed + each.seeds - 1 for each in questions), default=-1)
        question = Question(
            number=max((each.number for each in questions), default=0) + 1,
            asked=asked,
            until=questions[0].until if questions else until,
            answers_before=sum(each.is_answered for each in questions),
            first_seed=max(reserved, last_used_seed) + 1,
            seeds=seeds,
            when=_now(),
        )
        fields = asdict(question)
        del fields["result"], fields["is_answered"]
        _append(runs, {"asked": fields})
        return question


def add_result(runs: Path, result: Result) -> None:
    """Add a result of a question, unless it is the last one already.

    Raises:
        SweepBusyError: Another process holds the lock for too long.
        DiskFullError: The disk is full.
        StoreError: The log cannot be read or written.
    """
    with _locked(runs):
        last = next(each.result for each in read_questions(runs) if each.number == result.number)
        result = replace(result, when=_now())
        if last is None or replace(last, when=result.when) != result:
            _append(runs, {"result": asdict(result)})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")


@contextlib.contextmanager
def _locked(runs: Path) -> Iterator[None]:
    try:
        ensure_folder(runs)
        lock = filelock.FileLock(runs / _LOCK)
        lock.acquire(timeout=_LOCK_SECONDS)
    except filelock.Timeout:
        raise SweepBusyError(
            f"another process has locked {runs / _LOCK} for {_LOCK_SECONDS:.0f} s. Run the command again"
        ) from None
    except OSError as error:
        raise StoreError(f"{runs / _LOCK} cannot be locked: {error_reason(error)}") from None
    try:
        yield
    finally:
        lock.release()


def _append(runs: Path, line: Mapping[str, Any]) -> None:
    path = runs / QUESTIONS
    try:
        append_lines(path, json.dumps(line) + "\n")
    except OSError as error:
        if is_disk_full(error):
            raise DiskFullError(path) from None
        raise StoreError(f"{path} cannot be written: {error_reason(error)}. No question is asked without it") from None
