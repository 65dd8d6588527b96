"""What this project takes of Optuna, Ray, MLflow and Python from behind their public interfaces, and nowhere else.

Each says in which version it was seen and what breaks without it. `tests/sweeps/test_compat.py` fails where a library
has changed it; the upper bounds in `pyproject.toml` are for these.
"""

from __future__ import annotations

import contextlib
import functools
import os
import threading
from collections.abc import Container, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NoReturn, TypeAlias

if TYPE_CHECKING:
    import optuna
    from optuna.study._frozen import FrozenStudy
    from optuna.trial import FrozenTrial, TrialState
    from ray.job_config import JobConfig

    StoredStudy: TypeAlias = FrozenStudy
    """What a storage of Optuna says of a study. Optuna 5.0; without its name there is none for it in annotations."""

PRIVATE_STORAGE_CALLS = frozenset({"_create_new_trial", "_get_trials", "_get_best_trial_id", "_set_trial_param"})
"""What `optuna.storages.get_storage` asks of an `RDBStorage` besides its public methods. Optuna 5.0; without them a
database that is away for a moment ends a driver that is asked for a new trial."""

KNOWN_TABLES = frozenset({"dc11669786a5"})
"""Alembic revisions of MLflow's tables that `sweeps.record.sqlite_store` reads by itself. MLflow 3.17; with another
one the record is read through MLflow's client: right, and seconds slower."""


def live_trial(study: optuna.Study, frozen: FrozenTrial) -> optuna.Trial:
    """Return a running trial of a former driver so that it can be reported on.

    Optuna 5.0; without it an interrupted trial is begun anew, as another one.
    """
    import optuna

    return optuna.Trial(study, frozen._trial_id)


def journal_backend(study: optuna.Study) -> object:
    """Return what writes the journal of a study, None where it is in none.

    Optuna 5.0; without it each attribute of a trial is a write of its own.
    """
    return getattr(study._storage, "_backend", None)


def part_of_study(study: optuna.Study, shown: Sequence[FrozenTrial]) -> optuna.Study:
    """Return a study of which a sampler sees some trials only, as Optuna's own Hyperband shows a bracket.

    Optuna 5.0; without it TPE looks at all trials, and a proposal takes the longer the more there are.
    """
    import optuna

    class PartOfStudy(optuna.Study):
        def _get_trials(
            self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
        ) -> list[FrozenTrial]:
            return [trial for trial in shown if states is None or trial.state in states]

    return PartOfStudy(study.study_name, study._storage, sampler=study.sampler, pruner=study.pruner)


def listen_on_loopback(only: bool) -> None:
    """Say whether the processes of a Ray that is started now listen on 127.0.0.1 alone, where Ray is imported already.

    Ray 2.60 reads the environment for that when it is imported; without it a Ray that a notebook imported first
    listens on all interfaces.
    """
    from ray._private import ray_constants

    ray_constants.ENABLE_RAY_CLUSTER = not only


def take_token() -> None:
    """Let Ray send the token that `ray start` would find, where there is one.

    Ray 2.60; without it a driver that is given the address of a cluster with a token is refused.
    """
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


@contextlib.contextmanager
def groups_of_their_own() -> Iterator[None]:
    """Start Ray's processes within the block each in a process group of its own.

    A signal to the driver's group (`timeout 1h sweeps run ...` sends one, and so does a terminal that closes) would
    end them before the driver has ended its trials, and a driver whose Ray is gone is ended by Ray at once, without a
    word. So it alone hears of it, and ends the others in order; where it is killed, the kernel ends them. Ray 2.60.
    """
    from ray._private import services

    before = services.ConsolePopen
    services.ConsolePopen = functools.partial(before, process_group=0)  # type: ignore[misc,assignment]
    try:
        yield
    finally:
        services.ConsolePopen = before  # type: ignore[misc]


def without_driver_folders() -> JobConfig:
    """Return a job's settings that keep the driver's own folders off the path of the workers.

    Ray 2.60 puts them before all others, unless the workers have a working folder: an old copy of the code that lies
    at the same path on a node would hide what has travelled.
    """
    from ray.job_config import JobConfig

    class OnlyWhatTravels(JobConfig):
        def _runtime_env_has_working_dir(self) -> bool:
            return True

    return OnlyWhatTravels()


def knows_tables(uri: str, revision: str) -> bool:
    """Return whether the MLflow that is installed knows an Alembic revision of its tables.

    MLflow 3.17; without it a record of a newer MLflow ends in a traceback instead of in the version to install.
    """
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError
    from mlflow.store.db import utils

    configuration: Any = utils._get_alembic_config  # which has no types
    try:
        ScriptDirectory.from_config(configuration(uri)).get_revision(revision)
    except CommandError:
        return False
    return True


class ProcessExit(BaseException):
    """What `os._exit` raises within `exits_are_errors`."""


_real_exit = os._exit
_guarded = threading.local()


def guard_exit() -> None:
    """Let `os._exit` raise `ProcessExit` where `exits_are_errors` holds; to be called before a model is imported.

    Anywhere else (another thread, a process forked by the training) it ends the process, as ever. Python 3.11; without
    it a network that calls it ends a sweep in one process without a word, and on Ray is tried again as if its node had
    died.
    """
    os._exit = _exit


def _exit(status: int) -> NoReturn:
    if getattr(_guarded, "process", None) == os.getpid():
        raise ProcessExit(status)
    _real_exit(status)


@contextlib.contextmanager
def exits_are_errors() -> Iterator[None]:
    """Within the block an `os._exit` of this thread says so instead of ending the process without a word."""
    _guarded.process = os.getpid()
    try:
        yield
    finally:
        _guarded.process = None
