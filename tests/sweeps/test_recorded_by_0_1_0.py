"""A runs folder that version 0.1.0 wrote is read as it was written, and every sweep in it goes on.

`tests/fixtures/README.md` says what the folder holds. These tests meet it as a user does, through the command line,
and look at the result in SQLite.
"""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
import sys
import tarfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from sweep_fakes import RUNS_OF_0_1_0, Cli, unpack_runs_of_0_1_0, written

from cifar_core import TrainingConfig, evaluate, load_checkpoint, load_cifar10, split_train_validation

FIXTURES = Path(__file__).parents[1] / "fixtures"
WRITTEN_IN = "file:///tmp/fixture/runs"
"""Where 0.1.0 kept the folder: MLflow stores the absolute place of its artifacts."""

Row = dict[str, Any]
Start = Callable[..., Result]


def unpacked(folder: Path) -> Path:
    """Unpack the archive; return its runs folder, whose artifacts are where it is now."""
    runs = unpack_runs_of_0_1_0(folder)
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database, database:
        for table, column in (("experiments", "artifact_location"), ("runs", "artifact_uri")):
            moved = f"UPDATE {table} SET {column} = replace({column}, ?, ?)"
            database.execute(moved, (WRITTEN_IN, runs.resolve().as_uri()))
    return runs


def expected(name: str) -> list[Row]:
    """Return rows that the leaderboard of 0.1.0 gave."""
    with tarfile.open(RUNS_OF_0_1_0) as archive:
        file = archive.extractfile(f"expected/{name}.json")
        assert file is not None
        rows: list[Row] = json.load(file)
    return rows


BEFORE = expected("leaderboard")
SWEEPS = sorted({row["sweep"] for row in BEFORE})


def outcomes_of(sweep: str) -> Counter[str]:
    """Return how a sweep's trials ended; MLflow does not know yet that the killed one runs no more."""
    found = Counter(row["status"] for row in BEFORE if row["sweep"] == sweep)
    found["interrupted"] += found.pop("running", 0)
    return +found


def trials(runs: Path) -> dict[str, tuple[Any, ...]]:
    """Return what MLflow's tables hold of every trial, by run id, without the tags that a later version adds."""
    queries = (
        "SELECT name, status, start_time, end_time, lifecycle_stage FROM runs WHERE run_uuid = ?",
        "SELECT key, value FROM params WHERE run_uuid = ? ORDER BY key",
        "SELECT key, value FROM tags WHERE run_uuid = ? AND key NOT IN ('source', 'metric', 'owner') ORDER BY key",
        "SELECT key, step, value, timestamp FROM metrics WHERE run_uuid = ? ORDER BY key, step, timestamp",
    )
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database:
        found = database.execute("SELECT run_uuid FROM tags WHERE key = 'kind' AND value = 'trial'").fetchall()
        return {
            run_id: tuple(database.execute(query, (run_id,)).fetchall() for query in queries) for (run_id,) in found
        }


def as_now(found: dict[str, tuple[Any, ...]], *, sweep: str | None = None) -> dict[str, tuple[Any, ...]]:
    """Return trials with the status that a pruned one has now: 0.1.0 recorded it as KILLED."""

    def seen(trial: tuple[Any, ...]) -> tuple[Any, ...]:
        ((name, status, *times),), params, tags, metrics = trial
        pruned = dict(tags)["outcome"] == "pruned" and sweep in (None, dict(tags)["sweep"])
        return [(name, "FINISHED" if pruned else status, *times)], params, tags, metrics

    return {run_id: seen(trial) for run_id, trial in found.items()}


def params(runs: Path, run_id: str) -> dict[str, str]:
    return dict(trials(runs)[run_id][1])


def curve(runs: Path, run_id: str, *, metric: str) -> list[tuple[int, float]]:
    return [(step, value) for name, step, value, _ in trials(runs)[run_id][3] if name == metric]


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The runs folder, for tests that only read."""
    return unpacked(tmp_path_factory.mktemp("recorded"))


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """The runs folder, for a test that goes on with it."""
    return unpacked(tmp_path)


@pytest.fixture
def start(runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Run a verb from a folder of the files that the sweeps were made with."""

    def run(*arguments: object, folder: str = ".") -> Result:
        place = runs.parent / "files" / folder
        with monkeypatch.context() as there:
            there.chdir(place)
            there.syspath_prepend(place)
            for name in ("nets", "failing_net"):
                there.delitem(sys.modules, name, raising=False)
            return cli(*arguments, "--runs", runs, "--backend", "inline")

    return run


class TestReading:
    def test_the_leaderboard_lists_the_same_runs(self, recorded: Path, cli: Cli) -> None:
        same = (
            "sweep", "trial", "rung", "key", "config_id", "seed", "val_accuracy", "best_val_accuracy", "test_accuracy",
            "reduced", "reused_from",
        )  # fmt: skip

        rows = json.loads(cli("leaderboard", "--runs", recorded, "--runs", "--json").stdout)

        assert {row["run_id"]: [row[name] for name in same] for row in rows} == {
            row["run_id"]: [row[name] for name in same] for row in BEFORE
        }
        assert len(rows) == len(BEFORE)

    def test_the_leaderboard_says_how_each_run_ended(self, recorded: Path, cli: Cli) -> None:
        rows = json.loads(cli("leaderboard", "--runs", recorded, "--runs", "--json").stdout)

        ended = Counter((row["sweep"], row["status"].replace("running", "interrupted")) for row in rows)
        assert ended == {(sweep, outcome): n for sweep in SWEEPS for outcome, n in outcomes_of(sweep).items()}

    def test_every_sweep_is_listed_with_its_outcomes(self, recorded: Path, cli: Cli) -> None:
        lines = {line.partition(":")[0]: line for line in cli("list", "--runs", recorded).stdout.splitlines()}

        assert sorted(lines) == SWEEPS
        for sweep in SWEEPS:
            assert all(f"{count} {outcome}" in lines[sweep] for outcome, count in outcomes_of(sweep).items())

    @pytest.mark.parametrize("sweep", SWEEPS)
    def test_status_knows_every_trial_of_a_sweep(self, sweep: str, recorded: Path, cli: Cli) -> None:
        result = cli("status", sweep, "--runs", recorded)

        assert result.exit_code == 0
        assert all(f"{count} {outcome}" in result.stdout for outcome, count in outcomes_of(sweep).items())

    @pytest.mark.parametrize(
        "name",
        [
            "tiny/0", "again/0", "search/0", "search/1", "search/2", "unfinished/1", "stopped/1", "failing/0",
            "retried/1", "own-edited/1", "parallel/1", "replica-1/0", "steps/7",
        ],
    )  # fmt: skip
    def test_show_shows_a_run_with_its_curve(self, name: str, recorded: Path, cli: Cli) -> None:
        row = next(row for row in BEFORE if f"{row['sweep']}/{row['trial']}" == name)

        result = cli("show", name, "--runs", recorded)

        assert result.exit_code == 0, result.output
        assert row["key"] in result.stdout
        assert row["config_id"] in result.stdout
        losses = dict(curve(recorded, row["run_id"], metric="train_loss"))  # of a second attempt, the later
        assert len(losses) == row["epochs"]
        assert all(f"{loss:.4f}" in result.stdout for loss in losses.values())

    def test_a_checkpoint_still_computes_what_it_computed(self, recorded: Path) -> None:
        images = load_cifar10().train
        complete = [row for row in BEFORE if row["status"] == "complete" and row["val_accuracy"] is not None]

        for row in complete:
            path = recorded / "sweeps" / row["sweep"] / "checkpoints" / row["key"] / "state.pt"
            if row["reused_from"] or ":" in row["model.name"]:
                continue
            state = load_checkpoint(path, device="cpu")
            _, validation = split_train_validation(images, state.config.data)
            accuracy = evaluate(state.model, validation, config=state.config).accuracy
            assert accuracy == pytest.approx(row["val_accuracy"], abs=0.011), row["run_id"]  # two images of 200


class TestGoingOn:
    @pytest.mark.parametrize(
        ("folder", "command"),
        [
            (".", "run tiny.yaml"),
            (".", "run search.yaml"),
            (".", "run parallel.yaml"),
            (".", "run tiny.yaml --set name=again --set run_cap=4"),
            (".", "run failing.yaml --set name=retried --set base.epochs=3"),
            (".", "run replica.yaml --set name=replica-1 --set base.seed=1"),
            ("own", "run ../own.yaml"),
            ("own-edited", "run ../own.yaml --set name=own-edited"),
            (".", "ladder steps.yaml"),
            (".", "ladder steps.yaml --rungs baseline,momentum --seeds 3"),
            (".", "ladder steps.yaml --rungs deep --epochs-scale 0.5"),
            (".", "ablate search/0"),
        ],
    )
    def test_the_same_command_again_trains_and_records_nothing_but_that_to_be_pruned_is_a_normal_end(
        self, folder: str, command: str, runs: Path, start: Start
    ) -> None:
        before = trials(runs)

        result = start(*command.split(), folder=folder)

        assert result.exit_code == 0, result.output
        assert "nothing was trained" in result.stdout
        started = re.search(r"^(\S+): \d", result.stdout, flags=re.MULTILINE)
        assert started is not None
        assert trials(runs) == as_now(before, sweep=started[1])

    def test_networks_whose_source_is_not_known_are_no_replicates(self, runs: Path, start: Start, cli: Cli) -> None:
        def configurations() -> dict[str, int]:
            rows = json.loads(cli("leaderboard", "--runs", runs, "--json").stdout)
            return {sweep: sum(row["sweep"] == sweep for row in rows) for sweep in ("own", "own-edited")}

        assert configurations() == {"own": 2, "own-edited": 2}

        result = start("run", "../own.yaml", folder="own")

        assert "nothing was trained" in result.stdout
        assert configurations() == {"own": 2, "own-edited": 2}

    @pytest.mark.parametrize(("sweep", "known"), [("unfinished", 2), ("stopped", 3)])
    def test_an_interrupted_trial_goes_on_from_its_checkpoint(
        self, sweep: str, known: int, runs: Path, start: Start
    ) -> None:
        result = start("run", f"{sweep}.yaml")

        assert result.exit_code == 0, result.output
        (log,) = (runs / "sweeps" / sweep / "logs").glob("0001-*.log")
        assert f"going on after epoch {known}" in log.read_text(encoding="utf-8")
        found = written(runs, sweep=sweep)
        assert [(run.status, run.tags["outcome"]) for run in found] == [("FINISHED", "complete")] * 2
        assert [run.steps["val_accuracy"] for run in found] == [[1, 2, 3, 4]] * 2

    def test_an_interrupted_trial_ends_as_0_1_0_would_have_ended_it(self, runs: Path, start: Start, cli: Cli) -> None:
        wanted = {row["key"]: row["val_accuracy"] for row in expected("unfinished")}

        start("run", "unfinished.yaml")

        rows = json.loads(cli("leaderboard", "unfinished", "--runs", runs, "--runs", "--json").stdout)
        assert {row["key"]: row["val_accuracy"] for row in rows} == pytest.approx(wanted, abs=0.03)

    def test_a_failed_trial_stays_failed_until_it_is_tried_again(self, runs: Path, start: Start) -> None:
        before = trials(runs)

        result = start("run", "failing.yaml")

        assert result.exit_code == 1
        assert trials(runs) == before

    def test_a_failed_trial_that_is_tried_again_is_of_the_code_as_it_is_now(self, runs: Path, start: Start) -> None:
        (runs.parent / "files" / "scale.txt").write_text("1", encoding="utf-8")

        result = start("run", "failing.yaml", "--retry-failed")

        assert result.exit_code == 0, result.output
        failed, complete = written(runs, sweep="failing")
        assert [run.tags["outcome"] for run in (failed, complete)] == ["failed", "complete"]
        assert set(dict(curve(runs, complete.run_id, metric="val_accuracy"))) == {1, 2}

    def test_a_larger_budget_adds_trials_and_leaves_the_others_as_they_are(self, runs: Path, start: Start) -> None:
        before = trials(runs)

        result = start("run", "search.yaml", "--set", "run_cap=10")

        assert result.exit_code == 0, result.output
        after = trials(runs)
        assert {run_id: after[run_id] for run_id in before} == as_now(before, sweep="search")
        assert len(written(runs, sweep="search")) == 10

    def test_another_sweep_takes_results_over(self, runs: Path, start: Start) -> None:
        result = start("run", "tiny.yaml", "--set", "name=other")

        assert result.exit_code == 0, result.output
        source = {row["key"]: row["run_id"] for row in BEFORE if row["sweep"] == "tiny"}
        taken = {run.tags["key"]: run.tags.get("reused_from") for run in written(runs, sweep="other")}
        assert taken == source

    def test_results_of_an_own_network_are_not_taken_over_since_only_its_first_file_was_hashed(
        self, runs: Path, start: Start
    ) -> None:
        result = start("run", "../own.yaml", "--set", "name=other", folder="own-edited")

        assert result.exit_code == 0, result.output
        assert {run.tags.get("reused_from") for run in written(runs, sweep="other")} == {None}

    def test_an_ablation_of_a_pruned_trial_has_all_the_epochs_of_its_file(self, runs: Path, start: Start) -> None:
        pruned = next(row for row in BEFORE if row["status"] == "pruned" and row["model.name"] == "simple")
        before = trials(runs)

        result = start("ablate", f"{pruned['sweep']}/{pruned['trial']}")

        assert result.exit_code == 0, result.output
        fresh = trials(runs).keys() - before.keys()
        assert [params(runs, run_id)["epochs"] for run_id in fresh] == ["3"] * len(fresh)
        assert len(fresh) > 1


def _without_later_fields(resolved: Row, then: Row) -> Row:
    """Return the values of the fields that there were; `canonical` holds that those of later ones are the defaults."""
    return {
        name: {field: value[field] for field in then[name] if field in value} if isinstance(value, dict) else value
        for name, value in resolved.items()
        if name in then
    }


IDENTITIES: list[Row] = json.loads((FIXTURES / "identities-0.1.0.json").read_text(encoding="utf-8"))


class TestIdentities:
    @pytest.mark.parametrize("number", range(len(IDENTITIES)))
    def test_a_configuration_has_the_identity_it_had(self, number: int) -> None:
        was = IDENTITIES[number]
        config = TrainingConfig.model_validate(was["input"])

        now = {
            "input": was["input"],
            "canonical": config.canonical(),
            "resolved": _without_later_fields(config.resolved(), was["resolved"]),
            "config_id": config.config_id(),
            "key": config.key(data_fingerprint="abc"),
            "key_with_source": config.key(data_fingerprint="abc", source_hash="def"),
            "json": was["json"],
        }

        assert json.loads(json.dumps(now)) == was

    @pytest.mark.parametrize("number", range(len(IDENTITIES)))
    def test_a_configuration_in_a_journal_is_read_as_what_it_was(self, number: int) -> None:
        was = IDENTITIES[number]

        config = TrainingConfig.model_validate_json(was["json"])

        assert config == TrainingConfig.model_validate(was["input"])
        assert TrainingConfig.model_validate_json(config.model_dump_json()) == config
