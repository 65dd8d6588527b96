"""What was recorded as complete when a sweep started, so that nothing of it is trained again."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from sweeps.core.errors import RecordError
from sweeps.core.results import TestResult
from sweeps.core.trial import CompleteResult
from sweeps.record.mapping import recorded_config
from sweeps.record.reader import MlflowReader
from sweeps.record.trial_run import TrialRun

if TYPE_CHECKING:
    import numpy as np

_log = logging.getLogger(__name__)


class CompleteResults:
    """The complete runs of the record, listed once. A record that goes away later costs their reuse, and no more."""

    def __init__(self, reader: MlflowReader) -> None:
        """List nothing yet: a start with nothing to do asks for none of them."""
        self._reader = reader
        self._runs: dict[str, TrialRun] | None = None
        self._is_away = False

    def list_now(self) -> dict[str, TrialRun]:
        """List them as they are now.

        Raises:
            RecordError: the record cannot be read.
        """
        self._runs = self._reader.complete_runs()
        return self._runs

    def complete_result(self, key: str) -> CompleteResult | None:
        """Return the result recorded under a key; None where there is none, or the record has gone away."""
        if self._is_away:
            return None
        try:
            runs = self.list_now() if self._runs is None else self._runs
            run = runs.get(key)
            return None if run is None else self._read(run)
        except (ValueError, EOFError) as error:
            _log.warning("the result recorded under %s is not whole, and is trained again: %s", key, error)
            return None
        except RecordError as error:
            # Asked once: a server that hangs would hold up every proposal.
            self._is_away = True
            _log.warning("what is recorded cannot be taken over any more, and is trained again: %s", error)
            return None

    def _read(self, run: TrialRun) -> CompleteResult:
        run_id, metrics = run.run_id, run.metrics
        millions = metrics.get("parameters_millions")
        correct = self._reader.correctness(run_id) if "test_accuracy" in metrics else None
        test = None
        if correct is not None:
            loss = metrics.get("test_loss", run.not_finite.get(("test_loss", 0)))
            if loss is None:
                raise ValueError("its test_loss is missing")
            test = TestResult(loss=loss, correct=_packed(correct), count=len(correct), confusion=run.confusion)
        epochs = tuple(self._reader.curve(run_id))
        config = recorded_config(run.tags, run.params)
        if config is not None and len(epochs) != config.epochs:
            raise ValueError(f"{len(epochs)} of its {config.epochs} epochs can be read")
        return CompleteResult(
            run_id=run_id,
            # Of another runs folder's study of this name it is a result taken over, as any other's.
            study=run.study if self._reader.is_ours(run) else None,
            epochs=epochs,
            parameters=None if millions is None else round(millions * 1e6),
            test=test,
        )


def _packed(correct: np.ndarray) -> bytes:
    import numpy as np

    return np.packbits(correct).tobytes()
