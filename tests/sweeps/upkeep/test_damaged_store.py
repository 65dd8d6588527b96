"""Damaged or wrong file types in place of the store's small files: no verb hangs, fails or hides other sweeps."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sweep_fakes import Cli, book, epoch, next_trial

from sweeps.core.trial import Outcome, TrialMessage
from sweeps.store.access_log import record_access

SECONDS = 60
"""A verb that takes longer hangs."""

FILES = (
    "sweeps/tiny/journal.log",
    "sweeps/tiny/journal.log.crc",
    "sweeps/tiny/journal.log.backup",
    "sweeps/tiny/journal.log.lock",
    "sweeps/tiny/driver.json",
    "sweeps/tiny/owner",
    "sweeps/tiny/driver.lock",
    "sweeps/tiny/place.json",
    "sweeps/tiny/checkpoints",
    "sweeps/tiny/logs",
    "sweeps/tiny",
    "test_looks.jsonl",
    "leaderboard.csv",
    "reports",
    "reruns",
)


def _with(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


DAMAGES: dict[str, Callable[[Path], object]] = {
    "gone": lambda path: None,
    "empty": _with(b""),
    "zeros": _with(b"\0" * 5000),
    "binary": _with(bytes(range(256)) * 4),
    "text": _with(b"what is this?\n"),
    "deep JSON": _with(b"[" * 100_000),
    "a list": _with(b"[1, 2]\n"),
    "a number": _with(b"17\n"),
    "other keys": _with(b'{"pid": "me", "host": 3, "storage": 5, "study_storage": [], "runs": 7, "sweep": {}}\n'),
    "a folder": lambda path: (path / "in it").mkdir(parents=True),
    "a pipe": os.mkfifo,
    "a dangling link": lambda path: path.symlink_to("/nowhere/at/all"),
    "a link to itself": lambda path: path.symlink_to(path),
    "a link to another's": lambda path: path.symlink_to(path.parents[1] / "other" / path.name),
    "an endless device": lambda path: path.symlink_to("/dev/zero"),
}

VERBS = (
    ("list",),
    ("status", "tiny"),
    ("status", "tiny", "--watch"),
    ("stop", "tiny"),
    ("leaderboard",),
    ("leaderboard", "tiny"),
    ("show", "tiny-000"),
    ("effects", "tiny"),
    ("report", "tiny"),
    ("doctor",),
    ("gc", "--dry-run"),
    ("gc", "--yes"),
    ("repair", "tiny"),
    ("doctor", "--fix"),
    ("retrain", "tiny-000", "--backend", "inline"),
    ("rerun", "tiny-000"),
    ("finalize", "tiny"),
    ("rm", "tiny", "--yes"),
)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    runs = tmp_path_factory.mktemp("whole") / "runs"
    for name in ("tiny", "other"):
        tiny = book(runs, name=name)
        with tiny.folder.locked():
            ledger = tiny.open()
            number = next_trial(ledger).number
            ledger.receive(number, TrialMessage(epoch=epoch(1, 0.5)))
            ledger.receive(number, TrialMessage(epoch=epoch(2, 0.6)))
            ledger.finish(number, Outcome.COMPLETE)
    record_access(runs, sweep="tiny", keys=["k"])
    return runs


@contextmanager
def no_longer_than(seconds: int) -> Iterator[None]:
    def late(*_: object) -> None:
        raise TimeoutError("it waits for something")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def damage(path: Path, kind: str) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    DAMAGES[kind](path)


@given(
    name=st.sampled_from(FILES),
    kind=st.sampled_from(sorted(DAMAGES)),
    verbs=st.lists(st.sampled_from(VERBS), min_size=1, max_size=3),
)
@settings(deadline=None, max_examples=8, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_verb_hangs_or_has_a_traceback(
    name: str, kind: str, verbs: list[tuple[str, ...]], whole: Path, tmp_path_factory: pytest.TempPathFactory, cli: Cli
) -> None:
    runs = tmp_path_factory.mktemp("damaged") / "runs"
    shutil.copytree(whole, runs)
    damage(runs / name, kind)

    for verb in (*verbs, ("list",)):
        with no_longer_than(SECONDS):
            result = cli(*verb, "--runs", runs)
        assert result.exit_code in (0, 1, 2), result.output

    assert "other: not running; 1 complete" in result.output
