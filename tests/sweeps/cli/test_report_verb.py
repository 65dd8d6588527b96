"""`sweeps report`, and the page at the end of a run."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from sweep_fakes import Cli, tiny, write_yaml

pytestmark = pytest.mark.usefixtures("instant_training")


def test_a_run_writes_the_page_and_prints_its_path(recorded_runs: Path, tmp_path: Path, cli: Cli) -> None:
    file = write_yaml(tmp_path, tiny())

    result = cli("run", file, "--runs", recorded_runs, "--backend", "inline", "--report")

    page = recorded_runs / "reports" / "tiny.html"
    assert result.exit_code == 0
    assert [line for line in result.output.splitlines() if "tiny.html" in line] == [f"report: {page}"]
    assert "2 complete" in page.read_text(encoding="utf-8")

    page.write_text("<!doctype html>of before", encoding="utf-8")
    cli("run", file, "--runs", recorded_runs, "--backend", "inline", "--report")
    assert page.read_text(encoding="utf-8") == "<!doctype html>of before"

    again = cli("report", "tiny", "--runs", recorded_runs, "--out", tmp_path / "other" / "page.html")
    assert again.output == f"written: {tmp_path / 'other' / 'page.html'}\n"
    assert (tmp_path / "other" / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>\n<html lang=")


def test_a_page_that_cannot_be_written_does_not_affect_the_run(recorded_runs: Path, tmp_path: Path, cli: Cli) -> None:
    (recorded_runs / "reports").write_text("in the way", encoding="utf-8")

    result = cli("run", write_yaml(tmp_path, tiny()), "--runs", recorded_runs, "--backend", "inline", "--report")

    assert result.exit_code == 0
    assert "tiny: 2 complete" in result.output
    assert "the page could not be written" in result.output
    again = re.search(r"Run `sweeps (.+)` to retry", result.output)
    assert again is not None
    (recorded_runs / "reports").unlink()
    assert cli(*shlex.split(again[1])).exit_code == 0
    shutil.rmtree(recorded_runs / "reports")
    (recorded_runs / "reports").write_text("in the way", encoding="utf-8")
    refused = cli("report", "tiny", "--runs", recorded_runs)
    assert refused.exit_code == 2
    assert "cannot be written" in refused.output


def test_a_file_that_is_not_a_page_is_not_replaced(recorded_runs: Path, tmp_path: Path, cli: Cli) -> None:
    cli("run", write_yaml(tmp_path, tiny(run_cap=1)), "--runs", recorded_runs, "--backend", "inline")
    precious = tmp_path / "thesis.tex"
    precious.write_text("years of work", encoding="utf-8")

    result = cli("report", "tiny", "--runs", recorded_runs, "--out", precious)

    assert result.exit_code == 2
    assert "exists and is not an HTML page" in result.output
    assert precious.read_text(encoding="utf-8") == "years of work"


def test_a_missing_sweep_is_rejected_and_nothing_is_written(runs: Path, cli: Cli) -> None:
    result = cli("report", "nobody", "--runs", runs)

    assert result.exit_code == 2
    assert "no sweep 'nobody'" in result.output
    assert not runs.exists()


def test_with_an_unreadable_record_the_page_uses_the_journal(recorded_runs: Path, tmp_path: Path, cli: Cli) -> None:
    cli("run", write_yaml(tmp_path, tiny()), "--runs", recorded_runs, "--backend", "inline", "--report")
    (recorded_runs / "mlflow.db").write_bytes(b"no database at all" * 100)

    result = cli("report", "tiny", "--runs", recorded_runs)

    assert result.exit_code == 0
    page = (recorded_runs / "reports" / "tiny.html").read_text(encoding="utf-8")
    assert "The leaderboard cannot be shown" in page
    assert "The best complete trial is trial" in page
