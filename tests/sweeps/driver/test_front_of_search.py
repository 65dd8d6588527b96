"""A search with several objectives and conditions from file to record: what its screens and files say of the front."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from click.testing import Result
from sweep_fakes import Cli

from sweeps.analysis.known import known_of
from sweeps.core.front import front

Run = Callable[..., Result]
FUNCTION = """
def train(trial, *, x=0.5, width=4, epochs=1, seed=0):
    yield {"score": (1 - (x - 0.3) ** 2) * (1 - 1 / (1 + width)), "memory": 10.0 * width}
"""
SEARCH = {
    "name": "sized",
    "train": "sized_function:train",
    "run_cap": 14,
    "metrics": [{"name": "score"}, {"name": "width", "goal": "minimize"}],
    "where": ["width * x < 20", "memory <= 400"],
    "parameters": {"x": {"min": 0.0, "max": 1.0}, "width": {"min": 1, "max": 64}},
}


@pytest.fixture
def run(recorded_runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cli: Cli) -> Run:
    """Run the search inline, with some keys changed."""
    (tmp_path / "sized_function.py").write_text(FUNCTION, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))

    def run_search(**changes: object) -> Result:
        file = tmp_path / "sized.yaml"
        file.write_text(yaml.safe_dump(SEARCH | changes), encoding="utf-8")
        result = cli("run", file, "--runs", recorded_runs, "--backend", "inline")
        assert isinstance(result, Result)
        return result

    return run_search


def test_every_screen_and_file_marks_the_same_front(run: Run, cli: Cli, recorded_runs: Path) -> None:
    at_the_end = run()
    assert at_the_end.exit_code == 0, at_the_end.output
    rows = json.loads(cli("leaderboard", "sized", "--json", "--runs", recorded_runs).stdout)
    ranked = [row for row in rows if row["rank"] is not None]

    points = [[-row["metric_value"], row["width"]] for row in ranked]
    assert [bool(row["front"]) for row in ranked] == [index in front(points) for index in range(len(ranked))]
    assert 1 < sum(row["front"] for row in ranked) < len(ranked)
    assert all([known.value for known in known_of(row)] == [row["width"]] for row in ranked)
    names = {f"sized-{row['trial']:03d}" for row in ranked if row["front"]}
    printed = at_the_end.stdout.partition("\nfront:\n")[2].splitlines()[1 : len(names) + 1]
    assert {line.split()[0] for line in printed} == names
    filtered = json.loads(cli("leaderboard", "sized", "--where", "front", "--json", "--runs", recorded_runs).stdout)
    assert {f"sized-{row['trial']:03d}" for row in filtered} == names
    report = cli("report", "sized", "--runs", recorded_runs)
    assert report.exit_code == 0
    page = (recorded_runs / "reports" / "sized.html").read_text(encoding="utf-8")
    section = page.partition('<section id="front"')[2].partition("</section>")[0]
    assert all(name in section for name in names)


def test_no_refused_or_violating_configuration_has_a_rank(run: Run, cli: Cli, recorded_runs: Path) -> None:
    assert run().exit_code == 0
    rows = json.loads(cli("leaderboard", "sized", "--json", "--runs", recorded_runs).stdout)

    assert len(rows) == 14
    assert all(row["width"] * row["x"] < 20 for row in rows)
    violating = [row for row in rows if row["width"] > 40]
    assert violating
    assert all((row["rank"], row["front"], row["violated"]) == (None, None, "memory <= 400") for row in violating)
    assert "violates where" in cli("leaderboard", "sized", "--runs", recorded_runs).stdout


def test_a_replay_says_how_much_of_the_front_it_finds(run: Run, cli: Cli, recorded_runs: Path) -> None:
    assert run().exit_code == 0
    arguments = ("replay", "sized", "--early", "none", "--seeds", 2, "--runs", recorded_runs)

    [whole] = json.loads(cli(*arguments, "--json").stdout)["variants"]
    [half] = json.loads(cli(*arguments, "--run-cap", 4, "--json").stdout)["variants"]

    assert whole["hypervolume"] == pytest.approx(1)
    assert 0 < half["hypervolume"] < 1
    assert "front %" in cli(*arguments).stdout


def test_changed_conditions_need_another_study(run: Run, cli: Cli, recorded_runs: Path) -> None:
    assert run().exit_code == 0

    refused = run(where=["width <= 20"])

    assert refused.exit_code == 2
    assert 'where: was ["width * x < 20", "memory <= 400"], is ["width <= 20"]' in refused.output
    rows = json.loads(cli("leaderboard", "sized", "--json", "--runs", recorded_runs).stdout)
    inside = sum(row["width"] <= 20 for row in rows)
    assert f"14 trials of the earlier study stay in the record: {inside} of them in the new space" in refused.output


def test_a_finished_search_with_several_objectives_trains_nothing_more(run: Run) -> None:
    assert run().exit_code == 0

    assert "Nothing to train: all 14 trials are already recorded" in run().stdout
