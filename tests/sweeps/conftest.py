"""What the tests of `sweeps` share."""

from __future__ import annotations

import ctypes
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from object_store import S3, s3_server
from sweep_fakes import Cli

from sweeps.cli.main import sweeps
from sweeps.tracking.tracker import Tracker


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Where a test's sweeps leave everything."""
    return tmp_path / "runs"


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """MLflow's database with nothing in it: making its tables takes seconds, copying it none."""
    runs = tmp_path_factory.mktemp("empty")
    with Tracker(runs=runs, sweep="none", study="none", description="", environment={}):
        pass
    # A copy has moved only if the folder that it names is not there: whoever writes into it by mistake fails at once.
    (runs / "artifacts").touch()
    return runs / "mlflow.db"


@pytest.fixture
def recorded_runs(runs: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As `runs`, where a record can be written without waiting for its tables to be made."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    runs.mkdir()
    shutil.copy(empty_store, runs / "mlflow.db")
    return runs


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run a verb in this process. A traceback, which nobody should see, is raised."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def run(*arguments: object, answer: str | None = None) -> Result:
        result = CliRunner().invoke(sweeps, [str(argument) for argument in arguments], input=answer)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real file system of 16 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", str(disk).encode(), b"tmpfs", 0, b"size=16m") != 0:
        pytest.skip("only root mounts a file system")
    yield disk
    libc.umount2(str(disk).encode(), 2)


@pytest.fixture(scope="session")
def s3_process() -> Iterator[S3]:
    with s3_server() as server:
        yield server


@pytest.fixture
def s3(s3_process: S3, monkeypatch: pytest.MonkeyPatch) -> S3:
    """A real S3 server, and an environment that knows it."""
    for name, value in s3_process.environment.items():
        monkeypatch.setenv(name, value)
    return s3_process
