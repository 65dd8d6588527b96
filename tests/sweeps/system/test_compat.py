"""The private interfaces in `sweeps.system.compat` exist and are used by their libraries."""

from __future__ import annotations

import contextlib
import inspect
import os
import re
import signal
import sqlite3
import subprocess
import sys
import tomllib
from pathlib import Path

import optuna
import pytest
from optuna.storages import JournalStorage, RDBStorage, _cached_storage
from optuna.storages.journal import JournalFileBackend
from packaging.requirements import Requirement

from sweeps.system import compat


@pytest.mark.parametrize("library", ["mlflow", "optuna", "ray"])
def test_a_library_that_is_reached_into_has_an_upper_bound(library: str) -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [
        *map(Requirement, project["dependencies"]),
        *map(Requirement, project["optional-dependencies"]["cluster"]),
    ]

    bounds = [{each.operator for each in found.specifier} for found in wanted if found.name == library]

    assert bounds
    assert all("<" in operators for operators in bounds)


class TestOptuna:
    def test_values_are_reported_to_a_trial_of_an_earlier_driver(self) -> None:
        study = optuna.create_study()
        number = study.ask().number

        compat.live_trial(study, study.trials[number]).report(0.5, step=1)

        assert study.trials[number].intermediate_values == {1: 0.5}

    def test_the_journal_backend_is_found_from_the_study(self, tmp_path: Path) -> None:
        backend = JournalFileBackend(str(tmp_path / "journal.log"))

        assert compat.journal_backend(optuna.create_study(storage=JournalStorage(backend))) is backend
        assert compat.journal_backend(optuna.create_study()) is None

    def test_a_sampler_sees_the_trials_that_are_shown(self) -> None:
        study = optuna.create_study()
        for value in range(3):
            study.tell(study.ask(), float(value))

        part = compat.part_of_study(study, study.trials[:1])

        assert [trial.number for trial in part.get_trials()] == [0]
        assert "study._get_trials(" in inspect.getsource(optuna.samplers.TPESampler)

    def test_all_private_calls_to_a_database_are_listed(self) -> None:
        asked = set(re.findall(r"self\._backend\.(_\w+)\(", inspect.getsource(_cached_storage)))

        assert (
            asked - {"_get_stale_trial_ids"} == compat.PRIVATE_STORAGE_CALLS
        )  # that one is for heartbeats, which are off
        assert all(hasattr(RDBStorage, name) for name in compat.PRIVATE_STORAGE_CALLS)


class TestRay:
    def test_ray_listens_on_the_requested_addresses(self) -> None:
        from ray._private import ray_constants, services

        before = ray_constants.ENABLE_RAY_CLUSTER
        try:
            for only in (True, False):
                compat.listen_on_loopback(only)
                assert ray_constants.ENABLE_RAY_CLUSTER is not only
        finally:
            ray_constants.ENABLE_RAY_CLUSTER = before
        assert "ENABLE_RAY_CLUSTER" in inspect.getsource(services)

    def test_a_ray_process_has_its_own_group_only_within_the_block(self) -> None:
        from ray._private import services

        for block, is_own in ((compat.separate_process_groups(), True), (contextlib.nullcontext(), False)):
            with block:
                process = services.ConsolePopen(["sleep", "60"])
            assert (os.getpgid(process.pid) == process.pid) is is_own
            process.send_signal(signal.SIGKILL)
            process.wait()
        assert "ConsolePopen(" in inspect.getsource(services.start_ray_process)

    def test_a_token_is_loaded_without_output(self) -> None:
        compat.load_auth_token()

    def test_ray_asks_a_job_whether_its_workers_have_a_folder(self) -> None:
        from ray._private import worker

        assert compat.without_driver_folders()._runtime_env_has_working_dir()
        assert "_runtime_env_has_working_dir()" in inspect.getsource(worker)


class TestMlflow:
    def test_tables_of_this_version_are_read_directly_and_unknown_ones_detected(self, empty_store: Path) -> None:
        with contextlib.closing(sqlite3.connect(empty_store)) as database:
            (revision,) = database.execute("SELECT version_num FROM alembic_version").fetchone()

        assert revision in compat.READABLE_REVISIONS
        assert compat.supports_revision(f"sqlite:///{empty_store}", revision)
        assert not compat.supports_revision(f"sqlite:///{empty_store}", "ffffffffffff")


EXITS = """
import os
from sweeps.system.compat import ProcessExit, exits_are_errors, guard_exit
guard_exit()
try:
    with exits_are_errors():
        os._exit(3)
except ProcessExit as error:
    print("raised", error.args[0], flush=True)
os._exit(4)
"""


def test_an_exit_is_an_error_only_where_requested() -> None:
    ended = subprocess.run([sys.executable, "-c", EXITS], capture_output=True, text=True, check=False)

    assert (ended.stdout, ended.returncode) == ("raised 3\n", 4)
