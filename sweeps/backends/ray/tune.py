"""Components for Ray Tune: a trainable, and a searcher and a scheduler that only call the ledger.

Data flow of an epoch: `TrialTrainable.step` in a worker → Ray → `LedgerScheduler.on_trial_result` in the driver →
`Ledger.receive`. A failed process is reported to the ledger by `LedgerScheduler.on_trial_error`.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from ray import tune
from ray.tune import Stopper
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from sweeps.backends.cluster.node_checks import RefusedTrial
from sweeps.backends.ledger_calls import LedgerCalls
from sweeps.backends.ray.images import SharedByTrials
from sweeps.backends.ray.process_failure import MemoryKills, process_failure_message
from sweeps.core.job import Job
from sweeps.core.trial import TrialRecord
from sweeps.search.ledger import Exhausted
from sweeps.system.compat import guard_exit
from sweeps.system.machine import pin_to_leased_cores
from sweeps.tasks.registry import task_named
from sweeps.worker.session import TrialSession


class TrialTrainable(tune.Trainable):
    """Ray's trainable of a trial. One actor runs several trials, one after the other, on its leased cores."""

    def setup(self, config: dict[str, Any], shared: SharedByTrials | None = None) -> None:
        assert shared is not None
        self._session: TrialSession | RefusedTrial
        self._refusal = None
        if shared.setup is not None:
            shared.setup.enter()
            self._refusal = shared.setup.refusal()
        if self._refusal is not None:
            self._session = RefusedTrial(self._refusal)
            return
        guard_exit()
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        self._parts = shared.load_parts()
        job = Job(**config)
        if job.device != "cuda":
            pin_to_leased_cores(job.cpus)
        self._session = TrialSession(job, self._parts)

    def step(self) -> dict[str, Any]:
        # Without `done`, so that the scheduler receives the last result too and stops the trial itself.
        return {"message": self._session.step()}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        if self._refusal is not None:
            return True
        # Closed and deleted first, so that its memory can be freed.
        self._session.close()
        del self._session
        job = Job(**new_config)
        task_named(job.task).free_memory()
        self._session = TrialSession(job, self._parts)
        return True

    def cleanup(self) -> None:
        self._session.close()


class _Stateless:
    """Pickled without state: Ray stores its components to restore them, and this state is in the study."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class LedgerSearcher(_Stateless, Searcher):
    """Proposes the ledger's trials. With `num_samples=-1` the ledger decides when the search ends.

    A trial is proposed only when a slot is free, so that the sampler can use as many results as possible.
    """

    def __init__(
        self,
        ledger: LedgerCalls,
        *,
        job_of: Callable[[TrialRecord], Job],
        slots: Callable[[], int],
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        super().__init__(metric=None, mode=None)
        self._ledger = ledger
        self._job_of = job_of
        self._slots = slots
        self._stopping = stopping

    def suggest(self, trial_id: str) -> Any:
        # Without a running trial, Ray only asks for the next one, for minutes.
        if self._stopping():
            return Searcher.FINISHED
        if self._ledger.live >= self._slots():
            return None
        job = self._ledger.next_job(self._job_of)
        if isinstance(job, Exhausted):
            return Searcher.FINISHED
        return None if job is None else asdict(job)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Do nothing: the scheduler has reported the end to the ledger."""

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the state is in the study."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the state is in the study."""


class LedgerScheduler(_Stateless, FIFOScheduler):
    """Passes the messages of trials to the ledger, and stops ended trials."""

    def __init__(self, ledger: LedgerCalls) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ledger = ledger
        self._memory = MemoryKills()

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        self._memory.poll()
        over = self._ledger.receive(trial.config["number"], result["message"])
        decision: str = TrialScheduler.STOP if over else TrialScheduler.CONTINUE
        return decision

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Report a failed process. The ledger decides about a retry, since Ray's `max_failures` is 0."""
        ray_error = Path(trial.error_file).read_text(encoding="utf-8", errors="replace") if trial.error_file else ""
        message = process_failure_message(Job(**trial.config), ray_error=ray_error, memory=self._memory)
        self._ledger.receive(trial.config["number"], message)


class StopWhen(_Stateless, Stopper):
    """Ends the whole experiment as soon as a condition is True."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        self._condition = condition

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._condition()
