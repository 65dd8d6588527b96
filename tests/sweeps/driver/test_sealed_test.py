"""The test set stays sealed until `sweeps finalize`, which opens it once for confirmed runs and logs the access."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sweep_fakes import Cli, tiny, write_yaml

import cifar_core.data.load
import sweeps
from cifar_core import load_checkpoint
from cifar_core.data.images import LabelledImages
from cifar_core.evaluation import evaluate
from sweeps.core.errors import RecordError
from sweeps.core.results import TestResult
from sweeps.core.task import AnyTask
from sweeps.driver import finalize as sealed_test
from sweeps.search.state import read_state
from sweeps.store.access_log import ACCESS_LOG, describe_accesses, read_accesses, record_access

GRID: dict[str, Any] = {"method": "grid", "run_cap": None, "parameters": {"optimizer.lr": {"values": [0.01, 0.05]}}}
load_test_images = cifar_core.data.load.load_test_images


@pytest.fixture
def runs(recorded_runs: Path) -> Path:
    return recorded_runs


Search = Callable[..., None]


@pytest.fixture
def search(tmp_path: Path, runs: Path, cli: Cli) -> Search:
    """Search two configurations and confirm the better one under two seeds."""

    def run(to: Path = runs, *, replicates: dict[str, int] | None = None, settings: Sequence[str] = ()) -> None:
        path = write_yaml(tmp_path, tiny(**GRID, replicates=replicates or {"top": 1, "seeds": 2}))
        assert cli("run", path, "--runs", to, "--backend", "inline", *settings).exit_code == 0

    return run


def shut(*args: Any, **options: Any) -> LabelledImages:
    raise AssertionError("the test images were opened")


def nonsense(*args: Any, **options: Any) -> LabelledImages:
    images = load_test_images(*args, **options)
    return LabelledImages(images.images_NHWC, (images.labels_N + 1) % 10)


def results(runs: Path) -> list[tuple[object, ...]]:
    board = sweeps.leaderboard("tiny", runs=runs, each_run=True).sort_values("key")
    return list(board[["key", "val_accuracy", "test_accuracy", "status"]].itertuples(index=False, name=None))


def test_records_do_not_depend_on_the_test_labels(
    tmp_path: Path, runs: Path, search: Search, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = {}
    for name, images in (("shut", shut), ("nonsense", nonsense), ("real", load_test_images)):
        shutil.copytree(runs, tmp_path / name)
        monkeypatch.setattr(cifar_core.data.load, "load_test_images", images)
        search(tmp_path / name)
        found[name] = results(tmp_path / name)

    assert str(found["shut"]) == str(found["nonsense"]) == str(found["real"])
    assert not list(tmp_path.glob(f"*/{ACCESS_LOG}"))

    monkeypatch.setattr(cifar_core.data.load, "load_test_images", nonsense)
    assert cli("finalize", "tiny", "--runs", tmp_path / "nonsense").exit_code == 0
    assert str(results(tmp_path / "nonsense")) != str(found["nonsense"])


@pytest.mark.trains
def test_the_confirmed_best_is_measured_once_and_each_of_its_seeds(
    runs: Path, search: Search, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Storing it as a model in MLflow takes seconds.
    monkeypatch.setattr("sweeps.use.winner.log_winner", lambda *_, **__: None)
    # It learns, so that the configuration has a rank without the test images.
    search(settings=["--set", "base.epochs=3", "--set", "base.data.train_size=3000"])

    result = cli("finalize", "tiny", "--runs", runs)

    assert result.exit_code == 0, result.output
    assert "2 runs evaluated" in result.stdout
    assert "sealed test" in (runs / "reports" / "tiny.html").read_text(encoding="utf-8")
    images = load_test_images(progress=False)
    accuracies = []
    for record in read_state(runs, "tiny").replicates:
        state = load_checkpoint(runs / "sweeps" / "tiny" / "checkpoints" / record.key / "state.pt", device="cpu")
        measured = evaluate(state.model, images, config=state.config)
        assert record.test is not None
        assert record.test.accuracy == measured.accuracy
        assert record.test.confusion is not None
        assert np.array(record.test.confusion).trace() == measured.correct_N.sum()
        assert np.array(record.test.confusion).sum(axis=1).tolist() == [1000] * 10
        accuracies.append(measured.accuracy)
    best = sweeps.leaderboard("tiny", runs=runs).iloc[0]
    assert best["test_accuracy"] == pytest.approx(np.mean(accuracies))
    assert sweeps.leaderboard("tiny", runs=runs)["test_accuracy"].notna().tolist() == [True, False]


def test_a_second_finalize_prints_the_record_and_opens_nothing(
    runs: Path, search: Search, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    search()
    first = cli("finalize", "tiny", "--runs", runs).stdout
    monkeypatch.setattr(cifar_core.data.load, "load_test_images", shut)

    again = cli("finalize", "tiny", "--runs", runs)

    assert again.exit_code == 0
    assert "nothing to evaluate: all results are already recorded" in again.stdout
    table = [line for line in first.splitlines() if line.startswith("trial")]
    assert table
    assert table == [line for line in again.stdout.splitlines() if line.startswith("trial")]
    assert len(list(read_accesses(runs))) == 1


def test_only_new_runs_are_measured_and_every_access_is_logged(runs: Path, search: Search, cli: Cli) -> None:
    search()
    cli("finalize", "tiny", "--runs", runs)
    assert cli("replicate", "tiny", "--top", 1, "--seeds", 3, "--runs", runs, "--backend", "inline").exit_code == 0

    result = cli("finalize", "tiny", "--runs", runs)

    assert "1 run evaluated" in result.stdout
    assert [len(look.runs) for look in read_accesses(runs, sweep="tiny")] == [2, 1]
    assert "the test set was opened 2 times for tiny, last by " in cli("leaderboard", "tiny", "--runs", runs).stdout


def test_unconfirmed_configurations_are_rejected_and_nothing_is_opened(
    runs: Path, tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cifar_core.data.load, "load_test_images", shut)
    assert cli("run", write_yaml(tmp_path, tiny(**GRID)), "--runs", runs, "--backend", "inline").exit_code == 0

    refused, unknown = cli("finalize", "tiny", "--runs", runs), cli("finalize", "tinny", "--runs", runs)

    assert (refused.exit_code, unknown.exit_code) == (2, 2)
    assert "no configuration of tiny is confirmed. Run `sweeps replicate tiny` first" in refused.stderr
    assert "no sweep 'tinny'" in unknown.stderr
    assert list(read_accesses(runs)) == []


def test_without_its_weights_nothing_is_opened(runs: Path, search: Search, cli: Cli) -> None:
    search()
    shutil.rmtree(runs / "sweeps" / "tiny" / "checkpoints")

    result = cli("finalize", "tiny", "--runs", runs)

    assert result.exit_code == 2
    assert "are missing. The test set was not opened." in result.stderr
    assert list(read_accesses(runs)) == []


def test_an_access_is_logged_before_the_images_are_opened(
    runs: Path, search: Search, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    search()

    def killed(task: AnyTask, checkpoint: str, **options: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(sealed_test, "measure_on_test", killed)
    assert cli("finalize", "tiny", "--runs", runs).exit_code == 130
    monkeypatch.undo()

    assert len(list(read_accesses(runs))) == 1
    assert cli("finalize", "tiny", "--runs", runs).exit_code == 0
    assert len(list(read_accesses(runs))) == 2


def test_an_unrecorded_result_needs_no_second_access(
    runs: Path, search: Search, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    search()

    def away(*arguments: Any, **options: Any) -> None:
        raise RecordError("the record is away")

    monkeypatch.setattr(sealed_test, "_record", away)
    assert cli("finalize", "tiny", "--runs", runs).exit_code == 2
    monkeypatch.undo()
    assert sweeps.leaderboard("tiny", runs=runs)["test_accuracy"].isna().all()

    result = cli("finalize", "tiny", "--runs", runs)

    assert "nothing to evaluate" in result.stdout
    assert len(list(read_accesses(runs))) == 1
    assert sweeps.leaderboard("tiny", runs=runs)["test_accuracy"].notna().sum() == 1


def test_the_access_log_outlives_the_sweep(runs: Path, search: Search, cli: Cli) -> None:
    search()
    cli("finalize", "tiny", "--runs", runs)

    assert cli("rm", "tiny", "--yes", "--runs", runs).exit_code == 0

    assert [look.sweep for look in read_accesses(runs)] == ["tiny"]


def test_a_truncated_line_of_the_log_does_not_affect_others(tmp_path: Path) -> None:
    record_access(tmp_path, sweep="a", keys=["1"])
    path = tmp_path / ACCESS_LOG
    path.write_text(path.read_text(encoding="utf-8") + '{"when": "20', encoding="utf-8")

    record_access(tmp_path, sweep="b", keys=["2", "3"])

    assert [(look.sweep, look.runs) for look in read_accesses(tmp_path)] == [("a", ("1",)), ("b", ("2", "3"))]
    assert len(describe_accesses(tmp_path, None)) == 2
    assert describe_accesses(tmp_path, "a")[0].startswith("the test set was opened once for a, last by ")
    assert describe_accesses(tmp_path, "c") == []
    assert json.loads(path.read_text(encoding="utf-8").splitlines()[-1])["sweep"] == "b"


def test_status_shows_the_progress_of_finalize(
    runs: Path, search: Search, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    search()
    seen: list[str] = []
    measure = sealed_test.measure_on_test

    def watched(task: AnyTask, checkpoint: str, **options: Any) -> TestResult:
        seen.append(cli("list", "--runs", runs).stdout)
        return measure(task, checkpoint, **options)

    monkeypatch.setattr(sealed_test, "measure_on_test", watched)
    assert cli("finalize", "tiny", "--runs", runs).exit_code == 0

    assert [line.partition(" by ")[0] for line in seen] == ["tiny: being finalized"] * 2
    assert ["evaluating on the test images: 0 of 2" in seen[0], "1 of 2" in seen[1]] == [True, True]
