"""Replicates of a search: from the file or the command, interrupted, extended, rejected."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from sweep_fakes import LEARNING, Cli, own_net, tiny, write_yaml, written

import sweeps
from sweeps.core.errors import SweepError
from sweeps.core.trial import Outcome
from sweeps.record.reader import MlflowReader
from sweeps.search.state import read_state
from sweeps.use.weights import find_weights

GRID = {
    "method": "grid",
    "run_cap": None,
    "base": LEARNING,
    "parameters": {"optimizer.lr": {"values": [0.01, 0.02, 0.05]}},
}


@pytest.fixture
def runs(recorded_runs: Path) -> Path:
    return recorded_runs


def run(folder: Path, runs: Path, cli: Cli, *arguments: str, **changes: Any) -> Any:
    return cli("run", write_yaml(folder, tiny(**changes)), "--runs", runs, "--backend", "inline", *arguments)


def confirming(runs: Path) -> list[tuple[str, str]]:
    """Return name and outcome of the replicates in MLflow."""
    return sorted((r.name, r.tags["outcome"]) for r in written(runs) if "replicate_of" in r.tags)


def test_a_file_with_replicates_confirms_its_best(tmp_path: Path, runs: Path, cli: Cli) -> None:
    result = run(tmp_path, runs, cli, **GRID, replicates={"top": 2, "seeds": 2})

    assert result.exit_code == 0, result.output
    assert "tiny: 3 complete" in result.stdout
    assert "tiny replicates: 4 complete" in result.stdout
    state = read_state(runs, "tiny")
    best = sorted(state.records, key=lambda record: -(state.value(record) or 0))[:2]
    assert confirming(runs) == sorted((f"tiny-{r.trial:03d}-s{seed}", "complete") for r in best for seed in (1, 2))
    assert [len(r.epochs) for r in state.replicates] == [2] * 4
    board = sweeps.leaderboard("tiny", runs=runs)
    assert list(board["replicates"]) == [2, 2, 1]
    assert [run.name for run in written(runs, kind="sweep")] == ["tiny", "tiny replicates"]
    assert {run.status for run in written(runs, kind="sweep")} == {"FINISHED"}


def test_the_same_command_again_trains_nothing(tmp_path: Path, runs: Path, cli: Cli) -> None:
    run(tmp_path, runs, cli, **GRID, replicates={"top": 1, "seeds": 1})
    before = written(runs)

    result = run(tmp_path, runs, cli, **GRID, replicates={"top": 1, "seeds": 1})

    assert result.stdout.count("Nothing to train") == 2
    assert written(runs) == before


def test_more_seeds_are_added_to_existing_replicates(tmp_path: Path, runs: Path, cli: Cli) -> None:
    run(tmp_path, runs, cli, **GRID)
    arguments = ("replicate", "tiny", "--top", 1, "--runs", runs, "--backend", "inline", "--seeds")
    assert cli(*arguments, 1).exit_code == 0
    first = confirming(runs)

    result = cli(*arguments, 2)

    assert "trained 1 in" in result.stdout
    assert len(confirming(runs)) == 2
    assert set(first) < set(confirming(runs))


def test_the_sampler_never_receives_a_replicate(tmp_path: Path, runs: Path, cli: Cli) -> None:
    with_replicates, without = tmp_path / "with", tmp_path / "without"
    for folder in (with_replicates, without):
        folder.mkdir()
    search = {"method": "bayes", "parameters": {"optimizer.lr": {"min": 0.001, "max": 0.3}}}
    for cap in (12, 14):
        run(tmp_path, with_replicates, cli, **search, run_cap=cap, replicates={"top": 1, "seeds": 2})
        run(tmp_path, without, cli, **search, run_cap=cap)

    proposed = [
        [record.config.optimizer.lr for record in read_state(folder, "tiny").records]
        for folder in (with_replicates, without)
    ]
    assert proposed[0] == proposed[1]
    assert len(proposed[0]) == 14


def test_a_trial_that_was_stopped_early_is_trained_fully_first(tmp_path: Path, runs: Path, cli: Cli) -> None:
    # Only the first one learns. The pruner stops the others after their first epoch.
    rates = {"optimizer.lr": {"values": [0.1, 0.0001, 0.0002]}}
    asha, loss = {"type": "asha", "reduction_factor": 3}, {"name": "train_loss", "goal": "minimize"}
    run(tmp_path, runs, cli, **GRID | {"parameters": rates}, early_terminate=asha, metric=loss)
    stopped = [r for r in read_state(runs, "tiny").records if r.outcome is Outcome.PRUNED]
    assert len(stopped) == 2

    result = cli("replicate", "tiny", "--top", 3, "--seeds", 1, "--runs", runs, "--backend", "inline")

    assert result.exit_code == 0, result.output
    found = read_state(runs, "tiny").replicates
    assert [(r.trial, r.config.seed) for r in found][: len(stopped)] == [
        (r.replicate_of, 0) for r in found[: len(stopped)]
    ]
    assert {r.trial for r in found[: len(stopped)]} == {r.trial for r in stopped}
    assert {(r.outcome, len(r.epochs)) for r in found} == {(Outcome.COMPLETE, 2)}

    # If one of these wins, its first full-length run has the seed of the search and does not confirm it.
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database:
        database.execute(
            "UPDATE latest_metrics SET value = 0.001 WHERE key = 'train_loss' AND run_uuid IN "
            "(SELECT run_uuid FROM tags WHERE key = 'replicate_of' AND value = ?)",
            [str(stopped[0].trial)],
        )
        database.commit()
    assert find_weights(MlflowReader(runs), "tiny", runs=runs).run == f"tiny-{stopped[0].trial:03d}-s1"


def test_searched_seeds_are_not_reused_and_top_counts_configurations(tmp_path: Path, runs: Path, cli: Cli) -> None:
    seeds = {"optimizer.lr": {"values": [0.01, 0.05]}, "seed": {"values": [0, 1, 2]}}

    result = run(tmp_path, runs, cli, **(GRID | {"parameters": seeds}), replicates={"top": 2, "seeds": 2})

    assert result.exit_code == 0, result.output
    state = read_state(runs, "tiny")
    assert {(r.config.optimizer.lr, r.config.seed) for r in state.replicates} == {
        (rate, seed) for rate in (0.01, 0.05) for seed in (3, 4)
    }
    assert {r.reused_from for r in state.replicates} == {None}
    assert list(sweeps.leaderboard("tiny", runs=runs)["replicates"]) == [2, 2]


def test_an_interrupted_replicate_resumes(tmp_path: Path, runs: Path, cli: Cli) -> None:
    run(tmp_path, runs, cli, **GRID)
    arguments = ("replicate", "tiny", "--top", 2, "--seeds", 1, "--runs", runs, "--backend", "inline")

    result = run(tmp_path, runs, cli, **GRID, replicates={"top": 2, "seeds": 1}, limits={"timeout": 0.001})
    assert "(limits.timeout)" in result.stdout or "Nothing to train" in result.stdout

    assert cli(*arguments).exit_code == 0
    assert [outcome for _, outcome in confirming(runs)] == ["complete"] * 2


def test_a_network_edited_since_the_search_is_refused(
    tmp_path: Path, runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    base = own_net(tmp_path, module="net_edited_since", hook="pass")
    run(tmp_path, runs, cli, base=base, run_cap=1)
    with (tmp_path / "net_edited_since.py").open("a", encoding="utf-8") as file:
        file.write("STATE = 2\n")

    result = cli("replicate", "tiny", "--runs", runs, "--backend", "inline")

    assert result.exit_code == 2
    assert (
        "tiny-000 was trained with another version of net_edited_since:Net: net_edited_since.py has changed"
        in result.stderr
    )
    assert confirming(runs) == []


def test_invalid_replicates_are_rejected_with_the_next_step(tmp_path: Path, runs: Path, cli: Cli) -> None:
    def refused(name: str) -> str:
        result = cli("replicate", name, "--runs", runs, "--backend", "inline")
        assert result.exit_code == 2
        return str(result.stderr)

    ladder = {"name": "steps", "base": tiny()["base"], "rungs": [{"name": "a"}]}
    ladder["base"]["data"]["validation_size"] = 0
    assert cli("ladder", write_yaml(tmp_path, ladder), "--runs", runs, "--backend", "inline").exit_code == 0

    assert "no sweep 'tiny'" in refused("tiny")
    assert "steps is a ladder. Run `sweeps ladder FILE --seeds 3` for more seeds." in refused("steps")
    assert "not a valid name" in refused("../x")
    with pytest.raises(SweepError, match="no sweep"):
        sweeps.replicate("tiny", runs=runs, backend="inline")


def test_a_replicate_and_its_trial_are_found_by_name(tmp_path: Path, runs: Path, cli: Cli) -> None:
    run(tmp_path, runs, cli, **GRID, replicates={"top": 1, "seeds": 1})
    ((name, _),) = confirming(runs)
    trial = name.removesuffix("-s1")

    shown, its_trial = cli("show", name, "--runs", runs), cli("show", trial, "--runs", runs)

    assert "replicate_of" in shown.stdout
    assert its_trial.exit_code == 0
    assert "replicate_of" not in its_trial.stdout


def test_deleting_a_sweep_deletes_its_replicates(tmp_path: Path, runs: Path, cli: Cli) -> None:
    run(tmp_path, runs, cli, **GRID, replicates={"top": 1, "seeds": 1})

    assert cli("rm", "tiny", "--yes", "--runs", runs).exit_code == 0

    assert written(runs) == []
    assert not (runs / "sweeps" / "tiny").exists()


def test_a_search_without_complete_trials_has_no_replicates(tmp_path: Path, runs: Path, cli: Cli) -> None:
    rates = {"optimizer.lr": {"values": [1e20, 1e21]}}

    result = run(tmp_path, runs, cli, **(GRID | {"parameters": rates}), replicates={"top": 1, "seeds": 1})

    assert result.exit_code == 0, result.output
    assert "tiny: 2 diverged" in result.stdout
    assert "replicates" not in result.stdout
    assert confirming(runs) == []


def test_a_plan_includes_the_replicates(tmp_path: Path, cli: Cli) -> None:
    path = write_yaml(tmp_path, tiny(**GRID, replicates={"top": 2, "seeds": 3}))

    said = cli("plan", path).stdout

    assert "then trains the best 2 configurations to full length under 3 new seeds each (replicates): about" in said
    assert "then the best" not in cli("plan", write_yaml(tmp_path, tiny(**GRID))).stdout


RACE = {"top": 2, "until": 0.9, "at_most": "2m"}


def test_replicates_are_measured_on_images_that_the_search_does_not_use(tmp_path: Path, runs: Path, cli: Cli) -> None:
    result = run(tmp_path, runs, cli, **GRID, replicates={"top": 1, "seeds": 2, "images": 400})

    board = sweeps.leaderboard("tiny", runs=runs)
    best = board.iloc[0]
    each = [record.confirm for record in read_state(runs, "tiny").replicates]
    fresh = [measured.metrics["val_accuracy"] for measured in each if measured is not None]
    assert len(fresh) == 2
    assert best["confirm_accuracy"] == pytest.approx(sum(fresh) / 2)
    assert (best["confirm_examples"], best["confirm_part"].split(" (")[0]) == (
        400,
        "400 training images that the search does not use",
    )
    assert board["confirm_accuracy"].iloc[1:].isna().all()
    assert "on 400 images that the search did not use. The search's" in result.stdout
    assert {"confirm_accuracy", "confirm_loss"} <= {metric for each in written(runs) for metric in each.steps}


def test_too_few_images_are_said_in_record_plan_and_leaderboard(tmp_path: Path, runs: Path, cli: Cli) -> None:
    few = GRID | {"base": LEARNING | {"data": LEARNING["data"] | {"train_size": 300, "validation_size": 200}}}

    result = run(tmp_path, runs, cli, **few, replicates={"top": 1, "seeds": 1, "images": 0})
    plan = cli("plan", tmp_path / "sweep.yaml")

    assert "on the 200 images of the search" in result.stdout
    assert "compared on the validation data of the search, because images is 0" in " ".join(plan.stdout.split())
    (tags,) = (r.tags for r in written(runs) if "replicate_of" in r.tags)
    assert tags["confirm_part"] == "validation data of the search"
    assert "confirm_examples" not in tags


def test_a_recorded_replicate_is_measured_without_training_it_again(tmp_path: Path, runs: Path, cli: Cli) -> None:
    run(tmp_path, runs, cli, **GRID, replicates={"top": 1, "seeds": 1, "images": 0})
    before = read_state(runs, "tiny").replicates[0]

    run(tmp_path, runs, cli, **GRID, name="other", replicates={"top": 1, "seeds": 1, "images": 400})

    again = next(each for each in read_state(runs, "other").replicates if each.key == before.key)
    assert again.confirm is not None
    assert again.epochs == before.epochs, "with the times of the first training"


def test_a_race_in_a_file_ends_with_a_sentence_everywhere(tmp_path: Path, runs: Path, cli: Cli) -> None:
    wide = {**GRID, "parameters": {"optimizer.lr": {"values": [0.05, 0.00001]}}}

    result = run(tmp_path, runs, cli, **wide, confirm=RACE)

    assert result.exit_code == 0, result.output
    state = read_state(runs, "tiny")
    assert state.race is not None
    (sentence,) = [
        line for line in result.stdout.splitlines() if " is the best with 90 %" in line or "others are out" in line
    ]
    assert sentence in " ".join(cli("status", "tiny", "--runs", runs).stdout.split("\n"))
    assert {r.tags["confirm_until"] for r in written(runs) if "replicate_of" in r.tags} == {"0.9"}
    assert cli("report", "tiny", "--runs", runs).exit_code == 0
    assert sentence.split(":")[0] in (runs / "reports" / "tiny.html").read_text(encoding="utf-8")
    trained = len(written(runs))

    again = run(tmp_path, runs, cli, **wide, confirm=RACE)

    assert again.stdout.count("Nothing to train") == 2
    assert sentence in again.stdout
    assert len(written(runs)) == trained


def test_a_race_by_command_continues_fixed_replicates(tmp_path: Path, runs: Path, cli: Cli) -> None:
    run(tmp_path, runs, cli, **GRID, replicates={"top": 2, "seeds": 2, "images": 400})
    first = confirming(runs)

    result = cli(
        "replicate", "tiny", "--top", 2, "--until", 0.6, "--at-most", "20s", "--images", 400,
        "--runs", runs, "--backend", "inline",
    )  # fmt: skip

    assert result.exit_code == 0, result.output
    assert set(first) <= set(confirming(runs))
    assert any(words in result.stdout for words in ("is the best with 60 %", "cannot be distinguished in 20 s"))


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (("--until", 0.95, "--seeds", 3), "--seeds trains a fixed number"),
        (("--at-most", "5m"), "--at-most limits a race"),
        (("--until", 0.95, "--at-most", "soon"), "'soon' is not a duration"),
        (("--until", 0.95, "--top", 1), "Use --top 2 or more"),
        (("--until", 95), "95"),
        (("--images", 49_800), "images 49800: training and validation in the search leave 49,500"),
    ],
)
def test_options_without_a_meaning_are_refused(
    tmp_path: Path, runs: Path, cli: Cli, arguments: tuple[object, ...], error: str
) -> None:
    run(tmp_path, runs, cli, **GRID)

    result = cli("replicate", "tiny", *arguments, "--runs", runs, "--backend", "inline")

    assert result.exit_code == 2
    assert error in result.output
