"""The live view in a real terminal: 80 by 20, a change of width, `status --watch` in a second one, Ctrl-C."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from sweep_fakes import tiny, write_yaml

pytestmark = pytest.mark.skipif(shutil.which("tmux") is None, reason="tmux is not installed: apt-get install tmux")

SECONDS = 120


@dataclass(frozen=True)
class Terminal:
    """A separate tmux server with 80 columns and 20 lines."""

    socket: str
    folder: Path

    def tmux(self, *arguments: str) -> str:
        command = ["tmux", "-f", "/dev/null", "-L", self.socket, *arguments]
        # An explicit environment, because a C library of this process may have set COLUMNS for child processes.
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30, env=dict(os.environ))
        return done.stdout

    def start(self, window: str, *arguments: object) -> None:
        """Run a verb in a window, which stays open after it and shows its exit status."""
        program = "from sweeps.cli.main import main; main()"
        verb = shlex.join([sys.executable, "-c", program, *map(str, arguments)])
        # The tmux server has the environment of the process that started it, not of this test.
        python_path = os.pathsep.join([str(Path.cwd()), os.environ.get("PYTHONPATH", "")])
        shell_setup = f"cd {shlex.quote(str(self.folder))}; export PYTHONPATH={shlex.quote(python_path)}"
        shell = f"{shell_setup}; {verb}; echo ended with $?; cat"
        is_first = window == "run"
        where = (
            ["new-session", "-d", "-x", "80", "-y", "20", "-s", "live"] if is_first else ["new-window", "-t", "live"]
        )
        self.tmux(*where, "-n", window, shell)

    def screen(self, window: str) -> list[str]:
        return [line.rstrip() for line in self.tmux("capture-pane", "-p", "-t", f"live:{window}").split("\n")]

    def wait(self, window: str, what: Callable[[list[str]], bool]) -> list[str]:
        deadline = time.monotonic() + SECONDS
        while not what(lines := self.screen(window)):
            assert time.monotonic() < deadline, "\n".join(lines)
            time.sleep(0.2)
        return lines


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminal]:
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    for name in ("MLFLOW_TRACKING_URI", "NO_COLOR", "COLUMNS", "LINES"):  # pytest itself sets the last two
        monkeypatch.delenv(name, raising=False)
    # A separate name for each test, because the server of the test before may still be running.
    found = Terminal(socket=f"sweeps-{os.getpid()}-{tmp_path.name}", folder=tmp_path)
    yield found
    subprocess.run(["tmux", "-L", found.socket, "kill-server"], check=False, capture_output=True)


def is_live(lines: list[str]) -> bool:
    """Whether a running trial with a complete epoch is on the screen."""
    return any("slots busy" in line for line in lines) and any(
        line.startswith("trial ") and "%" in line and "complete" not in line for line in lines
    )


@pytest.mark.slow
def test_a_view_redraws_is_watched_fits_and_leaves_a_sane_terminal(
    terminal: Terminal, recorded_runs: Path, tmp_path: Path
) -> None:
    file = write_yaml(tmp_path, tiny(base=tiny()["base"] | {"epochs": 100_000}))
    terminal.start("run", "run", file, "--runs", recorded_runs, "--backend", "inline")
    lines = terminal.wait("run", is_live)
    assert sum("slots busy" in line for line in lines) == 1, "drawn in place, not below one another"
    assert lines[0].startswith("tiny: 0 of ")

    terminal.start("watch", "status", "tiny", "--runs", recorded_runs, "--watch", "--every", "0.3")
    watched = terminal.wait("watch", is_live)
    header, trial = (next(line for line in watched if line.startswith(start)) for start in ("tiny: ", "trial 0"))
    assert header.startswith(lines[0].partition(",")[0])
    shown = next(line for line in lines if line.startswith("trial 0"))
    assert any(line.split()[:3] == ["trial", "epochs", "epoch"] for line in lines), "headings"
    assert {*shown} & {*"━┄"}, "a bar within the epoch"
    assert trial.rpartition("  ")[2] == shown.rpartition("  ")[2], "the same settings of the same trial"

    terminal.tmux("select-window", "-t", "live:run")  # only a selected window is resized
    terminal.tmux("resize-window", "-t", "live:run", "-x", "60", "-y", "20")
    narrow = terminal.wait("run", lambda lines: is_live(lines) and all(len(line) <= 60 for line in lines))
    time.sleep(1.5)
    narrow = terminal.screen("run")
    assert sum("trials done" in line for line in narrow) == 1, "nothing is left of the wider view"

    terminal.tmux("send-keys", "-t", "live:run", "C-c")
    ended = terminal.wait("run", lambda lines: "ended with 130" in lines)
    assert "Run the same command again to resume." in "".join(line.ljust(60) for line in ended)
    assert not any("slots busy" in line for line in ended), "the view is cleared"
    assert terminal.tmux("display-message", "-p", "-t", "live:run", "#{cursor_flag}").strip() == "1"
    last = terminal.wait("watch", lambda lines: "ended with 0" in lines)
    assert any("interrupted" in line for line in last)


@pytest.mark.slow
def test_status_watch_reports_that_the_driver_was_killed(
    terminal: Terminal, recorded_runs: Path, tmp_path: Path
) -> None:
    file = write_yaml(tmp_path, tiny(base=tiny()["base"] | {"epochs": 100_000}))
    terminal.start("run", "run", file, "--runs", recorded_runs, "--backend", "inline")
    terminal.wait("run", is_live)
    terminal.start("watch", "status", "tiny", "--runs", recorded_runs, "--watch", "--every", "0.3")
    terminal.wait("watch", is_live)

    about = (recorded_runs / "sweeps" / "tiny" / "driver.json").read_text(encoding="utf-8")
    os.kill(int(about.partition('"pid": ')[2].partition(",")[0]), 9)

    lines = terminal.wait("watch", lambda lines: "ended with 0" in lines)
    assert "The driver of tiny was killed." in " ".join(lines)


@pytest.mark.slow
def test_keys_pause_skip_and_leave_a_sweep_that_outlives_its_terminal(
    terminal: Terminal, recorded_runs: Path, tmp_path: Path
) -> None:
    file = write_yaml(tmp_path, tiny(base=tiny()["base"] | {"epochs": 100_000}))
    terminal.start("run", "run", file, "--runs", recorded_runs, "--backend", "inline")
    terminal.wait("run", is_live)

    def press(key: str, then: str) -> None:
        terminal.tmux("send-keys", "-t", "live:run", key)
        terminal.wait("run", lambda lines: then in " ".join(lines))

    press("p", "tiny is paused")
    press("p", "tiny continues.")
    press("s", "tiny-000 will end after epoch")
    press("q", "continues when this terminal is closed")
    terminal.tmux("kill-server")
    about = (recorded_runs / "sweeps" / "tiny" / "driver.json").read_text(encoding="utf-8")
    driver = int(about.partition('"pid": ')[2].partition(",")[0])
    time.sleep(2)
    os.kill(driver, 0)
    os.kill(driver, 15)
    deadline = time.monotonic() + SECONDS
    while (recorded_runs / "sweeps" / "tiny" / "driver.json").exists():
        assert time.monotonic() < deadline
        time.sleep(0.2)
