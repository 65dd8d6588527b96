"""Real faults: the doctor finds each, changes nothing without `--fix`, repairs it, and then finds no problem."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from mlflow import MlflowClient
from sweep_fakes import (
    Cli,
    Doctor,
    Written,
    book,
    next_trial,
    outcomes,
    snapshot,
    sweeps_process,
    tiny,
    write_yaml,
    written,
)

import cifar_core.data.load
import cifar_core.data.sources.registry
from cifar_core.data.load import load_cifar10
from cifar_core.data.sources.contract import FetchedImages, SourceFailedError
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.record import availability
from sweeps.search.state import read_state
from sweeps.upkeep import machine, versions

START_SECONDS = 60


def of(said: list[str], check: str) -> list[str]:
    """Return the lines of one check."""
    return [line.removeprefix(f"{check}: ") for line in said if line.startswith(f"{check}: ")]


def client_of(runs: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{runs / 'mlflow.db'}")


def trial_of(runs: Path, outcome: Outcome) -> TrialRecord:
    """Return a trial of the search with this outcome."""
    return next(record for record in read_state(runs, "tiny").records if record.outcome is outcome)


def assert_repaired(doctor: Doctor, runs: Path, check: str) -> str:
    """Assert that a fault is found without a change, then repaired; return its first message."""
    before = snapshot(runs)
    seen = doctor(runs)
    assert snapshot(runs) == before, "it only looks without --fix"
    assert len(of(seen["problem"], check)) == 1, seen
    assert len(seen["problem"]) == 1, seen
    repaired = doctor(runs, "--fix")
    assert len(of(repaired["repaired"], check)) == 1, repaired
    assert repaired["problem"] == [], repaired
    again = doctor(runs)
    assert again["problem"] == [], again
    return of(seen["problem"], check)[0]


def _steps(run: Written) -> dict[str, list[int]]:
    # Metrics of the whole run are at step 0 and may have several timestamps.
    return {name: sorted(set(steps)) for name, steps in run.steps.items()}


def as_before(before: list[Written], after: list[Written]) -> bool:
    """Return whether each trial has one run with the same content, under any id."""

    def told(runs: list[Written]) -> list[object]:
        ours = ("key", "outcome", "epochs_done", "study", "trial", "seed", "log")
        rows = [(r.name, r.status, {n: r.tags.get(n) for n in ours}, _steps(r)) for r in runs]
        return sorted(rows, key=str)

    return told(before) == told(after)


def test_an_intact_folder_has_no_problems_and_nothing_is_written(runs: Path, doctor: Doctor) -> None:
    assert {record.outcome for record in read_state(runs, "tiny").records} == {
        Outcome.COMPLETE,
        Outcome.PRUNED,
        Outcome.DIVERGED,
    }
    assert read_state(runs, "tiny").replicates
    before = snapshot(runs)

    plain, fixed = doctor(runs), doctor(runs, "--fix")

    assert (plain["problem"], plain["note"]) == ([], [])
    assert (fixed["problem"], fixed["repaired"]) == ([], [])
    assert snapshot(runs) == before


def test_a_missing_folder_is_no_problem_and_not_created(tmp_path: Path, doctor: Doctor) -> None:
    said = doctor(tmp_path / "none", "--fix")

    assert said["problem"] == []
    assert not (tmp_path / "none").exists()


def test_its_json_has_each_line_and_the_versions_it_was_found_with(tmp_path: Path, cli: Cli) -> None:
    (tmp_path / "file").touch()
    runs = tmp_path / "file" / "runs"

    lines, said = cli("doctor", "--runs", runs), cli("doctor", "--runs", runs, "--json")

    content = json.loads(said.stdout)
    kept = [(check["verdict"], f"{check['check']}:") for check in content["checks"]]
    assert ("problem", "runs folder:") in kept
    assert kept == [(line.split()[0], line[9 : line.index(":") + 1]) for line in lines.stdout.splitlines()]
    assert content["environment"]["torch"] == version("torch")
    assert content["environment"]["cifar-sweeps"] == version("cifar-sweeps")
    assert said.exit_code == lines.exit_code == 1


class TestTheRecord:
    @pytest.mark.slow
    def test_what_a_killed_driver_left_running_is_ended(
        self, tmp_path: Path, empty_store: Path, doctor: Doctor
    ) -> None:
        killed = tmp_path / "killed"
        killed.mkdir()
        shutil.copy(empty_store, killed)
        content = tiny(base=tiny()["base"] | {"epochs": 100_000})
        arguments = ("run", write_yaml(tmp_path, content), "--runs", killed, "--backend", "inline")
        journal = killed / "sweeps" / "tiny" / "journal.log"
        with sweeps_process(*arguments, cwd=tmp_path) as driver:
            deadline = time.monotonic() + START_SECONDS
            while not (journal.exists() and b"epoch:0003" in journal.read_bytes()):
                assert time.monotonic() < deadline
                time.sleep(0.05)
            driver.send_signal(signal.SIGKILL)
        assert "RUNNING" in {run.status for run in written(killed, kind="sweep")}

        said = assert_repaired(doctor, killed, "record")

        assert "2 runs with the MLflow status RUNNING but no driver" in said
        assert set(outcomes(killed)) == {("KILLED", "interrupted")}
        assert [run.status for run in written(killed, kind="sweep")] == ["KILLED"]
        (trial,) = written(killed)
        (record,) = read_state(killed, "tiny").records
        assert trial.steps["train_loss"] == [epoch.epoch for epoch in record.epochs]

    def test_a_running_run_without_a_driver_is_ended_as_in_the_journal(self, runs: Path, doctor: Doctor) -> None:
        before = written(runs)
        client_of(runs).update_run(before[0].run_id, status="RUNNING")

        assert_repaired(doctor, runs, "record")

        assert as_before(before, written(runs))

    def test_a_run_that_was_deleted_is_written_again_from_the_journal(self, runs: Path, doctor: Doctor) -> None:
        before = written(runs)
        client_of(runs).delete_run(before[0].run_id)

        said = assert_repaired(doctor, runs, "record")

        assert "1 trial" in said
        assert as_before(before, written(runs))

    def test_a_deleted_replicate_is_rewritten_too_and_parent_runs_stay(self, runs: Path, doctor: Doctor) -> None:
        before, parents = written(runs), written(runs, kind="sweep")
        client_of(runs).delete_run(next(run for run in before if "replicate_of" in run.tags).run_id)

        assert_repaired(doctor, runs, "record")

        assert as_before(before, written(runs))
        assert written(runs, kind="sweep") == parents

    def test_a_deleted_parent_run_is_recreated_with_its_trials(self, runs: Path, doctor: Doctor) -> None:
        parents = written(runs, kind="sweep")
        client_of(runs).delete_run(parents[0].run_id)

        assert_repaired(doctor, runs, "record")

        now = {run.run_id: run for run in written(runs, kind="sweep")}
        assert sorted((run.name, run.status) for run in now.values()) == sorted((r.name, r.status) for r in parents)
        assert {run.tags["mlflow.parentRunId"] for run in written(runs)} == set(now)

    def test_a_trial_that_differs_in_the_record_is_corrected(self, runs: Path, doctor: Doctor) -> None:
        before = written(runs)
        complete = next(run for run in before if run.tags["outcome"] == "complete")
        client_of(runs).set_tag(complete.run_id, "outcome", "failed")

        assert_repaired(doctor, runs, "record")

        assert as_before(before, written(runs))

    def test_an_interrupted_trial_that_is_finished_in_the_record_is_corrected(self, runs: Path, doctor: Doctor) -> None:
        next_trial(book(runs, name="open").open())
        doctor(runs, "--fix")
        client_of(runs).update_run(written(runs, sweep="open")[0].run_id, status="FINISHED")

        assert_repaired(doctor, runs, "record")

        assert outcomes(runs, sweep="open") == [("KILLED", "interrupted")]

    def test_runs_of_a_deleted_sweep_folder_are_reported_and_kept(self, runs: Path, doctor: Doctor) -> None:
        shutil.rmtree(runs / "sweeps" / "tiny")
        before = written(runs)

        said = doctor(runs, "--fix")

        assert said["problem"] == []
        assert len(of(said["note"], "record")) == 1
        assert written(runs) == before

    def test_running_runs_of_a_deleted_sweep_folder_are_ended(self, runs: Path, doctor: Doctor) -> None:
        shutil.rmtree(runs / "sweeps" / "tiny")
        run = written(runs)[0]
        client_of(runs).update_run(run.run_id, status="RUNNING")

        assert_repaired(doctor, runs, "record")

        assert (written(runs)[0].status, written(runs)[0].tags["outcome"]) == ("KILLED", "interrupted")
        assert not (runs / "sweeps" / "tiny").exists()

    def test_a_running_sweep_is_skipped_and_others_are_repaired(self, runs: Path, doctor: Doctor) -> None:
        client_of(runs).update_run(written(runs)[0].run_id, status="RUNNING")
        (runs / "sweeps" / "tiny" / "checkpoints" / "0123456789abcdef").mkdir()
        other = book(runs, name="other").folder
        book(runs, name="other").open()
        (other.path / "checkpoints" / "fedcba9876543210").mkdir(parents=True)
        hold = f"""
from pathlib import Path
from sweeps.store.folder import SweepFolder
with SweepFolder(Path({str(runs)!r}), "tiny").locked():
    print("held", flush=True)
    input()
"""
        with subprocess.Popen(
            [sys.executable, "-c", hold], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        ) as driver:
            assert driver.stdout is not None
            driver.stdout.readline()
            before = snapshot(runs / "sweeps" / "tiny"), written(runs)
            said = doctor(runs, "--fix")
            assert (snapshot(runs / "sweeps" / "tiny"), written(runs)) == before
            driver.communicate("\n")

        assert of(said["note"], "drivers") == [
            f"tiny is being run by process {driver.pid} on {socket.gethostname()} and was skipped"
        ]
        assert ["other" in line for line in said["repaired"]] == [True]
        assert not (other.path / "checkpoints" / "fedcba9876543210").exists()

    def test_a_record_that_is_not_a_database_is_renamed_and_rebuilt(self, runs: Path, doctor: Doctor) -> None:
        before = written(runs)
        (runs / "mlflow.db").write_bytes(b"something else" * 100)

        assert len(of(doctor(runs)["problem"], "MLflow")) == 1
        said = doctor(runs, "--fix")

        assert said["problem"] == []
        assert len(list(runs.glob("mlflow.db.damaged-*"))) == 1
        assert as_before(before, written(runs))

    def test_an_unreachable_server_is_reported_with_advice(
        self, runs: Path, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with socket.create_server(("127.0.0.1", 0)) as closed:
            port = closed.getsockname()[1]
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://somebody:secret@127.0.0.1:{port}")

        said = doctor(runs, "--fix")

        assert len(said["problem"]) == 1
        assert f"no MLflow server answers at http://127.0.0.1:{port}" in said["problem"][0]
        assert "secret" not in str(said)
        assert "unset MLFLOW_TRACKING_URI" in said["problem"][0]

    @pytest.mark.parametrize("uri", ["http://", "http://[::1", "http://127.0.0.1:99999"])
    def test_an_invalid_address_is_reported(
        self, uri: str, runs: Path, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)

        assert f"MLFLOW_TRACKING_URI is {uri!r}" in of(doctor(runs)["problem"], "MLflow")[0]

    def test_a_silent_server_is_not_waited_for(
        self, runs: Path, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(availability, "ANSWER_SECONDS", 0.3)
        with socket.create_server(("127.0.0.1", 0)) as silent:
            monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://127.0.0.1:{silent.getsockname()[1]}")
            began = time.monotonic()
            said = doctor(runs)

        assert time.monotonic() - began < 10
        assert "within 0.3 s" in said["problem"][0]


class TestJournals:
    def test_a_flipped_bit_is_repaired_and_the_damaged_file_is_kept(self, runs: Path, doctor: Doctor) -> None:
        journal = runs / "sweeps" / "tiny" / "journal.log"
        (runs / "sweeps" / "tiny" / "journal.log.backup").unlink()
        content = bytearray(journal.read_bytes())
        content[len(content) * 3 // 4] ^= 4
        journal.write_bytes(content)

        said = assert_repaired(doctor, runs, "journals")

        assert "sweeps repair tiny" in said
        assert (runs / "sweeps" / "tiny" / "journal.log.damaged-1").read_bytes() == content

    def test_what_a_trial_resumes_from_stays_though_its_journal_was_cut(self, runs: Path, doctor: Doctor) -> None:
        trial = next_trial(book(runs, name="open").open())
        doctor(runs, "--fix")
        assert ("KILLED", "interrupted") in outcomes(runs, sweep="open")
        checkpoint = runs / "sweeps" / "open" / "checkpoints" / trial.key
        weights = runs / "sweeps" / "tiny" / "checkpoints" / trial_of(runs, Outcome.COMPLETE).key
        shutil.copytree(weights, checkpoint)
        (runs / "sweeps" / "open" / "journal.log.backup").unlink(missing_ok=True)
        (runs / "sweeps" / "open" / "journal.log").write_bytes(b"nonsense\n" * 3)

        assert_repaired(doctor, runs, "journals")

        assert trial.key not in (runs / "sweeps" / "open" / "journal.log").read_text(encoding="utf-8")
        assert (checkpoint / "state.pt").exists()

    def test_with_a_damaged_journal_no_checkpoint_is_checked(self, runs: Path, doctor: Doctor) -> None:
        journal = runs / "sweeps" / "tiny" / "journal.log"
        content = journal.read_bytes()
        journal.write_bytes(b"{nonsense}\n" + content)
        book(runs, name="other").open()
        orphan = runs / "sweeps" / "other" / "checkpoints" / "fedcba9876543210"
        orphan.mkdir(parents=True)

        said = doctor(runs)

        assert "not checked for orphaned checkpoints" in of(said["note"], "checkpoints")[0]
        assert of(said["problem"], "checkpoints") == []

    def test_a_folder_without_a_journal_is_reported_and_kept(self, runs: Path, doctor: Doctor) -> None:
        (runs / "sweeps" / "half" / "checkpoints" / "fedcba9876543210").mkdir(parents=True)

        said = doctor(runs, "--fix")

        assert said["problem"] == []
        assert "sweeps rm half" in of(said["note"], "journals")[0]
        assert (runs / "sweeps" / "half" / "checkpoints" / "fedcba9876543210").is_dir()


class TestSmallFiles:
    @pytest.mark.parametrize("name", ["driver.json", "driver.lock", "journal.log.crc", "journal.log.backup"])
    def test_a_path_of_the_wrong_type_is_renamed(self, name: str, runs: Path, doctor: Doctor) -> None:
        path = runs / "sweeps" / "tiny" / name
        path.unlink(missing_ok=True)
        os.mkfifo(path)

        assert name in assert_repaired(doctor, runs, "journals")

        assert path.with_name(f"{name}.damaged-1").is_fifo()

    @pytest.mark.parametrize("name", ["sweeps/tiny/checkpoints", "sweeps/tiny/logs", "sweeps/tiny/place.json"])
    def test_a_file_that_cannot_be_recreated_is_a_problem(self, name: str, runs: Path, doctor: Doctor) -> None:
        path = runs / name
        if path.is_dir():
            shutil.rmtree(path)
        os.mkfifo(path)

        said = doctor(runs, "--fix")

        assert str(path) in of(said["problem"], "journals")[0]
        assert path.is_fifo()

    def test_an_unreadable_log_of_test_set_accesses_is_a_problem(self, runs: Path, doctor: Doctor) -> None:
        (runs / "test_looks.jsonl").mkdir()

        assert "it is a folder" in of(doctor(runs)["problem"], "journals")[0]


class TestDrivers:
    def test_the_note_of_a_driver_killed_here_is_no_problem(self, runs: Path, doctor: Doctor) -> None:
        note = runs / "sweeps" / "tiny" / "driver.json"
        note.write_text(json.dumps({"pid": 1, "host": socket.gethostname(), "since": 0.0, "doing": "run"}))

        assert doctor(runs)["note"] == []

    @pytest.mark.parametrize("content", ["[]", "{}", "12", "not JSON", ""])
    def test_an_invalid_drivers_note_is_ignored(self, content: str, runs: Path, doctor: Doctor) -> None:
        (runs / "sweeps" / "tiny" / "driver.json").write_text(content)

        assert (doctor(runs)["problem"], doctor(runs)["note"]) == ([], [])

    def test_a_driver_of_another_host_runs_while_it_has_a_heartbeat(self, runs: Path, doctor: Doctor) -> None:
        note = runs / "sweeps" / "tiny" / "driver.json"
        note.write_text(json.dumps({"pid": 1, "host": "elsewhere", "since": 0.0, "doing": "run"}))

        said = doctor(runs, "--fix")
        assert of(said["note"], "drivers") == ["tiny is being run by process 1 on elsewhere and was skipped"]
        assert note.exists()

        for path in (note, note.with_name("journal.log")):
            os.utime(path, (time.time() - 3600,) * 2)
        assert "ago on elsewhere and is presumed to have failed" in of(doctor(runs)["note"], "drivers")[0]
        doctor(runs, "--fix")
        assert not note.exists()


class TestCheckpoints:
    def test_a_folder_with_an_unknown_key_is_deleted(self, runs: Path, doctor: Doctor) -> None:
        complete = trial_of(runs, Outcome.COMPLETE)
        weights = runs / "sweeps" / "tiny" / "checkpoints" / complete.key
        orphan = weights.with_name("0123456789abcdef")
        shutil.copytree(weights, orphan)

        said = assert_repaired(doctor, runs, "checkpoints")

        assert "0123456789abcdef (belongs to no trial)" in said
        assert not orphan.exists()
        assert (weights / "state.pt").exists()

    @pytest.mark.parametrize("outcome", [Outcome.PRUNED, Outcome.DIVERGED])
    def test_the_checkpoint_of_a_trial_that_will_not_resume_is_deleted(
        self, outcome: Outcome, runs: Path, doctor: Doctor
    ) -> None:
        left = runs / "sweeps" / "tiny" / "checkpoints" / trial_of(runs, outcome).key
        left.mkdir()
        (left / "state.pt").write_bytes(b"x" * 1000)

        assert f"({outcome.value})" in assert_repaired(doctor, runs, "checkpoints")

        assert not left.exists()

    def test_weights_of_a_run_that_is_complete_in_any_sweep_are_kept(self, runs: Path, doctor: Doctor) -> None:
        weights = runs / "sweeps" / "tiny" / "checkpoints" / trial_of(runs, Outcome.COMPLETE).key
        book(runs, name="other").open()
        copy = runs / "sweeps" / "other" / "checkpoints" / weights.name
        shutil.copytree(weights, copy)

        assert doctor(runs, "--fix")["repaired"] == []

        assert (copy / "state.pt").exists()

    def test_damaged_weights_are_copied_from_another_sweep(self, runs: Path, doctor: Doctor) -> None:
        shutil.copytree(runs / "sweeps" / "tiny", runs / "sweeps" / "other")
        path = runs / "sweeps" / "tiny" / "checkpoints" / trial_of(runs, Outcome.COMPLETE).key / "state.pt"
        whole = path.read_bytes()
        flip(path)

        assert "to copy it from another sweep" in assert_repaired(doctor, runs, "checkpoints")

        assert path.read_bytes() == whole

    def test_a_copy_of_a_sweeps_folder_does_not_change_its_runs(self, runs: Path, doctor: Doctor) -> None:
        shutil.copytree(runs / "sweeps" / "tiny", runs / "sweeps" / "other")
        before = written(runs)

        said = doctor(runs, "--fix")

        assert said["problem"] == []
        assert "is a copy of another sweep's folder" in of(said["note"], "journals")[0]
        assert written(runs) == before

    def test_damaged_weights_without_a_copy_are_reported_and_kept(self, runs: Path, doctor: Doctor) -> None:
        path = runs / "sweeps" / "tiny" / "checkpoints" / trial_of(runs, Outcome.COMPLETE).key / "state.pt"
        flip(path)
        damaged = path.read_bytes()

        said = doctor(runs, "--fix")

        assert "has no copy" in of(said["problem"], "checkpoints")[0]
        assert said["repaired"] == []
        assert path.read_bytes() == damaged

    @pytest.mark.parametrize("has_previous", [True, False])
    def test_a_damaged_checkpoint_is_deleted_unless_the_previous_one_is_intact(
        self, has_previous: bool, runs: Path, doctor: Doctor
    ) -> None:
        ledger = book(runs, name="open").open()
        trial = ledger.next_trial()
        assert isinstance(trial, TrialRecord)
        doctor(runs, "--fix")
        path = runs / "sweeps" / "open" / "checkpoints" / trial.key / "state.pt"
        weights = runs / "sweeps" / "tiny" / "checkpoints" / trial_of(runs, Outcome.COMPLETE).key
        shutil.copytree(weights, path.parent)
        before = path.with_name("state.previous.pt")
        before.unlink(missing_ok=True)
        if has_previous:
            shutil.copy(path, before)
        flip(path)

        if has_previous:
            said = doctor(runs, "--fix")
            assert "one epoch earlier" in of(said["note"], "checkpoints")[0]
            assert (path.exists(), before.exists()) == (True, True)
        else:
            assert_repaired(doctor, runs, "checkpoints")
            assert not path.exists()


def flip(path: Path) -> None:
    """Flip a bit in the middle of a file."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


class FromMemory:
    """A source of the data that is always available."""

    name = choice = "memory"

    def fetch(self, directory: Path, *, scratch: Path, reporter: object) -> FetchedImages:
        images = load_cifar10(REAL, progress=False)
        return FetchedImages(train=images.train, test=images.test)


class Away(FromMemory):
    def fetch(self, directory: Path, *, scratch: Path, reporter: object) -> FetchedImages:
        raise SourceFailedError("nobody answers")


REAL = cifar_core.data.load.default_directory()


class TestTheData:
    @pytest.fixture(autouse=True)
    def labels(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], bytes]:
        directory = tmp_path / "data"
        directory.mkdir()
        for path in REAL.glob("*.*"):
            shutil.copy(path, directory)
        labels = np.load(directory / "test_labels.npy")
        labels[17] ^= 1
        np.save(directory / "test_labels.npy", labels)
        monkeypatch.setenv("CIFAR10_DIR", str(directory))
        return (directory / "test_labels.npy").read_bytes

    def test_one_changed_byte_is_found_and_repaired(
        self, runs: Path, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(cifar_core.data.sources.registry, "SOURCES", {"memory": FromMemory()})

        assert "sweeps data" in assert_repaired(doctor, runs, "data")

    def test_without_a_reachable_source_the_data_is_unchanged(
        self, runs: Path, doctor: Doctor, monkeypatch: pytest.MonkeyPatch, labels: Callable[[], bytes]
    ) -> None:
        monkeypatch.setattr(cifar_core.data.sources.registry, "SOURCES", {"away": Away()})
        before = labels()

        said = doctor(runs, "--fix")

        assert "test_labels.npy is damaged" in of(said["problem"], "data")[0]
        assert "nobody answers" in " ".join(said["note"])
        assert labels() == before

    def test_missing_data_is_reported_with_the_command_to_fetch_it(
        self, runs: Path, doctor: Doctor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setenv("CIFAR10_DIR", str(tmp_path / "nothing"))

        said = doctor(runs)

        assert "`sweeps data`" in of(said["problem"], "data")[0]
        assert not (tmp_path / "nothing").exists()


class TestTheMachine:
    def test_too_little_space_is_reported_with_the_threshold(
        self, runs: Path, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(machine, "ENOUGH_BYTES", 10**18)

        assert "1,000,000.0 TB are needed" in of(doctor(runs)["problem"], "disk")[0]

    def test_too_little_shared_memory_is_a_remark(
        self, runs: Path, doctor: Doctor, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(machine, "OBJECT_STORE_BYTES", 10**18)

        said = doctor(runs)

        assert "--shm-size" in of(said["note"], "shared memory")[0]
        assert said["problem"] == []

    def test_a_runs_folder_that_cannot_be_written_is_reported(self, tmp_path: Path, doctor: Doctor) -> None:
        (tmp_path / "file").touch()

        assert "cannot be written" in of(doctor(tmp_path / "file" / "runs")["problem"], "runs folder")[0]

    def test_versions_not_locked_are_a_note_and_unmet_needs_a_problem(self, tmp_path: Path) -> None:
        (tmp_path / "requirements.lock").write_text("click==0.0.1  # old\nnumpy==9999.0\nnobody-has-this==1.0\n")
        project = '[project]\nname = "cifar-sweeps"\nrequires-python = ">=3.11"\ndependencies = ["click>=8", {}]\n'
        (tmp_path / "pyproject.toml").write_text(project.format('"numpy>=2"'))
        (note,) = versions.versions_against(tmp_path).findings
        assert not note.is_problem
        assert "2 versions" in note.text
        assert "not 0.0.1" in note.text
        assert "not 9999.0" in note.text

        (tmp_path / "pyproject.toml").write_text(project.format('"numpy>=9999", "nobody-has-this"'))
        problems = [each.text for each in versions.versions_against(tmp_path).findings if each.is_problem]
        assert [text.split()[0] for text in problems] == ["numpy", "nobody-has-this"]

    def test_without_a_lock_file_the_packages_metadata_are_used(self, tmp_path: Path) -> None:
        assert versions.versions_against(tmp_path).findings == []
        assert "requirements met" in versions.versions_against(tmp_path).ok_text
