"""Sweeps in this process on a few real images, with every kind of end."""

from __future__ import annotations

import contextlib
import csv
import json
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NoReturn

import pytest
from sweep_fakes import Cli, Written, once, outcomes, own_net, sweeps_process, tiny, write_yaml, written

import cifar_core.data.load
from cifar_core.checkpoint import save_checkpoint
from cifar_core.config import TrainingConfig
from cifar_core.data.load import default_directory, load_test_images, load_training_images
from cifar_core.data.split import split_train_validation
from cifar_core.training import start as start_training
from cifar_core.training import train
from sweeps.backends import inline as inline_backend
from sweeps.core.results import TestResult
from sweeps.core.task import AnyTask
from sweeps.core.trial import TrialRecord
from sweeps.search.state import read_state
from sweeps.tasks.image_classification import ImageClassification
from sweeps.worker import measure

Start = Callable[..., Any]


@pytest.fixture
def runs(recorded_runs: Path) -> Path:
    return recorded_runs


@pytest.fixture
def start(tmp_path: Path, runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Run a sweep's file inline in its folder; return the result of the command."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    def run(*arguments: str, to: Path = runs, **changes: Any) -> Any:
        path = write_yaml(tmp_path, tiny(**changes))
        return cli("run", path, "--runs", to, "--backend", "inline", *arguments)

    return run


def records(runs: Path) -> list[TrialRecord]:
    return read_state(runs, "tiny").records


def curve(run: Written) -> list[int]:
    return run.steps["val_accuracy"]


def test_a_sweep_is_trained_to_its_end_and_recorded(runs: Path, start: Start) -> None:
    result = start()

    assert result.exit_code == 0, result.output
    assert outcomes(runs) == [("FINISHED", "complete")] * 2
    assert [curve(run) for run in written(runs)] == [[1, 2]] * 2
    assert [run.status for run in written(runs, kind="sweep")] == ["FINISHED"]
    assert "2 complete" in result.stdout
    assert len((runs / "leaderboard.csv").read_text(encoding="utf-8").splitlines()) == 3


def test_the_same_command_again_trains_nothing(runs: Path, start: Start) -> None:
    start()
    before = written(runs)

    result = start()

    assert result.exit_code == 0
    assert "Nothing to train" in result.stdout
    assert written(runs) == before


def test_a_start_with_nothing_to_do_imports_nothing_heavy(tmp_path: Path, runs: Path, start: Start) -> None:
    start()
    before = times(runs)
    code = (
        "import sys; from sweeps.cli.main import sweeps;"
        f"sweeps(['run', {str(tmp_path / 'sweep.yaml')!r}, '--runs', {str(runs)!r}], standalone_mode=False);"
        "assert not {'torch', 'mlflow', 'ray', 'scipy.stats'} & set(sys.modules), 'loaded'"
    )

    said = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout

    assert "Nothing to train" in said
    assert times(runs) == before


def test_missing_results_are_written_without_training(runs: Path, start: Start) -> None:
    start()
    before = written(runs)
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database, database:
        database.execute("DELETE FROM metrics WHERE key = 'val_loss'")
        database.execute("DELETE FROM latest_metrics WHERE key = 'val_loss'")
        database.execute("UPDATE tags SET value = '0' WHERE key = 'epochs_done'")

    start()

    assert written(runs) == before


def test_a_search_without_new_proposals_reports_it(runs: Path, start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    endless = {"parameters": {"optimizer.lr": {"min": 0.01, "max": 0.02}}, "run_cap": 3}
    start(**endless | {"run_cap": 1})
    monkeypatch.setattr("sweeps.search.proposers.SamplerProposer.ask", lambda *_, **__: None)

    result = start(**endless)

    assert result.exit_code == 0
    assert "The search ended after 1 trial, fewer than run_cap" in result.stderr


def test_a_reached_target_ends_the_search_and_a_changed_one_continues_it(runs: Path, start: Start) -> None:
    reached = start("--set", "metric.target=0.01", run_cap=4)

    assert reached.exit_code == 0
    assert re.search(
        r"The search ended: trial 0 reached val_accuracy [\d.]+ % after epoch 1 \(metric.target\)", reached.stdout
    )
    assert len(records(runs)) == 1
    assert "The search ended" in start("--set", "metric.target=0.01", run_cap=4).stdout

    assert "The search ended" not in start("--set", "metric.target=1", run_cap=2).stdout
    assert len(records(runs)) == 2


def times(runs: Path) -> list[tuple[str, int, int]]:
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database:
        return database.execute("SELECT run_uuid, start_time, end_time FROM runs ORDER BY run_uuid").fetchall()


def test_a_larger_budget_trains_the_missing_trials(runs: Path, start: Start) -> None:
    start()
    before = written(runs)

    result = start("--set", "run_cap=3")

    assert "trained 1 in" in result.stdout
    assert written(runs)[:2] == before
    assert len(written(runs)) == 3


def test_another_sweep_reuses_the_results(runs: Path, start: Start) -> None:
    start()

    result = start("--set", "name=other")

    assert "2 of them reused from earlier runs" in result.stdout
    assert all("reused_from" in run.tags for run in written(runs, sweep="other"))


@pytest.mark.trains
def test_two_sweeps_of_one_file_compute_the_same(runs: Path, tmp_path: Path, start: Start) -> None:
    shutil.copytree(runs, tmp_path / "elsewhere")
    start()
    start(to=tmp_path / "elsewhere")

    first, second = (
        [
            [(e.metrics["train_loss"], e.metrics["val_loss"], e.metrics["val_accuracy"]) for e in r.epochs]
            for r in records(folder)
        ]
        for folder in (runs, tmp_path / "elsewhere")
    )

    assert first == second


def test_a_killed_driver_loses_at_most_one_epoch(runs: Path, tmp_path: Path, start: Start) -> None:
    hook = once(tmp_path / "killed", "os.kill(os.getpid(), signal.SIGKILL)")
    changes = {"base": own_net(tmp_path, module="net_that_kills", hook=hook), "run_cap": 2}
    path = write_yaml(tmp_path, tiny(**changes))
    with sweeps_process("run", path, "--runs", runs, "--backend", "inline", cwd=tmp_path) as process:
        process.wait()
    assert process.returncode == -signal.SIGKILL
    assert [len(record.epochs) for record in records(runs)] == [1]

    result = start(**changes)

    assert result.exit_code == 0, result.output
    assert "resuming after epoch 1" in log_of(runs, 0)
    assert outcomes(runs) == [("FINISHED", "complete")] * 2
    assert len({run.tags["key"] for run in written(runs)}) == 2
    assert [curve(run) for run in written(runs)] == [[1, 2, 3]] * 2


def log_of(runs: Path, number: int) -> str:
    (log,) = (runs / "sweeps" / "tiny" / "logs").glob(f"{number:04d}-*.log")
    return log.read_text(encoding="utf-8")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_with_130_and_the_next_start_resumes(
    number: signal.Signals, runs: Path, tmp_path: Path, start: Start
) -> None:
    module = f"net_that_signals_{number.name.lower()}"
    hook = once(tmp_path / "sent", f"os.kill(os.getpid(), {int(number)})")
    base = own_net(tmp_path, module=module, hook=hook)

    result = start(base=base)

    assert result.exit_code == 130
    assert "Run the same command again to resume." in result.stdout
    assert outcomes(runs) == [("KILLED", "interrupted")]
    assert [run.status for run in written(runs, kind="sweep")] == ["KILLED"]
    assert [len(record.epochs) for record in records(runs)] == [2]
    assert start(base=base).exit_code == 0
    assert outcomes(runs) == [("FINISHED", "complete")] * 2


@pytest.mark.trains
def test_a_timeout_stops_within_the_epoch_and_is_resumed(
    runs: Path, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny()["base"] | {"epochs": 4}
    with monkeypatch.context() as clock:
        # The deadline is checked before each trial and epoch, and after each of an epoch's ten steps.
        ticks = count()
        clock.setattr("sweeps.driver.stopping.time", SimpleNamespace(monotonic=lambda: next(ticks)))
        result = start(base=base, limits={"timeout": 26.5})

    assert result.exit_code == 0
    assert "(limits.timeout). All finished epochs are saved." in result.stdout
    assert outcomes(runs) == [("KILLED", "interrupted")]
    assert [len(record.epochs) for record in records(runs)] == [2]
    start(base=base, limits={"timeout": "1h"})
    assert outcomes(runs) == [("FINISHED", "complete")] * 2


@pytest.mark.trains
def test_a_diverged_trial_is_not_a_failure(runs: Path, start: Start) -> None:
    result = start(parameters={"optimizer.lr": {"values": [1e6]}}, method="grid")

    assert result.exit_code == 0
    assert outcomes(runs) == [("FAILED", "diverged")]
    assert "lower optimizer.lr" in str(records(runs)[0].error)


def test_a_failed_trial_prints_its_log_with_the_traceback(runs: Path, tmp_path: Path, start: Start) -> None:
    base = own_net(tmp_path, module="net_that_fails", hook="raise RuntimeError('no such kernel')")

    result = start(base=base, run_cap=1)

    assert result.exit_code == 1
    assert outcomes(runs) == [("FAILED", "failed")]
    named = re.search(r"trial 0 failed: RuntimeError: no such kernel \(log: (\S+)\)", result.stderr)
    assert named is not None
    log = Path(named[1]).read_text(encoding="utf-8")
    assert "Traceback (most recent call last)" in log
    assert 'net_that_fails.py", line' in log


def test_a_retried_trial_stays_one_run(runs: Path, tmp_path: Path, start: Start) -> None:
    hook = once(tmp_path / "failed", "raise OSError('disk full')")
    changes = {"base": own_net(tmp_path, module="net_that_fails_once", hook=hook), "run_cap": 1}
    assert start(**changes).exit_code == 1

    assert start(**changes).exit_code == 1
    result = start("--retry-failed", **changes)

    assert result.exit_code == 0, result.output
    assert outcomes(runs) == [("FINISHED", "complete")]


def test_an_inline_trial_prints_to_the_terminal(tmp_path: Path, start: Start) -> None:
    base = own_net(tmp_path, module="net_that_prints", hook="print('where am I?')")

    result = start(base=base, run_cap=1)

    assert "where am I?" in result.stdout


def test_a_network_that_cannot_be_imported_is_rejected_before_the_start(
    tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for changes in (
        {"base": tiny()["base"] | {"model": {"name": "my_missing_net:Thing"}}},
        {"parameters": {"model.name": {"values": ["simple", "my_missing_net:Thing"]}}},
    ):
        result = cli("run", write_yaml(tmp_path, tiny(**changes)), "--runs", tmp_path / "none")

        assert result.exit_code == 2
        assert "model.name: model 'my_missing_net:Thing': there is no module 'my_missing_net'" in result.stderr
        assert not (tmp_path / "none").exists()


def test_runs_below_a_plain_file_are_refused(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")

    result = cli("run", write_yaml(tmp_path, tiny()), "--runs", tmp_path / "file" / "runs", "--backend", "inline")

    assert result.exit_code == 2
    assert "cannot be written" in result.stderr
    assert "--runs" in result.stderr


def test_an_unreachable_record_is_rejected(tmp_path: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_yaml(tmp_path, tiny())
    (tmp_path / "file").write_text("", encoding="utf-8")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/file/mlflow.db")

    result = cli("run", path, "--runs", tmp_path / "none", "--backend", "inline")

    assert result.exit_code == 2
    assert "MLFLOW_TRACKING_URI" in result.stderr


class TestTheSealedTestSet:
    @pytest.fixture
    def no_test_files(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The data without its test images: opening them fails."""
        folder = tmp_path / "cifar10"
        folder.mkdir()
        for file in default_directory().iterdir():
            if not file.name.startswith("test_"):
                (folder / file.name).symlink_to(file)
        monkeypatch.setenv("CIFAR10_DIR", str(folder))

    @pytest.mark.usefixtures("no_test_files")
    def test_a_search_never_opens_the_test_images(self, runs: Path, start: Start) -> None:
        result = start()

        assert result.exit_code == 0, result.output
        assert outcomes(runs) == [("FINISHED", "complete")] * 2

    def test_a_search_records_nothing_of_the_test_images(self, runs: Path, start: Start) -> None:
        start()

        assert not any("test" in metric for run in written(runs) for metric in run.steps)

    def test_a_ladder_measures_each_complete_rung_once(
        self, tmp_path: Path, runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        measured: list[str] = []
        measure_on_test = measure.measure_on_test

        def counting(task: AnyTask, checkpoint: str, **options: Any) -> TestResult:
            measured.append(checkpoint)
            return measure_on_test(task, checkpoint, **options)

        monkeypatch.setattr(inline_backend, "measure_on_test", counting)
        data = {"train_size": 1000, "batch_size": 16, "normalization": "cifar10"}
        base = {"epochs": 1, "model": {"width": 16}, "data": data, "optimizer": {"momentum": 0.9}}
        # So much slower that its accuracy differs significantly on every machine.
        rungs = [{"name": "a"}, {"name": "b", "optimizer": {"lr": 0.001}}]
        path = write_yaml(tmp_path, {"name": "steps", "base": base, "rungs": rungs})

        for _ in range(2):
            result = cli("ladder", path, "--runs", runs, "--backend", "inline")

        assert result.exit_code == 0, result.output
        assert len(measured) == len(set(measured)) == 2
        assert [len(run.steps["test_accuracy"]) for run in written(runs, sweep="steps")] == [1, 1]
        assert [run.tags["rung"] for run in written(runs, sweep="steps")] == ["a", "b"]
        board = list(csv.DictReader((runs / "leaderboard.csv").open(encoding="utf-8")))
        shares = [float(line["test_accuracy"]) for line in board]
        assert [line["rank"] for line in board] == ["1", "2"]
        assert shares == sorted(shares, reverse=True)

    def test_nothing_is_chosen_by_a_ladders_test_accuracy(self, tmp_path: Path, runs: Path, cli: Cli) -> None:
        base = {"epochs": 1, "model": {"width": 4}, "data": {"train_size": 200}}
        path = write_yaml(tmp_path, {"name": "steps", "base": base, "rungs": [{"name": "a"}]})
        assert cli("ladder", path, "--runs", runs, "--backend", "inline").exit_code == 0

        refused = cli("export", "steps", "--format", "state-dict", "--runs", runs, "--out", tmp_path / "model.pt")

        assert refused.exit_code == 2
        assert "must not select a run. Name one of its runs" in refused.stderr

    def test_status_shows_the_progress_of_the_measurements(
        self, tmp_path: Path, runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        seen: list[str] = []
        measure_on_test = measure.measure_on_test

        def watched(task: AnyTask, checkpoint: str, **options: Any) -> TestResult:
            seen.append(cli("status", "steps", "--runs", runs).stdout.splitlines()[-1])
            return measure_on_test(task, checkpoint, **options)

        monkeypatch.setattr(inline_backend, "measure_on_test", watched)
        data = {"train_size": 1000, "batch_size": 16, "normalization": "cifar10"}
        base = {"epochs": 1, "model": {"width": 16}, "data": data, "optimizer": {"momentum": 0.9}}
        rungs = [{"name": "a"}, {"name": "b", "optimizer": {"lr": 0.02}}]
        path = write_yaml(tmp_path, {"name": "steps", "base": base, "rungs": rungs})

        result = cli("ladder", path, "--runs", runs, "--backend", "inline")

        assert "evaluating on the test images: 1 of 2" in seen[-1]
        assert "measuring" not in seen[0], "b was being trained"
        assert "evaluating on the test images: 2 of 2" in result.stdout
        assert "measuring" not in cli("status", "steps", "--runs", runs).stdout

    def test_a_rung_that_cannot_be_measured_is_measured_later(
        self, tmp_path: Path, runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        def failing(task: AnyTask, checkpoint: str, **_: Any) -> TestResult:
            raise MemoryError("no room for the test images")

        data = {"train_size": 1000, "batch_size": 16, "normalization": "cifar10"}
        base = {"epochs": 1, "model": {"width": 16}, "data": data, "optimizer": {"momentum": 0.9}}
        rungs = [{"name": "a"}, {"name": "b", "optimizer": {"lr": 0.02}}]
        path = write_yaml(tmp_path, {"name": "steps", "base": base, "rungs": rungs})
        with monkeypatch.context() as broken:
            broken.setattr(inline_backend, "measure_on_test", failing)
            first = cli("ladder", path, "--runs", runs, "--backend", "inline")
        assert first.exit_code == 0, first.output
        assert [run.tags["outcome"] for run in written(runs, sweep="steps")] == ["complete"] * 2
        assert caplog.text.count("no room for the test images") == 2

        second = cli("ladder", path, "--runs", runs, "--backend", "inline")

        assert [len(run.steps["test_accuracy"]) for run in written(runs, sweep="steps")] == [1, 1]
        assert "Nothing to train" in second.stdout, "to be measured is no training"

    def test_an_ablation_tests_a_searched_run_without_retraining_it(self, runs: Path, start: Start, cli: Cli) -> None:
        start(run_cap=1)
        (searched,) = written(runs)

        result = cli("ablate", "tiny/0", "--runs", runs, "--backend", "inline")

        assert result.exit_code == 0, result.output
        (whole,) = [run for run in written(runs, sweep=f"ablate-{searched.tags['key'][:8]}") if run.name == "whole"]
        assert whole.tags["reused_from"] == searched.run_id
        assert len(whole.steps["test_accuracy"]) == 1


class TestNewStudies:
    def test_a_sweep_without_its_folder_is_another_study(self, runs: Path, start: Start, cli: Cli) -> None:
        start()
        before = written(runs)
        shutil.rmtree(runs / "sweeps")

        result = start()

        assert "2 of them reused from earlier runs" in result.stdout
        after = written(runs)
        assert after[:2] == before
        assert [run.tags["trial"] for run in after] == ["0", "1", "2", "3"]
        assert [run.tags.get("reused_from") for run in after] == [None, None, *(run.run_id for run in before)]
        assert len({(run.tags["study"], run.tags["key"]) for run in after}) == 4
        assert cli("show", "tiny/0", "--runs", runs).exit_code == 0
        assert cli("show", "tiny-003", "--runs", runs).exit_code == 0
        assert len(json.loads(cli("leaderboard", "--runs", runs, "--json").stdout)) == 2
        assert "Nothing to train" in start().stdout
        assert written(runs) == after

    def test_an_edited_network_is_another_configuration(
        self, tmp_path: Path, runs: Path, start: Start, cli: Cli
    ) -> None:
        base = own_net(tmp_path, module="net_edited", hook="pass")
        source = tmp_path / "net_edited.py"
        assert start(base=base, run_cap=1).exit_code == 0
        source.write_text(source.read_text(encoding="utf-8") + "EDITED = 1\n", encoding="utf-8")

        refused = start(base=base, run_cap=1)
        assert refused.exit_code == 2
        assert re.search(r"net_edited:\w+: net_edited\.py has changed", refused.stderr)

        assert start("--new", base=base, run_cap=1).exit_code == 0
        rows = json.loads(cli("leaderboard", "--runs", runs, "--json").stdout)
        assert [(row["rank"], row["replicates"]) for row in rows] == [(1, 1), (2, 1)]
        assert len({row["source"] for row in rows}) == 2
        assert sorted(row["trial"] for row in rows) == [0, 1]


def test_a_second_driver_of_the_same_sweep_is_refused(runs: Path, start: Start) -> None:
    start()
    from sweeps.store.folder import SweepFolder

    with SweepFolder(runs, "tiny").locked():
        result = start("--set", "run_cap=3")

    assert result.exit_code == 2
    assert "is being run by process" in result.stderr


def test_a_changed_space_is_rejected_without_new(runs: Path, start: Start) -> None:
    start()
    changed = {"parameters": {"optimizer.lr": {"values": [0.04]}}, "run_cap": 1}

    assert start(**changed).exit_code == 2
    result = start("--new", **changed)

    assert result.exit_code == 0, result.output
    assert len(written(runs)) == 3
    assert json.loads((runs / "sweeps" / "tiny" / "journal.log").read_text().splitlines()[0])


def test_a_damaged_checkpoint_costs_an_epoch_and_is_logged(tmp_path: Path, runs: Path, start: Start) -> None:
    marker = tmp_path / "ended"
    base = own_net(tmp_path, module="net_with_a_checkpoint", hook="pass")
    source = tmp_path / "net_with_a_checkpoint.py"
    # The driver is killed in the middle of the third of four epochs.
    hook = once(marker, "os.kill(os.getpid(), signal.SIGINT); os.kill(os.getpid(), signal.SIGINT)")
    source.write_text(source.read_text(encoding="utf-8").replace("== 15", "== 25").replace("pass", hook), "utf-8")
    assert start(base=base | {"epochs": 4}, run_cap=1).exit_code == 130
    (checkpoint,) = (runs / "sweeps" / "tiny" / "checkpoints").glob("*/state.pt")
    content = bytearray(checkpoint.read_bytes())
    content[len(content) // 2] ^= 1
    checkpoint.write_bytes(content)

    result = start(base=base | {"epochs": 4}, run_cap=1)

    assert result.exit_code == 0, result.output
    (log,) = (runs / "sweeps" / "tiny" / "logs").iterdir()
    said = log.read_text(encoding="utf-8")
    assert "cannot resume from state.pt" in said
    assert "its checksum is wrong" in said
    assert "resuming after epoch 1, from the previous checkpoint (state.previous.pt)" in said
    assert curve(written(runs)[0]) == [1, 2, 3, 4]


def test_a_checkpoint_damaged_before_measuring_is_trained_again(tmp_path: Path, runs: Path) -> None:
    config = TrainingConfig.model_validate(tiny()["base"] | {"epochs": 3})
    images, _ = load_training_images()
    split = split_train_validation(images, config.data)
    state = start_training(config, train_size=len(split[0]), device="cpu")
    path = tmp_path / "state.pt"
    for _ in train(config, *split, state=state):
        save_checkpoint(state, path)
    expected = measure.measure_on_test(ImageClassification(), str(path), config=config, device="cpu")
    path.write_bytes(path.read_bytes()[:-1] + b"?")

    assert measure.measure_on_test(ImageClassification(), str(path), config=config, device="cpu") == expected


def test_measuring_with_given_images_opens_no_image_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainingConfig.model_validate(tiny()["base"] | {"epochs": 2})
    images, _ = load_training_images()
    test_images = load_test_images()
    split = split_train_validation(images, config.data)
    state = start_training(config, train_size=len(split[0]), device="cpu")
    path = tmp_path / "state.pt"
    for _ in train(config, *split, state=state):
        save_checkpoint(state, path)
    expected = measure.measure_on_test(ImageClassification(), str(path), config=config, device="cpu")
    # Damaged, so that the training images are needed too.
    path.write_bytes(path.read_bytes()[:-1] + b"?")

    def shut(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("images were opened")

    monkeypatch.setattr(cifar_core.data.load, "load_test_images", shut)
    monkeypatch.setattr(cifar_core.data.load, "load_training_images", shut)

    measured = measure.measure_on_test(
        ImageClassification(),
        str(path),
        config=config,
        device="cpu",
        test=test_images,
        part_of=lambda config: split_train_validation(images, config.data),
    )

    assert measured == expected


def test_plan_and_run_report_a_space_without_valid_combinations(
    tmp_path: Path, runs: Path, start: Start, cli: Cli
) -> None:
    sizes = {"data.train_size": {"values": [48_000, 49_000]}, "data.validation_size": {"values": [5_000, 6_000]}}
    base = {"epochs": 1, "data": {"validation_size": 200}}
    path = write_yaml(tmp_path, tiny(method="random", parameters=sizes, base=base))

    for arguments in (("plan", path, "--no-probe"), ("plan", path)):
        planned = cli(*arguments)
        assert planned.exit_code == 2
        assert "no combination of the parameters is valid" in planned.stderr
    result = start(method="random", parameters=sizes, base=base)
    assert "no combination of the parameters is valid" in result.stderr
    assert "recorded before" not in result.stdout


def test_an_immediately_diverging_trial_counts_as_started(start: Start) -> None:
    result = start(parameters={"optimizer.lr": {"value": 1e30}}, run_cap=1)

    assert "none finished an epoch" in result.stdout
    assert "recorded before" not in result.stdout
    assert "Nothing to train" in start(parameters={"optimizer.lr": {"value": 1e30}}, run_cap=1).stdout


def test_a_start_that_stops_before_its_first_trial_reports_it(runs: Path, start: Start) -> None:
    start()

    result = start(name="other", limits={"timeout": 0.001})

    assert result.exit_code == 0, result.output
    assert "No epoch finished in that time" in result.stdout
    assert "no run of a sweep" not in result.output


def test_the_csv_is_rewritten_with_the_record(runs: Path, start: Start) -> None:
    assert start().exit_code == 0
    whole = (runs / "leaderboard.csv").read_text(encoding="utf-8")
    with contextlib.closing(sqlite3.connect(runs / "mlflow.db")) as database:
        database.execute("UPDATE runs SET lifecycle_stage = 'deleted' WHERE name = 'tiny-000'")
        database.commit()
    (runs / "leaderboard.csv").write_text("of yesterday", encoding="utf-8")

    result = start()

    assert "Nothing to train" in result.stdout
    now = (runs / "leaderboard.csv").read_text(encoding="utf-8")
    assert len(now.splitlines()) == len(whole.splitlines())
