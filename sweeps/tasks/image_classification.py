"""Networks on CIFAR-10: `cifar_core` behind the contract of a task. torch is imported when one is trained."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cifar_core.common.errors import CheckpointError
from cifar_core.common.files import usable_files
from cifar_core.common.own_modules import is_import_path
from cifar_core.config import TrainingConfig
from cifar_core.data import load as cifar10
from cifar_core.data.images import LabelledImages
from cifar_core.data.split import split_train_validation
from cifar_core.models.source import named_files
from cifar_core.rehearsal import last_batch, plain_fault, rehearse
from cifar_core.results import EpochResult, TestResult
from sweeps.core.task import OnStep, Rehearsal
from sweeps.tasks.image_probe import ImageProbe

if TYPE_CHECKING:
    from cifar_core.training import TrainingState

Split = tuple[LabelledImages, LabelledImages | None]
"""Training and validation images."""


class ImageClassification:
    """Networks on CIFAR-10."""

    name = "image_classification"
    config_type = TrainingConfig

    def data_fingerprint(self) -> str:
        return cifar10.training_fingerprint()

    def code_of(self, config: TrainingConfig) -> str | None:
        return config.model.name if is_import_path(config.model.name) else None

    def label(self, config: TrainingConfig) -> str:
        return config.model.name

    def named_files(self, config: TrainingConfig) -> Sequence[str]:
        return named_files(config.model)

    def part_name(self, config: TrainingConfig) -> Hashable:
        data = config.data
        return data.train_size, data.validation_size, data.split_seed

    def load_parts(self, configs: Sequence[TrainingConfig]) -> Mapping[Hashable, Split]:
        images, _ = cifar10.load_training_images(progress=False)
        named = {self.part_name(config): config.data for config in configs}
        return {name: split_train_validation(images, data) for name, data in named.items()}

    def size_of(self, parts: Mapping[Hashable, Split]) -> int:
        images = [each for split in parts.values() for each in split if each is not None]
        return sum(each.images_NHWC.nbytes + each.labels_N.nbytes for each in images)

    def enter(self, *, cpus: int, device: str, gpu_share: float) -> None:
        import torch

        torch.set_num_threads(cpus)
        if device == "cuda" and gpu_share < 1:
            # Ray counts shares of a GPU but limits nothing: one trial could take the memory of the others.
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

    def load_test(self) -> LabelledImages:
        return cifar10.load_test_images(progress=False)

    def measure(
        self,
        checkpoint: Path,
        test: LabelledImages,
        *,
        device: str,
        part_of: Callable[[TrainingConfig], Split],
    ) -> TestResult:
        from cifar_core.evaluation import confusion, evaluate

        state = _whole_state(checkpoint, device=device, part_of=part_of)
        measured = evaluate(state.model, test, config=state.config)
        return TestResult(
            loss=measured.loss,
            correct=np.packbits(measured.correct_N).tobytes(),
            count=len(measured.correct_N),
            confusion=confusion(test.labels_N, measured.predicted_N),
        )

    def is_complete(self, checkpoint: Path) -> bool:
        from cifar_core.checkpoint import load_checkpoint

        state = load_checkpoint(checkpoint, device="cpu")
        return state.epoch == state.config.epochs

    def kind_of(self, config: TrainingConfig) -> str:
        is_alone = last_batch(config) == 1 or config.data.batch_size == 1
        return json.dumps([config.model.model_dump_json(), is_alone, config.data.start_size, plain_fault(config)])

    def needs_rehearsal(self, config: TrainingConfig) -> bool:
        # This project's networks train; of a plan of layers it is not known what is left of a single image.
        return self.code_of(config) is not None or (last_batch(config) == 1 and config.model.plan is not None)

    def plain_fault(self, config: TrainingConfig) -> str | None:
        return plain_fault(config)

    def rehearse(self, config: TrainingConfig) -> Rehearsal:
        found = rehearse(config)
        return Rehearsal(fault=found.fault, warnings=found.warnings)

    def probe(self, *, threads: int) -> ImageProbe:
        return ImageProbe(threads=threads)


class ImageTraining:
    """One network between two epochs."""

    def __init__(self, state: TrainingState, split: Split) -> None:
        self._state = state
        self._images, self._validation = split

    @property
    def history(self) -> Sequence[EpochResult]:
        return self._state.history

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
            # The order in which threads add up decides the last bit of a result.
            "threads": str(torch.get_num_threads()),
            "torch": torch.__version__,
        }

    @property
    def steps_per_epoch(self) -> int:
        return -(-self._state.train_size // self._state.config.data.batch_size)

    def epochs(self, *, on_step: OnStep) -> Iterator[EpochResult]:
        from cifar_core.training import train

        state = self._state
        return train(state.config, self._images, self._validation, state=state, on_step=lambda step: on_step(step.loss))

    def save(self, path: Path) -> None:
        from cifar_core.checkpoint import save_checkpoint

        save_checkpoint(self._state, path)

    def draw(self, writer: Any) -> None:
        from sweeps.tasks.image_tensorboard import add_graph, input_grid

        grid_HWC = input_grid(self._state.config, self._images)
        writer.add_image("inputs/first_batch", grid_HWC, 1, dataformats="HWC")
        add_graph(writer, self._state)


def _whole_state(checkpoint: Path, *, device: str, part_of: Callable[[TrainingConfig], Split]) -> TrainingState:
    """Return a complete run's state; where its file is damaged, from the one before, trained to its end again."""
    from cifar_core.checkpoint import load_checkpoint
    from cifar_core.training import train

    *files, last = usable_files(checkpoint)
    for file in files:
        with contextlib.suppress(CheckpointError):
            return load_checkpoint(file, device=device)
    state = load_checkpoint(last, device=device)
    if state.epoch < state.config.epochs:
        for _ in train(state.config, *part_of(state.config), state=state):
            pass
    return state
