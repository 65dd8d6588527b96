"""What a trial is: the contract between the sweep runner and whatever it trains.

A task has a type of configuration, data to train on, and a training that can be saved after each epoch and resumed. The
runner knows nothing else of it: not what an example is, nor that there is a network. Five members of `Task` and three
of `Training` are required:

    class Task:
        name            what a sweep file and the record call it
        config_type     the configuration of one trial: validated, with an identity: see `PlainConfig`
        start           return a training before its first epoch
        load            return a training as its checkpoint holds it
        is_complete     return whether a checkpoint holds a finished training

    class Training:
        history         the results of the epochs so far
        epochs          train, and yield a result after each epoch
        save            write a checkpoint

All other members are optional: each has a default for a task that has no such thing. They are grouped below: what the
results are, the fields of a configuration, the data, a sealed test part, changes of the budget, what can be known
before a training.

A trial under Ray runs in another process: what `load_parts` and `load_test` return is pickled, numpy arrays without a
copy for each process.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, Literal, Protocol, Self, TypeVar

from cifar_core.common.errors import CheckpointError

if TYPE_CHECKING:
    from sweeps.core.results import EpochResult, TestResult


class TaskConfig(Protocol):
    """The configuration of one trial: an immutable record that pydantic validates, dumps and copies."""

    @property
    def epochs(self) -> int:
        """How many results its training yields."""
        ...

    @property
    def seed(self) -> int:
        """What every random number of the training follows from; no part of `config_id`."""
        ...

    def canonical(self) -> dict[str, Any]:
        """Return what identifies the configuration: no seed, no default, no field that is not used."""
        ...

    def resolved(self) -> dict[str, Any]:
        """Return every value that the run uses, nested, with defaults, without unused fields."""
        ...

    def dotted(self, *, only_non_default: bool = False) -> dict[str, Any]:
        """Return every value that the run uses, under the dotted path that sets it in a file.

        Args:
            only_non_default: leave out what is at its default, and the seed.
        """
        ...

    def protocol(self) -> dict[str, int]:
        """Return the fields of `sweeps.core.identity.Protocol`: under what the run is evaluated."""
        ...

    def shortened(self, scale: float) -> Self:
        """Return the same run over a share of its epochs, at least one; what is counted in epochs shrinks alike."""
        ...

    def is_same_run(self, other: Any) -> bool:
        """Return whether both compute the same: they differ at most in fields that have no effect."""
        ...

    def config_id(self) -> str:
        """Return the hash of the configuration without its seed: equal for replicates."""
        ...

    def key(self, *, data_fingerprint: str, source_hash: str | None = None) -> str:
        """Return the run's identity: configuration, seed, data and the user's own code; 16 hexadecimal digits."""
        ...

    def model_dump(self, *, mode: str = "python") -> dict[str, Any]:
        """Return all fields, nested."""
        ...

    def model_dump_json(self) -> str:
        """Return all fields as JSON."""
        ...

    def model_copy(self, *, update: Mapping[str, Any]) -> Self:
        """Return a copy with other values of some fields; nothing is validated."""
        ...

    @classmethod
    def model_validate(cls, obj: Any) -> Self:
        """Return the configuration that a mapping describes.

        Raises:
            pydantic.ValidationError: it describes none.
        """
        ...

    @classmethod
    def model_validate_json(cls, json_data: str) -> Self:
        """Return the configuration that `model_dump_json` gave."""
        ...


LAST_SEED = 2**32 - 1
"""The largest seed there is."""

Part = Any
"""The data that one trial is trained and validated on. Never test data."""
Parts = Mapping[Hashable, Part]
"""The parts that the trials of a sweep use, by `Task.part_name`."""
OnStep = Callable[[Any], None]
"""Is called with the loss of each step, a tensor where the task uses torch; it may raise to end the training."""


_DIGITS = 12
"""Significant digits of a product: 3 × 0.1 is 0.3, as a person would write it into a file."""


def product(first: float, second: float) -> float:
    """Return a product without the noise of binary fractions: it is part of what identifies a run."""
    if 1 in (first, second):
        return first if second == 1 else second  # to the last digit: it is part of what identifies a run
    return float(f"{first * second:.{_DIGITS}g}")


class Training(ABC):
    """The training of one trial, between two epochs."""

    @property
    @abstractmethod
    def history(self) -> Sequence[EpochResult]:
        """The results of the epochs trained so far, first to last."""

    @abstractmethod
    def epochs(self, *, on_step: OnStep) -> Iterator[EpochResult]:
        """Train the missing epochs and yield the result of each, once `history` holds it.

        Args:
            on_step: called with the loss of each step, if the training has steps.

        Raises:
            DivergedError: the loss is not a finite number.
        """

    @abstractmethod
    def save(self, path: Path) -> None:
        """Write a checkpoint atomically, and keep the previous one beside it (`cifar_core.common.seal.write_sealed`).

        Raises:
            OSError: it cannot be written; the previous one is unchanged.
        """

    @property
    def source(self) -> Mapping[str, str] | None:
        """The user's own files that it runs, with their hashes (`Source.files`); None for none."""
        return None

    @property
    def parameters(self) -> int | None:
        """Trainable parameters; None where there is no such number."""
        return None

    @property
    def environment(self) -> Mapping[str, str]:
        """What of the machine and its libraries decides a result: `device`, `threads`, versions."""
        return {}

    @property
    def steps_per_epoch(self) -> int:
        """How often an epoch calls `on_step`; 0 for never."""
        return 0

    def draw(self, writer: Any) -> None:  # noqa: B027  # optional
        """Add images or a graph to TensorBoard's `SummaryWriter`."""


ConfigT = TypeVar("ConfigT", bound=TaskConfig)


_DESCRIBED = 3
"""Values of a configuration that its description shows."""


@dataclass(frozen=True, kw_only=True)
class TaskMetric:
    """A number that a task yields each epoch, as screens know it."""

    heading: str
    """Of a column, with its unit: `val acc %`."""
    goal: Literal["maximize", "minimize"] | None = None
    """Which way is better; None for what no search can look at, such as a rate or a speed."""
    shown: Callable[[float], str] = lambda value: f"{value:.6g}"
    """Writes a value."""


@dataclass(frozen=True, kw_only=True)
class DryRunResult:
    """What is to be expected of a run."""

    fault: str | None = None
    """Why it cannot train; None where nothing was found."""
    warnings: tuple[str, ...] = ()
    """What looks wrong and yet trains."""


@dataclass(frozen=True, kw_only=True)
class DatasetPart:
    """A part of a task's data, as the record names it."""

    name: str
    rows: int
    context: str
    """`training` or `validation`."""
    url: str
    """The page of those who made it."""
    schema: Mapping[str, str]


class Probe(Protocol):
    """Estimates what runs take on one slot with nothing beside it, from steps that it times once a kind."""

    @property
    def timed(self) -> int:
        """How many kinds of run were timed so far."""
        ...

    def is_timed(self, config: Any) -> bool:
        """Return whether `seconds` of a configuration needs no timing."""
        ...

    def seconds(self, config: Any) -> float:
        """Return the seconds of a whole run."""
        ...

    def test_seconds(self, config: Any) -> float:
        """Return the seconds that measuring a run on the sealed part takes."""
        ...


class Task(ABC, Generic[ConfigT]):
    """What a sweep trains."""

    # Required

    name: str
    """What a sweep file and the record call it."""

    @property
    @abstractmethod
    def config_type(self) -> type[ConfigT]:
        """The type of a trial's configuration."""

    @abstractmethod
    def start(self, config: ConfigT, part: Part, *, device: str) -> Training:
        """Return a training before its first epoch.

        Args:
            config: of the trial.
            part: of the data, from `load_parts`.
            device: `cpu` or `cuda`.

        Raises:
            ModelError: it cannot be built.
        """

    @abstractmethod
    def load(self, path: Path, config: ConfigT, part: Part, *, device: str) -> Training:
        """Return a training as a checkpoint holds it.

        Raises:
            CheckpointError: it cannot be read, or is of another configuration.
        """

    @abstractmethod
    def is_complete(self, checkpoint: Path) -> bool:
        """Return whether a checkpoint holds a training whose last epoch is done, by the code as it is now.

        Raises:
            CheckpointError: it cannot be read.
            SourceChangedError: the user's own code has changed.
        """

    # What the results are

    @property
    def metrics(self) -> Mapping[str, TaskMetric]:
        """The numbers of an epoch, in the order of their columns; empty where only a training shows them."""
        return {}

    @property
    def class_names(self) -> Sequence[str]:
        """The classes of a classification, in the order of a confusion's rows; empty for another task."""
        return ()

    # The fields of a configuration

    def missing(self, given: Collection[str]) -> Sequence[str]:
        """Return the fields without a default that are not among those that a file sets."""
        return ()

    @property
    def fields_of_kind(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        """For each block of a configuration, for each value of its `name`, the fields that it uses."""
        return {}

    def used_fields(self, block: str, kind: str) -> tuple[str, ...]:
        """Return the fields that a block uses under a `name`, without the name itself."""
        return ()

    @property
    def reset_by_name(self) -> tuple[str, ...]:
        """Blocks whose other fields are reset where a file changes their `name`."""
        return ()

    @property
    def epoch_fields(self) -> tuple[str, ...]:
        """Dotted paths of fields that are counted in epochs."""
        return ()

    @property
    def untyped_fields(self) -> Sequence[str]:
        """Dotted paths of fields that take integers and floats: the ends of a range in a file decide which."""
        return ()

    def config_warnings(self, config: ConfigT) -> list[str]:
        """Return warnings about a valid configuration that is probably a mistake, each `key: warning`."""
        return []

    def space_warnings(self, space: Any) -> list[str]:
        """Return warnings about a valid search space (`sweeps.files.space.SearchSpace`) that is probably a mistake."""
        return []

    def describe(self, config: ConfigT) -> str:
        """Return a configuration's most telling values in a few words."""
        values = list(config.dotted(only_non_default=True).items())[:_DESCRIBED]
        return ", ".join(f"{name} {value}" for name, value in values) or self.name

    def label(self, config: ConfigT) -> str:
        """Return what decides whether a configuration trains at all, as people call it, such as a network's name."""
        return self.name

    def code_of(self, config: ConfigT) -> str | None:
        """Return the import path, `module:Name`, of the user's own code that a trial runs; None for none."""
        return None

    def named_files(self, config: ConfigT) -> Sequence[str]:
        """Return the values of a configuration that may be paths of files that it reads, such as initial weights."""
        return ()

    # The data

    def data_location(self) -> str:
        """Return what the data are and where they are stored, in words."""
        return f"the data of {self.name}"

    def data_fault(self) -> str | None:
        """Return what is wrong with the stored data, and what repairs it; None for nothing."""
        return None

    def fetch_data(self) -> str:
        """Fetch the data, and return in words where they are stored and where they came from.

        Raises:
            DataUnavailableError: they cannot be fetched.
        """
        return f"{self.name} has no data to fetch"

    def data_fingerprint(self) -> str:
        """Return a hash of the data that trials are trained on.

        Raises:
            DataUnavailableError: they cannot be fetched.
        """
        return ""

    @property
    def part_fields(self) -> tuple[str, ...]:
        """Dotted paths of the fields that `part_name` depends on."""
        return ()

    def part_name(self, config: ConfigT) -> Hashable:
        """Return which part of the data a configuration is trained and validated on."""
        return None

    def load_parts(self, configs: Sequence[ConfigT]) -> Parts:
        """Return the part of each configuration, each part once. The runner calls it once for all trials.

        Raises:
            DataUnavailableError: they cannot be fetched.
        """
        return {self.part_name(config): None for config in configs}

    def size_of(self, parts: Parts) -> int:
        """Return the memory of all parts together, in bytes."""
        return 0

    def dataset_inputs(self, config: ConfigT | None) -> Sequence[DatasetPart]:
        """Return the parts of the data that a configuration is trained and validated on; of all where it is None."""
        return ()

    @property
    def total_examples(self) -> int:
        """The number of examples to train on; 0 for a task without examples."""
        return 0

    def examples(self, config: ConfigT) -> int:
        """Return the number of examples of an epoch; 0 for a task without examples."""
        return 0

    # The sealed test part, which no trial receives

    @property
    def test_examples(self) -> int:
        """The number of examples of the test part; 0 for a task without one."""
        return 0

    def load_test(self) -> Any:
        """Return the test part. The runner calls it to measure a complete run, and only then.

        Raises:
            DataUnavailableError: it cannot be fetched.
        """
        return None

    def measure(self, checkpoint: Path, test: Any, *, device: str, part_of: Callable[[ConfigT], Part]) -> TestResult:
        """Return the result of a complete run on the test part.

        Args:
            checkpoint: its file; the previous one is beside it.
            test: from `load_test`.
            device: where to compute.
            part_of: returns the data of a configuration; called only where the checkpoint is damaged.

        Raises:
            CheckpointError: neither file can be used, or the task has no test part.
        """
        raise CheckpointError(f"{self.name} has no test part: its runs cannot be measured on one")

    # Changes of the budget

    def retrained(self, config: ConfigT, *, epochs: int | None, examples: int | Literal["all"] | None) -> ConfigT:
        """Return a configuration at another budget; None keeps its own.

        Raises:
            pydantic.ValidationError: no run can have it.
        """
        return self.config_type.model_validate(config.model_dump() | ({} if epochs is None else {"epochs": epochs}))

    def resized(self, config: ConfigT, examples: int) -> ConfigT:
        """Return a configuration that trains on at most so many examples."""
        return config

    @property
    def sized(self) -> Sequence[str]:
        """The kinds of `label` whose width a ladder's `scale` may change."""
        return ()

    def scaled(self, config: ConfigT, *, lr: float, width: Mapping[str, int]) -> ConfigT:
        """Return a configuration whose learning rates are multiplied, and whose network has another width.

        Args:
            config: before.
            lr: the factor.
            width: the width of each network that has another, by its name.
        """
        return config

    def final_config(self, config: ConfigT) -> ConfigT:
        """Return a configuration without validation, for the final measurement on the test part."""
        return config

    def final_file(self, content: dict[str, Any], config: ConfigT) -> None:
        """Change a ladder's file, as YAML is read, so that its configurations are those of `final_config`.

        Args:
            content: the file.
            config: of its first rung, before.
        """

    # What can be known before a training

    def kind_of(self, config: ConfigT) -> str:
        """Return what decides whether a configuration trains at all: of two of one kind both do, or neither."""
        return self.label(config)

    def static_fault(self, config: ConfigT) -> str | None:
        """Return why a configuration cannot train, as far as this is known without training; None for nothing."""
        return None

    def needs_dry_run(self, config: ConfigT) -> bool:
        """Return whether only `dry_run`, which may be slow, can find out whether a configuration trains."""
        return False

    def dry_run(self, config: ConfigT) -> DryRunResult:
        """Return what the first steps of a configuration's training show, on synthetic data."""
        return DryRunResult()

    def probe(self, *, threads: int) -> Probe | None:
        """Return an estimator of the cost of runs of so many threads; None where there is none."""
        return None

    # The process of a trial

    def enter(self, *, cpus: int, device: str, gpu_share: float) -> None:
        """Prepare this process for a trial: its number of threads, its share of a GPU's memory."""

    def free_memory(self) -> None:
        """Release the memory that the last trial of this process used."""


AnyTask = Task[Any]
"""A task whose type of configuration is not known where it is used."""
