"""Verbs that look at, end and delete a sweep while something else happens to it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from sweep_fakes import Cli, book, next_trial, tiny, write_yaml


def test_rm_holds_the_sweep_while_its_question_is_open(tmp_path: Path, runs: Path, cli: Cli) -> None:
    next_trial(book(runs).open())
    command = [sys.executable, "-c", "from sweeps.cli import main; main()", "rm", "tiny", "--runs", str(runs)]
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


def test_rm_of_a_sweep_that_runs_is_refused_before_it_asks(runs: Path, cli: Cli) -> None:
    tiny = book(runs)
    tiny.open()
    with tiny.folder.locked():
        refused = cli("rm", "tiny", "--runs", runs)

    assert refused.exit_code == 2
    assert "sweeps stop tiny" in refused.output
    assert "delete tiny" not in refused.output


def test_stop_does_not_say_stopped_of_a_driver_that_was_killed(runs: Path, cli: Cli) -> None:
    tiny = book(runs)
    next_trial(tiny.open())
    hold = f"""
import os, signal, time
from pathlib import Path
from sweeps.study.folder import SweepFolder
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
    assert "has ended, but not in order" in said.output
    assert "is stopped" not in said.output
