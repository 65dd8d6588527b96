"""What a trial is: the contract between the sweep runner and whatever it trains.

A task brings the type of its configurations, the data that they are trained on, and a training that can be saved after
each epoch and resumed. The runner knows nothing else of it: not what an example is, nor that there is a network.

    class Task:
        name                        what a sweep's file and the record call it
        config_type                 the configuration of one trial: validated, with an identity
        part_name, load_parts       the data, prepared once a driver, mapped by every trial
        start, load                 a training before its first epoch, or as its checkpoint says
        load_test, measure          the sealed part of the data, which no trial is handed

A trial under Ray runs in another process: what `load_parts` and `load_test` return is pickled, numpy arrays without a
copy a process.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, Self, TypeVar

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

    def dotted(self, *, only_said: bool = False) -> dict[str, Any]:
        """Return every value that the run uses, under the dotted path that sets it in a file.

        Args:
            only_said: leave out what is at its default, and the seed.
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


class Training(Protocol):
    """One trial between two epochs."""

    @property
    def history(self) -> Sequence[EpochResult]:
        """The epochs trained so far, first to last."""
        ...

    @property
    def source(self) -> Mapping[str, str] | None:
        """Files of the user's own that it is made of, with their hashes (`Source.files`); None for none."""
        ...

    @property
    def parameters(self) -> int | None:
        """Trainable parameters; None where there is no such number."""
        ...

    @property
    def environment(self) -> Mapping[str, str]:
        """What of its surroundings decides a result: `device`, `threads`, versions."""
        ...

    @property
    def steps_per_epoch(self) -> int:
        """How often `on_step` is called in an epoch; 0 where it never is."""
        ...

    def epochs(self, *, on_step: OnStep) -> Iterator[EpochResult]:
        """Train the epochs that are missing and yield the result of each, once the state holds it.

        Raises:
            DivergedError: the loss is not a finite number.
        """
        ...

    def save(self, path: Path) -> None:
        """Write the state to a file: whole, the old one or the new one, and the old one beside it.

        Raises:
            OSError: it cannot be written; the old one is as it was.
        """
        ...

    def draw(self, writer: Any) -> None:
        """Add what a person wants to see of it to TensorBoard's `SummaryWriter`: images, a graph; may do nothing."""
        ...


ConfigT = TypeVar("ConfigT", bound=TaskConfig)


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
class Rehearsal:
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

    def knows(self, config: Any) -> bool:
        """Return whether `seconds` of a configuration needs no timing."""
        ...

    def seconds(self, config: Any) -> float:
        """Return the seconds of a whole run."""
        ...

    def test_seconds(self, config: Any) -> float:
        """Return the seconds that measuring a run on the sealed part takes."""
        ...


class Task(Protocol[ConfigT]):
    """What a sweep trains."""

    @property
    def name(self) -> str:
        """What the record calls it."""
        ...

    @property
    def config_type(self) -> type[ConfigT]:
        """The configuration of a trial."""
        ...

    @property
    def metrics(self) -> Mapping[str, TaskMetric]:
        """The numbers of an epoch, in the order of their columns; empty where only a run tells."""
        ...

    @property
    def examples_there_are(self) -> int:
        """How many examples there are to train on; 0 where the task counts none."""
        ...

    @property
    def test_examples(self) -> int:
        """How many examples the sealed part has; 0 where the task counts none."""
        ...

    @property
    def class_names(self) -> Sequence[str]:
        """Of the classes of a classification, in the order of a confusion's rows; empty for another task."""
        ...

    @property
    def sized(self) -> Sequence[str]:
        """The kinds of `label` whose width a ladder's `scale` may change."""
        ...

    @property
    def fields_of_kind(self) -> Mapping[str, Mapping[str, tuple[str, ...]]]:
        """Block of a configuration to kind, which is what the block's `name` may be, to the fields that it uses."""
        ...

    def used_fields(self, block: str, kind: str) -> tuple[str, ...]:
        """Return the fields that a block uses under a name, the name itself not among them."""
        ...

    @property
    def reset_by_name(self) -> tuple[str, ...]:
        """Blocks whose other fields mean something else under another `name`: changing it by hand resets them."""
        ...

    @property
    def epoch_fields(self) -> tuple[str, ...]:
        """Dotted paths of fields that are counted in epochs."""
        ...

    @property
    def untyped_fields(self) -> Sequence[str]:
        """Dotted paths of fields that take whole numbers and others: what a range is of, a file says by its ends."""
        ...

    @property
    def part_fields(self) -> tuple[str, ...]:
        """Dotted paths of the fields that `part_name` follows from."""
        ...

    def missing(self, given: Collection[str]) -> Sequence[str]:
        """Return the fields without a default that are not among those that a file sets."""
        ...

    def config_warnings(self, config: ConfigT) -> list[str]:
        """Return what in a configuration is allowed and hardly meant, `key: what`."""
        ...

    def examples(self, config: ConfigT) -> int:
        """Return how many examples an epoch trains on; 0 where the task counts none."""
        ...

    def resized(self, config: ConfigT, examples: int) -> ConfigT:
        """Return a configuration that trains on so many examples, on as many as before where these are fewer."""
        ...

    def scaled(self, config: ConfigT, *, lr: float, width: Mapping[str, int]) -> ConfigT:
        """Return a configuration whose learning rates are multiplied, and whose network has another width.

        Args:
            config: before.
            lr: the factor.
            width: the width of each network that has another, by its name.
        """
        ...

    def final_config(self, config: ConfigT) -> ConfigT:
        """Return a configuration that validates on nothing, for the last measurement on the sealed part."""
        ...

    def final_file(self, content: dict[str, Any], config: ConfigT) -> None:
        """Change a ladder's file, as YAML is read, so that its configurations are those of `final_config`.

        Args:
            content: the file.
            config: of its first rung, before.
        """
        ...

    def space_warnings(self, space: Any) -> list[str]:
        """Return what in a search space (`sweeps.files.space.SearchSpace`) is allowed and hardly meant."""
        ...

    def data_place(self) -> str:
        """Return what the data are and where they lie, in words."""
        ...

    def data_fault(self) -> str | None:
        """Return what is wrong with the data that lie here, and what mends it; None where nothing is."""
        ...

    def fetch_data(self) -> str:
        """Fetch the data, and return in words where they are and where they came from.

        Raises:
            DataUnavailableError: they cannot be had.
        """
        ...

    def retrained(self, config: ConfigT, *, epochs: int | None, examples: int | Literal["all"] | None) -> ConfigT:
        """Return a configuration at another budget; None keeps its own.

        Raises:
            pydantic.ValidationError: no run can have it.
        """
        ...

    def data_fingerprint(self) -> str:
        """Return what identifies the data that trials are trained on.

        Raises:
            DataUnavailableError: they cannot be had.
        """
        ...

    def code_of(self, config: ConfigT) -> str | None:
        """Return the import path, `module:Name`, of the user's own code that a trial runs; None for none."""
        ...

    def label(self, config: ConfigT) -> str:
        """Return what of a configuration decides whether it trains at all, as people call it: a network's name."""
        ...

    def describe(self, config: ConfigT) -> str:
        """Return a configuration's most telling values in a few words."""
        ...

    def named_files(self, config: ConfigT) -> Sequence[str]:
        """Return what in a configuration may name a file that takes part, such as weights to begin with."""
        ...

    def part_name(self, config: ConfigT) -> Hashable:
        """Return which part of the data a configuration is trained on."""
        ...

    def load_parts(self, configs: Sequence[ConfigT]) -> Parts:
        """Return the part of each configuration, each once.

        Raises:
            DataUnavailableError: they cannot be had.
        """
        ...

    def size_of(self, parts: Parts) -> int:
        """Return how many bytes of memory the parts take together."""
        ...

    def enter(self, *, cpus: int, device: str, gpu_share: float) -> None:
        """Prepare this process for a trial: how many threads it has, and how much of a GPU's memory."""
        ...

    def free_memory(self) -> None:
        """Give back what the last trial of this process held."""
        ...

    def start(self, config: ConfigT, part: Part, *, device: str) -> Training:
        """Return a training before its first epoch.

        Raises:
            ModelError: it cannot be built.
        """
        ...

    def load(self, path: Path, config: ConfigT, part: Part, *, device: str) -> Training:
        """Return a training as a checkpoint holds it.

        Raises:
            CheckpointError: it cannot be read, or is of another configuration.
        """
        ...

    def dataset_inputs(self, config: ConfigT | None) -> Sequence[DatasetPart]:
        """Return the parts of the data that a configuration is trained and validated on; of all where it is None."""
        ...

    def load_test(self) -> Any:
        """Return the sealed part of the data. The runner asks for it when a complete run is measured, and only then.

        Raises:
            DataUnavailableError: it cannot be had.
        """
        ...

    def measure(self, checkpoint: Path, test: Any, *, device: str, part_of: Callable[[ConfigT], Part]) -> TestResult:
        """Return what the complete run in a checkpoint does on the sealed part.

        Args:
            checkpoint: its file; the one before it lies beside it.
            test: from `load_test`.
            device: where to compute.
            part_of: gives the data of a configuration; asked for only where the checkpoint is damaged.

        Raises:
            CheckpointError: no file of it can be used.
        """
        ...

    def is_complete(self, checkpoint: Path) -> bool:
        """Return whether a checkpoint holds a run that was trained to its last epoch, by the code of now.

        Raises:
            CheckpointError: it cannot be read.
            SourceChangedError: its code is another one now.
        """
        ...

    def kind_of(self, config: ConfigT) -> str:
        """Return what decides whether a configuration trains at all: of two of one kind both do, or neither."""
        ...

    def needs_rehearsal(self, config: ConfigT) -> bool:
        """Return whether only `rehearse` tells whether a configuration trains; it loads what training needs."""
        ...

    def plain_fault(self, config: ConfigT) -> str | None:
        """Return why a configuration cannot train, as far as that is told without training; None for nothing."""
        ...

    def rehearse(self, config: ConfigT) -> Rehearsal:
        """Return what the first steps of a configuration's training come to, on data that is made up."""
        ...

    def probe(self, *, threads: int) -> Probe | None:
        """Return what estimates the cost of runs of so many threads; None where only a run tells."""
        ...


AnyTask = Task[Any]
"""A task whose type of configuration is not known where it is used."""
