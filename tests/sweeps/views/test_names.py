"""Names refer to the same runs in all verbs, and all views agree on the best configuration."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from sweep_fakes import Cli, Record, tiny, write_yaml
from test_leaderboard import RowReader, replicates, row

import sweeps
from sweeps.core.errors import SweepError
from sweeps.record.reader import MlflowReader
from sweeps.search.opening import read_studies
from sweeps.search.state import read_state
from sweeps.store.folder import SweepFolder
from sweeps.use.weights import find_weights
from sweeps.views.names import find_named

pytestmark = pytest.mark.usefixtures("instant_training")

RATES = {"optimizer.lr": {"values": [0.1, 0.0001, 0.0002]}}
LADDER_BASE = {**tiny()["base"], "data": {**tiny()["base"]["data"], "validation_size": 0}}


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory, record: Record) -> Path:
    """A runs folder with a sweep with confirmed stopped trials, a ladder of two seeds, and a sweep `tiny-001`."""
    folder = tmp_path_factory.mktemp("names")
    search = tiny(
        method="grid", run_cap=None, parameters=RATES, early_terminate={"type": "asha", "reduction_factor": 3},
        replicates={"top": 3, "seeds": 2},
    )  # fmt: skip
    steps = {"name": "steps", "base": LADDER_BASE, "rungs": [{"name": "a"}, {"name": "b", "optimizer": {"lr": 0.02}}]}
    Image.new("RGB", (32, 32)).save(folder / "image.png")
    return record(
        folder,
        ["run", write_yaml(folder, search), "--backend", "inline", "--report"],
        ["ladder", write_yaml(folder, steps, name="steps.yaml"), "--seeds", 2, "--backend", "inline"],
        ["run", write_yaml(folder, tiny(name="tiny-001"), name="other.yaml"), "--backend", "inline"],
        weights=True,
    )


STOPPED, RUNG = "tiny-002", "steps/b"


SWEEP_VERBS = ["status", "report", "effects", "replicate", "leaderboard", "finalize"]


class TestEveryVerb:
    @pytest.mark.parametrize(
        ("name", "run"), [(STOPPED, "tiny-002-s1"), ("tiny/2", "tiny-002-s1"), (RUNG, "steps/b-s0")]
    )
    def test_takes_a_configuration_by_its_name(
        self, recorded: Path, tmp_path: Path, name: str, run: str, cli: Cli
    ) -> None:
        runs = ("--runs", recorded)

        assert f"by {run}" in cli("predict", name, recorded.parent / "image.png", *runs).stdout
        exported = cli("export", name, "--format", "state-dict", "--out", tmp_path / "x.pt", *runs)
        assert exported.exit_code == 0, exported.output
        assert f'"{run}"' in (tmp_path / "x.pt.json").read_text(encoding="utf-8")
        shown = cli("show", name, *runs).stdout
        assert "a configuration with" in shown
        assert run in shown
        assert run in cli("compare", name, "tiny/0", *runs).stdout
        assert cli("inspect", "summary", name, *runs).exit_code == 0
        assert f"{run}: bit for bit" in cli("rerun", name, *runs).stdout
        assert sweeps.load_model(name, runs=recorded, device="cpu") is not None

    def test_takes_a_run_by_its_name(self, recorded: Path, cli: Cli) -> None:
        reader = MlflowReader(recorded)
        for name, seed in (("tiny-002-s2", 2), ("tiny/2-s0", 0), ("steps/b-s1", 1), ("b-s1", 1)):
            named = find_named(reader, name)
            assert (len(named.rows), named.row["seed"], named.row["status"]) == (1, seed, "complete")
            assert find_named(reader, named.row["run_id"][:12]).row["run_id"] == named.row["run_id"]

    def test_a_sweep_has_the_weights_of_its_best_configuration(self, recorded: Path) -> None:
        best = sweeps.leaderboard("tiny", runs=recorded).iloc[0]
        reader = MlflowReader(recorded)

        assert find_weights(reader, "tiny", runs=recorded) == find_weights(
            reader, f"tiny-{best['trial']:03d}", runs=recorded
        )

    def test_a_sweep_followed_by_a_trial_is_refused_with_the_right_name(self, recorded: Path, cli: Cli) -> None:
        for arguments in (["show"], ["predict", recorded.parent / "image.png"], ["rerun"], ["retrain", "--epochs", 4]):
            verb, *more = arguments
            result = cli(verb, "tiny-001", *more, "--runs", recorded)
            assert result.exit_code == 2
            typed = re.findall(r"Type (\S+) for the sweep or (\S+) for the trial", " ".join(result.stderr.split()))
            assert typed == [("tiny-001/", "tiny/1")]
            found = [find_named(MlflowReader(recorded), name).defining_row["sweep"] for name in typed[0]]
            assert found == ["tiny-001", "tiny"]
        assert cli("status", "tiny-001", "--runs", recorded).exit_code == 0  # accepts only sweeps

    @pytest.mark.parametrize(
        "verb",
        [*SWEEP_VERBS, "status --watch", "stop", "rm", "repair", "ui", "show", "compare tiny/0", "inspect mistakes"],
    )
    def test_an_unknown_name_is_refused_with_close_names_and_location(
        self, recorded: Path, tmp_path: Path, verb: str, cli: Cli
    ) -> None:
        result = cli(*verb.split(), "tinny", "--runs", recorded)
        assert result.exit_code == 2
        assert "Did you mean tiny" in result.stderr
        assert str(recorded) in result.stderr
        result = cli(*verb.split(), "tinny", "--runs", tmp_path / "empty")
        assert result.exit_code == 2
        assert "Change to the folder in which" in result.stderr or verb == "ui"

    @pytest.mark.parametrize("verb", SWEEP_VERBS)
    def test_a_part_of_a_sweep_is_refused_with_the_sweep_name(self, recorded: Path, verb: str, cli: Cli) -> None:
        for name in ("tiny-002", "tiny/2"):
            result = cli(verb, name, "--runs", recorded)
            assert result.exit_code == 2
            assert "is a run of a sweep. Name the sweep: tiny" in " ".join(result.stderr.split())

    def test_counts_of_a_confirmed_search_agree(self, recorded: Path, cli: Cli) -> None:
        state = read_state(recorded, "tiny")
        assert (len(state.replicates), len(state.new_seeds())) == (8, 6)

        status = " ".join(cli("status", "tiny", "--runs", recorded).stdout.split())
        page = (recorded / "reports" / "tiny.html").read_text(encoding="utf-8")

        # Which of the three is complete depends on their order in the search.
        assert "2 pruned, 1 complete" in status or "1 complete, 2 pruned" in status
        assert "replicates: 6 complete, 2 stopped trials trained to full length" in status
        assert "6 replicates under new seeds followed; 2 pruned trials were trained" in page
        board = sweeps.leaderboard("tiny", runs=recorded).set_index("trial")
        assert sorted(board["search_accuracy"].notna()) == [False, False, True]
        assert board["confirmed"].all()


class TestLookUp:
    def test_a_configuration_has_all_its_runs_with_confirming_ones_first(self) -> None:
        stopped = row(0, 0.4, status="pruned", run_id="stopped")
        full = row(0, 0.5, run_id="full", replicate_of=0)
        named = find_named(RowReader(stopped, full, *replicates(0, 0.44, 0.46), row(1, 0.9)), "quick-000")

        assert [each["run_id"] for each in named.rows] == ["run-0-s1", "run-0-s2", "full", "stopped"]
        assert [*map(named.run_name, named.rows)] == ["quick-000-s1", "quick-000-s2", "quick-000-s0", "stopped"]
        assert named.defining_row["run_id"] == "stopped"

    def test_a_rung_refers_to_its_newest_complete_run_of_full_budget(self) -> None:
        def rung(trial: int, config_id: str, **changes: Any) -> dict[str, Any]:
            return row(trial, 0.5, rung="deep", config_id=config_id, **changes)

        rows = (rung(0, "old"), rung(1, "new"), rung(2, "new", seed=1), rung(3, "cut", reduced="1 of 6 epochs"),
                rung(4, "failed", status="failed"))  # fmt: skip

        assert [each["trial"] for each in find_named(RowReader(*rows), "quick/deep").rows] == [1, 2]
        assert find_named(RowReader(*rows), "deep-s1").row["trial"] == 2

    def test_a_rung_name_wins_over_an_equal_run_name(self) -> None:
        rows = (row(0, 0.5, rung="x"), row(1, 0.6, rung="x-s1"), row(2, 0.6, rung="x", seed=1, config_id="config-0"))

        assert find_named(RowReader(*rows), "quick/x-s1").row["trial"] == 1
        assert len(find_named(RowReader(*rows), "quick/x").rows) == 2

    @pytest.mark.parametrize("name", ["ab", "abc"])
    def test_a_run_id_that_is_too_short_lists_matching_runs(self, name: str) -> None:
        reader = RowReader(row(0, 0.5, run_id="abcd0000"), row(1, 0.5, run_id="abcd1111"))

        with pytest.raises(SweepError, match=r"too short for a run id.*abcd0000 \(quick-000\), abcd1111 \(quick-001\)"):
            find_named(reader, name)
        with pytest.raises(SweepError, match=r"quick-000 \(run abcd0000\), quick-001 \(run abcd1111\)"):
            find_named(reader, "abcd")
        assert find_named(reader, "abcd1").name == "quick-001"

    def test_a_number_is_refused_with_the_names_of_trials(self) -> None:
        with pytest.raises(SweepError, match="Name the trial with its sweep: quick-003"):
            find_named(RowReader(row(3, 0.5, run_id="3abc")), "3")

    def test_a_key_in_two_sweeps_refers_to_the_trained_run(self) -> None:
        taken = row(0, 0.8, run_id="taken", key="cafe0000", config_id="c", reused_from="run-1")
        trained = row(1, 0.8, sweep="second", key="cafe0000", config_id="c")

        assert find_named(RowReader(taken, trained), "cafe").row["run_id"] == "run-1"


@pytest.mark.trains
def test_every_view_has_the_same_best_by_a_loss_with_ties(tmp_path: Path, recorded_runs: Path, cli: Cli) -> None:
    # At rates close to 0 all losses and accuracies are equal.
    rates = {"optimizer.lr": {"values": [1e-30, 0.05, 1e-31, 1e-32]}, "seed": {"values": [0, 1]}}
    loss = {"name": "val_loss", "goal": "minimize"}
    content = tiny(method="grid", run_cap=None, parameters=rates, metric=loss, keep={"best": 2})
    result = cli("run", write_yaml(tmp_path, content), "--runs", recorded_runs, "--backend", "inline", "--report")
    assert result.exit_code == 0, result.output

    state = read_state(recorded_runs, "tiny")
    means = {
        rate: sum(state.value(r) or 0 for r in state.records if r.config.optimizer.lr == rate) / 2
        for rate in rates["optimizer.lr"]["values"]
    }
    assert len(set(means.values())) == 2
    order = sorted(means, key=lambda rate: means[rate])  # stable: ties keep their order
    first = {rate: next(r.trial for r in state.records if r.config.optimizer.lr == rate) for rate in order}

    board = sweeps.leaderboard("tiny", runs=recorded_runs)
    assert list(board["trial"]) == [first[rate] for rate in order]
    assert list(board["metric_value"]) == pytest.approx([means[rate] for rate in order])
    best = state.best()
    assert best is not None
    assert best.trial == first[order[0]]
    weights = find_weights(MlflowReader(recorded_runs), "tiny", runs=recorded_runs)
    assert weights.run == f"tiny-{best.trial:03d}-s0"
    kept = {path.parent.name for path in recorded_runs.glob("sweeps/tiny/checkpoints/*/state.pt")}
    assert kept == {r.key for r in state.records if r.config.optimizer.lr in order[:2]}
    page = (recorded_runs / "reports" / "tiny.html").read_text(encoding="utf-8")
    assert f"best complete trial of the search, trial {best.trial} with" in page
    assert f"(trial {best.trial})" in cli("status", "tiny", "--runs", recorded_runs).stdout

    arguments = ("--top", 2, "--seeds", 1, "--runs", recorded_runs, "--backend", "inline")
    assert cli("replicate", "tiny", *arguments).exit_code == 0
    assert read_studies(SweepFolder(recorded_runs, "tiny")).replicates is not None
    confirmed = read_state(recorded_runs, "tiny")
    assert [r.trial for r in confirmed.replicates] == [first[rate] for rate in order[:2]]
    winner = confirmed.confirmed()
    assert winner is not None
    again = sweeps.leaderboard("tiny", runs=recorded_runs).iloc[0]
    assert (winner[0].trial, winner[1]) == (again["trial"], again["confirm_value"])
    assert cli("finalize", "tiny", "--runs", recorded_runs).exit_code == 0
    tested = sweeps.leaderboard("tiny", runs=recorded_runs).set_index("trial")["test_accuracy"].dropna()
    assert list(tested.index) == [winner[0].trial]
