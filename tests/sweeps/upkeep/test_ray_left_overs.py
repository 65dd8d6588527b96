"""Left-over Ray processes of a killed driver are identified and ended, and no others."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import filelock
import pytest
from sweep_fakes import Doctor, sweeps_process, tiny, write_yaml

from sweeps.backends.ray.environment import abandoned_processes, session_folder

ENDED_SECONDS = 15
START_SECONDS = 120
STAND_IN = """
import signal, sys, time
log = open(sys.argv[2], "ab")
if "stubborn" in sys.argv[1:]:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("ready", flush=True)
time.sleep(100)
"""

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def session(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A session folder of a killed driver, as `session_folder` creates it."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    folder = tmp_path / f"sweeps-ray-{os.getuid()}" / "12345-abcd"
    (folder / "session" / "logs").mkdir(parents=True)
    (folder / "runs").write_text(str(tmp_path / "runs"))
    (folder / "lock").touch()
    return folder


@pytest.fixture
def start(session: Path) -> Iterator[Start]:
    """Start a process that looks like one of Ray: its title, and an open log in the session's folder."""
    begun: list[subprocess.Popen[str]] = []

    def start(
        title: str = "ray::StandIn", *, log: Path = session / "session" / "logs" / "a.log", how: str = ""
    ) -> object:
        arguments = [title, "-c", STAND_IN, "-", str(log), how]
        process = subprocess.Popen(arguments, executable=sys.executable, stdout=subprocess.PIPE, text=True)
        begun.append(process)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        return process

    yield start  # type: ignore[misc]
    for process in begun:
        process.kill()
        process.communicate()


def abandoned(runs: Path) -> set[int]:
    return {pid for pid, _ in abandoned_processes(runs)}


def test_processes_of_a_killed_driver_of_this_folder_are_ended(
    tmp_path: Path, session: Path, start: Start, doctor: Doctor
) -> None:
    gentle, stubborn = start(), start(how="stubborn")
    assert abandoned(tmp_path / "runs") == {gentle.pid, stubborn.pid}

    seen = doctor(tmp_path / "runs")
    assert (gentle.poll(), stubborn.poll()) == (None, None), "it only looks without --fix"
    repaired = doctor(tmp_path / "runs", "--fix")

    assert [str(pid) in seen["problem"][0] for pid in (gentle.pid, stubborn.pid)] == [True, True]
    assert repaired["problem"] == []
    assert (gentle.wait(10), stubborn.wait(10)) == (-signal.SIGKILL, -signal.SIGKILL)


def test_the_next_driver_ends_left_over_processes(tmp_path: Path, session: Path, start: Start) -> None:
    left = start()

    with session_folder(tmp_path / "other"):
        assert left.wait(10) == -signal.SIGKILL

    assert not session.exists()


class TestNeverClaimed:
    def test_processes_of_a_running_driver(self, tmp_path: Path, session: Path, start: Start) -> None:
        left = start()

        with filelock.FileLock(session / "lock"), session_folder(tmp_path / "other"):
            assert abandoned(tmp_path / "runs") == set()

        assert left.poll() is None

    def test_processes_of_a_driver_of_another_runs_folder(self, tmp_path: Path, start: Start) -> None:
        start()

        assert abandoned(tmp_path / "ours") == set()

    def test_processes_without_a_known_runs_folder(self, tmp_path: Path, session: Path, start: Start) -> None:
        (session / "runs").unlink()
        start()

        assert abandoned(tmp_path / "runs") == set()

    def test_a_ray_that_this_project_did_not_start(self, tmp_path: Path, session: Path, start: Start) -> None:
        start(log=tmp_path / "elsewhere.log")

        assert abandoned(tmp_path / "runs") == set()

    def test_a_pager_that_shows_a_log_of_it(self, tmp_path: Path, session: Path, start: Start) -> None:
        start("less")

        assert abandoned(tmp_path / "runs") == set()


GUARDED = """
import sys, time
from pathlib import Path
from sweeps.backends.ray.processes import guard_of
with guard_of(Path(sys.argv[1])):
    print("ready", flush=True)
    time.sleep(float(sys.argv[2]))
"""


@pytest.mark.parametrize("ends", ["killed", "in order"])
def test_a_ray_ends_with_its_driver_and_no_other_does(ends: str, tmp_path: Path, session: Path, start: Start) -> None:
    left, stubborn = start(), start(how="stubborn")
    pager, other = start("less"), start(log=tmp_path / "elsewhere.log")
    seconds = "100" if ends == "killed" else "0"
    command = [sys.executable, "-c", GUARDED, str(session), seconds]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={}) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "ready\n"
        if ends == "killed":
            driver.kill()

    assert (left.wait(20), stubborn.wait(20)) == (-signal.SIGKILL, -signal.SIGKILL)
    assert (pager.poll(), other.poll()) == (None, None)


@pytest.mark.slow
def test_no_process_of_a_killed_driver_is_left(tmp_path: Path) -> None:
    runs = tmp_path / "fresh"
    content = tiny(run_cap=1, base=tiny()["base"] | {"epochs": 100_000})
    journal = runs / "sweeps" / "tiny" / "journal.log"
    with sweeps_process("run", write_yaml(tmp_path, content), "--runs", runs, cwd=tmp_path) as driver:
        deadline = time.monotonic() + START_SECONDS
        while not (journal.exists() and b"epoch:0001" in journal.read_bytes()):
            assert driver.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        family = {pid: _start_of(pid) for pid in _family(driver.pid) if pid != driver.pid}
        assert abandoned(runs) == set()
        driver.send_signal(signal.SIGKILL)

    deadline = time.monotonic() + ENDED_SECONDS
    while alive := [pid for pid, started in family.items() if _start_of(pid) == started]:
        assert time.monotonic() < deadline, alive
        time.sleep(0.2)


def _family(pid: int) -> set[int]:
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
        except OSError:
            continue
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def _start_of(pid: int) -> str | None:
    """Return the start time of a running process, which identifies it together with its pid."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in ("Z", "X") else fields[19]
