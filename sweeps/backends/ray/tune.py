"""What Ray Tune is given: a trial as it sees it, a searcher and a scheduler that do nothing but ask the ledger.

An epoch's way: `TrialTrainable.step` in a worker → Ray → `LedgerScheduler.on_trial_result` in the driver →
`Ledger.receive`, told there and nowhere else. A process that dies goes the same way, by `on_trial_error`.
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

from sweeps.backends.cluster.fitness import RefusedTrial
from sweeps.backends.ledger_calls import LedgerCalls
from sweeps.backends.ray.images import SharedByTrials
from sweeps.backends.ray.process_death import MemoryKills, death_message
from sweeps.core.job import Job
from sweeps.core.trial import TrialRecord
from sweeps.search.ledger import Exhausted
from sweeps.system.compat import guard_exit
from sweeps.system.machine import pin_to_leased_cores
from sweeps.tasks.registry import task_named
from sweeps.worker.session import TrialSession


class TrialTrainable(tune.Trainable):
    """Ray's view of a trial. One actor runs many, one after the other, on the cores it has leased."""

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
        # Never `done`: the scheduler sees every result, the last one too, and stops the trial itself.
        return {"message": self._session.step()}

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        if self._refusal is not None:
            return True
        # First: what the session holds is not free before it is gone.
        self._session.close()
        del self._session
        job = Job(**new_config)
        task_named(job.task).free_memory()
        self._session = TrialSession(job, self._parts)
        return True

    def cleanup(self) -> None:
        self._session.close()


class _Unpickled:
    """Ray pickles its parts to restore them; ours come back from the study, so nothing of them is kept."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class LedgerSearcher(_Unpickled, Searcher):
    """Proposes what the ledger hands out. `num_samples=-1`: the ledger decides when there is nothing more.

    Nothing before there is a slot for it: a configuration is worth more the more results it was proposed after.
    """

    def __init__(self, ledger: LedgerCalls, *, job_of: Callable[[TrialRecord], Job], slots: Callable[[], int]) -> None:
        super().__init__(metric=None, mode=None)
        self._ledger = ledger
        self._job_of = job_of
        self._slots = slots

    def suggest(self, trial_id: str) -> Any:
        if self._ledger.live >= self._slots():
            return None
        job = self._ledger.next_job(self._job_of)
        if isinstance(job, Exhausted):
            return Searcher.FINISHED
        return None if job is None else asdict(job)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """The scheduler has told the ledger of every end already."""

    def save(self, checkpoint_path: str) -> None:
        """Ray keeps no state of ours: the study is the ledger."""

    def restore(self, checkpoint_path: str) -> None:
        """As `save`."""


class LedgerScheduler(_Unpickled, FIFOScheduler):
    """Tells the ledger what each trial says, and stops the trials that are over."""

    def __init__(self, ledger: LedgerCalls) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ledger = ledger
        self._memory = MemoryKills()

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        self._memory.look()
        over = self._ledger.receive(trial.config["number"], result["message"])
        decision: str = TrialScheduler.STOP if over else TrialScheduler.CONTINUE
        return decision

    def on_trial_error(self, tune_controller: Any, trial: Any) -> None:
        """Its process died. Ray does not try it again (`max_failures` is 0): the ledger hands it out, or ends it."""
        said = Path(trial.error_file).read_text(encoding="utf-8", errors="replace") if trial.error_file else ""
        message = death_message(Job(**trial.config), said=said, memory=self._memory)
        self._ledger.receive(trial.config["number"], message)


class StopWhen(_Unpickled, Stopper):
    """Ends the whole experiment as soon as a condition holds."""

    def __init__(self, condition: Callable[[], bool]) -> None:
        self._condition = condition

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        return False

    def stop_all(self) -> bool:
        return self._condition()
