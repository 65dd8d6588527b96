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
from sweeps.backends.cluster.fitness import WorkerSetup, installed_versions
from sweeps.backends.cluster.nodes import ClusterSlots, nodes, require_fit_nodes
from sweeps.backends.ledger_calls import LedgerCalls
from sweeps.backends.ray.environment import session_folder
from sweeps.backends.ray.images import SharedData
from sweeps.backends.ray.placement import Placement, request_of
from sweeps.backends.ray.process_death import KILLED_BY_RAY, out_of_memory_message
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
from sweeps.search.ledger import Ledger
from sweeps.system.compat import listen_on_loopback, load_auth_token, separate_process_groups
from sweeps.system.machine import core_count, local_gpus
from sweeps.system.output import redirect_output
from sweeps.worker.measure import Measurement

OBJECT_STORE_BYTES = 1_000_000_000
"""Room for one copy of the images and what Ray itself puts there; more where a sweep splits them in many ways."""

ANY_NUMBER = "1000000"
"""Of trials that wait for their slot, as Tune's environment takes it."""

_NO_START = (ConnectionError, RuntimeError, ValueError, OSError, AuthenticationError, RuntimeEnvSetupError)
"""What Ray raises where it does not start, or is not reached."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """A Ray cluster that runs already, and what a sweep needs of it."""

    address: str
    networks: Sequence[str] = ()
    """Networks of the user's own, whose code travels there."""
    storage: str | None = None
    """Where every node has to write; the runs folder where None."""


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
    """Start Ray, or reach a cluster, and end that with the block. See `prepare_environment`, which comes first.

    Args:
        task: of the sweep.
        resources: what a trial holds.
        limits: how many run at once.
        cluster: None for this machine.
        runs: the runs folder, which it notes beside Ray's own files.
        log: for everything that Ray says.
        on_loss: is called, on another thread, when Ray itself is gone: no call of it returns then.
        data_bytes: of all data that trials are given.

    Raises:
        SweepError: Ray does not start, or the cluster takes no driver from here.
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
        with redirect_output(log), _our_signals(), separate_process_groups():
            session.connect()
            if cluster is not None:
                setup = WorkerSetup(
                    folder=str(Path.cwd()),
                    versions=installed_versions(),
                    storage=held.enter_context(_seen_storage(cluster.storage or str(runs.resolve()))),
                )
                require_fit_nodes(setup, address=cluster.address)
        found = slots_of(resources, limits, [node.offers for node in nodes()])
        slots = ClusterSlots(found, limits, is_fixed=cluster is None)
        backend = RayBackend(task, session, slots=slots, setup=setup, placement=resources.placement)
        held.callback(backend.release)
        yield backend


class RaySession:
    """Ray itself as this process uses it: started here, or a cluster's."""

    def __init__(
        self, folder: Path, *, cluster: Cluster | None, log: Path, store_bytes: int, on_loss: Callable[[], None]
    ) -> None:
        """Start nothing yet.

        Args:
            folder: for Ray's own files.
            cluster: None for this machine.
            log: for everything that Ray says.
            store_bytes: of the object store, where it is started here.
            on_loss: as of `ray_backend`.
        """
        self.folder = folder
        self.log = log
        self._cluster = cluster
        self._store_bytes = store_bytes
        self._on_loss = on_loss

    def connect(self) -> None:
        """Start Ray, or reach the cluster.

        Raises:
            SweepError: it does not start, or takes no driver from here.
            DiskFullError: there is no room for its own files.
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
                    # Never one that happens to run here: its cores and its token are not ours.
                    address="local",
                    num_cpus=core_count(),
                    num_gpus=local_gpus(),
                    include_dashboard=False,
                    object_store_memory=self._store_bytes,
                    _temp_dir=str(self.folder),
                    **quiet,
                )
        except Exception as error:
            # Where its processes take too long Ray raises an Exception of no kind.
            if type(error) is not Exception and not isinstance(error, _NO_START):
                raise
            if is_disk_full(error):
                raise DiskFullError(self.folder) from None
            if cluster is None:
                raise SweepError(f"Ray on this machine did not start: {error} (more in {self.log})") from None
            advice = _advice(error, self.log.read_bytes()[before:].decode(errors="replace"))
            raise SweepError(
                f"the Ray cluster at {cluster.address} takes no driver from here: {advice} (more in {self.log})"
            ) from None

    def watch(self) -> RayWatch:
        """Return what looks whether it is still there, while it is entered."""
        address = ray.get_runtime_context().gcs_address
        return RayWatch(address, is_local=self._cluster is None, on_loss=self._on_loss)

    def restart(self) -> None:
        """End it and begin anew: nothing of the one before is known then."""
        with redirect_output(self.log), _our_signals(), separate_process_groups():
            _end_ray()
            self.connect()

    def end(self) -> None:
        with redirect_output(self.log):
            _end_ray()


class RayBackend:
    """Ray Tune on this machine, or on a cluster; `ray_backend` makes it."""

    def __init__(
        self,
        task: AnyTask,
        session: RaySession,
        *,
        slots: ClusterSlots,
        setup: WorkerSetup | None,
        placement: Placement,
    ) -> None:
        """Train nothing yet.

        Args:
            task: of the sweep.
            session: Ray, which is connected.
            slots: where trials are trained.
            setup: what a node of a cluster must have; None on this machine.
            placement: on which node a trial is placed.
        """
        self._task = task
        self._session = session
        self._slots = slots
        self._setup = setup
        self._placement = placement
        self._data: SharedData | None = None
        """What trials are given, with the Ray that runs now; None between two."""
        self._names = itertools.count()

    def release(self) -> None:
        """Let go of what is in Ray's object store."""
        self._data = None

    def slots(self) -> Slots:
        return self._slots.slots

    def train(
        self,
        ledger: Ledger,
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
                with redirect_output(self._session.log), self._session.watch(), self._slots.asking():
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
            # Tune does not know what to do when Ray kills a worker for its memory, and ends without saying which
            # trial's it was. Each that ran goes on alone, from its checkpoint, so that the guilty one shows itself.
            del tuner
            # A measurement that is asked for in between waits: what it was begun with is of the Ray before.
            self.release()
            self._session.restart()
            for record in ledger.records:
                if record.outcome is Outcome.RUNNING:
                    calls.receive(record.number, out_of_memory_message(KILLED_BY_RAY))
        if calls.failure is not None:
            raise calls.failure

    def measure(self, checkpoint: str, config: TaskConfig) -> Measurement:
        """Begin to measure, and begin anew where Ray was started anew: it knows nothing of the one before."""
        data, measurement = self._data, self._begin(checkpoint, config)

        def look() -> TestResult | None:
            nonlocal data, measurement
            if self._data is not data:
                data, measurement = self._data, self._begin(checkpoint, config)
            return measurement()

        return look

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
        # Tune starts one pending trial at a time unless told otherwise; a large machine would fill slowly, and a node
        # that joins. The searcher proposes none without a slot.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = ANY_NUMBER
        trainable = tune.with_resources(
            tune.with_parameters(TrialTrainable, shared=data.for_trials),
            request_of(slots.slots, self._placement),
        )
        return tune.Tuner(
            trainable,
            tune_config=tune.TuneConfig(
                search_alg=LedgerSearcher(calls, job_of=job_of, slots=lambda: slots.count(calls)),
                scheduler=LedgerScheduler(calls),
                num_samples=-1,
                reuse_actors=True,
            ),
            run_config=tune.RunConfig(
                storage_path=str(self._session.folder),
                name=f"tune-{next(self._names)}",
                verbose=0,
                stop=StopWhen(lambda: stopping() or calls.failure is not None),
                # The trial keeps its own checkpoint; Ray finds it again by the key.
                checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                # The ledger decides what is tried again.
                failure_config=tune.FailureConfig(max_failures=0),
            ),
        )


def _advice(error: Exception, said: str) -> str:
    """Return what to do about a cluster that answers and refuses; the reason stands in what Ray wrote meanwhile."""
    if isinstance(error, AuthenticationError) or "InvalidAuthToken" in said:
        return (
            "it asks for a token, and there is none here, or another one: copy ~/.ray/auth_token from its head node "
            "(chmod 600), or set RAY_AUTH_TOKEN to what `ray get-auth-token` prints there"
        )
    return f"{error}; check that it runs the same versions of Ray and Python, and that `ray status` there is well"


@contextlib.contextmanager
def _seen_storage(storage: str) -> Iterator[str]:
    """Give the address of a bucket as it is, of a folder a file in it that a node sees only where it has the folder."""
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
    """Shut Ray down, with no garbage of its objects left that another thread could free meanwhile.

    Ray ends the whole process with exit code 1, and says so in its log alone, where one of its references is freed
    while it shuts down; the thread that writes the record may start a collection of garbage at any moment.
    """
    gc.collect()
    gc.disable()
    try:
        ray.shutdown()
    finally:
        gc.enable()


@contextlib.contextmanager
def _our_signals() -> Iterator[None]:
    """Put back the signal handlers that the block replaces: Ray's own for SIGTERM ends the process without a word."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        # Only the main thread has handlers to lose.
        with contextlib.suppress(ValueError):
            for number, handler in before.items():
                signal.signal(number, handler)
