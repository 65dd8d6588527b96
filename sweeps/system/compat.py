"""All uses of private interfaces of Optuna, Ray, MLflow and Python.

Each states the version that it was written for and its purpose. `tests/sweeps/system/test_compat.py` fails if a
library changes one; the upper bounds in `pyproject.toml` exist for these.
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
    """Optuna's record of a stored study, for annotations. Optuna 5.0."""

PRIVATE_STORAGE_CALLS = frozenset({"_create_new_trial", "_get_trials", "_get_best_trial_id", "_set_trial_param"})
"""Private methods that `optuna.storages.get_storage` calls on an `RDBStorage`. Optuna 5.0. They are retried too:
otherwise a database that is briefly unreachable would end a driver that creates a trial."""

READABLE_REVISIONS = frozenset({"dc11669786a5"})
"""Alembic revisions of MLflow's tables that `sweeps.record.sqlite_store` can read. MLflow 3.17. With another revision
the record is read through MLflow's client, which takes seconds longer."""


def live_trial(study: optuna.Study, frozen: FrozenTrial) -> optuna.Trial:
    """Return a running trial of an earlier driver, so that values can be reported to it.

    Optuna 5.0. Without it an interrupted trial would be started again as a new one.
    """
    import optuna

    return optuna.Trial(study, frozen._trial_id)


def journal_backend(study: optuna.Study) -> object:
    """Return the backend that writes a study's journal; None for a study that is not in a journal.

    Optuna 5.0. Without it each attribute of a trial would be a separate write.
    """
    return getattr(study._storage, "_backend", None)


def part_of_study(study: optuna.Study, shown: Sequence[FrozenTrial]) -> optuna.Study:
    """Return a study that shows a sampler only some trials, as Optuna's Hyperband does for a bracket.

    Optuna 5.0. Without it TPE would use all trials, and the time of a proposal would grow with their number.
    """
    import optuna

    class PartOfStudy(optuna.Study):
        def _get_trials(
            self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
        ) -> list[FrozenTrial]:
            return [trial for trial in shown if states is None or trial.state in states]

    return PartOfStudy(study.study_name, study._storage, sampler=study.sampler, pruner=study.pruner)


def listen_on_loopback(only: bool) -> None:
    """Set whether the processes of a Ray instance started later listen on 127.0.0.1 only, if Ray is already imported.

    Ray 2.60 reads the environment variable for this at its import. Without this function an instance in a notebook
    that imported Ray first would listen on all interfaces.
    """
    from ray._private import ray_constants

    ray_constants.ENABLE_RAY_CLUSTER = not only


def load_auth_token() -> None:
    """Make Ray send the authentication token that `ray start` would find, if there is one.

    Ray 2.60. Without it a cluster with a token rejects a driver that connects to its address.
    """
    from ray._private.authentication.authentication_token_setup import maybe_enable_token_auth_if_token_available

    maybe_enable_token_auth_if_token_available(warn_if_disabled=False)


@contextlib.contextmanager
def separate_process_groups() -> Iterator[None]:
    """Start each of Ray's processes in a separate process group, within the block.

    A signal to the driver's group (from `timeout 1h sweeps run ...` or a closing terminal) would otherwise end them
    before the driver has ended its trials, and Ray ends a driver without its processes at once and without a message.
    Now only the driver receives the signal and ends the others in order. If it is killed, the kernel ends them.
    Ray 2.60.
    """
    from ray._private import services

    before = services.ConsolePopen
    services.ConsolePopen = functools.partial(before, process_group=0)  # type: ignore[misc,assignment]
    try:
        yield
    finally:
        services.ConsolePopen = before  # type: ignore[misc]


def without_driver_folders() -> JobConfig:
    """Return a job's settings that keep the driver's folders off the Python path of the workers.

    Ray 2.60 puts them first, unless the workers have a working directory: an old copy of the code at the same path on a
    node would hide the uploaded code.
    """
    from ray.job_config import JobConfig

    class UploadedCodeOnly(JobConfig):
        def _runtime_env_has_working_dir(self) -> bool:
            return True

    return UploadedCodeOnly()


def supports_revision(uri: str, revision: str) -> bool:
    """Return whether the installed MLflow supports an Alembic revision of its tables.

    MLflow 3.17. Without it a record of a newer MLflow raises a traceback instead of a message with the version to
    install.
    """
    from alembic.script import ScriptDirectory
    from alembic.util import CommandError
    from mlflow.store.db import utils

    configuration: Any = utils._get_alembic_config  # untyped
    try:
        ScriptDirectory.from_config(configuration(uri)).get_revision(revision)
    except CommandError:
        return False
    return True


class ProcessExit(BaseException):
    """Raised by `os._exit` within `exits_are_errors`."""


_real_exit = os._exit
_guarded = threading.local()


def guard_exit() -> None:
    """Make `os._exit` raise `ProcessExit` within `exits_are_errors`; call this before a model is imported.

    Elsewhere (another thread, a process forked by the training) it ends the process as usual. Python 3.11. Without it
    a network that calls `os._exit` would end an inline sweep without a message, and on Ray its trial would be retried
    as after a node failure.
    """
    os._exit = _exit


def _exit(status: int) -> NoReturn:
    if getattr(_guarded, "process", None) == os.getpid():
        raise ProcessExit(status)
    _real_exit(status)


@contextlib.contextmanager
def exits_are_errors() -> Iterator[None]:
    """Make `os._exit` of this thread raise an error instead of ending the process, within the block."""
    _guarded.process = os.getpid()
    try:
        yield
    finally:
        _guarded.process = None
