"""Runs that are equal under all seeds are noted on the leaderboard and in the report."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from sweep_fakes import Cli, write_yaml

from sweeps.analysis.equal_seeds import equal_under_all_seeds

MODULE = """
def train(trial, *, rate: float = 0.1, epochs: int = 2):
    for epoch in range(trial.epoch, epochs):
        yield {"val_loss": rate + SEED}
"""


@pytest.mark.parametrize(
    ("runs", "found"),
    [
        ([("a", 0, [1.0, 2.0]), ("a", 1, [1.0, 2.0])], {"a": 2}),
        ([("a", 0, [1.0, 2.0]), ("a", 1, [1.5, 2.0])], {}),
        ([("a", 0, [1.0]), ("b", 1, [1.0])], {}),
        ([("a", 0, [1.0]), ("a", 0, [1.0])], {}),
    ],
    ids=["equal", "another first epoch", "one seed each", "one seed twice"],
)
def test_only_equal_curves_under_several_seeds_count(
    runs: list[tuple[str, int, list[float]]], found: dict[str, int]
) -> None:
    assert equal_under_all_seeds(runs) == found


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("seedless", None)


@pytest.mark.parametrize(("seed", "is_noted"), [("0", True), ("trial.seed", False)])
def test_replicates_without_variance_are_noted_with_the_remedy(
    project: Path, cli: Cli, seed: str, is_noted: bool
) -> None:
    (project / "seedless.py").write_text(MODULE.replace("SEED", seed), encoding="utf-8")
    content = {
        "name": "own",
        "method": "grid",
        "train": "seedless:train",
        "metric": {"name": "val_loss", "goal": "minimize"},
        "parameters": {"rate": {"values": [0.5]}},
        "replicates": {"top": 1, "seeds": 2},
    }
    ran = cli("run", write_yaml(project, content), "--backend", "inline", "--runs", "runs")
    assert ran.exit_code == 0, ran.output
    assert cli("report", "own", "--runs", "runs").exit_code == 0

    note = "the same val_loss under 3 seeds in every epoch: the training ignores its seed"
    assert (note in ran.stdout) == is_noted
    assert (note in Path("runs/reports/own.html").read_text(encoding="utf-8")) == is_noted
    assert ("numpy.random.default_rng(trial.seed)" in ran.stdout) == is_noted
    mean, luck = ("0.5000", "0.0000") if is_noted else ("2.0000", "1.5000")
    assert f"own-000: val_loss {mean} (mean of 2 new seeds) on the validation data of the search" in ran.stdout
    assert f"The search's 0.5000 was optimistic by {luck} under new seeds" in ran.stdout
    assert "too few for an interval" not in ran.stdout, "only accuracies have one"
