"""Image classification on CIFAR-10: `cifar_core` behind the contract of a task. torch is imported for training."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from cifar_core.common.errors import CheckpointError
from cifar_core.common.files import existing_versions
from cifar_core.common.user_modules import is_import_path, library_of
from cifar_core.config import (
    EPOCH_FIELDS,
    FIELDS_OF_KIND,
    IMAGE_SIZE,
    RESET_BY_NAME,
    TEST_SHARE,
    DataConfig,
    TrainingConfig,
    fields_of_kind,
)
from cifar_core.data import load as cifar10
from cifar_core.data.images import LabelledImages, class_names_of
from cifar_core.datasets.about import CIFAR10
from cifar_core.datasets.errors import DataError
from cifar_core.datasets.known import prepare_source
from cifar_core.dry_run import dry_run, last_batch, static_fault
from cifar_core.models.source import named_files, packages
from cifar_core.results import EpochResult as ImageEpoch
from sweeps.core.formatting import loss, number, percent
from sweeps.core.results import EpochResult, TestResult
from sweeps.core.task import DatasetPart, DryRunResult, OnStep, Task, TaskMetric, Training, product
from sweeps.tasks.image_probe import ImageProbe
from sweeps.tasks.image_quantities import QUANTITIES, image_quantity

if TYPE_CHECKING:
    from cifar_core.training import TrainingState

FALLING_TO_MIN_LR = ("cosine", "warmup_cosine")
"""Schedules that end at `schedule.min_lr`."""

Split = tuple[LabelledImages, LabelledImages | None]
"""Training and validation images."""


class ImageClassification(Task[TrainingConfig]):
    """Networks on CIFAR-10."""

    name = "image_classification"
    config_type = TrainingConfig
    metrics: Mapping[str, TaskMetric] = {
        "train_loss": TaskMetric(heading="train loss", goal="minimize", shown=loss),
        "train_accuracy": TaskMetric(heading="train acc %", goal="maximize", shown=percent),
        "val_loss": TaskMetric(heading="val loss", goal="minimize", shown=loss),
        "val_accuracy": TaskMetric(heading="val acc %", goal="maximize", shown=percent),
        "learning_rate": TaskMetric(heading="lr", shown=number),
        "images_per_second": TaskMetric(heading="images/s", shown=lambda value: f"{value:,.0f}"),
    }
    quantities: Mapping[str, TaskMetric] = QUANTITIES
    sized = tuple(name for name, fields in FIELDS_OF_KIND["model"].items() if "width" in fields)
    fields_of_kind = FIELDS_OF_KIND
    reset_by_name = RESET_BY_NAME
    constant_fields = ("data.source", "data.image_size", "data.test_share")
    epoch_fields = EPOCH_FIELDS
    part_fields = ("data.train_size", "data.validation_size", "data.split_seed")

    def used_fields(self, block: str, kind: str) -> tuple[str, ...]:
        return fields_of_kind(block, kind)

    def config_warnings(self, config: TrainingConfig) -> list[str]:
        rate, lowest = config.optimizer.lr, config.schedule.min_lr
        is_rising = config.schedule.name in FALLING_TO_MIN_LR and lowest > rate
        found = [rising_rate("schedule.min_lr", lowest, rate)] if is_rising else []
        if config.model.pretrained and library_of(config.model.name) and config.data.normalization == "none":
            found.append(
                "data.normalization: none, but the pretrained weights expect normalised images: imagenet is usual"
            )
        return found

    def quantity(self, name: str, config: TrainingConfig) -> float | None:
        return image_quantity(name, config)

    def class_names(self, config: TrainingConfig) -> Sequence[str]:
        return class_names_of(config)

    def examples(self, config: TrainingConfig) -> int:
        return config.train_images()

    def resized(self, config: TrainingConfig, examples: int) -> TrainingConfig:
        if examples >= config.train_images():
            return config
        return config.model_copy(update={"data": config.data.model_copy(update={"train_size": examples})})

    def scaled(self, config: TrainingConfig, *, lr: float, width: Mapping[str, int]) -> TrainingConfig:
        model, rate, lowest = config.model, config.optimizer.lr, config.schedule.min_lr
        rates = {"lr": product(rate, lr)}
        if config.optimizer.name == "muon":
            rates["sgd_lr"] = product(config.optimizer.sgd_lr, lr)
        if model.name in width:
            model = model.model_copy(update={"width": width[model.name]})
        return config.model_copy(
            update={
                "model": model,
                "optimizer": config.optimizer.model_copy(update=rates),
                "schedule": config.schedule.model_copy(update={"min_lr": product(lowest, lr)}),
            }
        )

    def final_config(self, config: TrainingConfig) -> TrainingConfig:
        trains_on_all = config.train_images() + _held_out(config) == config.data.total_images
        given_back = {"validation_size": 0, **({"train_size": None} if trains_on_all else {})}
        return config.model_copy(update={"data": config.data.model_copy(update=given_back)})

    def final_file(self, content: dict[str, Any], config: TrainingConfig) -> None:
        left = config.data.total_images - _held_out(config)
        blocks = [block.get("data", {}) for block in (content.get("base", {}), *content["rungs"])]
        for block in blocks:
            block.pop("validation_size", None)
        for sizes in (content.get("scale", {}), *blocks):
            if sizes.get("train_size") == left:
                del sizes["train_size"]

    def space_warnings(self, space: Any) -> list[str]:
        rate, lowest = space.min_value("optimizer.lr"), space.max_value("schedule.min_lr")
        if lowest <= rate or not set(FALLING_TO_MIN_LR) & set(space.listed_values("schedule.name")):
            return []
        where = "parameters" if "schedule.min_lr" in space.parameters else "base"
        return [rising_rate(f"{where}.schedule.min_lr", lowest, rate)]

    def data_location(self) -> str:
        return f"CIFAR-10 in {cifar10.default_directory()}"

    def data_fault(self) -> str | None:
        fault = cifar10.cifar10_fault()
        return None if fault is None else f"{fault}: `sweeps data` or `sweeps doctor --fix` fetches CIFAR-10"

    def prepare_data(self, base: Mapping[str, Any]) -> None:
        data = base.get("data")
        if not isinstance(data, Mapping) or not isinstance(data.get("source"), str) or data["source"] == CIFAR10:
            return
        from cifar_core.common.progress import Reporter

        size, share = data.get("image_size", IMAGE_SIZE), data.get("test_share", TEST_SHARE)
        if not isinstance(size, int) or not isinstance(share, int | float):
            return
        with contextlib.suppress(DataError):
            prepare_source(data["source"], image_size=size, test_share=share, reporter=Reporter())

    def fetch_data(self) -> str:
        report = cifar10.fetch_cifar10()
        return f"CIFAR-10 is in {report.directory} (source {report.source})"

    def retrained(
        self, config: TrainingConfig, *, epochs: int | None, examples: int | Literal["all"] | None
    ) -> TrainingConfig:
        longer = config if epochs is None else config.shortened(epochs / config.epochs)
        size = {} if examples is None else {"train_size": None if examples == "all" else examples}
        return TrainingConfig.model_validate(longer.model_dump() | {"data": config.data.model_dump() | size})

    def data_fingerprint(self, config: TrainingConfig) -> str:
        return config.fingerprint or cifar10.training_fingerprint()

    def code_of(self, config: TrainingConfig) -> str | None:
        return config.model.name if is_import_path(config.model.name) else None

    def label(self, config: TrainingConfig) -> str:
        return config.model.name

    def describe(self, config: TrainingConfig) -> str:
        width = config.model.arguments().get("width")
        model = config.model.name if width is None else f"{config.model.name}, width {width}"
        return f"{model}, batch {config.data.batch_size}, lr {number(config.optimizer.lr)}"

    def named_files(self, config: TrainingConfig) -> Sequence[str]:
        return named_files(config.model)

    def packages(self, config: TrainingConfig) -> Sequence[str]:
        return packages(config.model)

    def part_name(self, config: TrainingConfig) -> Hashable:
        data = config.data
        return data.train_size, data.validation_size, data.split_seed, config.fingerprint

    def load_parts(self, configs: Sequence[TrainingConfig]) -> Mapping[Hashable, Split]:
        from cifar_core.data.of_config import load_splits

        named = {self.part_name(config): config.data for config in configs}
        return dict(zip(named, load_splits(list(named.values())), strict=True))

    def size_of(self, parts: Mapping[Hashable, Split]) -> int:
        images = [each for split in parts.values() for each in split if each is not None]
        return sum(each.images_NHWC.nbytes + each.labels_N.nbytes for each in images)

    def enter(self, *, cpus: int, device: str, gpu_share: float) -> None:
        import torch

        torch.set_num_threads(cpus)
        if device == "cuda" and gpu_share < 1:
            # Ray does not enforce shares of a GPU: one trial could use the memory of others.
            torch.cuda.set_per_process_memory_fraction(gpu_share)

    def free_memory(self) -> None:
        import gc

        import torch

        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def start(self, config: TrainingConfig, part: Split, *, device: str) -> ImageTraining:
        from cifar_core.training import start

        return ImageTraining(start(config, train_size=len(part[0]), device=device), part)

    def load(self, path: Path, config: TrainingConfig, part: Split, *, device: str) -> ImageTraining:
        from cifar_core.checkpoint import load_checkpoint

        return ImageTraining(load_checkpoint(path, config=config, device=device), part)

    def dataset_inputs(self, config: TrainingConfig, *, whole: bool = False) -> Sequence[DatasetPart]:
        data = config.data
        if whole:
            return [_dataset(data, _name_of(data), rows=data.total_images, context="training")]
        parts = {"training": config.train_images(), "validation": data.validation_size}
        return [
            # The name contains size and split, since MLflow identifies a data set by name and digest.
            _dataset(data, f"{_name_of(data)} {part} ({rows} images, split {data.split_seed})", rows=rows, context=part)
            for part, rows in parts.items()
            if rows
        ]

    def confirmation_fault(self, config: TrainingConfig, metric: str) -> str | None:
        if config.data.has_own_validation:
            return f"{config.data.source} has its own validation part"
        return None if metric in ("val_accuracy", "val_loss") else f"{metric} is not measured on validation images"

    def confirmation_left(self, config: TrainingConfig) -> tuple[int, int]:
        validation = config.data.validation_size
        return config.data.total_images - validation - config.train_images(), validation

    def confirmation_name(self, config: TrainingConfig, examples: int) -> str:
        return f"{examples} training images that the search does not use (the last of split {config.data.split_seed})"

    def load_confirmation(self, config: TrainingConfig, examples: int) -> Split:
        from cifar_core.data.of_config import load_part
        from cifar_core.data.split import split_last

        return split_last(load_part(config.data, "train"), examples, seed=config.data.split_seed), None

    def test_fault(self, config: TrainingConfig) -> str | None:
        return None

    def seals_data(self, config: TrainingConfig) -> bool:
        return True

    def load_test(self, config: TrainingConfig) -> LabelledImages:
        from cifar_core.data.of_config import load_part

        return load_part(config.data, "test")

    def measure(
        self,
        checkpoint: Path,
        test: LabelledImages,
        *,
        device: str,
        part_of: Callable[[TrainingConfig], Split],
    ) -> TestResult:
        from cifar_core.evaluation import confusion, evaluate

        state = _complete_state(checkpoint, device=device, part_of=part_of)
        measured = evaluate(state.model, test, config=state.config)
        return TestResult(
            loss=measured.loss,
            correct=np.packbits(measured.correct_N).tobytes(),
            count=len(measured.correct_N),
            confusion=confusion(test.labels_N, measured.predicted_N, classes=state.config.data.classes),
        )

    def is_complete(self, checkpoint: Path) -> bool:
        from cifar_core.checkpoint import load_checkpoint

        state = load_checkpoint(checkpoint, device="cpu")
        return state.epoch == state.config.epochs

    def kind_of(self, config: TrainingConfig) -> str:
        is_alone = last_batch(config) == 1 or config.data.batch_size == 1
        return json.dumps([config.model.model_dump_json(), is_alone, config.data.start_size, static_fault(config)])

    def needs_dry_run(self, config: TrainingConfig) -> bool:
        # Built-in networks train, except that a plan of layers may fail for a last batch of one image.
        is_foreign = self.code_of(config) is not None or bool(packages(config.model))
        return is_foreign or (last_batch(config) == 1 and config.model.plan is not None)

    def static_fault(self, config: TrainingConfig) -> str | None:
        return static_fault(config)

    def dry_run(self, config: TrainingConfig) -> DryRunResult:
        found = dry_run(config)
        return DryRunResult(fault=found.fault, warnings=found.warnings)

    def probe(self, *, threads: int) -> ImageProbe:
        return ImageProbe(threads=threads)


class ImageTraining(Training):
    """The training of one network, resumable after each epoch."""

    def __init__(self, state: TrainingState, split: Split) -> None:
        self._state = state
        self._images, self._validation = split

    @property
    def history(self) -> Sequence[EpochResult]:
        return list(map(epoch_of, self._state.history))

    @property
    def source(self) -> Mapping[str, str] | None:
        return self._state.source

    @property
    def parameters(self) -> int:
        return sum(parameter.numel() for parameter in self._state.model.parameters())

    @property
    def environment(self) -> Mapping[str, str]:
        import torch

        from sweeps.system.machine import processor

        device = self._state.device
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor()
        return {
            "device": f"{device.type} ({name})",
            # The number of threads affects the last bits of a result, through the order of additions.
            "threads": str(torch.get_num_threads()),
            "torch": torch.__version__,
        }

    @property
    def steps_per_epoch(self) -> int:
        return -(-self._state.train_size // self._state.config.data.batch_size)

    def epochs(self, *, on_step: OnStep) -> Iterator[EpochResult]:
        from cifar_core.training import train

        state = self._state
        trained = train(
            state.config, self._images, self._validation, state=state, on_step=lambda step: on_step(step.loss)
        )
        return map(epoch_of, trained)

    def save(self, path: Path) -> None:
        from cifar_core.checkpoint import save_checkpoint

        save_checkpoint(self._state, path)

    def confirm(self, part: Split) -> Mapping[str, float]:
        from cifar_core.evaluation import evaluate

        measured = evaluate(self._state.model, part[0], config=self._state.config)
        return {"val_accuracy": measured.accuracy, "val_loss": measured.loss}

    def draw(self, writer: Any) -> None:
        from sweeps.tasks.image_tensorboard import add_graph, input_grid

        grid_HWC = input_grid(self._state.config, self._images)
        writer.add_image("inputs/first_batch", grid_HWC, 1, dataformats="HWC")
        add_graph(writer, self._state)


def _complete_state(checkpoint: Path, *, device: str, part_of: Callable[[TrainingConfig], Split]) -> TrainingState:
    """Return the final state of a complete run; if its checkpoint is damaged, from the previous one by training."""
    from cifar_core.checkpoint import load_checkpoint
    from cifar_core.training import train

    *files, last = existing_versions(checkpoint)
    for file in files:
        with contextlib.suppress(CheckpointError):
            return load_checkpoint(file, device=device)
    state = load_checkpoint(last, device=device)
    if state.epoch < state.config.epochs:
        for _ in train(state.config, *part_of(state.config), state=state):
            pass
    return state


def rising_rate(key: str, lowest: float, rate: float) -> str:
    """Return the warning of a cosine schedule that ends above where it begins."""
    return f"{key}: {lowest} is above optimizer.lr {rate}: the cosine schedule would raise the rate"


def _dataset(data: DataConfig, name: str, *, rows: int, context: str) -> DatasetPart:
    schema = {"images": f"uint8 (N, {data.image_size}, {data.image_size}, 3)", "labels": "int64 (N)"}
    url = "https://www.cs.toronto.edu/~kriz/cifar.html" if data.about is None else data.source
    return DatasetPart(name=name, rows=rows, context=context, url=url, schema=schema)


def _name_of(data: DataConfig) -> str:
    return "CIFAR-10" if data.about is None else data.source


def _held_out(config: TrainingConfig) -> int:
    return 0 if config.data.has_own_validation else config.data.validation_size


METRICS = ("val_accuracy", "val_loss", "train_accuracy", "train_loss", "learning_rate", "images_per_second")
"""Metrics of an epoch, in the order of MLflow's pages, which select the first."""


def epoch_of(result: ImageEpoch) -> EpochResult:
    """Convert an epoch result of `cifar_core`."""
    metrics = {name: value for name in METRICS if (value := getattr(result, name)) is not None}
    return EpochResult(
        epoch=result.epoch,
        seconds=result.seconds,
        finished_at=result.finished_at,
        metrics=metrics,
        val_confusion=result.val_confusion,
    )
