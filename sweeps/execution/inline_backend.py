"""One trial after the other in this process, without Ray: for a debugger, for tests, for a first look."""

from __future__ import annotations

from collections.abc import Callable

from sweeps.execution.job import Job, Splits
from sweeps.execution.slots import Slots
from sweeps.execution.test_set import Measurement, measure_on_test
from sweeps.execution.trial import TrialSession
from sweeps.machine import local_gpus
from sweeps.spec import Resources
from sweeps.study import Exhausted, Ledger
from sweeps.trial_record import TrialRecord


class InlineBackend:
    """One trial after the other in this process, so that a debugger steps into the training."""

    def __init__(self, resources: Resources) -> None:
        self._cpus = resources.cpus_per_trial
        self._takes_gpu = resources.gpus_per_trial != 0 and local_gpus() > 0

    def slots(self) -> Slots:
        return Slots(count=1, cpus=self._cpus, gpus=1.0 if self._takes_gpu else 0.0)

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
                if ledger.report(proposed.number, session.step()):
                    break

    def measure(self, checkpoint: str) -> Measurement:
        """Measure when the result is asked for: there is one slot, this process."""
        return lambda: measure_on_test(checkpoint, device=self.slots().device)
