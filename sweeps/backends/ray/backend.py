"""Ray Tune as a backend: it places trials on slots, and the ledger decides everything else."""

from __future__ import annotations

import contextlib
import gc
import itertools
import logging
import os
import secrets
import signal
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.exceptions import AuthenticationError, OutOfMemoryError, RuntimeEnvSetupError

from sweeps.backends.cluster.code import connection_options
from sweeps.backends.cluster.node_checks import WorkerSetup, installed_versions
from sweeps.backends.cluster.nodes import ClusterSlots, check_nodes, nodes
from sweeps.backends.ledger_calls import LedgerCalls
from sweeps.backends.ray.environment import session_folder
from sweeps.backends.ray.images import SharedData
from sweeps.backends.ray.placement import Placement, request_of
from sweeps.backends.ray.process_failure import KILLED_BY_RAY, out_of_memory_message
from sweeps.backends.ray.tune import LedgerScheduler, LedgerSearcher, StopWhen, TrialTrainable
from sweeps.backends.ray.watch import RayWatch
from sweeps.backends.slots import Slots, slots_of
from sweeps.core.address import is_bucket
from sweeps.core.errors import DiskFullError, SweepError, is_disk_full
from sweeps.core.job import Job
from sweeps.core.results import TestResult
from sweeps.core.task import AnyTask, Parts, TaskConfig
from sweeps.core.trial import Outcome, TrialRecord
from sweeps.files.settings import Limits, Resources
from sweeps.search.confirming import TrialSource
from sweeps.system.compat import listen_on_loopback, load_auth_token, separate_process_groups
from sweeps.system.machine import core_count, local_gpus
from sweeps.system.output import redirect_output
from sweeps.worker.measure import Measurement

OBJECT_STORE_BYTES = 1_000_000_000
"""Object store size for Ray itself, without the data of trials."""

UNLIMITED = "1000000"
"""Value of TUNE_MAX_PENDING_TRIALS_PG: no limit of pending trials."""

_START_ERRORS = (ConnectionError, RuntimeError, ValueError, OSError, AuthenticationError, RuntimeEnvSetupError)
"""Raised by Ray if it does not start or cannot be reached."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A running Ray cluster, and a sweep's requirements for it."""

    address: str
    networks: Sequence[str] = ()
    """Custom networks, whose code is uploaded."""
    storage: str | None = None
    """Storage that every node must be able to write; the runs folder if None."""


@contextlib.contextmanager
def ray_backend(
    task: AnyTask,
    resources: Resources,
    limits: Limits,
    *,
    cluster: Cluster | None,
    runs: Path,
    log: Path,
    on_loss: Callable[[], None],
    data_bytes: int = 0,
) -> Iterator[RayBackend]:
    """Start Ray or connect to a cluster, and shut down at the end of the block. Call `prepare_environment` first.

    Args:
        task: Task of the sweep.
        resources: Resources of a trial.
        limits: Limits of concurrent trials.
        cluster: None for this machine.
        runs: The runs folder, whose path is stored next to Ray's files.
        log: File for all output of Ray.
        on_loss: Called on another thread when Ray has failed. Calls of Ray do not return then.
        data_bytes: Size of the data of trials.

    Raises:
        SweepError: Ray does not start, or the connection to the cluster fails.
    """
    with contextlib.ExitStack() as held:
        session = RaySession(
            held.enter_context(session_folder(runs)),
            cluster=cluster,
            log=log,
            store_bytes=OBJECT_STORE_BYTES + data_bytes,
            on_loss=on_loss,
        )
        held.callback(session.end)
        setup = None
        with redirect_output(log), _keep_signal_handlers(), separate_process_groups():
            session.connect()
            if cluster is not None:
                setup = WorkerSetup(
                    folder=str(Path.cwd()),
                    versions=installed_versions(),
                    storage=held.enter_context(_storage_probe(cluster.storage or str(runs.resolve()))),
                )
                check_nodes(setup, address=cluster.address)
        found = slots_of(resources, limits, [node.offers for node in nodes()])
        slots = ClusterSlots(found, limits, is_fixed=cluster is None)
        backend = RayBackend(task, session, slots=slots, setup=setup, placement=resources.placement)
        held.callback(backend.release)
        yield backend


class RaySession:
    """The connection of this process to Ray: started here, or to a cluster."""

    def __init__(
        self, folder: Path, *, cluster: Cluster | None, log: Path, store_bytes: int, on_loss: Callable[[], None]
    ) -> None:
        """Create a session without connecting.

        Args:
            folder: Folder for Ray's files.
            cluster: None for this machine.
            log: File for all output of Ray.
            store_bytes: Size of the object store, if Ray is started here.
            on_loss: See `ray_backend`.
        """
        self.folder = folder
        self.log = log
        self._cluster = cluster
        self._store_bytes = store_bytes
        self._on_loss = on_loss

    def connect(self) -> None:
        """Start Ray, or connect to the cluster.

        Raises:
            SweepError: Ray does not start, or the connection fails.
            DiskFullError: There is no space for Ray's files.
        """
        cluster = self._cluster
        listen_on_loopback(only=cluster is None)
        before = self.log.stat().st_size
        quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
        try:
            if cluster is not None:
                load_auth_token()
                code = connection_options(cluster.networks)
                ray.init(address=cluster.address, **code, **quiet)
            else:
                ray.init(
                    # Never an existing Ray on this machine.
                    address="local",
                    num_cpus=core_count(),
                    num_gpus=local_gpus(),
                    include_dashboard=False,
                    object_store_memory=self._store_bytes,
                    _temp_dir=str(self.folder),
                    **quiet,
                )
        except Exception as error:
            # If its processes start too slowly, Ray raises a plain Exception.
            if type(error) is not Exception and not isinstance(error, _START_ERRORS):
                raise
            if is_disk_full(error):
                raise DiskFullError(self.folder) from None
            if cluster is None:
                raise SweepError(f"Ray on this machine did not start: {error} (log: {self.log})") from None
            advice = _advice(error, self.log.read_bytes()[before:].decode(errors="replace"))
            raise SweepError(
                f"the connection to the Ray cluster at {cluster.address} failed: {advice} (log: {self.log})"
            ) from None

    def watch(self) -> RayWatch:
        """Return a watch of Ray, to be used as a context manager."""
        address = ray.get_runtime_context().gcs_address
        return RayWatch(address, is_local=self._cluster is None, on_loss=self._on_loss)

    def restart(self) -> None:
        """Shut down Ray and connect again. References to objects become invalid."""
        with redirect_output(self.log), _keep_signal_handlers(), separate_process_groups():
            _end_ray()
            self.connect()

    def end(self) -> None:
        with redirect_output(self.log):
            _end_ray()


class RayBackend:
    """Ray Tune on this machine or on a cluster, created by `ray_backend`."""

    def __init__(
        self,
        task: AnyTask,
        session: RaySession,
        *,
        slots: ClusterSlots,
        setup: WorkerSetup | None,
        placement: Placement,
    ) -> None:
        """Create the backend.

        Args:
            task: Task of the sweep.
            session: Connected session.
            slots: Slots of the machine or the cluster.
            setup: Requirements for nodes of a cluster; None on this machine.
            placement: Placement strategy.
        """
        self._task = task
        self._session = session
        self._slots = slots
        self._setup = setup
        self._placement = placement
        self._data: SharedData | None = None
        """Data in the object store of the current Ray; None while Ray is restarted."""
        self._names = itertools.count()

    def release(self) -> None:
        """Release the references to the object store."""
        self._data = None

    def slots(self) -> Slots:
        return self._slots.slots

    def limit(self, limits: Limits) -> None:
        self._slots.limit(limits)

    def train(
        self,
        ledger: TrialSource,
        *,
        parts: Parts,
        job_of: Callable[[TrialRecord], Job],
        stopping: Callable[[], bool],
    ) -> None:
        calls = LedgerCalls(ledger)
        while True:
            self._data = SharedData(self._task, parts, setup=self._setup)
            tuner = self._tuner(calls, data=self._data, job_of=job_of, stopping=stopping)
            try:
                with redirect_output(self._session.log), self._session.watch(), self._slots.requesting():
                    tuner.fit()
            except Exception as error:
                if calls.failure is not None:
                    raise calls.failure from error
                if is_disk_full(error):
                    raise DiskFullError(self._session.folder) from error
                if not isinstance(error.__cause__, OutOfMemoryError):
                    raise
            else:
                break
            # If Ray kills a worker because of its memory, Tune ends without naming the trial. All running trials are
            # resumed from their checkpoints, one at a time, so that the one that needs too much memory fails alone.
            del tuner
            # An evaluation that is polled in between waits, since its references became invalid.
            self.release()
            self._session.restart()
            for record in ledger.records:
                if record.outcome is Outcome.RUNNING:
                    calls.receive(record.number, out_of_memory_message(KILLED_BY_RAY))
        if calls.failure is not None:
            raise calls.failure

    def measure(self, checkpoint: str, config: TaskConfig) -> Measurement:
        """Start an evaluation. It is started again if Ray was restarted."""
        data, measurement = self._data, self._begin(checkpoint, config)

        def poll() -> TestResult | None:
            nonlocal data, measurement
            if self._data is not data:
                data, measurement = self._data, self._begin(checkpoint, config)
            return measurement()

        return poll

    def _begin(self, checkpoint: str, config: TaskConfig) -> Measurement:
        if self._data is None:
            return lambda: None
        return self._data.measure(checkpoint, config, slots=self.slots())

    def _tuner(
        self,
        calls: LedgerCalls,
        *,
        data: SharedData,
        job_of: Callable[[TrialRecord], Job],
        stopping: Callable[[], bool],
    ) -> tune.Tuner:
        slots = self._slots
        # By default Tune starts one pending trial at a time, which fills a large machine or a new node slowly. The
        # searcher proposes no trial without a free slot anyway.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = UNLIMITED
        trainable = tune.with_resources(
            tune.with_parameters(TrialTrainable, shared=data.for_trials),
            request_of(slots.slots, self._placement),
        )
        return tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=LedgerSearcher(calls, job_of=job_of, slots=lambda: slots.count(calls), stopping=stopping),
                scheduler=LedgerScheduler(calls),
                num_samples=-1,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                storage_path=str(self._session.folder),
                name=f"tune-{next(self._names)}",
                verbose=0,
                stop=StopWhen(lambda: stopping() or calls.failure is not None),
                # The trial stores its checkpoint itself, in a folder named by its key.
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                # The ledger decides which trials are retried.
                failure_config=tune.FailureConfig(max_failures=0),
            ),
        )


def _advice(error: Exception, output: str) -> str:
    """Return the reason and the advice for a cluster that refuses the connection, also from Ray's output."""
    if isinstance(error, AuthenticationError) or "InvalidAuthToken" in output:
        return (
            "it requires a token that this machine does not have. Copy ~/.ray/auth_token from its head node "
            "(chmod 600), or set RAY_AUTH_TOKEN to the output of `ray get-auth-token` there"
        )
    return f"{error}. Check that it runs the same versions of Ray and Python, and run `ray status` there"


@contextlib.contextmanager
def _storage_probe(storage: str) -> Iterator[str]:
    """Yield the URL of a bucket, or a temporary file in a folder with which nodes check that they share the folder."""
    if is_bucket(storage):
        yield storage
        return
    mark = Path(storage) / f".sweeps-check-{secrets.token_hex(6)}"
    mark.touch()
    try:
        yield str(mark)
    finally:
        mark.unlink(missing_ok=True)


def _end_ray() -> None:
    """Shut Ray down with garbage collection disabled.

    If a reference to an object is freed during the shutdown, Ray ends the process with exit code 1. The thread that
    writes the record could start a garbage collection at any time.
    """
    gc.collect()
    gc.disable()
    try:
        ray.shutdown()
    finally:
        gc.enable()


@contextlib.contextmanager
def _keep_signal_handlers() -> Iterator[None]:
    """Restore the signal handlers that Ray replaces: its handler of SIGTERM ends the process without a message."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        # Signal handlers can only be set in the main thread.
        with contextlib.suppress(ValueError):
            for number, handler in before.items():
                signal.signal(number, handler)
