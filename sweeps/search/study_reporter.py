"""Reports learning curves and ends of trials to an Optuna study, for its sampler and pruner."""

from __future__ import annotations

import optuna
from optuna.trial import TrialState

from cifar_core.common.errors import closest
from sweeps.core.results import EpochResult
from sweeps.core.trial import TO_AVOID, Outcome, TrialRecord


class StudyReporter:
    """Reports trials to one study."""

    def __init__(self, study: optuna.Study, *, metric: str) -> None:
        self._study = study
        self.metric = metric

    def missing_metric(self, epoch: EpochResult) -> str | None:
        """Return an error message if an epoch lacks the metric of the search; None if it has it."""
        if epoch.value(self.metric) is not None:
            return None
        return (
            f"the training yields no {self.metric} ({closest(self.metric, epoch.metrics)}). "
            "Yield it, or change metric.name in the sweep file."
        )

    def report_epoch(self, trial: optuna.Trial, epoch: EpochResult) -> None:
        """Report the metric of an epoch."""
        trial.report(self._value(epoch), step=epoch.epoch)

    def report_end(self, trial: optuna.Trial, record: TrialRecord) -> None:
        """Report the end of a trial. Only a run of full length is complete, with the metric of its last epoch."""
        if record.outcome is Outcome.COMPLETE:
            for condition in record.violated.keys() - trial.constraints.keys():
                trial.set_constraint(condition, record.violated[condition])
            self._study.tell(trial, self._value(record.epochs[-1]))
        elif record.outcome is Outcome.FAILED and record.error_class not in TO_AVOID:
            self._study.tell(trial, state=TrialState.FAIL)
        else:
            # Samplers ignore failed trials, and would propose the region of one that diverged or timed out again.
            self._study.tell(trial, state=TrialState.PRUNED)

    def report_run(self, trial: optuna.Trial, record: TrialRecord) -> None:
        """Report the curve and the end of a recorded run for a duplicate proposal of it."""
        for epoch in record.epochs:
            self.report_epoch(trial, epoch)
        self.report_end(trial, record)

    def _value(self, epoch: EpochResult) -> float:
        value = epoch.value(self.metric)
        assert value is not None, f"{self.metric} was not measured"
        return float(value)
