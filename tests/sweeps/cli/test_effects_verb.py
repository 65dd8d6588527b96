"""`sweeps effects`, its Python function and its section of the page."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest
from sweep_fakes import Cli, tiny, write_yaml

import sweeps

pytestmark = pytest.mark.usefixtures("instant_training")


@pytest.fixture
def searched(recorded_runs: Path, tmp_path: Path, cli: Cli) -> Path:
    """A runs folder with three trials of each of two learning rates."""
    content = tiny(
        run_cap=6,
        method="grid",
        parameters={"optimizer.lr": {"values": [0.0001, 0.05]}, "seed": {"values": [0, 1, 2]}},
    )
    result = cli("run", write_yaml(tmp_path, content), "--runs", recorded_runs, "--backend", "inline", "--report")
    assert result.exit_code == 0, result.output
    return recorded_runs


def test_effects_agree_between_table_json_csv_python_and_page(searched: Path, tmp_path: Path, cli: Cli) -> None:
    effects = sweeps.effects("tiny", runs=searched)

    table = cli("effects", "tiny", "--runs", searched)
    as_json = cli("effects", "tiny", "--runs", searched, "--json")
    as_csv = cli("effects", "tiny", "--runs", searched, "--csv", tmp_path / "effects.csv")

    assert {parameter.name for parameter in effects.parameters} == {"optimizer.lr", "seed"}
    assert effects.trials == 6
    assert table.exit_code == as_json.exit_code == as_csv.exit_code == 0
    assert "optimizer.lr" in table.stdout
    assert json.loads(as_json.stdout) == json.loads(json.dumps(asdict(effects)))
    assert as_csv.stdout == f"5 rows written to {tmp_path / 'effects.csv'}\n"
    # Networks at chance level: the page has no conclusive verdict and no chart.
    assert "No verdict is conclusive yet" in (searched / "reports" / "tiny.html").read_text(encoding="utf-8")


def test_with_two_trials_it_estimates_the_missing_number(recorded_runs: Path, tmp_path: Path, cli: Cli) -> None:
    cli("run", write_yaml(tmp_path, tiny()), "--runs", recorded_runs, "--backend", "inline")

    result = cli("effects", "tiny", "--runs", recorded_runs)

    assert result.exit_code == 0
    assert "too few trials: at least 4 more needed" in result.stdout


def test_a_missing_sweep_is_rejected(runs: Path, cli: Cli) -> None:
    result = cli("effects", "nobody", "--runs", runs)

    assert result.exit_code == 2
    assert "no sweep 'nobody'" in result.stderr
    assert not runs.exists()


def test_a_file_that_cannot_be_written_is_refused(searched: Path, tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "file").write_text("in the way", encoding="utf-8")

    result = cli("effects", "tiny", "--runs", searched, "--csv", tmp_path / "file" / "effects.csv")

    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
