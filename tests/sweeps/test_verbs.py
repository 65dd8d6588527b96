"""The verbs as functions: what they return, that it shows itself as the verb does, and that the verb calls them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sweep_fakes import Cli, Record, tiny, write_yaml

import sweeps
from sweeps._api import verbs
from sweeps._api.planning import SweepPlan

pytestmark = pytest.mark.usefixtures("instant_training")

FUNCTIONS = (
    "inspect",
    "plan",
    "show",
    "compare",
    "status",
    "ladder",
    "report",
    "finalize",
    "leaderboard",
    "effects",
    "replay",
)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory, record: Record) -> Path:
    """A runs folder with a search of two trials, of which the best is confirmed under two seeds."""
    folder = tmp_path_factory.mktemp("searched")
    path = write_yaml(folder, tiny(replicates={"top": 1, "seeds": 2}))
    return record(folder, ["run", path, "--backend", "inline"])


@pytest.fixture(autouse=True)
def no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)


def plain(text: str) -> list[str]:
    return [line.rstrip() for line in text.rstrip().splitlines()]


def test_status_has_a_row_a_trial_and_prints_as_the_verb(searched: Path, cli: Cli) -> None:
    found = sweeps.status("tiny", runs=searched)

    assert list(found.trials["status"]) == ["complete"] * 4
    assert list(found.trials["name"])[:2] == ["trial 0", "trial 1"]
    assert (found.state.driver, found.state.done) == (None, 2)
    said = plain(cli("status", "tiny", "--runs", searched).stdout)
    assert [line.partition("; last epoch")[0] for line in plain(repr(found))] == [
        line.partition("; last epoch")[0] for line in said
    ]
    assert found._repr_html_().startswith("<pre")


def test_a_run_is_shown_with_its_configuration_and_curve(searched: Path, cli: Cli) -> None:
    found = sweeps.show("tiny/0", runs=searched)

    assert isinstance(found, verbs.ShownRun)
    assert (found.values["trial"], found.config.epochs) == (0, 2)
    assert list(found.curve["epoch"]) == [1, 2]
    assert found.curve["val_accuracy"].iloc[-1] == found.values["val_accuracy"]
    assert plain(repr(found)) == plain(cli("show", "tiny/0", "--runs", searched).stdout)


def test_a_sweep_is_shown_with_its_status_and_leaderboard(searched: Path, cli: Cli) -> None:
    found = sweeps.show("tiny", runs=searched)

    assert isinstance(found, verbs.ShownSweep)
    assert (found.status.state.done, len(found.leaderboard)) == (2, 2)
    said = plain(cli("show", "tiny", "--runs", searched).stdout)
    assert [line.partition("; last epoch")[0] for line in plain(repr(found))] == [
        line.partition("; last epoch")[0] for line in said
    ]


def test_two_runs_are_compared(searched: Path, cli: Cli) -> None:
    found = sweeps.compare("tiny/0", "tiny/1", runs=searched)

    assert list(found.changes["path"]) == ["optimizer.lr"]
    assert list(found.changes.iloc[0])[1:] == list(found.rows["optimizer.lr"])
    assert plain(repr(found)) == plain(cli("compare", "tiny/0", "tiny/1", "--runs", searched).stdout)


def test_finalize_measures_once_and_returns_means_with_their_interval(searched: Path) -> None:
    first, again = (sweeps.finalize("tiny", runs=searched) for _ in range(2))

    row = first.configurations.iloc[0]
    assert (first.measured, again.measured, row["runs"]) == (2, 0, 2)
    assert row["ci_low"] < row["test_accuracy"] < row["ci_high"]
    assert again.configurations.equals(first.configurations)
    assert "nothing to evaluate" in repr(again)
    assert len(first.accesses) == len(again.accesses) > 0


def test_a_report_is_written_where_it_is_told_to_be(searched: Path, tmp_path: Path) -> None:
    page = sweeps.report("tiny", out=tmp_path / "page.html", runs=searched)

    assert page == tmp_path / "page.html"
    assert page.read_bytes().startswith(b"<!doctype html>")


def test_a_ladder_is_run_and_its_steps_are_rows(tmp_path: Path, recorded_runs: Path, cli: Cli) -> None:
    base = {"epochs": 2, "model": {"width": 4}, "data": {"train_size": 300}}
    rungs = [{"name": "a"}, {"name": "b", "optimizer": {"lr": 0.02}}]
    path = write_yaml(tmp_path, {"name": "steps", "base": base, "rungs": rungs})

    found = sweeps.ladder(path, epochs_scale=0.5, runs=recorded_runs, backend="inline")

    assert list(found.steps["rung"]) == ["a", "b"]
    assert found.steps["value"].between(0, 1).all()
    assert found.summary is not None
    assert [record.config.epochs for record in found.summary.records] == [1, 1]
    said = cli("ladder", path, "--epochs-scale", 0.5, "--runs", recorded_runs, "--backend", "inline").stdout
    assert repr(found) in "\n".join(plain(said))
    with pytest.raises(sweeps.SweepError, match="nowhere"):
        sweeps.ladder(path, rungs=["nowhere"], runs=recorded_runs, backend="inline")


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_is_documented_with_its_errors(name: str) -> None:
    said = getattr(verbs, name, getattr(sweeps, name)).__doc__ or ""

    assert "Raises:" in said
    assert name in ("leaderboard", "effects") or "Example:" in said


def test_a_sweep_is_planned_as_the_verb_prints_it(tmp_path: Path, cli: Cli) -> None:
    path = write_yaml(tmp_path, tiny(replicates={"top": 1, "seeds": 2}))

    found = sweeps.plan(path, overrides=["run_cap=1"], probe=False)
    probed = sweeps.plan(path)

    assert isinstance(found, SweepPlan)
    assert (found.trials, found.seconds) == (1, None)
    assert list(found.configurations.columns) == ["optimizer.lr"]
    assert probed.seconds is not None
    assert probed.seconds > 0
    said = cli("plan", path, "--set", "run_cap=1", "--no-probe").stdout
    assert plain(said)[:-2] == plain(repr(found))
    assert said.splitlines()[-1].strip() == f"sweeps run {path} --set run_cap=1"


def test_a_ladders_part_is_planned_and_its_options_refused_for_sweeps(tmp_path: Path, cli: Cli) -> None:
    base = {"epochs": 2, "model": {"width": 4}, "data": {"train_size": 300, "validation_size": 100}}
    rungs = [{"name": "a"}, {"name": "b", "optimizer": {"lr": 0.02}}]
    path = write_yaml(tmp_path, {"name": "steps", "evaluate": "validation", "base": base, "rungs": rungs})

    found = sweeps.plan(path, rungs=["b"], seeds=2, epochs_scale=0.5, probe=False)

    assert list(found.configurations["rung"]) == ["b"]
    assert list(found.configurations["epochs"]) == [1]
    said = cli("plan", path, "--rungs", "b", "--seeds", 2, "--epochs-scale", 0.5, "--no-probe").stdout
    assert plain(said)[:-4] == plain(repr(found))
    assert f"sweeps ladder {path} --final --rungs b --seeds 2" in said
    with pytest.raises(sweeps.SweepError, match="--seeds is for ladders"):
        sweeps.plan(write_yaml(tmp_path, tiny(), name="sweep.yaml"), seeds=2)


def test_inspect_returns_picture_and_table_and_writes_the_named_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shown = sweeps.inspect("summary", "simple", set=["model.width=4"], runs=tmp_path / "runs")

    assert shown is not None
    assert shown._repr_png_().startswith(b"\x89PNG")
    assert shown.table["layer"].iloc[0] == "features.0"
    assert repr(shown).startswith("The layers of simple")
    assert not list(tmp_path.iterdir())
    assert capsys.readouterr().out == ""

    sweeps.inspect("summary", "simple", out=tmp_path / "page.html", runs=tmp_path / "runs")
    assert (tmp_path / "page.html").read_bytes().lower().startswith(b"<!doctype html>")


@pytest.mark.parametrize(
    ("names", "options", "said"),
    [
        (["imges"], {}, "did you mean 'images'"),
        (["images"], {"count": 99}, "99 is not in the range"),
        (["images"], {"colour": 3}, "--colour"),
        (["augment", "nothing"], {}, "neither an augmentation"),
        (["images"], {"out": "a.txt"}, "must end with .png"),
    ],
    ids=["subject", "range", "option", "name", "file"],
)
def test_what_cannot_be_inspected_is_refused_in_words(names: list[str], options: dict[str, Any], said: str) -> None:
    with pytest.raises(sweeps.SweepError, match=said):
        sweeps.inspect(*names, **options)
