"""Progress messages before the first trial, and the redirection of output."""

from __future__ import annotations

import errno
import io
import os
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from sweep_fakes import Cli, tiny, write_yaml

from sweeps.system.output import redirect_output, stage


def test_without_a_terminal_a_stage_is_one_line() -> None:
    output = io.StringIO()

    with stage(Console(file=output), "reading [a] file"):
        assert output.getvalue() == "reading [a] file\n"

    assert output.getvalue() == "reading [a] file\n"


def test_on_a_terminal_a_stage_disappears_at_its_end() -> None:
    output, streams = io.StringIO(), (sys.stdout, sys.stderr)

    with stage(Console(file=output, force_terminal=True, width=80), "reading a file"):
        during = output.getvalue()
        assert (sys.stdout, sys.stderr) == streams

    assert "reading a file" in during
    assert during.endswith("reading a file")
    erases_the_line_above = "\x1b[1A\x1b[2K"
    assert output.getvalue().endswith(erases_the_line_above)


def test_a_run_reports_its_progress_before_its_first_trial(tmp_path: Path, recorded_runs: Path, cli: Cli) -> None:
    path = write_yaml(tmp_path, tiny(run_cap=1))

    said = cli("run", path, "--runs", recorded_runs, "--backend", "inline").stdout.splitlines()

    assert said[:3] == [f"reading {path}", "opening the record", "loading PyTorch"]
    assert said[3].startswith("tiny: 0 of 1 trials done")


def test_a_run_prints_a_line_before_slow_imports(tmp_path: Path) -> None:
    wrong = write_yaml(tmp_path, tiny(run_cap=None))
    code = (
        "import sys; import sweeps.system.output as output; from sweeps.cli.main import sweeps\n"
        "stage = output.stage\n"
        "heavy = {'torch', 'ray', 'mlflow', 'optuna', 'pandas'}\n"
        "output.stage = lambda *given: print(given[1], heavy & set(sys.modules), flush=True) or stage(*given)\n"
        f"sweeps(['run', {str(wrong)!r}])"
    )

    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)

    assert said.stdout.splitlines()[0] == f"reading {wrong} set()", said.stderr


def test_a_failed_flush_on_a_full_disk_is_not_raised(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.StringIO):
        def flush(self) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(sys, "stdout", Full())

    with redirect_output(tmp_path / "ray.log"):
        os.write(1, b"from below Python\n")

    assert (tmp_path / "ray.log").read_text(encoding="utf-8") == "from below Python\n"
