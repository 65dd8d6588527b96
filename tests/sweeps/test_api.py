"""What a notebook calls: no path inside the package is needed."""

from __future__ import annotations

from pathlib import Path

import pytest
from instant_training import give_weights
from sweep_fakes import tiny, write_yaml

import sweeps

pytestmark = pytest.mark.usefixtures("instant_training")

LEARNS = ["run_cap=1", "base.epochs=3", "base.data.train_size=3000"]
"""Makes a tiny sweep one that learns, so that it has a rank."""


def test_a_sweep_is_loaded_run_and_ranked_from_python(
    tmp_path: Path, recorded_runs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = sweeps.load_spec(write_yaml(tmp_path, tiny()), overrides=LEARNS)

    summary = sweeps.run(spec, runs=recorded_runs, backend="inline")
    board = sweeps.leaderboard("tiny", runs=recorded_runs)

    assert (summary.trained, summary.stopped_by) == (1, None)
    assert list(board["rank"]) == [1]
    assert sweeps.leaderboard(runs=recorded_runs, where="val_accuracy > 1").empty
    assert sweeps.run(spec, runs=recorded_runs, backend="inline").trained == 0
    assert "trial 0 complete" in capsys.readouterr().out


def test_a_sweep_from_a_file_shows_what_it_came_to(tmp_path: Path, recorded_runs: Path) -> None:
    sweep = sweeps.Sweep.from_file(write_yaml(tmp_path, tiny()), overrides=LEARNS)

    result = sweep.run(runs=recorded_runs, backend="inline")

    assert (sweep.spec.run_cap, result.summary.trained) == (1, 1)
    header, row, *said = repr(result).splitlines()
    assert header.split() == ["rank", "trial", "val", "acc", "%"]
    assert row.split()[:2] == ["1", "tiny-000"]
    assert said[0] == "tiny: 1 trial done"
    assert said[1].startswith("The best is trial 0 (simple, width 4")
    html = result._repr_html_()
    assert html.startswith("<table")
    assert html.count("<th ") == 3, "not every column of the record"
    assert "The best is trial 0" in html
    assert not result.is_interrupted
    assert result.leaderboard.equals(sweeps.leaderboard("tiny", runs=recorded_runs))
    give_weights(recorded_runs)
    assert result.best_model(device="cpu").config.optimizer.lr == result.leaderboard["optimizer.lr"].iloc[0]


def test_a_sweep_shows_its_space_before_it_is_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a notebook's kernel sets it
    sweep = sweeps.Sweep.from_file(write_yaml(tmp_path, tiny()))
    shown = repr(sweep)

    assert shown.splitlines()[0] == "tiny"
    assert "optimizer.lr  0.01 | 0.02 | 0.03 | 0.05" in shown
    assert "optimizer.lr" in sweep._repr_html_()
    assert "random search, at most 2 trials, 4 combinations, maximize val_accuracy" in shown


def test_a_ladder_is_loaded_and_run_from_python(tmp_path: Path, recorded_runs: Path) -> None:
    base = {"epochs": 1, "model": {"width": 4}, "data": {"train_size": 200}}
    rungs = [{"name": "a"}, {"name": "b", "optimizer": {"lr": 0.02}}]
    ladder = sweeps.load_ladder(str(write_yaml(tmp_path, {"name": "steps", "base": base, "rungs": rungs})))

    summary = sweeps.run(ladder, runs=recorded_runs, backend="inline", rungs=["b"])

    assert [record.name for record in summary.records] == ["b"]
    assert summary.records[0].test is not None


def test_a_wrong_file_raises_what_a_program_can_catch(tmp_path: Path) -> None:
    with pytest.raises(sweeps.SweepError, match="run_cap"):
        sweeps.load_spec(write_yaml(tmp_path, tiny(run_cap=None)))


def test_a_ladders_budget_is_refused_for_a_sweep(tmp_path: Path) -> None:
    spec = sweeps.load_spec(write_yaml(tmp_path, tiny()))

    with pytest.raises(sweeps.SweepError, match="are for ladders"):
        sweeps.run(spec, runs=tmp_path / "runs", rungs=["b"])
