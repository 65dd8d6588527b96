"""What format 1 holds is read by every verb that reads; a record of another format is refused in one line.

`tests/fixtures/README.md` says what the folder holds, and how it was made.
"""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import tarfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from PIL import Image
from sweep_fakes import Cli

import sweeps
from sweeps.core.results import EpochResult
from sweeps.core.trial import FORMAT
from sweeps.record import epochs, mapping, reader
from sweeps.record.complete_results import CompleteResults
from sweeps.record.mapping import EPOCH_METRICS

ARCHIVE = Path(__file__).parents[1] / "fixtures" / "runs-format-1.tar.gz"

READING = (
    "list",
    "status search",
    "status steps",
    "show search",
    "show search-000",
    "show steps/nesterov",
    "leaderboard",
    "leaderboard search --where epochs>1 --runs {runs}",
    "compare search-000 search-001",
    "compare steps/plain steps/nesterov",
    "effects search",
    "replay search --seeds 1",
    "report search",
    "report steps",
    "inspect mistakes search-000 --validation --out mistakes.png",
    "predict search-000 image.png",
    "export search-000 --format state-dict --out network.pt",
    "rerun search-000",
    "doctor",
    "gc --dry-run",
    "init around.yaml --from search-000 --yes",
    "replicate search --top 1 --seeds 2 --backend inline",
    "retrain search-000 --epochs 3 --backend inline",
    "ablate search-000 --backend inline",
    "finalize search",
    "run search.yaml --backend inline",
    "ladder steps.yaml --backend inline",
)
"""Each of them reads the journal, the record, or a checkpoint."""
TRAINING = ("rerun", "retrain", "ablate", "finalize", "init")
"""Verbs that train, measure or time networks first: others show already that what they read is read."""


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The runs folder of format 1, in the current folder beside the files that it was made with."""
    with tarfile.open(ARCHIVE) as archive:
        # Python up to 3.11.3 knows no filters.
        archive.extraction_filter = getattr(tarfile, "data_filter", None)
        archive.extractall(tmp_path)
    Image.new("RGB", (32, 32), "red").save(tmp_path / "image.png")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    return tmp_path / "runs"


def mark(runs: Path, found: int | None, *, run_id: str | None = None) -> None:
    """Let journals and record, or one run in it, say another format; None for none."""
    name = "no_format" if found is None else "format"
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database, database:
        database.execute(
            "UPDATE tags SET key = ?, value = ? WHERE key = 'format' AND run_uuid = coalesce(?, run_uuid)",
            (name, str(found), run_id),
        )
    for journal in runs.glob("sweeps/*/journal.log") if run_id is None else ():
        content = journal.read_text(encoding="utf-8")
        changed = re.sub(r'"format": ?1\b', f'"{name}":{found or 0}', content)
        assert changed != content
        journal.write_text(changed, encoding="utf-8")
        for beside in ("crc", "backup"):
            journal.with_name(f"journal.log.{beside}").unlink(missing_ok=True)


def verb(cli: Cli, command: str, runs: Path) -> Result:
    return cli(*command.format(runs=runs).split(), *([] if "{runs}" in command else ["--runs", runs]))


@pytest.mark.parametrize("command", [each for each in READING if not each.startswith(TRAINING)])
def test_every_verb_that_reads_reads_format_1(command: str, runs: Path, cli: Cli) -> None:
    result = verb(cli, command, runs)

    assert result.exit_code == 0, result.output
    assert "left out" not in result.output
    if command.startswith(("run", "ladder", "replicate")):
        assert "Nothing to train" in result.output


def test_the_leaderboard_says_of_format_1_what_it_said(runs: Path) -> None:
    wanted = {row["run_id"]: row for row in json.loads((runs.parent / "leaderboard.json").read_text(encoding="utf-8"))}

    rows: list[dict[str, Any]] = json.loads(sweeps.leaderboard(runs=runs, each_run=True).to_json(orient="records"))

    same = ("sweep", "rung", "trial", "key", "config_id", "status", "rank", "val_accuracy", "test_accuracy")
    assert len(rows) == len(wanted)
    for row in rows:
        assert [row[name] for name in same] == [wanted[row["run_id"]][name] for name in same]
    # The text of a protocol may change; which runs share one may not change.
    protocols = {(wanted[row["run_id"]]["protocol"], row["protocol"]) for row in rows}
    assert len(protocols) == len({old for old, _ in protocols}) == len({new for _, new in protocols})


@pytest.mark.parametrize("command", READING)
def test_every_verb_refuses_another_format_in_a_line(command: str, runs: Path, cli: Cli) -> None:
    mark(runs, FORMAT + 1)

    result = verb(cli, command, runs)

    said = " ".join(result.output.split())
    if command.startswith("gc"):
        assert "the journal of search, steps cannot be read (run `sweeps doctor` for details)" in said
    else:
        assert "has format 2. This version of sweeps reads format 1." in said
    assert result.exit_code != 0 or command in ("list", "gc --dry-run")


@pytest.mark.parametrize("command", ["status search", "leaderboard", "run search.yaml --backend inline"])
def test_what_says_no_format_is_refused_too(command: str, runs: Path, cli: Cli) -> None:
    mark(runs, None)

    result = verb(cli, command, runs)

    assert "has no format version" in " ".join(result.output.split())
    assert result.exit_code == 2


def test_an_epoch_of_a_later_version_is_read_with_its_metrics(runs: Path) -> None:
    (epoch, *_) = reader.MlflowReader(runs).curve(sweeps.show("search-000", runs=runs).values["run_id"])

    newer = EpochResult.from_dict(epoch.as_dict() | {"gradient_norm": 1.0, "note": "a text", "is_warm": True})

    assert newer == replace(epoch, metrics={**epoch.metrics, "gradient_norm": 1.0})


def test_a_run_that_lacks_a_later_metric_is_complete(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (mapping, epochs):
        monkeypatch.setattr(module, "EPOCH_METRICS", (*EPOCH_METRICS, "gradient_norm"))
    record = reader.MlflowReader(runs)

    complete = [run for run in record.complete_runs().values() if run.sweep == "search"]

    assert len(complete) > 2
    assert all(CompleteResults(record).complete_result(run.key) for run in complete)


def test_a_sweep_of_another_format_can_be_deleted(runs: Path, cli: Cli) -> None:
    mark(runs, FORMAT + 1)

    result = verb(cli, "rm search --yes", runs)

    assert result.exit_code == 0, result.output
    assert not (runs / "sweeps" / "search").exists()


def test_a_single_run_of_another_format_is_named_and_left_out(
    runs: Path, cli: Cli, caplog: pytest.LogCaptureFixture
) -> None:
    one = sweeps.show("search-000", runs=runs).values["run_id"]
    mark(runs, FORMAT + 1, run_id=one)

    board = sweeps.leaderboard("search", runs=runs, each_run=True)

    assert one not in set(board["run_id"])
    assert len(board) == 4
    assert f"run {one}" in caplog.text
    assert "the version that wrote it" in caplog.text
    assert one in verb(cli, "doctor", runs).output
