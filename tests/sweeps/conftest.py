"""What the tests of `sweeps` share."""

from __future__ import annotations

import contextlib
import ctypes
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import filelock
import pytest
from click.testing import CliRunner, Result
from instant_training import give_weights, train_instantly, train_really
from object_store import S3, s3_server
from sweep_fakes import Cli, MadeOnce, Record, without_page

from cifar_core.data import prepared
from sweeps.backends.ray.environment import ensure_private_token
from sweeps.cli.main import sweeps
from sweeps.record import schema
from sweeps.record.parent_run import RecordedStudy
from sweeps.record.writer import Tracker
from sweeps.tasks import image_probe
from sweeps.tasks.image_probe import Timed, time_images


@pytest.fixture(scope="session")
def made_once(tmp_path_factory: pytest.TempPathFactory) -> MadeOnce:
    """Make a folder once for all processes that these tests run in; it is read only afterwards."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make_once(name: str, make: Callable[[Path], object]) -> Path:
        folder, is_whole = shared / name, shared / f"{name}.whole"
        with filelock.FileLock(shared / f"{name}.lock"):
            if not is_whole.exists():
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                is_whole.touch()
        return folder

    return make_once


@pytest.fixture(scope="session", autouse=True)
def _folder_of_this_process_for_ray(made_once: MadeOnce) -> Iterator[None]:
    """Keep Ray's files of this process's tests apart: another one, beside it, looks at its own alone."""
    folder = Path(f"/tmp/sr{os.getpid()}")  # short: sockets lie in it
    folder.mkdir(exist_ok=True)
    made_once("token", lambda _: ensure_private_token())
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_TMPDIR", str(folder))
        yield
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session", autouse=True)
def _images_are_checked_once() -> Iterator[None]:
    """Read a file of images whose size and time have not changed without its checksum, which takes half a second."""
    read, known = prepared._read_array, {}

    def read_once(path: Path, *told: Any) -> Any:
        about = path.stat() if path.exists() else None
        key = (path, about and (about.st_ino, about.st_size, about.st_mtime_ns), str(told))
        if key not in known:
            known[key] = read(path, *told)
        return known[key]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(prepared, "_read_array", read_once)
        yield


@pytest.fixture(scope="session", autouse=True)
def makes_tables(made_once: MadeOnce) -> Iterator[Callable[..., Any]]:
    """Copy the tables of a new store, which MLflow makes for seconds; return what really makes them."""
    make_new = schema._new_store

    @contextlib.contextmanager
    def copy(path: Path) -> Iterator[Path]:
        def make(folder: Path) -> None:
            with make_new(folder / "mlflow.db") as fresh:
                fresh.replace(folder / "mlflow.db")

        fresh = path.with_name(f"{path.name}.new-{os.getpid()}")
        shutil.copy(made_once("tables", make) / "mlflow.db", fresh)
        yield fresh

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(schema, "_new_store", copy)
        yield make_new


@pytest.fixture(scope="session", autouse=True)
def times_images() -> Iterator[Callable[..., Timed]]:
    """Take a time for granted where a plan would take it from train steps; return what really takes it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(image_probe, "time_images", lambda config, **_: Timed(train=0.0005, evaluate=0.0002))
        yield time_images


@pytest.fixture(scope="module")
def instant_training(request: pytest.FixtureRequest) -> Iterator[None]:
    """Put a stand-in in the place of training: see `instant_training.py`, which says what is trained all the same.

    What Ray trains, or another process, is trained; and so is what a test or a module with the mark `trains` runs.
    """
    with pytest.MonkeyPatch.context() as patch:
        if request.node.get_closest_marker("trains") is None:
            train_instantly(patch)
        yield


@pytest.fixture(autouse=True)
def _training_where_it_is_marked(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("trains") is not None:
        train_really(monkeypatch)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Where a test's sweeps leave everything."""
    return tmp_path / "runs"


@pytest.fixture(scope="session")
def empty_store(made_once: MadeOnce) -> Path:
    """MLflow's database with nothing in it: making its tables takes seconds, copying it none."""

    def make(runs: Path) -> None:
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("MLFLOW_TRACKING_URI", raising=False)
            with Tracker(RecordedStudy(sweep="none", name="none"), runs=runs, environment={}):
                pass
        # A copy has moved only if the folder that it names is not there: who writes into it by mistake fails at once.
        (runs / "artifacts").touch()

    return made_once("empty", make) / "mlflow.db"


@pytest.fixture
def recorded_runs(runs: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """As `runs`, where a record can be written without waiting for its tables to be made."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    runs.mkdir()
    shutil.copy(empty_store, runs / "mlflow.db")
    return runs


@pytest.fixture(scope="session")
def record(empty_store: Path) -> Record:
    """Carry out verbs in a new runs folder within a folder, and return it: for records that many tests look at.

    With the instant training, unless told that it `trains`; untrained networks lie in its checkpoints where `weights`
    are asked for.
    """

    def record_in(folder: Path, *commands: Sequence[object], trains: bool = False, weights: bool = False) -> Path:
        runs = folder / "runs"
        runs.mkdir()
        shutil.copy(empty_store, runs / "mlflow.db")
        with pytest.MonkeyPatch.context() as patch:
            patch.delenv("MLFLOW_TRACKING_URI", raising=False)
            if not trains:
                train_instantly(patch)
            for command in commands:
                result = CliRunner().invoke(sweeps, without_page([*command, "--runs", runs]))
                assert result.exit_code == 0, result.output
        if weights:
            give_weights(runs)
        return runs

    return record_in


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch) -> Cli:
    """Run a verb in this process, as `without_page` says. A traceback, which nobody should see, is raised."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)

    def run(*arguments: object, answer: str | None = None) -> Result:
        result = CliRunner().invoke(sweeps, without_page(arguments), input=answer)
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


STOP_SECONDS = 30
"""Within which Ray's processes end after a test."""


def ray_processes() -> set[int]:
    """Return the processes of Ray's own servers and workers that tests of this process have started.

    Each has a log open in the folder that `RAY_TMPDIR` names.
    """
    ours, found = f"{os.environ['RAY_TMPDIR']}/", set()
    for descriptor in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            if str(descriptor.readlink()).startswith(ours):
                found.add(int(descriptor.parts[2]))
    return found - {os.getpid()}


@pytest.fixture
def nothing_of_ray_is_left() -> Iterator[None]:
    """Fail where a process of Ray outlives the test."""
    before = ray_processes()
    yield
    deadline = time.monotonic() + STOP_SECONDS
    while ray_processes() - before and time.monotonic() < deadline:
        time.sleep(0.2)
    assert ray_processes() - before == set()
