"""A custom training function as a task: `train: "mine:train"` in a sweep file.

    def train(trial, *, learning_rate: float, epochs: int = 10):
        weights = trial.load() or initial()
        for epoch in range(trial.epoch, epochs):
            ...
            trial.save(weights)
            yield {"val_loss": ...}

Its keywords are the parameters of the search (`function_signature`). It yields the metrics of each epoch
(`function_training`). torch is not imported here, since the function may use numpy, XGBoost or plain Python.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from cifar_core.common.errors import CheckpointError, ModelError
from cifar_core.common.files import existing_versions
from cifar_core.common.user_modules import FUNCTION
from sweeps.core.results import EpochResult, TestResult
from sweeps.core.task import FILES, Part, Parts, Task
from sweeps.system.machine import local_gpus
from sweeps.tasks.function_data import DATA, TEST, DataSet, TrialData, load_data, seal_data, size_of
from sweeps.tasks.function_predict import PREDICT_FUNCTION, call_predict, predict_function
from sweeps.tasks.function_signature import (
    FunctionConfig,
    config_type_of,
    import_function,
    required_keywords,
    takes_epochs,
    untyped_keywords,
)
from sweeps.tasks.function_test import TEST_FUNCTION, call_test, test_function
from sweeps.tasks.function_training import FunctionTraining, read_checkpoint
from sweeps.tasks.function_trial import Saved, Trial, seed_generators
from sweeps.tasks.values import short_value

_MAX_DESCRIBED = 3
"""Maximum number of values in the description of a configuration."""


_NO_DATA = "predict has no trial.data. Save what it needs from the data with trial.save"


class FunctionTask(Task[FunctionConfig]):
    """A custom training function, imported when its signature is read or it is trained."""

    code_kind = FUNCTION
    logs_artifacts = True

    def __init__(self, name: str) -> None:
        """Create the task.

        Args:
            name: Import path, `module:function`.
        """
        self.name = name

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The function, imported from files whose content was hashed.

        Raises:
            ModelError: It cannot be imported, or is not a function.
        """
        return import_function(self.name)

    @cached_property
    def config_type(self) -> type[FunctionConfig]:
        """The configuration whose fields are the function's keywords.

        Raises:
            ModelError: The function cannot be imported, or its signature is not supported.
        """
        return config_type_of(self.function, name=self.name)

    @property
    def untyped_fields(self) -> Sequence[str]:
        return untyped_keywords(self.function, name=self.name)

    def missing(self, given: Collection[str]) -> list[str]:
        return [name for name in required_keywords(self.function, name=self.name) if name not in given]

    def code_of(self, config: FunctionConfig) -> str | None:
        return config.train

    def label(self, config: FunctionConfig) -> str:
        return config.train

    def describe(self, config: FunctionConfig) -> str:
        values = list(config.arguments().items())[:_MAX_DESCRIBED]
        return ", ".join(f"{name} {short_value(value)}" for name, value in values) or self.name

    def named_files(self, config: FunctionConfig) -> Sequence[str]:
        texts = [value for value in config.arguments().values() if isinstance(value, str)]
        return [text for text in texts if os.sep in text or Path(text).suffix]

    def enter(self, *, cpus: int, device: str, gpu_share: float) -> None:
        os.environ["OMP_NUM_THREADS"] = str(cpus)
        if (torch := sys.modules.get("torch")) is not None:
            torch.set_num_threads(cpus)

    def free_memory(self) -> None:
        gc.collect()

    @cached_property
    def _data_set(self) -> DataSet | None:
        """The data set that its module declares, loaded once for this task; None if it declares none."""
        assert self.function is not None, "imported"
        return load_data(self._module)

    @property
    def _module(self) -> str:
        return self.name.partition(":")[0]

    def data_location(self) -> str:
        return f"the data of {self._module}.{DATA}()"

    def data_fingerprint(self, config: FunctionConfig) -> str:
        return "" if self._data_set is None else self._data_set.fingerprint

    def load_parts(self, configs: Sequence[FunctionConfig]) -> Parts:
        return {None: None if self._data_set is None else self._data_set.for_trials}

    def size_of(self, parts: Parts) -> int:
        return size_of(parts)

    def start(self, config: FunctionConfig, part: Any, *, device: str) -> FunctionTraining:
        return self._training(config, part, device=device, history=(), saved=None)

    def load(self, path: Path, config: FunctionConfig, part: Any, *, device: str) -> FunctionTraining:
        stored = read_checkpoint(path)
        if stored["config"] != json.loads(config.model_dump_json()):
            raise CheckpointError(f"{path} is of another configuration. Delete it, or use another sweep name")
        saved = _saved(stored)
        history = _history(stored)[: saved.epoch]
        return self._training(config, part, device=device, history=history, saved=saved)

    def _training(
        self, config: FunctionConfig, part: Any, *, device: str, history: Sequence[EpochResult], saved: Saved | None
    ) -> FunctionTraining:
        function = self.function
        seal_data(self._module)
        return FunctionTraining(
            function,
            config,
            arguments=self._arguments(config),
            files=self.named_files(config),
            device=device,
            data=None if part is None else TrialData(part, module=self._module),
            history=history,
            saved=saved,
        )

    def _arguments(self, config: FunctionConfig) -> dict[str, Any]:
        # Recorded values have JSON types, such as a list for a tuple; the function gets the annotated types.
        typed = self.config_type.model_validate(config.model_dump())
        return {name: getattr(typed, name) for name in config.arguments()}

    def is_complete(self, checkpoint: Path) -> bool:
        stored = read_checkpoint(checkpoint)
        return bool(len(stored["history"]) == stored["config"]["epochs"])

    def retrained(
        self, config: FunctionConfig, *, epochs: int | None, examples: int | Literal["all"] | None
    ) -> FunctionConfig:
        if epochs is not None and not takes_epochs(self.function, name=self.name):
            raise ModelError(f"{self.name} has no keyword `epochs`: it returns one result")
        return super().retrained(config, epochs=epochs, examples=examples)

    def test_fault(self, config: FunctionConfig) -> str | None:
        if self._test_function is not None:
            return None
        return (
            f"{self._module} has no function `{TEST_FUNCTION}(trial, **config)` that evaluates a complete run. Add it"
        )

    @property
    def _test_function(self) -> Callable[..., Any] | None:
        assert self.function is not None, "imported"
        return test_function(self._module)

    def seals_data(self, config: FunctionConfig) -> bool:
        return self._data_set is not None and TEST in self._data_set.parts

    def load_test(self, config: FunctionConfig) -> Any:
        return None if self._data_set is None else self._data_set.test

    def measure(
        self, checkpoint: Path, test: Any, *, device: str, part_of: Callable[[FunctionConfig], Part]
    ) -> TestResult:
        function = self._test_function
        if function is None:
            raise CheckpointError(f"the function {self.name} has no test part")
        seal_data(self._module)
        stored = read_checkpoint(file := _readable(checkpoint))
        config = FunctionConfig.model_validate(stored["config"])
        part = part_of(config)
        saved, history = _saved(stored), _history(stored)
        if len(history) < config.epochs:  # the last checkpoint is damaged
            training = self.load(file, config, part, device=_device(device))
            training.use_folders(checkpoint.parent / FILES, None)
            rest = training.epochs(on_step=lambda loss: None)
            while len(training.history) < config.epochs:
                next(rest)
            saved, history = training.saved, list(training.history)
        data = None
        if part is not None or test is not None:
            data = TrialData({**(part or {}), **({} if test is None else {TEST: test})}, module=self._module)
        return call_test(
            function,
            self._complete_trial(config, saved, device=_device(device), folder=checkpoint.parent / FILES, data=data),
            self._all_arguments(config),
            trained=history[-1].metrics,
            name=f"{self._module}:{TEST_FUNCTION}",
        )

    def predict_fault(self, config: FunctionConfig) -> str | None:
        if self._predict_function is not None:
            return None
        return (
            f"{self._module} has no function `{PREDICT_FUNCTION}(trial, inputs, **config)`. Add one that returns a "
            "list with a prediction for each of the inputs"
        )

    @property
    def _predict_function(self) -> Callable[..., Any] | None:
        assert self.function is not None, "imported"
        return predict_function(self._module)

    def predict(
        self, checkpoint: Path, config: FunctionConfig, inputs: Sequence[str], *, device: str
    ) -> Sequence[Mapping[str, Any]]:
        function = self._predict_function
        assert function is not None, "`predict_fault` has no fault"
        stored = read_checkpoint(_readable(checkpoint))
        if len(_history(stored)) < config.epochs:
            raise CheckpointError(f"{checkpoint} is damaged. Run `sweeps rerun RUN` to restore it")
        trial = self._complete_trial(
            config, _saved(stored), device=_device(device), folder=checkpoint.parent / FILES, without_data=_NO_DATA
        )
        name = f"{self._module}:{PREDICT_FUNCTION}"
        return call_predict(function, trial, inputs, self._all_arguments(config), name=name)

    def _complete_trial(self, config: FunctionConfig, saved: Saved, *, device: str, folder: Path, **data: Any) -> Trial:
        """Return the trial of a complete run, whose state was saved after its last epoch."""
        if 0 < saved.epoch < config.epochs:
            raise CheckpointError(
                f"{self.name} saved its last state after epoch {saved.epoch} of {config.epochs}. Call trial.save in "
                "the last epoch, so that this state is used"
            )
        seed_generators(config.seed)
        cpus = int(os.environ.get("OMP_NUM_THREADS", "1"))
        return Trial(seed=config.seed, device=device, cpus=cpus, saved=saved, folder=folder, **data)

    def _all_arguments(self, config: FunctionConfig) -> dict[str, Any]:
        return {**self._arguments(config), "epochs": config.epochs, "seed": config.seed}


def _device(device: str) -> str:
    if device != "auto":
        return device
    return "cuda" if local_gpus() else "cpu"


def _saved(stored: Mapping[str, Any]) -> Saved:
    return Saved(epoch=stored["saved"], state=stored["state"], generators=stored.get("generators"))


def _history(stored: Mapping[str, Any]) -> list[EpochResult]:
    return [EpochResult.from_dict(each) for each in stored["history"]]


def _readable(checkpoint: Path) -> Path:
    """Return the newest checkpoint that can be read, of a file and its previous version.

    Raises:
        CheckpointError: there is none.
    """
    *files, last = existing_versions(checkpoint)
    for file in files:
        with contextlib.suppress(CheckpointError):
            read_checkpoint(file)
            return file
    return last
