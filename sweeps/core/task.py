"""The contract between the sweep runner and the training code.

A task has a type of configuration, data to train on, and a training that can be saved after each epoch and resumed. The
runner is independent of networks and examples. Five members of `Task` and three of `Training` are required:

    class Task:
        name            its name in sweep files and in the record
        config_type     the validated configuration of one trial; see `PlainConfig`
        start           return a training before its first epoch
        load            return a training from its checkpoint
        is_complete     return whether a checkpoint is of a finished training

    class Training:
        history         the results of the epochs so far
        epochs          train, and yield a result after each epoch
        save            write a checkpoint

All other members are optional and have defaults. They are grouped below: results, configuration, data, confirmation
part, test part, budget, checks before a training.

Under Ray a trial runs in another process, so the results of `load_parts` and `load_test` are pickled. Numpy arrays are
shared between processes without a copy.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, Self, TypeVar

from cifar_core.common.errors import CheckpointError
from cifar_core.common.user_modules import NETWORK, CodeKind

if TYPE_CHECKING:
    from sweeps.core.results import EpochResult, TestResult


class TaskConfig(Protocol):
    """The configuration of one trial, an immutable pydantic model."""

    @property
    def epochs(self) -> int:
        """Number of results that its training yields; 0 if only the training knows (`Training.has_ended`)."""
        ...

    @property
    def seed(self) -> int:
        """Seed of all random numbers of the training. Not part of `config_id`."""
        ...

    def canonical(self) -> dict[str, Any]:
        """Return the identifying values: without the seed, defaults and unused fields."""
        ...

    def resolved(self) -> dict[str, Any]:
        """Return every value that the run uses, nested, with defaults."""
        ...

    def dotted(self, *, only_non_default: bool = False) -> dict[str, Any]:
        """Return every value that the run uses, by the dotted path that sets it in a file.

        Args:
            only_non_default: leave out defaults and the seed.
        """
        ...

    def protocol(self) -> dict[str, Any]:
        """Return the fields of `sweeps.core.identity.Protocol`."""
        ...

    def shortened(self, scale: float) -> Self:
        """Return the configuration with a share of its epochs, at least one. Fields counted in epochs are scaled."""
        ...

    def is_same_run(self, other: Any) -> bool:
        """Return whether both compute the same: they may differ only in fields without effect."""
        ...

    def config_id(self) -> str:
        """Return the hash of the configuration without its seed: equal for replicates."""
        ...

    def key(self, *, data_fingerprint: str, source_hash: str | None = None) -> str:
        """Return the hash of configuration, seed, data and custom code; 16 hexadecimal digits."""
        ...

    def model_dump(self, *, mode: str = "python") -> dict[str, Any]:
        """Return all fields, nested."""
        ...

    def model_dump_json(self) -> str:
        """Return all fields as JSON."""
        ...

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """Return a copy with updated fields, without validation."""
        ...

    @classmethod
    def model_validate(cls, obj: Any) -> Self:
        """Return the configuration of a mapping.

        Raises:
            pydantic.ValidationError: the mapping is not a valid configuration.
        """
        ...

    @classmethod
    def model_validate_json(cls, json_data: str) -> Self:
        """Return the configuration of a text from `model_dump_json`."""
        ...


LAST_SEED = 2**32 - 1
"""The largest valid seed."""
FILES = "files"
"""Name of the folder of a training's own files (`Training.use_folders`), next to its checkpoint."""

Part = Any
"""Training and validation data of one trial, never test data."""
Parts = Mapping[Hashable, Part]
"""The parts of all trials of a sweep, by `Task.part_name`."""


def confirmation_key(name: str) -> Hashable:
    """Return the name among `Parts` of a confirmation part."""
    return "confirmation", name


OnStep = Callable[[Any], None]
"""Called with the loss of each step, a tensor if the task uses torch. It may raise to end the training."""


_DIGITS = 12
"""Significant digits of a product: 3 × 0.1 is 0.3, as one writes it into a file."""


def product(first: float, second: float) -> float:
    """Return a product without rounding noise, since it becomes part of a run's identity."""
    if 1 in (first, second):
        return first if second == 1 else second  # exact
    return float(f"{first * second:.{_DIGITS}g}")


class TimedOutError(BaseException):
    """A training took longer than a limit. A base exception, so that a training does not catch it by accident.

    Attributes:
        error_class: The `sweeps.core.trial.ErrorClass` of the limit.
    """

    def __init__(self, message: str, *, error_class: str) -> None:
        super().__init__(message)
        self.error_class = error_class


class Training(ABC):
    """The training of one trial, in the state after an epoch."""

    @property
    @abstractmethod
    def history(self) -> Sequence[EpochResult]:
        """The results of the epochs trained so far, first to last."""

    @abstractmethod
    def epochs(self, *, on_step: OnStep) -> Iterator[EpochResult]:
        """Train the remaining epochs. Yield the result of each after adding it to `history`.

        Args:
            on_step: called with the loss of each step, or with None while it waits. It may raise to end the training.

        Raises:
            DivergedError: the loss is not a finite number.
            TimedOutError: an epoch takes too long. It is raised anywhere in the code of the training.
        """

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write a checkpoint atomically, and keep the previous one (`checksum_file.write_with_checksum`).

        Raises:
            OSError: it cannot be written. The previous one is unchanged.
        """

    def use_folders(self, folder: Path, artifacts: Path) -> None:  # noqa: B027  # optional
        """Receive two folders before `epochs` is called. Neither may exist yet.

        Args:
            folder: for the training's own files. It is kept across an interruption, and deleted with the checkpoint.
            artifacts: for files that are stored in the run in MLflow at the end of the trial.
        """

    def use_log(self, log: Path) -> None:  # noqa: B027  # optional
        """Receive the log of the trial before `epochs` is called."""

    def confirm(self, part: Part) -> Mapping[str, float]:
        """Return metrics, named as in an epoch, of the trained model on a confirmation part."""
        raise NotImplementedError("the task has no confirmation part")

    @property
    def has_ended(self) -> bool | None:
        """Whether the last result in `history` is the last one; None if `epochs` of the configuration decides."""
        return None

    @property
    def source(self) -> Mapping[str, str] | None:
        """Hashes of the custom files that it runs (`Source.files`); None if there are none."""
        return None

    @property
    def parameters(self) -> int | None:
        """Number of trainable parameters; None if it has none."""
        return None

    @property
    def memory_bytes(self) -> int | None:
        """Largest memory of the processes that it started so far; None if it runs in this process."""
        return None

    @property
    def environment(self) -> Mapping[str, str]:
        """Properties of the machine that affect results: `device`, `threads`, versions."""
        return {}

    @property
    def steps_per_epoch(self) -> int:
        """Number of calls of `on_step` per epoch."""
        return 0

    def draw(self, writer: Any) -> None:  # noqa: B027  # optional
        """Add images or a graph to TensorBoard's `SummaryWriter`."""


ConfigT = TypeVar("ConfigT", bound=TaskConfig)


_DESCRIBED = 3
"""Number of values in the description of a configuration."""


@dataclass(frozen=True, kw_only=True)
class TaskMetric:
    """Display and direction of a metric that a task yields each epoch."""

    heading: str
    """Column heading with its unit: `val acc %`."""
    goal: Literal["maximize", "minimize"] | None = None
    """The better direction; None for a metric that no search can optimise, such as a learning rate."""
    shown: Callable[[float], str] = lambda value: f"{value:.6g}"
    """Formats a value."""


@dataclass(frozen=True, kw_only=True)
class DryRunResult:
    """The result of a dry run."""

    fault: str | None = None
    """Why the configuration cannot train; None if no fault was found."""
    warnings: tuple[str, ...] = ()
    """Suspicious findings in a configuration that trains."""


@dataclass(frozen=True, kw_only=True)
class DatasetPart:
    """A recorded part of a task's data."""

    name: str
    rows: int
    context: str
    """`training` or `validation`."""
    url: str
    """Home page of the data set."""
    schema: Mapping[str, str]


class Probe(Protocol):
    """Estimates the duration of runs on one slot alone. It times the steps of each kind of configuration once."""

    @property
    def timed(self) -> int:
        """Number of kinds of runs timed so far."""
        ...

    def is_timed(self, config: Any) -> bool:
        """Return whether the kind of a configuration was timed already."""
        ...

    def seconds(self, config: Any) -> float:
        """Return the estimated seconds of a full run."""
        ...

    def test_seconds(self, config: Any) -> float:
        """Return the estimated seconds of measuring a run on the test part."""
        ...


class Task(ABC, Generic[ConfigT]):
    """A kind of training that a sweep runs."""

    # Required

    name: str
    """Its name in sweep files and in the record."""

    @property
    @abstractmethod
    def config_type(self) -> type[ConfigT]:
        """The type of a trial's configuration."""

    @abstractmethod
    def start(self, config: ConfigT, part: Part, *, device: str) -> Training:
        """Return a training before its first epoch.

        Args:
            config: the configuration of the trial.
            part: its data, from `load_parts`.
            device: `cpu` or `cuda`.

        Raises:
            ModelError: the model cannot be built.
        """

    @abstractmethod
    def load(self, path: Path, config: ConfigT, part: Part, *, device: str) -> Training:
        """Return a training from a checkpoint.

        Raises:
            CheckpointError: it cannot be read, or is of another configuration.
        """

    @abstractmethod
    def is_complete(self, checkpoint: Path) -> bool:
        """Return whether a checkpoint is of a finished training, for the current code.

        Raises:
            CheckpointError: it cannot be read.
            SourceChangedError: the custom code has changed.
        """

    # Results

    @property
    def metrics(self) -> Mapping[str, TaskMetric]:
        """The metrics of an epoch in the order of their columns; empty if they are unknown before a training."""
        return {}

    @property
    def quantities(self) -> Mapping[str, TaskMetric]:
        """Numbers of a configuration that are known before its training, such as the size of a network."""
        return {}

    def quantity(self, name: str, config: ConfigT) -> float | None:
        """Return one of `quantities` of a configuration; None if it cannot be computed."""
        return None

    def class_names(self, config: ConfigT) -> Sequence[str]:
        """Class names of a classification, in the order of the confusion matrix; empty for other tasks."""
        return ()

    # Configuration

    def missing(self, given: Collection[str]) -> Sequence[str]:
        """Return the required fields that are not in `given`."""
        return ()

    @property
    def fields_of_kind(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        """Block of a configuration, to each value of its `name`, to the fields that it uses."""
        return {}

    def used_fields(self, block: str, kind: str) -> tuple[str, ...]:
        """Return the fields that a block uses under a `name`, without `name`."""
        return ()

    @property
    def reset_by_name(self) -> tuple[str, ...]:
        """Blocks whose other fields are reset if a file changes their `name`."""
        return ()

    @property
    def constant_fields(self) -> tuple[str, ...]:
        """Dotted paths of fields that must be the same for all trials of a sweep."""
        return ()

    @property
    def epoch_fields(self) -> tuple[str, ...]:
        """Dotted paths of fields that are counted in epochs."""
        return ()

    @property
    def untyped_fields(self) -> Sequence[str]:
        """Dotted paths of fields that take integers or floats, depending on the ends of a range in a file."""
        return ()

    def config_warnings(self, config: ConfigT) -> list[str]:
        """Return warnings about probable mistakes in a valid configuration, each `key: warning`."""
        return []

    def space_warnings(self, space: Any) -> list[str]:
        """Return warnings about probable mistakes in a valid `sweeps.files.space.SearchSpace`."""
        return []

    def describe(self, config: ConfigT) -> str:
        """Return a short description of a configuration by its most important values."""
        values = list(config.dotted(only_non_default=True).items())[:_DESCRIBED]
        return ", ".join(f"{name} {value}" for name, value in values) or self.name

    def label(self, config: ConfigT) -> str:
        """Return the name of the trained code, such as the network's name."""
        return self.name

    def code_of(self, config: ConfigT) -> str | None:
        """Return the import path, `module:Name`, of the custom code that a trial runs; None if there is none."""
        return None

    code_kind: CodeKind = NETWORK
    """The words for its custom code in messages."""

    logs_artifacts: bool = False
    """Whether its trainings may write artifacts (`Training.use_folders`)."""

    def named_files(self, config: ConfigT) -> Sequence[str]:
        """Return the values that may be paths of files to read, such as initial weights."""
        return ()

    def packages(self, config: ConfigT) -> Sequence[str]:
        """Return the installed packages whose version is part of a run's identity, such as a library of networks."""
        return ()

    # Data

    def data_location(self) -> str:
        """Return the name and the location of the data."""
        return f"the data of {self.name}"

    def data_fault(self) -> str | None:
        """Return the fault of the stored data and how to repair it; None if there is none."""
        return None

    def prepare_data(self, base: Mapping[str, Any]) -> None:
        """Prepare the data that a file names, so that its configurations can be read. Faults are left to the reading.

        Args:
            base: the values that all trials share, as the file contains them.
        """

    def fetch_data(self) -> str:
        """Fetch the data. Return a sentence about where they are stored and where they came from.

        Raises:
            DataUnavailableError: they cannot be fetched.
        """
        return f"{self.name} has no data to fetch"

    def data_fingerprint(self, config: ConfigT) -> str:
        """Return a hash of the data of a configuration, the same for all trials of a sweep. Reads no data."""
        return ""

    @property
    def part_fields(self) -> tuple[str, ...]:
        """Dotted paths of the fields that `part_name` depends on."""
        return ()

    def part_name(self, config: ConfigT) -> Hashable:
        """Return the name of the data part that a configuration is trained and validated on."""
        return None

    def load_parts(self, configs: Sequence[ConfigT]) -> Parts:
        """Return the data parts of all configurations. The runner calls it once for all trials.

        Raises:
            DataUnavailableError: they cannot be fetched.
        """
        return {self.part_name(config): None for config in configs}

    def size_of(self, parts: Parts) -> int:
        """Return the total memory of all parts in bytes."""
        return 0

    def dataset_inputs(self, config: ConfigT, *, whole: bool = False) -> Sequence[DatasetPart]:
        """Return the data parts that a configuration is trained and validated on.

        Args:
            config: the configuration.
            whole: return the data set that the parts are taken from instead.
        """
        return ()

    def examples(self, config: ConfigT) -> int:
        """Return the number of examples per epoch; 0 for a task without examples."""
        return 0

    # Confirmation part: data that neither a search nor the trainings of its replicates use

    def confirmation_fault(self, config: ConfigT, metric: str) -> str | None:
        """Return why replicates cannot be measured on a confirmation part; None if they can.

        Args:
            config: a configuration of the search.
            metric: the metric of the search.
        """
        return f"{self.label(config)} has no further validation data"

    def confirmation_left(self, config: ConfigT) -> tuple[int, int]:
        """Return the number of examples that are left for a confirmation part, and that of the validation part."""
        return 0, 0

    def confirmation_name(self, config: ConfigT, examples: int) -> str:
        """Return which data a confirmation part of so many examples contains, equal for all seeds."""
        return f"{examples} further examples"

    def load_confirmation(self, config: ConfigT, examples: int) -> Part:
        """Return a confirmation part, as a part of `load_parts`. The runner calls it once for all replicates.

        Raises:
            DataUnavailableError: the data cannot be fetched.
        """
        return None

    # Test part, which no trial receives

    def test_fault(self, config: ConfigT) -> str | None:
        """Return why complete runs cannot be measured on a test part, and what to do; None if they can."""
        return f"{self.label(config)} has no test part"

    def seals_data(self, config: ConfigT) -> bool:
        """Return whether a part of a configuration's data is withheld from its training."""
        return False

    def load_test(self, config: ConfigT) -> Any:
        """Return the test part of a configuration's data. The runner calls it only to measure a complete run.

        Raises:
            DataUnavailableError: the test part cannot be fetched.
        """
        return None

    def measure(self, checkpoint: Path, test: Any, *, device: str, part_of: Callable[[ConfigT], Part]) -> TestResult:
        """Return the result of a complete run on the test part.

        Args:
            checkpoint: its checkpoint file; the previous one is in the same folder.
            test: from `load_test`.
            device: `cpu` or `cuda`.
            part_of: returns the data of a configuration; called only if the checkpoint is damaged.

        Raises:
            CheckpointError: neither file is usable, or the task has no test part.
        """
        raise CheckpointError(f"the task {self.name} has no test part")

    # Predictions

    def predict_fault(self, config: ConfigT) -> str | None:
        """Return why complete runs cannot predict, and what to do; None if they can."""
        return f"{self.label(config)} has no prediction"

    def predict(
        self, checkpoint: Path, config: ConfigT, inputs: Sequence[str], *, device: str
    ) -> Sequence[Mapping[str, Any]]:
        """Return the prediction of a complete run for each input, as names and values.

        Args:
            checkpoint: its checkpoint file.
            config: its configuration.
            inputs: as they were typed.
            device: `cpu`, `cuda` or `auto`.

        Raises:
            CheckpointError: it is damaged.
            ModelError: the custom code returned no valid predictions.
        """
        raise CheckpointError(f"the task {self.name} has no prediction")

    # Budget

    def retrained(self, config: ConfigT, *, epochs: int | None, examples: int | Literal["all"] | None) -> ConfigT:
        """Return a configuration with another budget; None keeps the value.

        Raises:
            pydantic.ValidationError: the budget is invalid.
        """
        return self.config_type.model_validate(config.model_dump() | ({} if epochs is None else {"epochs": epochs}))

    def ablated(self, config: ConfigT) -> Mapping[str, ConfigT] | None:
        """Return the configuration without each of its changes, by dotted path; None to remove those from the defaults.

        A change is a difference from what the training does without the value.
        """
        return None

    def resized(self, config: ConfigT, examples: int) -> ConfigT:
        """Return a configuration that trains on at most `examples` examples."""
        return config

    @property
    def sized(self) -> Sequence[str]:
        """The values of `label` whose width a ladder's `scale` may change."""
        return ()

    def scaled(self, config: ConfigT, *, lr: float, width: Mapping[str, int]) -> ConfigT:
        """Return a configuration with scaled learning rates and network width.

        Args:
            config: the configuration before.
            lr: factor of the learning rates.
            width: name to new width of each network whose width changes.
        """
        return config

    def final_config(self, config: ConfigT) -> ConfigT:
        """Return a configuration without validation images, for the final evaluation on the test part."""
        return config

    def final_file(self, content: dict[str, Any], config: ConfigT) -> None:
        """Change the content of a ladder's file in place, so that its configurations are those of `final_config`.

        Args:
            content: the parsed YAML file.
            config: the configuration of its first rung before the change.
        """

    # Checks before a training

    def kind_of(self, config: ConfigT) -> str:
        """Return the kind of a configuration. Either all configurations of a kind can train, or none."""
        return self.label(config)

    def static_fault(self, config: ConfigT) -> str | None:
        """Return why a configuration cannot train, without a dry run; None if no fault is found."""
        return None

    def needs_dry_run(self, config: ConfigT) -> bool:
        """Return whether only `dry_run`, which may be slow, can decide whether a configuration trains."""
        return False

    def dry_run(self, config: ConfigT) -> DryRunResult:
        """Train a configuration for its first steps on synthetic data, and return the result."""
        return DryRunResult()

    def probe(self, *, threads: int) -> Probe | None:
        """Return an estimator of the duration of runs with `threads` threads; None if there is none."""
        return None

    # Process of a trial

    def enter(self, *, cpus: int, device: str, gpu_share: float) -> None:
        """Prepare this process for a trial: number of threads, share of a GPU's memory."""

    shares_process: bool = True
    """Whether its trials run one after the other in one process, and may affect each other."""

    def limited(self, config: ConfigT, epochs: int) -> ConfigT:
        """Return a configuration with at most `epochs` epochs, for a check."""
        return config if config.epochs <= epochs else config.shortened(epochs / config.epochs)

    def free_memory(self) -> None:
        """Release the memory that the last trial of this process used."""


AnyTask = Task[Any]
"""A task with any type of configuration."""
