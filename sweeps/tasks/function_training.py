"""One call of a training function: what it is given, what it yields, and its checkpoint."""

from __future__ import annotations

import inspect
import json
import math
import os
import pickle
import random
import re
import sys
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

CHECKPOINT_FORMAT = 1
_TAKEN = frozenset(
    {"epoch", "seconds", "finished_at", "val_confusion", "epoch_seconds", "epochs", "train_seconds", "objective"}
    | {"test_accuracy", "test_loss", "best_val_accuracy", "parameters_millions"}
)
"""Names of numbers that the record has of each run, which no function may yield."""
_NAME = re.compile(r"[\w\-. :/]+")
"""Of a metric, as MLflow takes it."""
_SHARES = ("val_accuracy", "train_accuracy")


class Trial:
    """What a training function is given."""

    def __init__(self, *, seed: int, device: str, cpus: int, epoch: int, state: Any) -> None:
        """Hand over what there is.

        Args:
            seed: of this run.
            device: `cpu` or `cuda`.
            cpus: cores that it may use.
            epoch: epochs that it need not train again.
            state: what was saved with the last of them.
        """
        self.seed = seed
        self.device = device
        self.cpus = cpus
        self.epoch = epoch
        """Epochs trained so far, as far as they were saved: 0 at a fresh start."""
        self._state = state
        self._saved: tuple[int, bytes] | None = None
        self._yielded = epoch

    def load(self) -> Any:
        """Return what the last `save` kept, None at a fresh start."""
        return self._state

    def save(self, state: Any) -> None:
        """Keep a state for a later start: call it before the `yield` of the epoch that it follows.

        Args:
            state: anything that `pickle` takes; it is copied.
        """
        self._saved = (self._yielded + 1, pickle.dumps(state))

    def after(self, epoch: int) -> tuple[int, bytes] | None:
        """Take note that an epoch has ended; return which epoch was saved last, and its state."""
        self._yielded = epoch
        return self._saved


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
        state: bytes | None = None,
    ) -> None:
        """Prepare the call.

        Args:
            function: yields the numbers of each epoch.
            config: its keyword arguments, as JSON has them.
            arguments: the same as the function's own types, without `epochs` and `seed`.
            files: values of the arguments that may be paths of files that it reads.
            device: `cpu` or `cuda`.
            history: the epochs that need not be trained again.
            state: what `Trial.save` kept after the last of them, pickled.
        """
        self._function = function
        self._config = config
        self._arguments = arguments
        self._files = files
        self._device = device
        self._history = list(history)
        self._saved = (len(self._history), state)

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
        config, (done, state) = self._config, self._saved
        trial = Trial(
            seed=config.seed,
            device=self._device,
            cpus=int(self.environment["threads"]),
            epoch=done,
            state=None if state is None else pickle.loads(state),
        )
        known = inspect.signature(self._function).parameters
        own = {name: getattr(config, name) for name in ("epochs", "seed") if name in known}
        _seed_libraries(config.seed)
        began = time.perf_counter()
        for values in _results(self._function(trial, **self._arguments, **own), name=config.train):
            self._history.append(self._result(values, seconds=time.perf_counter() - began))
            self._saved = trial.after(len(self._history)) or self._saved
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
        saved, state = self._saved
        content = {
            "format": CHECKPOINT_FORMAT,
            "config": json.loads(self._config.model_dump_json()),
            "history": [result.as_dict() for result in self._history],
            "saved": saved,
            "state": state,
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
        if str(key) in _TAKEN or not _NAME.fullmatch(str(key)):
            raise ModelError(f"{name} yields a number called {str(key)!r}: give it another name, of letters and digits")
        try:
            numbers[str(key)] = float(value)
        except (TypeError, ValueError):
            raise ModelError(f"{name} yielded {key}={value!r} in epoch {epoch}: that is no number") from None
        if not math.isfinite(numbers[str(key)]):
            raise DivergedError(epoch=epoch, loss=numbers[str(key)], what=str(key), advice="try other parameters")
        if key in _SHARES and not 0 <= numbers[str(key)] <= 1:
            raise ModelError(f"{name} yields {key}={value!r}: an accuracy is a share, from 0 to 1")
    return numbers


def _seed_libraries(seed: int) -> None:
    """Seed the generators of what is loaded; nothing is imported for it."""
    random.seed(seed)
    if (numpy := sys.modules.get("numpy")) is not None:
        numpy.random.seed(seed)
    if (torch := sys.modules.get("torch")) is not None:
        torch.manual_seed(seed)


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
