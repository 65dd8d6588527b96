"""How Ray Tune meets the ledger: a `Searcher` that hands out its trials and a scheduler that asks its pruner."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune import Stopper
from ray.tune.schedulers import FIFOScheduler, TrialScheduler
from ray.tune.search import Searcher

from sweeps.ledger import Exhausted, Ledger
from sweeps.records import Outcome, TrialRecord
from sweeps.reporting import enter_report
from sweeps.trial import Report


class _Unpickled:
    """Ray pickles its parts to restore them; ours come back from the study, so nothing of them is kept."""

    def __getstate__(self) -> dict[str, Any]:
        return {}


class LedgerSearcher(_Unpickled, Searcher):
    """Proposes what the ledger hands out. `num_samples=-1`: the ledger decides when there is nothing more."""

    def __init__(self, ledger: Ledger, *, job_of: Callable[[TrialRecord], dict[str, Any]], slots: int) -> None:
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
        return self._job_of(proposed)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        number = self._numbers.get(trial_id)
        if number is None:
            return
        if error:
            self._ledger.finish(number, Outcome.FAILED, error="its process died, more often than it was restarted")
        elif result is not None and "report" in result:
            enter_report(self._ledger, number, Report.from_json(result["report"]))

    def save(self, checkpoint_path: str) -> None:
        """Ray keeps no state of ours: the study is the ledger."""

    def restore(self, checkpoint_path: str) -> None:
        """As `save`."""


class PrunerScheduler(_Unpickled, FIFOScheduler):
    """Tells the ledger of each epoch and stops what its pruner, Optuna's, gives up."""

    def __init__(self, ledger: Ledger) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._ledger = ledger

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:
        over = enter_report(self._ledger, trial.config["number"], Report.from_json(result["report"]))
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
