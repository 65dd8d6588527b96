"""Two ways to train what the ledger hands out: Ray Tune on every slot there is, or one by one in this process."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from sweeps.cores import allowed_cores
from sweeps.errors import SweepError
from sweeps.ledger import Exhausted, Ledger
from sweeps.records import TrialRecord
from sweeps.reporting import enter_report
from sweeps.slots import Slots, local_gpus, slots_of
from sweeps.spec import Limits, Resources
from sweeps.trial import Job, Splits, TrialSession, ray_trainable

INFRASTRUCTURE_RETRIES = 3
"""How often Ray starts a trial again whose process or node died. What the training raises is not retried."""

OBJECT_STORE_BYTES = 1_000_000_000
"""Room for one copy of the images and what Ray itself puts there."""


class Backend(Protocol):
    """Trains everything a ledger hands out."""

    def slots(self) -> Slots:
        """Return how many trials train at once."""
        ...

    def run(
        self,
        ledger: Ledger,
        *,
        splits: Splits,
        job_of: Callable[[TrialRecord], Job],
        stopping: Callable[[], bool],
    ) -> None:
        """Train until the ledger is exhausted or `stopping` holds."""
        ...


class InlineBackend:
    """One trial after the other in this process, so that a debugger steps into the training."""

    def __init__(self, resources: Resources) -> None:
        self._cpus = resources.cpus_per_trial

    def slots(self) -> Slots:
        gpus = local_gpus()
        return Slots(count=1, cpus=self._cpus, gpus=1.0 if gpus else 0.0)

    def run(
        self,
        ledger: Ledger,
        *,
        splits: Splits,
        job_of: Callable[[TrialRecord], Job],
        stopping: Callable[[], bool],
    ) -> None:
        while not stopping():
            proposed = ledger.next_trial()
            if proposed is None or isinstance(proposed, Exhausted):
                return
            session = TrialSession(job_of(proposed), splits, takes_output=False)
            while not stopping():
                if enter_report(ledger, proposed.number, session.step()):
                    break


class RayBackend:
    """Ray Tune on this machine, or on the cluster at an address."""

    def __init__(self, resources: Resources, limits: Limits, *, address: str | None, log: Path) -> None:
        self._resources = resources
        self._limits = limits
        self._address = address or os.environ.get("RAY_ADDRESS") or None
        self._log = log
        self._slots: Slots | None = None

    def __enter__(self) -> RayBackend:
        for name, value in _RAY_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        with chatter_to(self._log):
            import ray

            try:
                if self._address:
                    ray.init(address=self._address, log_to_driver=False, logging_level=logging.ERROR)
                else:
                    ray.init(
                        num_cpus=len(allowed_cores()),
                        num_gpus=local_gpus(),
                        include_dashboard=False,
                        log_to_driver=False,
                        logging_level=logging.ERROR,
                        object_store_memory=OBJECT_STORE_BYTES,
                    )
            except (ConnectionError, RuntimeError, ValueError) as error:
                where = f"the Ray cluster at {self._address}" if self._address else "Ray on this machine"
                raise SweepError(f"{where} did not start: {error} (more in {self._log})") from None
        found: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
        self._slots = slots_of(self._resources, self._limits, cpus=found.get("CPU", 0), gpus=found.get("GPU", 0))
        return self

    def __exit__(self, *exception: object) -> None:
        import ray

        with chatter_to(self._log):
            ray.shutdown()

    def slots(self) -> Slots:
        assert self._slots is not None, "use it in a with statement"
        return self._slots

    def run(
        self,
        ledger: Ledger,
        *,
        splits: Splits,
        job_of: Callable[[TrialRecord], Job],
        stopping: Callable[[], bool],
    ) -> None:
        from ray import tune

        from sweeps.search import LedgerSearcher, PrunerScheduler, StopWhen

        slots = self.slots()
        # Tune starts one pending trial at a time unless told otherwise; a large machine would fill slowly.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots.count)
        trainable = tune.with_resources(
            tune.with_parameters(ray_trainable(), splits=splits), {"cpu": slots.cpus, "gpu": slots.gpus}
        )

        def job(record: TrialRecord) -> dict[str, Any]:
            return asdict(job_of(record))

        with chatter_to(self._log), tempfile.TemporaryDirectory(prefix="sweeps-tune-") as scratch:
            tuner = tune.Tuner(
                trainable,
                tune_config=tune.TuneConfig(
                    search_alg=LedgerSearcher(ledger, job_of=job, slots=slots.count),
                    scheduler=PrunerScheduler(ledger),
                    num_samples=-1,
                    reuse_actors=True,
                ),
                run_config=tune.RunConfig(
                    storage_path=scratch,
                    name="tune",
                    verbose=0,
                    stop=StopWhen(stopping),
                    # The trial keeps its own checkpoint; Ray finds it again by the key.
                    checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),
                    failure_config=tune.FailureConfig(max_failures=INFRASTRUCTURE_RETRIES),
                ),
            )
            tuner.fit()


_RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_CHDIR_TO_TRIAL_DIR": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",
    "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
    # A trial in the middle of an epoch is not waited for when the sweep stops: its checkpoint is an epoch old at most.
    "TUNE_FORCE_TRIAL_CLEANUP_S": "2",
}


@contextlib.contextmanager
def chatter_to(log: Path) -> Iterator[None]:
    """Send what this process and its children print, below Python too, to a file.

    What the sweep itself shows goes to a copy of the terminal made before (`progress.terminal_copy`).
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    saved = [os.dup(1), os.dup(2)]
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, original in zip((1, 2), saved, strict=True):
            os.dup2(original, descriptor)
            os.close(original)
