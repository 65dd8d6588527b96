"""Actual placement of trials on a real Ray cluster of different nodes; runs `placed_trials`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("nothing_of_ray_is_left")]

PROGRAM = Path(__file__).parents[1] / "ray" / "placed_trials.py"
TESTS = PROGRAM.parents[2]


def run(scenario: str, folder: Path) -> dict[str, Any]:
    """Return the output of the trials of a scenario."""
    # A short folder, since it contains Ray's sockets.
    path = os.pathsep.join(map(str, (TESTS.parents[1], TESTS, folder)))
    command = [sys.executable, PROGRAM, scenario, folder]
    done = subprocess.run(command, env=os.environ | {"PYTHONPATH": path}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return said


def nodes_of(sweep: dict[str, Any]) -> Counter[str]:
    """Return node → number of trials that were on it at the same time."""
    return Counter(trial["node"] for trial in sweep["trials"])


def test_a_joining_node_is_requested_and_fully_used(tmp_path: Path) -> None:
    said = run("joining", tmp_path)

    assert (said["outcomes"], said["errors"]) == (["complete"] * 6, [])
    assert (said["before"], said["after"]) == (2, 6)
    # While both slots were busy, one more was requested, and no trial waited for it.
    assert said["asked"] == [{"CPU": 1}]
    assert said["begun"] == 2
    placed = nodes_of(said)
    assert [placed.pop(node) for node in said["small"]] == [1, 1]
    assert list(placed.values()) == [4]


def test_trials_are_spread_or_packed_and_share_gpus_as_configured(tmp_path: Path) -> None:
    said = run("placing", tmp_path)

    small, (large,) = said["small"], said["large"]
    assert [said[name]["before"] for name in ("spread", "pack", "halves")] == [3, 3, 4]
    assert [set(said[name]["outcomes"]) for name in ("spread", "pack", "halves")] == [{"complete"}] * 3
    assert nodes_of(said["spread"]) == dict.fromkeys([*small, large], 1)
    assert nodes_of(said["pack"]) == {large: 3}
    # Four at once, in different processes, two on each GPU.
    halves = said["halves"]["trials"]
    assert nodes_of(said["halves"]) == {large: 4}
    assert Counter(trial["visible"] for trial in halves) == {"0": 2, "1": 2}
    assert all(trial["assigned"] == [trial["visible"]] for trial in halves)
