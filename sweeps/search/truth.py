"""What a study is told of a trial: its whole curve and how it ended, so that sampler and pruner know what happened."""

from __future__ import annotations

import optuna
from optuna.trial import TrialState

from cifar_core.common.errors import closest
from sweeps.core.results import EpochResult
from sweeps.core.trial import ErrorClass, Outcome, TrialRecord


class Truth:
    """Tells one study about its trials."""

    def __init__(self, study: optuna.Study, *, metric: str) -> None:
        self._study = study
        self._metric = metric

    def fault_of(self, epoch: EpochResult) -> str | None:
        """Return what to do where a trial does not yield the number that its search looks at; None where it does."""
        if epoch.value(self._metric) is not None:
            return None
        return f"it yields no {self._metric}: change metric.name, or yield it. {closest(self._metric, epoch.metrics)}"

    def tell_epoch(self, trial: optuna.Trial, epoch: EpochResult) -> None:
        """Tell the value after an epoch."""
        trial.report(self._value(epoch), step=epoch.epoch)

    def tell(self, trial: optuna.Trial, record: TrialRecord) -> None:
        """Tell how a trial ended. Only a run of full length is complete, with the value of its last epoch."""
        if record.outcome is Outcome.COMPLETE:
            self._study.tell(trial, self._value(record.epochs[-1]))
        elif record.outcome is Outcome.FAILED and record.error_class != ErrorClass.OUT_OF_MEMORY:
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            # Diverged, or too large for the machine: the samplers ignore a failed trial and would come back there.
            self._study.tell(trial, state=TrialState.PRUNED)

    def tell_with_curve(self, trial: optuna.Trial, record: TrialRecord) -> None:
        """Tell a trial that was proposed again what is known of its first proposal."""
        for epoch in record.epochs:
            self.tell_epoch(trial, epoch)
        self.tell(trial, record)

    def _value(self, epoch: EpochResult) -> float:
        value = epoch.value(self._metric)
        assert value is not None, f"{self._metric} was not measured"
        return float(value)
