"""One call of a training function: its arguments, its results, and its checkpoint."""

from __future__ import annotations

import inspect
import json
import math
import os
import pickle
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from cifar_core.common.checksum_file import verified_payload, write_with_checksum
from cifar_core.common.errors import CheckpointError, DivergedError, ModelError
from cifar_core.common.files import read_file
from cifar_core.common.source import Sources
from cifar_core.common.user_modules import FUNCTION
from sweeps.core.results import EpochResult
from sweeps.core.task import OnStep, Training
from sweeps.tasks.function_data import TrialData
from sweeps.tasks.function_signature import FunctionConfig
from sweeps.tasks.function_trial import Saved, Trial, seed_generators
from sweeps.tasks.metric_names import METRIC_NAME, SHARES, TAKEN_METRICS

CHECKPOINT_FORMAT = 1


class FunctionTraining(Training):
    """One call of a training function, resumable after each of its results."""

    def __init__(
        self,
        function: Callable[..., Any],
        config: FunctionConfig,
        *,
        arguments: Mapping[str, Any],
        files: Sequence[str],
        device: str,
        data: TrialData | None = None,
        history: Sequence[EpochResult] = (),
        saved: Saved | None = None,
    ) -> None:
        """Create a training. The function is called by `epochs`.

        Args:
            function: Yields the metrics of each epoch.
            config: Keyword arguments with JSON types.
            arguments: The same with the annotated types, without `epochs` and `seed`.
            files: Values of the arguments that may be paths of files that it reads.
            device: `cpu` or `cuda`.
            data: Parts of the data set that it receives; None if there is none.
            history: Results of the epochs that are already trained.
            saved: State after the last of them.
        """
        self._function = function
        self._config = config
        self._arguments = arguments
        self._files = files
        self._device = device
        self._data = data
        self._history = list(history)
        self.saved = saved or Saved(epoch=0)
        """The state that the function saved last."""
        self._folder: Path | None = None
        self._artifacts: Path | None = None

    def use_folders(self, folder: Path, artifacts: Path | None) -> None:
        self._folder, self._artifacts = folder, artifacts

    @property
    def history(self) -> Sequence[EpochResult]:
        return self._history

    @property
    def source(self) -> Mapping[str, str] | None:
        found = Sources(kind=FUNCTION).of(self._config.train, files=self._files)
        return None if found is None else found.files

    @property
    def environment(self) -> Mapping[str, str]:
        return {"device": self._device, "threads": os.environ.get("OMP_NUM_THREADS", "1")}

    def epochs(self, *, on_step: OnStep) -> Iterator[EpochResult]:
        config = self._config
        trial = Trial(
            seed=config.seed,
            device=self._device,
            cpus=int(self.environment["threads"]),
            saved=self.saved,
            data=self._data,
            folder=self._folder,
            artifacts=self._artifacts,
        )
        parameters = inspect.signature(self._function).parameters
        common = {name: getattr(config, name) for name in ("epochs", "seed") if name in parameters}
        seed_generators(config.seed)
        began = time.perf_counter()
        results = _results(self._function(trial, **self._arguments, **common), name=config.train)
        for values in results:
            self._history.append(self._result(values, seconds=time.perf_counter() - began))
            if len(self._history) == config.epochs and next(results, None) is not None:  # runs the code after its loop
                raise ModelError(f"{config.train} yielded more than {config.epochs} results. Yield `epochs` times")
            self.saved = trial.epoch_ended(len(self._history))
            yield self._history[-1]
            began = time.perf_counter()
        raise ModelError(
            f"{config.train} yielded {len(self._history)} results, but `epochs` is {config.epochs}. Yield once per "
            "epoch, or change epochs"
        )

    def _result(self, values: Any, *, seconds: float) -> EpochResult:
        epoch, name = len(self._history) + 1, self._config.train
        numbers = _numbers(values, epoch=epoch, name=name)
        if self._history and numbers.keys() != self._history[0].metrics.keys():
            raise ModelError(
                f"{name} yielded {', '.join(numbers)} in epoch {epoch}, and {', '.join(self._history[0].metrics)} in "
                "the first one. Yield the same names in each epoch"
            )
        return EpochResult(epoch=epoch, seconds=seconds, finished_at=time.time(), metrics=numbers)

    def save(self, path: Path) -> None:
        content = {
            "format": CHECKPOINT_FORMAT,
            "config": json.loads(self._config.model_dump_json()),
            "history": [result.as_dict() for result in self._history],
            "saved": self.saved.epoch,
            "state": self.saved.state,
            "generators": self.saved.generators,
        }
        write_with_checksum(path, pickle.dumps(content))


def _results(returned: Any, *, name: str) -> Iterator[Any]:
    if isinstance(returned, Mapping):
        yield returned
    elif isinstance(returned, Iterator):
        yield from returned
    else:
        raise ModelError(
            f"{name} returned {type(returned).__name__}. Yield a dictionary of numbers in each epoch, or return one"
        )


def _numbers(values: Any, *, epoch: int, name: str) -> dict[str, float]:
    """Return the metrics that a function yielded.

    Raises:
        ModelError: They are not a dictionary of numbers, or a name is not allowed.
        DivergedError: A number is not finite.
    """
    if not isinstance(values, Mapping) or not values:
        raise ModelError(f"{name} yielded {values!r} in epoch {epoch}. Yield a dictionary such as {{'val_loss': 0.5}}")
    numbers: dict[str, float] = {}
    for key, value in values.items():
        if str(key) in TAKEN_METRICS or not METRIC_NAME.fullmatch(str(key)):
            raise ModelError(f"{name} yielded a metric {str(key)!r}. Rename it; use letters and digits")
        try:
            numbers[str(key)] = float(value)
        except (TypeError, ValueError):
            raise ModelError(f"{name} yielded {key}={value!r} in epoch {epoch}, which is not a number") from None
        if not math.isfinite(numbers[str(key)]):
            raise DivergedError(epoch=epoch, loss=numbers[str(key)], what=str(key), advice="try other parameters")
        if key in SHARES and not 0 <= numbers[str(key)] <= 1:
            raise ModelError(f"{name} yielded {key}={value!r}, but an accuracy must be between 0 and 1")
    return numbers


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return the content of a checkpoint.

    Raises:
        CheckpointError: It cannot be read.
    """
    try:
        content = pickle.loads(verified_payload(read_file(path)))
    except Exception as error:  # unpickling can raise any exception
        raise CheckpointError(f"{path} cannot be read ({error}). Delete it to train the run again") from error
    if not isinstance(content, dict) or content.get("format") != CHECKPOINT_FORMAT:
        raise CheckpointError(f"{path} has another format. Delete it to train the run again")
    return content
