"""One call of a training function: what it is given, what it yields, and its checkpoint."""

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
from sweeps.tasks.function_signature import FunctionConfig
from sweeps.tasks.function_trial import Saved, Trial, seed_generators
from sweeps.tasks.metric_names import METRIC_NAME, SHARES, TAKEN_METRICS

CHECKPOINT_FORMAT = 1


class FunctionTraining(Training):
    """One call of a training function, between two of its results."""

    def __init__(
        self,
        function: Callable[..., Any],
        config: FunctionConfig,
        *,
        arguments: Mapping[str, Any],
        files: Sequence[str],
        device: str,
        history: Sequence[EpochResult] = (),
        saved: Saved | None = None,
    ) -> None:
        """Prepare the call.

        Args:
            function: yields the numbers of each epoch.
            config: its keyword arguments, as JSON has them.
            arguments: the same as the function's own types, without `epochs` and `seed`.
            files: values of the arguments that may be paths of files that it reads.
            device: `cpu` or `cuda`.
            history: the epochs that need not be trained again.
            saved: the state after the last of them.
        """
        self._function = function
        self._config = config
        self._arguments = arguments
        self._files = files
        self._device = device
        self._history = list(history)
        self._saved = saved or Saved(epoch=0)
        self._folder: Path | None = None
        self._artifacts: Path | None = None

    def use_folders(self, folder: Path, artifacts: Path) -> None:
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
            saved=self._saved,
            folder=self._folder,
            artifacts=self._artifacts,
        )
        known = inspect.signature(self._function).parameters
        own = {name: getattr(config, name) for name in ("epochs", "seed") if name in known}
        seed_generators(config.seed)
        began = time.perf_counter()
        results = _results(self._function(trial, **self._arguments, **own), name=config.train)
        for values in results:
            self._history.append(self._result(values, seconds=time.perf_counter() - began))
            if len(self._history) == config.epochs and next(results, None) is not None:  # runs the code after its loop
                raise ModelError(f"{config.train} yielded more than {config.epochs} results: yield `epochs` times")
            self._saved = trial.epoch_ended(len(self._history))
            yield self._history[-1]
            began = time.perf_counter()
        raise ModelError(
            f"{config.train} yielded {len(self._history)} results, of {config.epochs} that `epochs` says: yield once "
            "an epoch, or change epochs"
        )

    def _result(self, values: Any, *, seconds: float) -> EpochResult:
        epoch, name = len(self._history) + 1, self._config.train
        numbers = _numbers(values, epoch=epoch, name=name)
        if self._history and numbers.keys() != self._history[0].metrics.keys():
            raise ModelError(
                f"{name} yields {', '.join(numbers)} in epoch {epoch}, and in the first one "
                f"{', '.join(self._history[0].metrics)}: yield the same names each epoch"
            )
        return EpochResult(epoch=epoch, seconds=seconds, finished_at=time.time(), metrics=numbers)

    def save(self, path: Path) -> None:
        content = {
            "format": CHECKPOINT_FORMAT,
            "config": json.loads(self._config.model_dump_json()),
            "history": [result.as_dict() for result in self._history],
            "saved": self._saved.epoch,
            "state": self._saved.state,
            "generators": self._saved.generators,
        }
        write_with_checksum(path, pickle.dumps(content))


def _results(returned: Any, *, name: str) -> Iterator[Any]:
    if isinstance(returned, Mapping):
        yield returned
    elif isinstance(returned, Iterator):
        yield from returned
    else:
        raise ModelError(
            f"{name} returned a {type(returned).__name__}: yield a dictionary of numbers each epoch, or return one"
        )


def _numbers(values: Any, *, epoch: int, name: str) -> dict[str, float]:
    """Return what a function yielded, as numbers.

    Raises:
        ModelError: it is no dictionary of numbers.
        DivergedError: a number is not finite.
    """
    if not isinstance(values, Mapping) or not values:
        raise ModelError(f"{name} yielded {values!r} in epoch {epoch}: yield a dictionary such as {{'val_loss': 0.5}}")
    numbers: dict[str, float] = {}
    for key, value in values.items():
        if str(key) in TAKEN_METRICS or not METRIC_NAME.fullmatch(str(key)):
            raise ModelError(f"{name} yields a number called {str(key)!r}: give it another name, of letters and digits")
        try:
            numbers[str(key)] = float(value)
        except (TypeError, ValueError):
            raise ModelError(f"{name} yielded {key}={value!r} in epoch {epoch}: that is no number") from None
        if not math.isfinite(numbers[str(key)]):
            raise DivergedError(epoch=epoch, loss=numbers[str(key)], what=str(key), advice="try other parameters")
        if key in SHARES and not 0 <= numbers[str(key)] <= 1:
            raise ModelError(f"{name} yields {key}={value!r}: an accuracy is a share, from 0 to 1")
    return numbers


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        content = pickle.loads(verified_payload(read_file(path)))
    except Exception as error:  # a pickle of anything may raise anything
        raise CheckpointError(f"{path} cannot be read ({error}): delete it, and the run begins anew") from error
    if not isinstance(content, dict) or content.get("format") != CHECKPOINT_FORMAT:
        raise CheckpointError(f"{path} is of another format: delete it, and the run begins anew")
    return content
