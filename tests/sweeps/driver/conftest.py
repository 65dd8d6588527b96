"""What the tests of a sweep's start share: none of them trains, unless it is marked so; some start Ray."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

STOP_SECONDS = 30


@pytest.fixture(scope="module", autouse=True)
def _no_trial_trains(instant_training: None) -> None:
    """See there."""


@pytest.fixture
def no_logged_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Store no winner as a model in MLflow, which takes seconds and is tested in `test_saving.py`."""
    monkeypatch.setattr("sweeps.use.winner.log_winner", lambda *_, **__: None)


def ray_processes() -> set[int]:
    """Return the processes of Ray's own servers and workers that tests of this process have started.

    Each has a log open in the folder that `RAY_TMPDIR` names.
    """
    ours, found = f"{os.environ['RAY_TMPDIR']}/", set()
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if str(descriptor.readlink()).startswith(ours):
                found.add(int(descriptor.parts[2]))
    return found - {os.getpid()}


@pytest.fixture
def nothing_of_ray_is_left() -> Iterator[None]:
    """Fail where a process of Ray outlives the test."""
    before = ray_processes()
    yield
    deadline = time.monotonic() + STOP_SECONDS
    while ray_processes() - before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert ray_processes() - before == set()
