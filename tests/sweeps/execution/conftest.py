"""What the tests that start Ray share."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator

import pytest

STOP_SECONDS = 30


def ray_processes() -> set[int]:
    """Return the processes of Ray's own servers and workers on this machine."""
    found = subprocess.run(["pgrep", "-f", "raylet|gcs_server|ray::"], capture_output=True, text=True, check=False)
    return {int(pid) for pid in found.stdout.split() if int(pid) != os.getpid()}


@pytest.fixture
def nothing_of_ray_is_left() -> Iterator[None]:
    """Fail where a process of Ray outlives the test."""
    before = ray_processes()
    yield
    deadline = time.monotonic() + STOP_SECONDS
    while ray_processes() - before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert ray_processes() - before == set()
