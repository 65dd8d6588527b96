"""A sweep with checkpoints in a bucket and its study in a database, which any machine can resume."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from object_store import S3
from sweep_fakes import Cli, once, outcomes, own_net, snapshot, sweeps_process, tiny, write_yaml, written

from sweeps.backends.inline import InlineBackend
from sweeps.core.errors import StoreError, SupersededError
from sweeps.core.job import Job
from sweeps.core.trial import ErrorClass, Outcome
from sweeps.search.ledger import Ledger
from sweeps.store import bucket as bucket_module
from sweeps.store.bucket import Bucket
from sweeps.store.checkpoints import SweepCheckpoints
from sweeps.store.run_folder import local_artifacts
from sweeps.worker import trial_files
from sweeps.worker.fault import fault_of


@pytest.fixture(autouse=True)
def _quiet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SWEEPS_STORAGE", raising=False)
    monkeypatch.delenv("SWEEPS_STUDY_STORAGE", raising=False)


def kept(folder: Path, s3: S3, **changes: object) -> tuple[Path, str]:
    """Write a sweep with a new bucket and a new database; return its file and the bucket."""
    bucket = s3.new_bucket() + "/lab"
    database = f"sqlite:///{folder / 'studies.db'}"
    return write_yaml(folder, tiny(storage=bucket, study_storage=database, **changes)), bucket


@pytest.mark.slow
def test_a_killed_driver_is_resumed_on_another_machine(
    s3: S3, tmp_path: Path, recorded_runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    killed = once(tmp_path / "killed", "os.kill(os.getpid(), signal.SIGKILL)")
    base = own_net(tmp_path, module="net_of_a_killed_driver", hook=killed)
    path, bucket = kept(tmp_path, s3, base=base)
    # The record is shared by both machines: here, the same file.
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{recorded_runs / 'mlflow.db'}")
    command = ("run", path, "--backend", "inline", "--runs")

    with sweeps_process(*command, tmp_path / "one", cwd=tmp_path) as driver:
        driver.communicate(timeout=120)
    assert driver.returncode == -signal.SIGKILL
    with sweeps_process(*command, tmp_path / "two", cwd=tmp_path) as driver:
        output, _ = driver.communicate(timeout=120)

    assert driver.returncode == 0, output
    assert outcomes(recorded_runs) == [("FINISHED", "complete")] * 2
    assert [run.steps["val_accuracy"] for run in written(recorded_runs)] == [[1, 2, 3]] * 2
    logs = [text.decode() for name, text in s3.content(bucket).items() if "/logs/" in name]
    assert [[text.count(f"epoch {number}/3") for number in (1, 2, 3)] for text in logs] == [[1, 1, 1]] * 2
    assert sum(text.count("resuming after epoch 1") for text in logs) == 1
    for machine in ("one", "two"):
        assert not list((tmp_path / machine).glob("sweeps/tiny/checkpoints/*"))


@pytest.mark.trains
def test_weights_in_a_bucket_are_found_and_deleted_with_the_sweep(
    s3: S3, tmp_path: Path, recorded_runs: Path, cli: Cli
) -> None:
    path, bucket = kept(tmp_path, s3)
    assert cli("run", path, "--runs", recorded_runs, "--backend", "inline").exit_code == 0
    names = list(s3.content(bucket))
    assert sum("/checkpoints/" in name and name.endswith("/state.pt") for name in names) == 2

    looked = cli("doctor", "--runs", recorded_runs)
    assert "0 journals read" in looked.stdout
    assert f"tiny: not checked: its study in sqlite:///{tmp_path}/studies.db, its checkpoints in {bucket}" in (
        " ".join(looked.stdout.split())
    )

    exported = cli("export", "tiny", "--format", "state-dict", "--out", tmp_path / "net.pt", "--runs", recorded_runs)

    assert exported.exit_code == 0, exported.output
    assert cli("rm", "tiny", "--runs", recorded_runs, "--yes").exit_code == 0
    assert s3.content(bucket) == {}
    assert not list(Path(trial_files.tempfile.gettempdir()).glob(f"sweeps-trial-{os.getpid()}-*"))


def test_a_ladder_in_a_bucket_is_measured_on_the_test_images(
    s3: S3, tmp_path: Path, recorded_runs: Path, cli: Cli
) -> None:
    bucket = s3.new_bucket()
    base = tiny()["base"] | {"data": {"train_size": 200, "batch_size": 50}, "epochs": 1}
    path = write_yaml(
        tmp_path, {"name": "tiny", "base": base, "rungs": [{"name": "one"}, {"name": "two", "epochs": 2}]}
    )

    result = cli("ladder", path, "--runs", recorded_runs, "--backend", "inline", "--storage", bucket)

    assert result.exit_code == 0, result.output
    assert all(run.steps.get("test_accuracy") for run in written(recorded_runs))


def test_a_bucket_that_is_unreachable_while_measuring_is_retried(
    s3: S3, tmp_path: Path, recorded_runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = tiny()["base"] | {"data": {"train_size": 200, "batch_size": 50}, "epochs": 1}
    path = write_yaml(tmp_path, {"name": "tiny", "base": base, "rungs": [{"name": "one"}]})
    file, asked = SweepCheckpoints.file, []

    def away_once(checkpoints: SweepCheckpoints, key: str) -> str | None:
        asked.append(key)
        if len(asked) == 1:
            raise StoreError("it does not answer")
        return file(checkpoints, key)

    monkeypatch.setattr(SweepCheckpoints, "file", away_once)

    result = cli("ladder", path, "--runs", recorded_runs, "--backend", "inline", "--storage", s3.new_bucket())

    assert result.exit_code == 0, result.output
    assert len(asked) > 1
    assert all(run.steps.get("test_accuracy") for run in written(recorded_runs))


def test_a_storage_folder_contains_checkpoints_and_logs(tmp_path: Path, recorded_runs: Path, cli: Cli) -> None:
    storage = tmp_path / "shared"

    result = cli(
        "run", write_yaml(tmp_path, tiny()), "--runs", recorded_runs, "--backend", "inline", "--storage", storage
    )

    assert result.exit_code == 0, result.output
    names = list(snapshot(storage))
    assert sum(name.endswith("state.pt") for name in names) == 2
    assert sum(name.endswith(".log") for name in names) == 2
    assert not list(recorded_runs.glob("sweeps/tiny/checkpoints/*"))
    assert cli("show", "tiny-000", "--runs", recorded_runs).exit_code == 0


def test_a_sweep_keeps_its_storage(tmp_path: Path, recorded_runs: Path, cli: Cli) -> None:
    path = write_yaml(tmp_path, tiny(run_cap=1))
    command = ("run", path, "--runs", recorded_runs, "--backend", "inline")
    assert cli(*command, "--storage", tmp_path / "one").exit_code == 0

    moved = cli(*command, "--storage", tmp_path / "two")

    assert moved.exit_code == 2
    assert f"tiny was started with storage {tmp_path / 'one'}" in moved.stderr
    more = cli(*command, "--set", "run_cap=2")  # without repeating the storages
    assert more.exit_code == 0
    assert sum(name.endswith("state.pt") for name in snapshot(tmp_path / "one")) == 2


def test_a_missing_bucket_is_reported_before_training(s3: S3, tmp_path: Path, recorded_runs: Path, cli: Cli) -> None:
    path = write_yaml(tmp_path, tiny())

    result = cli("run", path, "--runs", recorded_runs, "--backend", "inline", "--storage", "s3://nowhere-at-all/x")

    assert result.exit_code == 2
    assert "s3://nowhere-at-all/x does not exist" in result.stderr
    assert written(recorded_runs) == []
    assert cli("run", path, "--runs", recorded_runs, "--backend", "inline", "--storage", s3.new_bucket()).exit_code == 0


def test_a_short_outage_of_the_storage_is_a_warning(
    s3: S3, tmp_path: Path, recorded_runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    away = "os.environ['AWS_ENDPOINT_URL'] = 'http://127.0.0.1:1'"
    base = own_net(tmp_path, module="net_without_a_store", hook=away)
    monkeypatch.syspath_prepend(tmp_path)
    anew = property(lambda self: bucket_module._open(self.address), lambda self, value: None)
    monkeypatch.setattr(Bucket, "_opened", anew, raising=False)  # reads the environment each time
    monkeypatch.setattr(trial_files, "RETRY_SECONDS", 1.0)
    path, _ = kept(tmp_path, s3, base=base, run_cap=1)

    result = cli("run", path, "--runs", recorded_runs, "--backend", "inline")

    assert result.exit_code == 0, result.output
    assert "warning: trial 0: the checkpoint of this epoch was not stored: the storage s3://" in result.stdout
    assert outcomes(recorded_runs) == [("FINISHED", "complete")]


def test_an_unreachable_storage_at_resuming_stops_the_start(
    s3: S3, tmp_path: Path, recorded_runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, _ = kept(tmp_path, s3)
    command = ("run", path, "--runs", recorded_runs, "--backend", "inline")
    monkeypatch.setattr(trial_files, "RETRY_SECONDS", 0.0)
    train = InlineBackend.train

    def while_the_store_is_gone(backend: InlineBackend, ledger: Ledger, **told: Any) -> None:
        monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
        train(backend, ledger, **told)

    with monkeypatch.context() as patched:
        patched.setattr(InlineBackend, "train", while_the_store_is_gone)
        result = cli(*command)

    assert result.exit_code == 2
    assert "does not answer" in result.stderr
    assert "Run the same command again to resume." in result.stderr
    monkeypatch.setenv("AWS_ENDPOINT_URL", s3.endpoint)
    assert cli(*command).exit_code == 0
    assert outcomes(recorded_runs) == [("FINISHED", "complete")] * 2


def test_tensorboard_is_rejected_with_a_bucket(s3: S3, tmp_path: Path, recorded_runs: Path, cli: Cli) -> None:
    path, _ = kept(tmp_path, s3)

    result = cli("run", path, "--runs", recorded_runs, "--backend", "inline", "--tensorboard")

    assert result.exit_code == 2
    assert "--tensorboard needs a folder" in result.stderr


def test_a_superseded_worker_overwrites_nothing(s3: S3, tmp_path: Path) -> None:
    bucket = s3.new_bucket()
    job = Job(
        number=0,
        task="image_classification",
        config="{}",
        checkpoint=f"{bucket}/key",
        log=f"{bucket}/log",
        cpus=1,
        device="cpu",
        attempt=1,
    )
    slow, fast = trial_files.files_of(job), trial_files.files_of(replace(job, attempt=2))
    slow.fetch()
    slow.checkpoint.write_bytes(b"epoch 1")
    assert slow.store_checkpoint(last=False) is None
    fast.fetch()
    assert fast.checkpoint.read_bytes() == b"epoch 1"
    fast.checkpoint.write_bytes(b"epoch 2")
    assert fast.store_checkpoint(last=True) is None

    with pytest.raises(SupersededError):
        slow.store_checkpoint(last=False)

    assert s3.content(bucket)["key/state.pt"] == b"epoch 2"
    assert s3.content(bucket)["key/state.previous.pt"] == b"epoch 1"
    fault = fault_of(SupersededError("x"))
    assert (fault.outcome, fault.error_class) == (Outcome.INTERRUPTED, ErrorClass.PROCESS_DIED)


def test_files_of_a_training_are_kept_in_the_bucket(s3: S3, tmp_path: Path) -> None:
    bucket = s3.new_bucket()
    job = Job(
        number=0, task="t:t", config="{}", checkpoint=f"{bucket}/key", log=f"{bucket}/logs/0.log", cpus=1, device="cpu"
    )
    first = trial_files.files_of(job)
    first.fetch()
    for path in (first.folder / "deep" / "kept", first.folder / "gone", first.artifacts / "plot"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"1")
    first.checkpoint.write_bytes(b"epoch 1")
    first.log.write_bytes(b"log")
    assert first.store_checkpoint(last=False) is None
    (first.folder / "gone").unlink()
    assert first.store_checkpoint(last=False) is None
    first.store_log()
    first.close()

    second = trial_files.files_of(replace(job, attempt=2))
    second.fetch()

    assert [path.name for path in second.folder.rglob("*") if path.is_file()] == ["kept"]
    with local_artifacts(job.log, runs=tmp_path, scratch=tmp_path / "scratch") as found:
        assert found is not None
        assert [path.read_bytes() for path in found.iterdir()] == [b"1"]


def test_two_runs_folders_cannot_share_a_storage_for_one_name(
    s3: S3, tmp_path: Path, recorded_runs: Path, cli: Cli
) -> None:
    storage = s3.new_bucket()
    path = write_yaml(tmp_path, tiny(run_cap=1))
    assert cli("run", path, "--runs", recorded_runs, "--backend", "inline", "--storage", storage).exit_code == 0
    held = s3.content(storage)

    refused = cli("run", path, "--runs", tmp_path / "other", "--backend", "inline", "--storage", storage)

    assert refused.exit_code == 2
    assert f"{storage} already contains a sweep 'tiny' of {recorded_runs} on " in refused.stderr
    assert cli("rm", "tiny", "--runs", tmp_path / "other", "--yes").exit_code == 0
    assert s3.content(storage) == held


def test_an_imported_sweep_ignores_storages_in_the_environment(
    tmp_path: Path, recorded_runs: Path, cli: Cli, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_yaml(tmp_path, tiny(run_cap=1))
    assert cli("run", path, "--runs", recorded_runs, "--backend", "inline").exit_code == 0
    monkeypatch.setenv("SWEEPS_STORAGE", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("SWEEPS_STUDY_STORAGE", f"sqlite:///{tmp_path / 'studies.db'}")

    assert cli("import", recorded_runs, "--runs", tmp_path / "mine").exit_code == 0

    assert "1 complete" in cli("status", "tiny", "--runs", tmp_path / "mine").output
