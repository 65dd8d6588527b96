"""A training function of the user's own as a task: `train: "mine:train"` in a sweep's file.

    def train(trial, *, learning_rate: float, epochs: int = 10):
        weights = trial.load() or initial()
        for epoch in range(trial.epoch, epochs):
            ...
            trial.save(weights)
            yield {"val_loss": ...}

Its keywords are the parameters of the search, their defaults and annotations say what they take. It yields the numbers
of each epoch. Nothing here imports torch: a function of numpy, XGBoost or plain Python is trained as well.
"""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import os
import pickle
import random
import re
import sys
import time
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, create_model

from cifar_core.common.errors import CheckpointError, DivergedError, ModelError, closest
from cifar_core.common.files import read_whole
from cifar_core.common.own_import import importing
from cifar_core.common.own_modules import code_of, parse_name
from cifar_core.common.seal import unsealed, write_sealed
from cifar_core.common.source import Sources
from cifar_core.common.validation import StrictModel
from sweeps.core.results import EpochResult, TestResult
from sweeps.core.task import LAST_SEED, DatasetPart, OnStep, Probe, Rehearsal, TaskMetric
from sweeps.tasks.values import short_value

CHECKPOINT_FORMAT = 1
KEY_VERSION = 1
"""Part of every key of a function's run. Raised where the same configuration would be trained otherwise."""

_OWN_FIELDS = ("train", "epochs", "seed")
RESERVED = frozenset(
    {"train", "rank", "sweep", "rung", "trial", "run_id", "status", "key", "metric", "goal", "protocol", "source"}
    | {"study", "error", "log", "confirmed", "reduced", "replicates", "started", "git_sha"}
)
"""Names that the record's columns have, and no keyword."""
_TAKEN = frozenset(
    {"epoch", "seconds", "finished_at", "val_confusion", "epoch_seconds", "epochs", "train_seconds", "objective"}
    | {"test_accuracy", "test_loss", "best_val_accuracy", "parameters_millions"}
)
"""Names of numbers that the record has of each run, and no function yields."""
_NAME = re.compile(r"[\w\-. :/]+")
"""Of a metric, as MLflow takes it."""
_SHARES = ("val_accuracy", "train_accuracy")
_BY_PLACE = inspect.Parameter.POSITIONAL_OR_KEYWORD
_DESCRIBED = 3
"""Values of a configuration that its description shows."""


class FunctionConfig(BaseModel):
    """The keyword arguments of one call of a training function, as it was recorded: any keyword is taken."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    train: str
    """Import path of the function, `module:function`."""
    epochs: int = Field(default=1, ge=1)
    """How many results it yields."""
    seed: int = Field(default=0, ge=0, le=LAST_SEED)
    """What `trial.seed` is."""

    def arguments(self) -> dict[str, Any]:
        """Return what the function is called with, besides the trial, `epochs` and `seed`."""
        return {name: value for name, value in self.model_dump().items() if name not in _OWN_FIELDS}

    def canonical(self) -> dict[str, Any]:
        values = self.model_dump(mode="json")
        del values["seed"]
        return dict(sorted(values.items()))

    def resolved(self) -> dict[str, Any]:
        return self.model_dump(mode="json")

    def dotted(self, *, only_said: bool = False) -> dict[str, Any]:
        return self.canonical() if only_said else self.resolved()

    def protocol(self) -> dict[str, int]:
        return {"train_images": 0, "validation_images": 0, "split_seed": 0, "epochs": self.epochs}

    def shortened(self, scale: float) -> Self:
        return self.model_copy(update={"epochs": max(1, round(self.epochs * scale))})

    def is_same_run(self, other: Any) -> bool:
        return (self.canonical(), self.seed) == (other.canonical(), other.seed)

    def config_id(self) -> str:
        return _digest(self.canonical())

    def key(self, *, data_fingerprint: str, source_hash: str | None = None) -> str:
        identity = {"key_version": KEY_VERSION, "config": self.canonical(), "seed": self.seed, "data": data_fingerprint}
        return _digest(identity | ({} if source_hash is None else {"source": source_hash}))


class _Keywords(StrictModel, FunctionConfig):
    """Base of a function's own configuration: a keyword that it does not have is refused."""


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


class FunctionTask:
    """A training function of the user's own."""

    metrics: Mapping[str, TaskMetric] = {}
    examples_there_are = 0
    test_examples = 0
    class_names: Sequence[str] = ()
    sized: Sequence[str] = ()
    fields_of_kind: Mapping[str, Mapping[str, tuple[str, ...]]] = {}
    reset_by_name: tuple[str, ...] = ()
    epoch_fields: tuple[str, ...] = ()
    part_fields: tuple[str, ...] = ()

    def __init__(self, name: str) -> None:
        """Import nothing yet.

        Args:
            name: import path of the function, `module:function`.
        """
        self.name = name

    @cached_property
    def function(self) -> Callable[..., Any]:
        """The function, imported from files that say what was hashed.

        Raises:
            ModelError: it cannot be imported, or is no function.
        """
        return _attribute(self.name)

    @cached_property
    def config_type(self) -> type[FunctionConfig]:
        """The configuration with the function's keywords as fields.

        Raises:
            ModelError: the function cannot be imported, or has no signature that a search can fill.
        """
        fields: dict[str, Any] = {"train": (Literal[self.name], self.name)}
        for keyword in _keywords(self.function, name=self.name):
            # One without a default has to be set by the file, which `missing` looks at: not by each part of it.
            default = None if keyword.default is keyword.empty else keyword.default
            if keyword.name == "epochs":
                fields["epochs"] = (int, Field(default=default or 1, ge=1))
            elif keyword.name not in _OWN_FIELDS:
                kind = _type_of(keyword)
                fields[keyword.name] = (kind | None if keyword.default is keyword.empty else kind, default)
        try:
            model: type[FunctionConfig] = create_model(f"keywords of {self.name}", __base__=_Keywords, **fields)
        except Exception as error:  # of a type or a default that pydantic does not know
            raise ModelError(f"train {self.name!r}: its keywords cannot be searched: {error}") from error
        return model

    @property
    def untyped_fields(self) -> Sequence[str]:
        return [each.name for each in _keywords(self.function, name=self.name) if each.annotation is each.empty]

    def missing(self, given: Collection[str]) -> list[str]:
        keywords = _keywords(self.function, name=self.name)
        required = [each.name for each in keywords if each.default is each.empty]
        return [name for name in required if name not in (*given, "seed")]

    def used_fields(self, block: str, kind: str) -> tuple[str, ...]:
        return ()

    def config_warnings(self, config: FunctionConfig) -> list[str]:
        return []

    def space_warnings(self, space: Any) -> list[str]:
        return []

    def examples(self, config: FunctionConfig) -> int:
        return 0

    def resized(self, config: FunctionConfig, examples: int) -> FunctionConfig:
        return config

    def scaled(self, config: FunctionConfig, *, lr: float, width: Mapping[str, int]) -> FunctionConfig:
        return config

    def final_config(self, config: FunctionConfig) -> FunctionConfig:
        return config

    def final_file(self, content: dict[str, Any], config: FunctionConfig) -> None:
        """The function alone knows what it validates on."""

    def retrained(
        self, config: FunctionConfig, *, epochs: int | None, examples: int | Literal["all"] | None
    ) -> FunctionConfig:
        return self.config_type.model_validate(config.model_dump() | ({} if epochs is None else {"epochs": epochs}))

    def data_place(self) -> str:
        return f"the data of {self.name}"

    def data_fault(self) -> str | None:
        return None

    def fetch_data(self) -> str:
        return f"{self.name} brings its own data"

    def data_fingerprint(self) -> str:
        return ""

    def code_of(self, config: FunctionConfig) -> str | None:
        return config.train

    def label(self, config: FunctionConfig) -> str:
        return config.train

    def describe(self, config: FunctionConfig) -> str:
        values = list(config.arguments().items())[:_DESCRIBED]
        return ", ".join(f"{name} {short_value(value)}" for name, value in values) or self.name

    def named_files(self, config: FunctionConfig) -> Sequence[str]:
        texts = [value for value in config.arguments().values() if isinstance(value, str)]
        return [text for text in texts if os.sep in text or Path(text).suffix]

    def part_name(self, config: FunctionConfig) -> Hashable:
        return None

    def load_parts(self, configs: Sequence[FunctionConfig]) -> Mapping[Hashable, Any]:
        return {None: None}

    def size_of(self, parts: Mapping[Hashable, Any]) -> int:
        return 0

    def enter(self, *, cpus: int, device: str, gpu_share: float) -> None:
        os.environ["OMP_NUM_THREADS"] = str(cpus)
        if (torch := sys.modules.get("torch")) is not None:
            torch.set_num_threads(cpus)

    def free_memory(self) -> None:
        import gc

        gc.collect()

    def start(self, config: FunctionConfig, part: Any, *, device: str) -> FunctionTraining:
        return FunctionTraining(self, config, device=device)

    def load(self, path: Path, config: FunctionConfig, part: Any, *, device: str) -> FunctionTraining:
        stored = _read(path)
        if stored["config"] != json.loads(config.model_dump_json()):
            raise CheckpointError(f"{path} is of another configuration: delete it, or name another sweep")
        history = [EpochResult.from_dict(each) for each in stored["history"]][: stored["saved"]]
        return FunctionTraining(self, config, device=device, history=history, state=stored["state"])

    def dataset_inputs(self, config: FunctionConfig | None) -> Sequence[DatasetPart]:
        return []

    def load_test(self) -> Any:
        return None

    def measure(
        self, checkpoint: Path, test: Any, *, device: str, part_of: Callable[[FunctionConfig], Any]
    ) -> TestResult:
        raise CheckpointError(f"{self.name} has no sealed part: it cannot be measured on one")

    def is_complete(self, checkpoint: Path) -> bool:
        stored = _read(checkpoint)
        return bool(len(stored["history"]) == stored["config"]["epochs"])

    def kind_of(self, config: FunctionConfig) -> str:
        return config.train

    def needs_rehearsal(self, config: FunctionConfig) -> bool:
        return False

    def plain_fault(self, config: FunctionConfig) -> str | None:
        return None

    def rehearse(self, config: FunctionConfig) -> Rehearsal:
        return Rehearsal()

    def probe(self, *, threads: int) -> Probe | None:
        return None


class FunctionTraining:
    """One call of a training function between two of its results."""

    steps_per_epoch = 0
    parameters: int | None = None

    def __init__(
        self,
        task: FunctionTask,
        config: FunctionConfig,
        *,
        device: str,
        history: Sequence[EpochResult] = (),
        state: bytes | None = None,
    ) -> None:
        """Call nothing yet.

        Args:
            task: of the function.
            config: its keyword arguments.
            device: `cpu` or `cuda`.
            history: the epochs that need not be trained again.
            state: what `Trial.save` kept after the last of them, pickled.
        """
        self.history = list(history)
        self._task = task
        self._config = config
        self._device = device
        self._saved = (len(self.history), state)

    @property
    def source(self) -> Mapping[str, str] | None:
        found = Sources().of(self._task.name, files=self._task.named_files(self._config))
        return None if found is None else found.files

    @property
    def environment(self) -> Mapping[str, str]:
        return {"device": self._device, "threads": os.environ.get("OMP_NUM_THREADS", "1")}

    def epochs(self, *, on_step: OnStep) -> Iterator[EpochResult]:
        function, config, (done, state) = self._task.function, self._config, self._saved
        trial = Trial(
            seed=config.seed,
            device=self._device,
            cpus=int(self.environment["threads"]),
            epoch=done,
            state=None if state is None else pickle.loads(state),
        )
        known = inspect.signature(function).parameters
        # As the function's own types: the record has them as JSON does.
        called = self._task.config_type.model_validate(config.model_dump())
        own = {name: getattr(config, name) for name in ("epochs", "seed") if name in known}
        _seed_libraries(config.seed)
        began = time.perf_counter()
        arguments = {each: getattr(called, each) for each in config.arguments()}
        for values in _results(function(trial, **arguments, **own), name=self._task.name):
            epoch = len(self.history) + 1
            numbers = _numbers(values, epoch=epoch, name=self._task.name)
            if self.history and numbers.keys() != self.history[0].metrics.keys():
                raise ModelError(
                    f"{self._task.name} yields {', '.join(numbers)} in epoch {epoch}, and in the first one "
                    f"{', '.join(self.history[0].metrics)}: yield the same names each epoch"
                )
            ended = time.perf_counter()
            self.history.append(
                EpochResult(
                    epoch=epoch,
                    seconds=ended - began,
                    finished_at=time.time(),
                    metrics=numbers,
                )
            )
            self._saved = trial.after(epoch) or self._saved
            yield self.history[-1]
            began = time.perf_counter()
        raise ModelError(
            f"{self._task.name} yielded {len(self.history)} results, of {config.epochs} that `epochs` says: yield once "
            "an epoch, or change epochs"
        )

    def save(self, path: Path) -> None:
        saved, state = self._saved
        content = {
            "format": CHECKPOINT_FORMAT,
            "config": json.loads(self._config.model_dump_json()),
            "history": [result.as_dict() for result in self.history],
            "saved": saved,
            "state": state,
        }
        write_sealed(path, pickle.dumps(content))

    def draw(self, writer: Any) -> None:
        """There is nothing to see but the numbers."""


def _attribute(path: str) -> Callable[..., Any]:
    module_name, name = parse_name(path)
    try:
        with importing(code_of(path)) as module:
            found = getattr(module, name, None)
    except ModelError:
        raise
    except (Exception, SystemExit) as error:
        raise ModelError(
            f"train {path!r}: importing {module_name!r} raised {type(error).__name__}: {error}; "
            f"try `python -c 'import {module_name}'`"
        ) from error
    if found is None:
        known = [each for each, value in vars(module).items() if inspect.isfunction(value)]
        raise ModelError(f"train {path!r}: {module_name!r} ({module.__file__}) has no {name!r}: {closest(name, known)}")
    if not callable(found):
        raise ModelError(f"train {path!r}: {name} is a {type(found).__name__}, not a function")
    return found  # type: ignore[no-any-return]


def _keywords(function: Callable[..., Any], *, name: str) -> list[inspect.Parameter]:
    """Return what a search may set of a function: all its parameters but the first, which is the trial.

    Raises:
        ModelError: it takes no trial, or something that has no name.
    """
    parameters = list(inspect.signature(function).parameters.values())
    others = parameters[1:]
    if not parameters or parameters[0].kind not in (inspect.Parameter.POSITIONAL_ONLY, _BY_PLACE):
        raise ModelError(f"train {name!r}: its first parameter is the trial: write `def train(trial, *, ...)`")
    for each in others:
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD, each.POSITIONAL_ONLY):
            raise ModelError(f"train {name!r}: {each.name} has no name for a search: make it a keyword")
        if each.name in RESERVED or each.name.startswith("_") or hasattr(FunctionConfig, each.name):
            raise ModelError(f"train {name!r}: a keyword cannot be called {each.name!r} here: give it another name")
    if inspect.isgeneratorfunction(function) and "epochs" not in {each.name for each in others}:
        raise ModelError(f"train {name!r}: it yields once an epoch and has no keyword `epochs` that says how often")
    return [each.replace(annotation=_evaluated(each, function, name=name)) for each in others]


def _evaluated(keyword: inspect.Parameter, function: Callable[..., Any], *, name: str) -> Any:
    """Return an annotation, that of a module with `from __future__ import annotations` too."""
    if not isinstance(keyword.annotation, str):
        return keyword.annotation
    try:
        return eval(keyword.annotation, getattr(function, "__globals__", {}))
    except Exception as error:
        raise ModelError(f"train {name!r}: the annotation {keyword.annotation!r} of {keyword.name}: {error}") from error


def _type_of(keyword: inspect.Parameter) -> Any:
    if keyword.annotation is not keyword.empty:
        return keyword.annotation
    if keyword.default in (keyword.empty, None):
        return bool | int | float | str | list[Any] | dict[str, Any]
    # 1 for a learning rate is a number, and so is 0.5 for a default of 1: what is not annotated takes both.
    kind = type(keyword.default)
    return float if kind is float else int | float if kind is int else kind


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


def _read(path: Path) -> dict[str, Any]:
    """Return what a checkpoint holds.

    Raises:
        CheckpointError: it cannot be read.
    """
    try:
        content = pickle.loads(unsealed(read_whole(path)))
    except Exception as error:  # a pickle of anything may raise anything
        raise CheckpointError(f"{path} cannot be read ({error}): delete it, and the run begins anew") from error
    if not isinstance(content, dict) or content.get("format") != CHECKPOINT_FORMAT:
        raise CheckpointError(f"{path} is of another format: delete it, and the run begins anew")
    return content


def _digest(value: Mapping[str, Any]) -> str:
    canonical_json = json.dumps(value, sort_keys=True, separators=(",", ":"), default=list)
    return hashlib.sha256(canonical_json.encode()).hexdigest()[:16]
