"""Ray Tune as a backend: it places trials on slots, and the ledger decides everything else.

An epoch's way: `TrialTrainable.step` in a worker → Ray → `LedgerScheduler.on_trial_result` in the driver →
`Ledger.report`, told there and nowhere else.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune import Stopper
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from sweeps.errors import SweepError
from sweeps.execution.output import redirect_output
from sweeps.execution.slots import Slots, slots_of
from sweeps.execution.trial import Job, Splits, TrialSession, free_memory
from sweeps.machine import allowed_cores, local_gpus, pin_to_leased_cores
from sweeps.spec import Limits, Resources
from sweeps.study import Exhausted, Ledger
from sweeps.trial_record import Outcome, TrialRecord

INFRASTRUCTURE_RETRIES = 3
"""How often Ray starts a trial again whose process or node died. What the training raises is not retried."""

OBJECT_STORE_BYTES = 1_000_000_000
"""Room for one copy of the images and what Ray itself puts there."""

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
        with redirect_output(self._log):
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
        with redirect_output(self._log):
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
        slots = self.slots()
        # Tune starts one pending trial at a time unless told otherwise; a large machine would fill slowly.
        os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(slots.count)
        trainable = tune.with_resources(
            tune.with_parameters(TrialTrainable, splits=splits), {"cpu": slots.cpus, "gpu": slots.gpus}
        )
        with redirect_output(self._log), tempfile.TemporaryDirectory(prefix="sweeps-tune-") as scratch:
            tuner = tune.Tuner(
                trainable,
                tune_config=tune.TuneConfig(
                    search_alg=LedgerSearcher(ledger, job_of=job_of, slots=slots.count),
                    scheduler=LedgerScheduler(ledger),
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


class TrialTrainable(tune.Trainable):
    """Ray's view of a trial. One actor runs many, one after the other, on the cores it has leased."""

    def setup(self, config: dict[str, Any], splits: Splits | None = None) -> None:
        assert splits is not None
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        self._splits = splits
        job = Job(**config)
        if job.device != "cuda":
            pin_to_leased_cores(job.cpus)
        self._session = TrialSession(job, splits)

    def step(self) -> dict[str, Any]:
        # Never `done`: the scheduler hears every report, the last one too, and stops the trial itself.
        return {"report": self._session.step()}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        free_memory()
        self._session = TrialSession(Job(**new_config), self._splits)
        return True


class _Unpickled:
    """Ray pickles its parts to restore them; ours come back from the study, so nothing of them is kept."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class LedgerSearcher(_Unpickled, Searcher):
    """Proposes what the ledger hands out. `num_samples=-1`: the ledger decides when there is nothing more."""

    def __init__(self, ledger: Ledger, *, job_of: Callable[[TrialRecord], Job], slots: int) -> None:
        super().__init__(metric=None, mode=None)
        self._ledger = ledger
        self._job_of = job_of
        self._slots = slots
        self._numbers: dict[str, int] = {}

    def suggest(self, trial_id: str) -> Any:
        if self._ledger.live >= self._slots:
            return None
        proposed = self._ledger.next_trial()
        if proposed is None:
            return None
        if isinstance(proposed, Exhausted):
            return Searcher.FINISHED
        self._numbers[trial_id] = proposed.number
        return asdict(self._job_of(proposed))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Close a trial whose process died for good; of every other end the scheduler has told the ledger already."""
        if error and trial_id in self._numbers:
            reason = "its process died, more often than it was restarted"
            self._ledger.finish(self._numbers[trial_id], Outcome.FAILED, error=reason)

    def save(self, checkpoint_path: str) -> None:
        """Ray keeps no state of ours: the study is the ledger."""

    def restore(self, checkpoint_path: str) -> None:
        """As `save`."""


class LedgerScheduler(_Unpickled, FIFOScheduler):
    """Tells the ledger what each trial says, and stops the trials that are over."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ledger = ledger

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        over = self._ledger.report(trial.config["number"], result["report"])
        decision: str = TrialScheduler.STOP if over else TrialScheduler.CONTINUE
        return decision


class StopWhen(_Unpickled, Stopper):
    """Ends the whole experiment as soon as a condition holds."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        self._condition = condition

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._condition()
