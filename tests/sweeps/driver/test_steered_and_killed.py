"""A sweep that is steered, killed and resumed, against one that is steered and not killed."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from sweep_fakes import Cli, sweeps_process, tiny, write_yaml, written

from sweeps.search.state import read_state

CONTENT: dict[str, Any] = tiny(
    method="bayes",
    run_cap=3,
    base=tiny()["base"] | {"epochs": 6},
    parameters={"optimizer.lr": {"min": 0.001, "max": 0.1}, "optimizer.momentum": {"min": 0.0, "max": 0.9}},
    early_terminate={"type": "asha", "min_epochs": 1, "reduction_factor": 2},
)
SECONDS = 120


def proposals(runs: Path) -> list[tuple[int, float, float, int, str | None]]:
    return [
        (each.trial, each.config.optimizer.lr, each.config.optimizer.momentum, len(each.epochs), each.proposed_by)
        for each in read_state(runs, "tiny").records
    ]


def steer(runs: Path, cli: Cli) -> None:
    for command in (
        ["add", "tiny", "lr=0.05", "--rest", "sampler"],
        ["set", "tiny", "run_cap=8"],
        ["add", "tiny", "lr=0.02", "momentum=0.5"],
    ):
        assert cli(*command, "--runs", runs).exit_code == 0


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["inline", "ray"])
def test_a_killed_search_proposes_as_one_that_was_not(tmp_path: Path, cli: Cli, backend: str) -> None:
    file = write_yaml(tmp_path, CONTENT | {"limits": {"max_concurrent_trials": 1}})
    found = {}
    for name, is_killed in (("whole", False), ("killed", True)):
        runs = tmp_path / name
        start = ("run", file, "--runs", runs, "--backend", backend)
        with sweeps_process(*start, cwd=tmp_path) as process:
            process.communicate(timeout=SECONDS)
        steer(runs, cli)
        if is_killed:
            for least in (4, 6):  # in the added trial, and later
                with sweeps_process(*start, cwd=tmp_path) as process:
                    deadline = time.monotonic() + SECONDS
                    while sum(bool(each.epochs) for each in read_state(runs, "tiny").records) < least:
                        assert time.monotonic() < deadline
                        time.sleep(0.05)
                    os.killpg(process.pid, signal.SIGKILL)
        with sweeps_process(*start, cwd=tmp_path) as process:
            output, _ = process.communicate(timeout=SECONDS)
        assert process.returncode == 0, output
        found[name] = proposals(runs)
        assert len({run.tags["key"] for run in written(runs)}) == len(written(runs)) == len(found[name])
    assert found["killed"] == found["whole"]
    assert [each[4] for each in found["whole"]].count("person") == 2
    assert len(found["whole"]) == 10
