"""The complete results in the record at the start of a sweep, which are not trained again."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cifar_core.common.user_modules import NETWORK
from sweeps.core.errors import RecordError
from sweeps.core.results import TEST_PREFIX, ConfirmResult, TestResult, confirm_name
from sweeps.core.trial import CompleteResult
from sweeps.record.mapping import CONFIRM_EXAMPLES, CONFIRM_PART, recorded_config
from sweeps.record.reader import MlflowReader
from sweeps.record.trial_run import TrialRun
from sweeps.tasks.registry import task_of

if TYPE_CHECKING:
    import numpy as np

_log = logging.getLogger(__name__)


class CompleteResults:
    """The complete runs of the record, listed at the first use. If the record fails later, results are not reused."""

    def __init__(self, reader: MlflowReader) -> None:
        self._reader = reader
        self._runs: dict[str, TrialRun] | None = None
        self._is_unreachable = False

    def refresh(self) -> dict[str, TrialRun]:
        """List the complete runs again; return key → run.

        Raises:
            RecordError: The record cannot be read.
        """
        self._runs = self._reader.complete_runs()
        return self._runs

    def complete_result(self, key: str) -> CompleteResult | None:
        """Return the recorded result of a key; None if there is none or the record cannot be read."""
        if self._is_unreachable:
            return None
        try:
            runs = self.refresh() if self._runs is None else self._runs
            run = runs.get(key)
            return None if run is None else self._read(run)
        except (ValueError, EOFError) as error:
            _log.warning("the recorded result of key %s is incomplete and is trained again: %s", key, error)
            return None
        except RecordError as error:
            # Not read again: a server that hangs would delay each proposal.
            self._is_unreachable = True
            _log.warning("recorded results can no longer be read and are trained again: %s", error)
            return None

    def _read(self, run: TrialRun) -> CompleteResult:
        run_id, metrics = run.run_id, run.metrics
        millions = metrics.get("parameters_millions")
        epochs = tuple(self._reader.curve(run_id))
        config = recorded_config(run.tags, run.params)
        test = None
        correct = None
        if config is not None and task_of(config).code_kind is not NETWORK:
            trained = epochs[-1].metrics if epochs else {}
            numbers = {
                name: value for name, value in metrics.items() if name.startswith(TEST_PREFIX) and name not in trained
            }
            test = TestResult(numbers=numbers) if numbers else None
        elif "test_accuracy" in metrics:
            correct = self._reader.correctness(run_id)
        if correct is not None:
            loss = metrics.get("test_loss", run.not_finite.get(("test_loss", 0)))
            if loss is None:
                raise ValueError("its test_loss is missing")
            test = TestResult(loss=loss, correct=_packed(correct), count=len(correct), confusion=run.confusion)
        if config is not None and config.epochs and len(epochs) != config.epochs:
            raise ValueError(f"{len(epochs)} of its {config.epochs} epochs can be read")
        return CompleteResult(
            run_id=run_id,
            # A result of another runs folder's study with this name counts as reused.
            study=run.study if self._reader.belongs_to_folder(run) else None,
            epochs=epochs,
            parameters=None if millions is None else round(millions * 1e6),
            test=test,
            confirm=_confirmed(run, trained=epochs[-1].metrics if epochs else ()),
        )


def _confirmed(run: TrialRun, *, trained: Iterable[str]) -> ConfirmResult | None:
    """Return the result of a run on its confirmation part; None if it has none."""
    examples = run.tags.get(CONFIRM_EXAMPLES, "")
    metrics = {name: run.metrics[confirm_name(name)] for name in trained if confirm_name(name) in run.metrics}
    if not examples.isdecimal() or not metrics:
        return None
    return ConfirmResult(part=run.tags.get(CONFIRM_PART, ""), examples=int(examples), metrics=metrics)


def _packed(correct: np.ndarray) -> bytes:
    import numpy as np

    return np.packbits(correct).tobytes()
