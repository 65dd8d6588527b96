"""`status`, `stop` and `rm` during concurrent events."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import filelock
import pytest
from sweep_fakes import Cli, book, next_trial, tiny, write_yaml

from sweeps.store.folder import SweepFolder


def test_rm_locks_the_sweep_during_the_confirmation(tmp_path: Path, runs: Path, cli: Cli) -> None:
    next_trial(book(runs).open())
    command = [sys.executable, "-c", "from sweeps.cli.main import main; main()", "rm", "tiny", "--runs", str(runs)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as asking:
        assert asking.stdout is not None
        question = asking.stdout.read(len("delete tiny"))

        refused = cli("run", write_yaml(tmp_path, tiny()), "--runs", runs, "--backend", "inline")
        stopped = cli("stop", "tiny", "--runs", runs)
        answered, _ = asking.communicate("n\n")

    assert question == "delete tiny"
    assert refused.exit_code == 2
    assert f"is being deleted by process {asking.pid}" in refused.output
    assert f"is being deleted by process {asking.pid}" in stopped.output
    assert asking.returncode == 1, answered
    assert (runs / "sweeps" / "tiny" / "journal.log").exists()


def test_rm_of_a_running_sweep_is_rejected_before_the_confirmation(runs: Path, cli: Cli) -> None:
    tiny = book(runs)
    tiny.open()
    with tiny.folder.locked():
        refused = cli("rm", "tiny", "--runs", runs)

    assert refused.exit_code == 2
    assert "sweeps stop tiny" in refused.output
    assert "delete tiny" not in refused.output


def test_stop_reports_a_killed_driver(runs: Path, cli: Cli) -> None:
    tiny = book(runs)
    next_trial(tiny.open())
    hold = f"""
import os, signal, time
from pathlib import Path
from sweeps.store.folder import SweepFolder
signal.signal(signal.SIGTERM, lambda *_: os._exit(134))
with SweepFolder(Path({str(runs)!r}), "tiny").locked():
    print("held", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", hold], stdout=subprocess.PIPE, text=True) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "held\n"

        said = cli("stop", "tiny", "--runs", runs)

    assert said.exit_code == 2
    assert "the driver of tiny was killed" in said.output
    assert "Stopped" not in said.output


class TestADriverOnAnotherHost:
    @pytest.fixture
    def note(self, runs: Path) -> Path:
        """The note of a driver in a container with a changing host name."""
        tiny = book(runs)
        next_trial(tiny.open())
        note = tiny.folder.path / "driver.json"
        note.write_text(json.dumps({"pid": 1, "host": "box1", "since": time.time(), "doing": "run"}))
        return note

    def test_counts_as_running_while_its_heartbeat_is_recent(self, note: Path, runs: Path, cli: Cli) -> None:
        assert "running (process 1 on box1)" in cli("list", "--runs", runs).output
        stopped = cli("stop", "tiny", "--runs", runs)
        assert (stopped.exit_code, "Run `sweeps stop tiny` there" in stopped.output) == (2, True)

    def test_counts_as_dead_without_a_recent_heartbeat(self, note: Path, runs: Path, cli: Cli) -> None:
        for path in (note, note.with_name("journal.log")):
            os.utime(path, (time.time() - 300,) * 2)

        for verb in ("list", "status", "watch", "stop"):
            arguments = {"list": ("list",), "watch": ("status", "tiny", "--watch")}.get(verb, (verb, "tiny"))
            said = cli(*arguments, "--runs", runs)
            assert said.exit_code == 0
            assert "its driver last reported 5 min" in said.output.replace("Its", "its")
            assert "on box1 and is presumed to have failed" in said.output
            assert "running (" not in said.output.replace("not running (", "")

    def test_renews_its_heartbeat(self, runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("sweeps.store.folder.HEARTBEAT_SECONDS", 0.05)
        folder = SweepFolder(runs, "tiny")
        note = folder.path / "driver.json"
        with folder.locked():
            os.utime(note, (0, 0))
            deadline = time.monotonic() + 10
            while note.stat().st_mtime == 0:
                assert time.monotonic() < deadline
                time.sleep(0.02)

    def test_counts_as_running_while_its_lock_is_held(self, note: Path, runs: Path, cli: Cli) -> None:
        with filelock.FileLock(note.with_name("driver.lock")):
            os.utime(note, (0, 0))
            os.utime(note.with_name("journal.log"), (0, 0))
            assert "running (process 1 on box1)" in cli("list", "--runs", runs).output


def test_rm_of_a_link_to_a_folder_deletes_its_target(tmp_path: Path, runs: Path, cli: Cli) -> None:
    next_trial(book(runs).open())
    folder = runs / "sweeps" / "tiny"
    folder.rename(tmp_path / "large disk")
    folder.symlink_to(tmp_path / "large disk")

    result = cli("rm", "tiny", "--yes", "--runs", runs)

    assert result.exit_code == 0, result.output
    assert not folder.is_symlink()
    assert not (tmp_path / "large disk").exists()


def test_rm_on_nfs_ignores_the_open_lock_file(runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    next_trial(book(runs).open())
    folder = runs / "sweeps" / "tiny"
    unlink, rmtree = os.unlink, shutil.rmtree

    def nfs(path: Path) -> None:
        lock = (path / "driver.lock").read_bytes()
        rmtree(path)
        path.mkdir()
        (path / ".nfs0001").write_bytes(lock)
        raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), str(path))

    monkeypatch.setattr(shutil, "rmtree", nfs)
    release = filelock.FileLock.release

    def released(lock: filelock.FileLock, force: bool = False) -> None:
        release(lock, force)
        with contextlib.suppress(FileNotFoundError):
            unlink(folder / ".nfs0001")

    monkeypatch.setattr(filelock.FileLock, "release", released)

    result = cli("rm", "tiny", "--yes", "--runs", runs)

    assert result.exit_code == 0, result.output
    assert not folder.exists()


def test_a_failing_rm_still_rewrites_the_leaderboard(runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    next_trial(book(runs).open())
    board = runs / "leaderboard.csv"
    board.write_text("of before\n")

    def refused(path: Path) -> None:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(shutil, "rmtree", refused)

    result = cli("rm", "tiny", "--yes", "--runs", runs)

    assert result.exit_code == 2
    assert "cannot be deleted" in result.output
    assert board.read_text() != "of before\n"


def test_rm_of_a_link_to_another_sweep_only_deletes_the_link(runs: Path, cli: Cli) -> None:
    next_trial(book(runs, name="other").open())
    (runs / "sweeps" / "tiny").symlink_to("other")

    result = cli("rm", "tiny", "--yes", "--runs", runs)

    assert result.exit_code == 0, result.output
    assert not (runs / "sweeps" / "tiny").is_symlink()
    assert (runs / "sweeps" / "other" / "journal.log").exists()
