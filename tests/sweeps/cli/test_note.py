"""Notes and tags of persons on runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient
from sweep_fakes import LEARNING, Cli, tiny, write_yaml

from sweeps.record.store import store_uri

pytestmark = pytest.mark.usefixtures("instant_training")


@pytest.fixture
def runs(recorded_runs: Path, tmp_path: Path, cli: Cli) -> Path:
    file = write_yaml(tmp_path, tiny(base=LEARNING))
    cli("run", file, "--runs", recorded_runs, "--backend", "inline")
    return recorded_runs


def run_id(runs: Path, cli: Cli) -> str:
    [row] = json.loads(cli("leaderboard", "tiny", "--where", "trial = 'tiny-000'", "--json", "--runs", runs).stdout)
    return str(row["run_id"])


def test_notes_and_tags_are_in_show_leaderboard_and_report(runs: Path, cli: Cli) -> None:
    cli("note", "tiny-000", "loss spikes | at epoch 3", "--tag", "suspicious", "--tag", "redo", "--runs", runs)

    shown = cli("show", "tiny-000", "--runs", runs).output
    assert "loss spikes | at epoch 3" in shown
    assert "suspicious, redo" in shown
    board = cli("leaderboard", "tiny", "--where", "tags like '%suspicious%'", "--runs", runs).output
    assert "tiny-000" in board
    assert "tiny-001" not in board
    assert "suspicious" in board
    cli("report", "tiny", "--runs", runs)
    assert "loss spikes | at epoch 3" in (runs / "reports" / "tiny.html").read_text(encoding="utf-8")


def test_text_typed_in_mlflow_is_kept_and_shown(runs: Path, tmp_path: Path, cli: Cli) -> None:
    client, run = MlflowClient(store_uri(runs)), run_id(runs, cli)
    client.set_tag(run, "mlflow.note.content", "typed in MLflow")
    cli("note", "tiny-000", "typed here", "--runs", runs)
    cli("run", write_yaml(tmp_path, tiny(base=LEARNING, run_cap=3)), "--runs", runs, "--backend", "inline")

    assert client.get_run(run).data.tags["mlflow.note.content"] == "typed in MLflow\n\ntyped here"
    assert cli("note", "tiny-000", "--runs", runs).stdout.startswith("typed in MLflow\n\ntyped here\n")


def test_a_tag_is_removed_and_an_unknown_one_refused(runs: Path, cli: Cli) -> None:
    cli("note", "tiny-000", "--tag", "redo", "--runs", runs)
    assert "tags: none" in cli("note", "tiny-000", "--untag", "redo", "--runs", runs).stdout
    refused = cli("note", "tiny-000", "--untag", "redo", "--runs", runs)
    assert refused.exit_code == 2
    assert "the run has no 1 tag redo" not in refused.output
    assert "has no tag redo" in refused.output


@pytest.mark.parametrize("tag", ["two words", "a,b", ""])
def test_a_tag_that_is_no_word_is_refused(runs: Path, cli: Cli, tag: str) -> None:
    refused = cli("note", "tiny-000", "text", "--tag", tag, "--runs", runs)
    assert refused.exit_code == 2
    assert f"{tag!r} is not a valid tag" in refused.output
    assert cli("note", "tiny-000", "--runs", runs).stdout.startswith("no note")


def test_a_note_that_is_too_long_changes_nothing(runs: Path, cli: Cli) -> None:
    refused = cli("note", "tiny-000", "x" * 9000, "--tag", "long", "--runs", runs)
    assert refused.exit_code == 2
    assert "9,000 characters" in refused.output
    assert "tags: none" in cli("note", "tiny-000", "--runs", runs).stdout
