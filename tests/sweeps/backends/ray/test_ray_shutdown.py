"""A driver with real Ray ends regularly after any signal, and listens only locally."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import socket
import stat
import struct
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweep_fakes import Cli, outcomes, sweeps_process, tiny, write_yaml, written

from sweeps.backends.ray.environment import token_file

pytestmark = [pytest.mark.usefixtures("nothing_of_ray_is_left"), pytest.mark.slow]

MAIN = "from sweeps.cli.main import main; main()"
START_SECONDS = 120
STOP_SECONDS = 60


@pytest.fixture
def arguments(tmp_path: Path, recorded_runs: Path) -> tuple[object, ...]:
    """A sweep of two concurrent trials that takes hours."""
    content = tiny(
        limits={"max_concurrent_trials": 2},
        base=tiny()["base"] | {"epochs": 100_000},
        parameters={"optimizer.lr": {"values": [0.001, 0.002]}},
    )
    return ("run", write_yaml(tmp_path, content), "--runs", recorded_runs)


def wait_for_epochs(runs: Path, process: subprocess.Popen[str]) -> None:
    journal = runs / "sweeps" / "tiny" / "journal.log"
    deadline = time.monotonic() + START_SECONDS
    while not (journal.exists() and b"epoch:0002" in journal.read_bytes()):
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "no epoch in two minutes"
        time.sleep(0.1)


def assert_ended_in_order(runs: Path) -> None:
    assert set(outcomes(runs)) == {("KILLED", "interrupted")}
    assert [run.status for run in written(runs, kind="sweep")] == ["KILLED"]
    assert not (runs / "sweeps" / "tiny" / "driver.json").exists()


@pytest.mark.parametrize(
    ("number", "to_group"),
    [
        (signal.SIGINT, True),  # Ctrl-C in a terminal
        (signal.SIGTERM, False),
        (signal.SIGTERM, True),  # timeout 1h sweeps run ...
    ],
)
def test_a_signal_ends_with_130_and_nothing_is_left_running(
    number: signal.Signals, to_group: bool, tmp_path: Path, recorded_runs: Path, arguments: tuple[object, ...]
) -> None:
    with sweeps_process(*arguments, cwd=tmp_path) as process:
        wait_for_epochs(recorded_runs, process)
        groups = {pid: os.getpgid(pid) for pid in _family(process.pid)}
        (os.killpg if to_group else os.kill)(process.pid, number)
        output, _ = process.communicate(timeout=STOP_SECONDS)

    assert {pid for pid, group in groups.items() if group == process.pid} == {process.pid}, "Ray heard of it too"
    assert process.returncode == 130, output
    assert "Run the same command again to resume." in output
    assert_ended_in_order(recorded_runs)


def test_a_terminal_that_is_closed_ends_with_130(
    tmp_path: Path, recorded_runs: Path, arguments: tuple[object, ...]
) -> None:
    terminal, inside = pty.openpty()
    # Under nohup SIGHUP is ignored, and child processes inherit that.
    main = f"import signal; signal.signal(signal.SIGHUP, signal.SIG_DFL); {MAIN}"
    command = ["setsid", "--ctty", "--wait", sys.executable, "-c", main, *map(str, arguments)]
    with subprocess.Popen(
        command, cwd=tmp_path, stdin=inside, stdout=inside, stderr=inside, text=True, start_new_session=True
    ) as process:
        os.close(inside)
        threading.Thread(target=_read_all, args=(terminal,), daemon=True).start()
        wait_for_epochs(recorded_runs, process)
        os.close(terminal)
        assert process.wait(STOP_SECONDS) == 130

    assert_ended_in_order(recorded_runs)


def _read_all(terminal: int) -> None:
    with contextlib.suppress(OSError):
        while os.read(terminal, 4096):
            pass


def test_a_failed_ray_is_reported_and_everything_is_saved(
    tmp_path: Path, recorded_runs: Path, arguments: tuple[object, ...]
) -> None:
    with sweeps_process(*arguments, cwd=tmp_path) as process:
        wait_for_epochs(recorded_runs, process)
        family = {pid: Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8") for pid in _family(process.pid)}
        (server,) = (pid for pid, command in family.items() if "gcs_server" in command)
        os.kill(server, signal.SIGKILL)
        output, _ = process.communicate(timeout=STOP_SECONDS)

    # Ray's agents end only after a minute.
    for pid in family:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    assert process.returncode == 2, output
    assert "Ray has ended" in output
    assert "Run the same command again to resume." in output
    assert set(outcomes(recorded_runs)) == {("KILLED", "interrupted")}
    assert [run.status for run in written(recorded_runs, kind="sweep")] == ["FAILED"]


def test_stop_ends_it_and_it_listened_only_locally(
    tmp_path: Path, recorded_runs: Path, arguments: tuple[object, ...], cli: Cli
) -> None:
    with sweeps_process(*arguments, cwd=tmp_path) as process:
        wait_for_epochs(recorded_runs, process)

        listening = dict(listening_addresses(process.pid))
        stopped = cli("stop", "tiny", "--runs", recorded_runs)
        output, _ = process.communicate(timeout=STOP_SECONDS)

    assert len(listening) >= 5, "driver, gcs_server, raylet, two workers"
    assert {address for addresses in listening.values() for address in addresses} <= {"127.0.0.1", "::ffff:127.0.0.1"}
    assert stat.S_IMODE(token_file().stat().st_mode) == 0o600
    assert stopped.exit_code == 0
    assert "2 interrupted" in stopped.output
    assert "Stopped tiny. To resume, run the command that started it again." in stopped.output
    assert process.returncode == 130, output
    assert_ended_in_order(recorded_runs)


def listening_addresses(pid: int) -> Iterator[tuple[int, set[str]]]:
    """Yield a process and its descendants with the addresses on which their sockets listen."""
    sockets = _listening_sockets()
    for process in _family(pid):
        found = set()
        for descriptor in Path(f"/proc/{process}/fd").glob("*"):
            with contextlib.suppress(OSError):
                target = str(descriptor.readlink())
                if target.startswith("socket:[") and target[8:-1] in sockets:
                    found.add(sockets[target[8:-1]])
        if found:
            yield process, found


def _family(pid: int) -> set[int]:
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            parents[int(path.parent.name)] = int(path.read_text(encoding="utf-8").rpartition(")")[2].split()[1])
    family = {pid}
    while more := {child for child, parent in parents.items() if parent in family} - family:
        family |= more
    return family


def _listening_sockets() -> dict[str, str]:
    """Return inode → address of all listening TCP sockets of this machine."""
    found = {}
    for table, family in (("tcp", socket.AF_INET), ("tcp6", socket.AF_INET6)):
        for line in Path(f"/proc/net/{table}").read_text(encoding="ascii").splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                words = bytes.fromhex(fields[1].partition(":")[0])
                address = b"".join(struct.pack(">I", word) for word in struct.unpack(f"<{len(words) // 4}I", words))
                found[fields[9]] = socket.inet_ntop(family, address)
    return found
