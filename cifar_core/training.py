"""The train step, an epoch and a run, as functions of a training state.

Random numbers: every epoch draws from generators seeded by (seed, epoch). A run that resumes from a checkpoint
therefore computes what it would have computed without the stop, and no generator state is saved.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cifar_core.augment import augment, normalize, resized
from cifar_core.averaging import Averaging, EqualAverage, ExponentialAverage, Lookahead
from cifar_core.common.errors import DivergedError
from cifar_core.config import TrainingConfig
from cifar_core.data.images import LabelledImages
from cifar_core.data.split import require_split
from cifar_core.device import (
    Device,
    DeviceImages,
    MemoryFormat,
    autocast,
    memory_layout,
    on_device,
    reproducible,
    resolve_device,
    seeded,
)
from cifar_core.errors import DeviceError, StateMismatchError
from cifar_core.evaluation import Evaluation, confusion, evaluate
from cifar_core.mixing import mixed
from cifar_core.models.build import network_of
from cifar_core.models.source import source_of
from cifar_core.operations.flip import Flip
from cifar_core.operations.operation import Operation
from cifar_core.optimization import Schedule, build_optimizer, build_schedule
from cifar_core.results import Confusion, EpochResult
from cifar_core.sharpness import perturbed

DIVERGENCE_CHECK_STEPS = 50
"""Steps between two checks of the loss: a diverged run ends within its epoch, with few synchronisations of a GPU."""

_ORDER, _AUGMENTATION, _DROPOUT, _ALTERNATION = 0, 1, 2, 3


@dataclass(kw_only=True)
class TrainingState:
    """The complete state of a run between two epochs."""

    config: TrainingConfig
    train_size: int
    """Number of training images; per-step schedules depend on it."""
    device: torch.device
    memory_format: torch.memory_format
    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    scaler: torch.amp.GradScaler
    averaging: Averaging | None
    source: Mapping[str, str] | None = None
    """User files that the network was built from, with their hashes (`models.source.Source`)."""
    history: list[EpochResult] = field(default_factory=list)
    """The epochs trained so far, first to last."""

    @property
    def epoch(self) -> int:
        """Epochs trained so far."""
        return len(self.history)


class StepResult(NamedTuple):
    """One train step; tensors stay on the device, which avoids synchronising a GPU."""

    loss: Tensor
    correct: Tensor
    """Number of correct predictions in the batch, in training mode."""
    batch_size: int


INITIALIZATION_IMAGES = 5_000
"""Number of training images that are passed to a network's `see_images` before the first step."""

OnStep = Callable[[StepResult], None]
"""Called after every step; reading a tensor's value synchronises a GPU."""


def start(
    config: TrainingConfig,
    *,
    train_size: int,
    device: Device = "auto",
    memory_format: MemoryFormat = "auto",
) -> TrainingState:
    """Return the state before the first epoch: weights drawn under `config.seed`, as torch draws them.

    Args:
        config: what to train.
        train_size: number of training images.
        device: `auto`, `cpu`, `cuda` or any torch device.
        memory_format: `auto` takes the fastest. The formats sum in different orders: they differ in the last bit of a
            step, which networks with batch norm amplify over the steps.

    Raises:
        DeviceError: the device is not available, or does not support the configuration's precision.
        ModelError: the network cannot be built.
    """
    torch_device = resolve_device(device)
    if config.precision == "float16" and torch_device.type != "cuda":
        raise DeviceError("precision float16 needs a CUDA GPU. Use float32 or bfloat16 on a CPU.")
    # Hashed first: building raises if a file has changed since.
    source = source_of(config.model)
    with seeded(config.seed, torch_device):
        model = network_of(config)
    layout = memory_layout(config, torch_device, memory_format)
    model.to(torch_device).to(memory_format=layout)
    optimizer = build_optimizer(model, config.optimizer)
    steps = -(-train_size // config.data.batch_size)
    schedule = build_schedule(optimizer, config.schedule, epochs=config.epochs, steps_per_epoch=steps)
    scaler = torch.amp.GradScaler(torch_device.type, enabled=config.precision == "float16")
    return TrainingState(
        config=config,
        train_size=train_size,
        device=torch_device,
        memory_format=layout,
        model=model,
        optimizer=optimizer,
        schedule=schedule,
        scaler=scaler,
        averaging=_averaging(config, model, steps_per_epoch=steps),
        source=None if source is None else source.files,
    )


def _averaging(config: TrainingConfig, model: nn.Module, *, steps_per_epoch: int) -> Averaging | None:
    match config.averaging:
        case "lookahead":
            return Lookahead(model, steps=config.epochs * steps_per_epoch)
        case "ema":
            return ExponentialAverage(model, steps_per_epoch=steps_per_epoch)
        case "swa":
            return EqualAverage(model, epochs=config.epochs, steps_per_epoch=steps_per_epoch)
        case "none":
            return None


def train(
    config: TrainingConfig,
    images: LabelledImages,
    validation: LabelledImages | None = None,
    *,
    device: Device = "auto",
    state: TrainingState | None = None,
    on_step: OnStep | None = None,
) -> Iterator[EpochResult]:
    """Train one network and yield the result of each epoch; the caller may stop iterating at any time.

    All errors but `DivergedError` are raised at the call, before the first epoch.

    Args:
        config: what to train.
        images: the training images; `split_train_validation` returns them, and `validation`, for `config.data`.
        validation: images on which each epoch is evaluated; None or an empty set for none.
        device: `auto`, `cpu`, `cuda` or any torch device; ignored where a state is given.
        state: where the training resumes (from `start`, `load_checkpoint`); updated by every epoch.
        on_step: called after every step.

    Yields:
        One `EpochResult` per epoch, after it was appended to the state's history.

    Raises:
        DataMismatchError: the number of images differs from `config.data` (`require_split`).
        StateMismatchError: the state belongs to another configuration, or to another number of images.
        DeviceError: as `start`.
        ModelError: as `start`.
        DivergedError: the loss is not finite; earlier epochs remain in `state.history`.
    """
    require_split(config.data, train=images, validation=validation)
    if state is None:
        state = start(config, train_size=len(images), device=device)
    else:
        _require_same_run(state, config, train_size=len(images))
    return _train_epochs(state, images, validation or None, on_step)


def _train_epochs(
    state: TrainingState, images: LabelledImages, validation: LabelledImages | None, on_step: OnStep | None
) -> Iterator[EpochResult]:
    train_images = on_device(images, state.device)
    validation_images = on_device(validation, state.device) if validation is not None else None
    while state.epoch < state.config.epochs:
        yield train_epoch(state, train_images, validation_images, on_step=on_step)


def train_epoch(
    state: TrainingState,
    images: DeviceImages,
    validation: DeviceImages | None = None,
    *,
    on_step: OnStep | None = None,
) -> EpochResult:
    """Train one epoch, evaluate it, append the result to the state's history and return it.

    Raises:
        DivergedError: the loss is not finite.
    """
    started = time.perf_counter()
    epoch = state.epoch + 1
    loss_sum = torch.zeros((), device=state.device)
    correct = torch.zeros((), dtype=torch.int64, device=state.device)
    count = 0
    for number, step in enumerate(train_steps(state, images)):
        loss_sum += step.loss * step.batch_size
        correct += step.correct
        count += step.batch_size
        if on_step is not None:
            on_step(step)
        if number % DIVERGENCE_CHECK_STEPS == 0:
            _require_finite(loss_sum, epoch)
    _require_finite(loss_sum, epoch)
    learning_rate = state.schedule.learning_rate
    state.schedule.end_epoch()
    trained = time.perf_counter()

    is_last = epoch == state.config.epochs
    with contextlib.nullcontext() if state.averaging is None else state.averaging.evaluated(is_last=is_last):
        measured = evaluate(state.model, validation, config=state.config) if validation is not None else None
    if measured is not None and not np.isfinite(measured.loss):
        raise DivergedError(epoch=epoch, loss=measured.loss)
    result = EpochResult(
        epoch=epoch,
        train_loss=loss_sum.item() / count,
        train_accuracy=int(correct.item()) / count,
        val_loss=None if measured is None else measured.loss,
        val_accuracy=None if measured is None else measured.accuracy,
        learning_rate=learning_rate,
        seconds=time.perf_counter() - started,
        images_per_second=count / (trained - started),
        finished_at=time.time(),
        val_confusion=None
        if measured is None or not is_last
        else _confusion(validation, measured, classes=state.config.data.classes),
    )
    state.history.append(result)
    return result


def train_steps(state: TrainingState, images: DeviceImages) -> Iterator[StepResult]:
    """Take the steps of the next epoch, and yield the result of each after it is taken."""
    config, device = state.config, state.device
    epoch = state.epoch + 1
    if epoch == 1:
        _initialize_from_images(state, images)
    state.model.train()
    # Dropout draws from torch's global generator, whose state is restored afterwards.
    with seeded(_derived_seed(config.seed, epoch, _DROPOUT), device), reproducible():
        for inputs_NCHW, targets in input_batches(config, images, epoch=epoch):
            yield train_step(state, inputs_NCHW.contiguous(memory_format=state.memory_format), targets)


def input_batches(config: TrainingConfig, images: DeviceImages, *, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield an epoch's batches: inputs, float32 N×3×H×W with H = W = `config.image_size(epoch)`, and targets.

    Targets are labels, int64 N; with mixup or cutmix the share of each class, float32 N×K.

    The random numbers come from separate generators: calling this changes no run.
    """
    order_generator = torch.Generator().manual_seed(_derived_seed(config.seed, epoch, _ORDER))
    augmentation_generator = torch.Generator().manual_seed(_derived_seed(config.seed, epoch, _AUGMENTATION))
    operations = config.data.operations
    count = len(images.labels_N)
    order = torch.randperm(count, generator=order_generator) if config.data.shuffle else torch.arange(count)
    alternation = _alternation(config, operations, count=count, epoch=epoch)
    for order_N in torch.split(order, config.data.batch_size):
        indices_N = order_N.to(images.labels_N.device)
        inputs_NCHW = augment(
            images.images_NHWC[indices_N],
            operations=operations,
            normalization=config.data.constants,
            generator=augmentation_generator,
            alternation_N=None if alternation is None else alternation[order_N],
        )
        yield mixed(
            resized(inputs_NCHW, config.image_size(epoch)),
            images.labels_N[indices_N],
            data=config.data,
            generator=augmentation_generator,
        )


def _alternation(config: TrainingConfig, operations: tuple[Operation, ...], *, count: int, epoch: int) -> Tensor | None:
    """Return the images that an alternating flip mirrors in an epoch, one bool per image; None without such a flip."""
    flip = next((op for op in operations if isinstance(op, Flip) and op.alternate), None)
    if flip is None:
        return None
    generator = torch.Generator().manual_seed(_derived_seed(config.seed, 0, _ALTERNATION))
    return (torch.rand(count, generator=generator) < flip.p) ^ (epoch % 2 == 0)


@torch.no_grad()
def _initialize_from_images(state: TrainingState, images: DeviceImages) -> None:
    """Pass training images to the network's method `see_images`, if it has one, before the first step."""
    see_images = getattr(state.model, "see_images", None)
    if see_images is not None:
        stored_NHWC = images.images_NHWC[:INITIALIZATION_IMAGES]
        see_images(normalize(stored_NHWC, normalization=state.config.data.constants))
        if state.averaging is not None:
            state.averaging.reset()


def train_step(state: TrainingState, inputs_NCHW: Tensor, targets: Tensor) -> StepResult:
    """Take one optimiser step on the mean cross-entropy of a batch.

    The reported loss includes label smoothing and mixed labels: losses are comparable only between runs with the same.

    Args:
        state: updated in place.
        inputs_NCHW: the images.
        targets: labels, int64 N, or the share of each class in an image, float32 N×K. A prediction is correct if it is
            the class with the largest share.
    """
    optimizer, config = state.optimizer, state.config.optimizer
    loss, logits_NK = _backward(state, inputs_NCHW, targets)
    if config.sam_rho > 0:
        with perturbed(state.model, rho=config.sam_rho):
            _backward(state, inputs_NCHW, targets)
    if config.clip_norm is not None:
        state.scaler.unscale_(optimizer)
        nn.utils.clip_grad_norm_(state.model.parameters(), config.clip_norm)
    state.scaler.step(optimizer)
    state.scaler.update()
    state.schedule.end_step()
    if state.averaging is not None:
        state.averaging.end_step()
    labels_N = targets if targets.ndim == 1 else targets.argmax(1)
    correct = (logits_NK.argmax(1) == labels_N).sum()
    return StepResult(loss.detach().float(), correct, len(labels_N))


def _backward(state: TrainingState, inputs_NCHW: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Set the gradient of the loss at the current weights; return the loss and the logits."""
    state.optimizer.zero_grad(set_to_none=True)
    with autocast(state.config, state.device):
        logits_NK = state.model(inputs_NCHW)
        loss = functional.cross_entropy(logits_NK, targets, label_smoothing=state.config.label_smoothing)
    torch.autograd.backward(state.scaler.scale(loss))
    return loss, logits_NK


def _confusion(images: DeviceImages | None, measured: Evaluation, *, classes: int) -> Confusion:
    assert images is not None
    return confusion(images.labels_N.cpu().numpy(), measured.predicted_N, classes=classes)


def _require_same_run(state: TrainingState, config: TrainingConfig, *, train_size: int) -> None:
    if not config.is_same_run(state.config):
        raise StateMismatchError(
            "the state belongs to another configuration. Train with state.config, or pass no state."
        )
    if state.train_size != train_size:
        raise StateMismatchError(
            f"the state was created for {state.train_size} training images, but there are {train_size}: "
            "pass the same images, or pass no state"
        )


def _require_finite(loss_sum: Tensor, epoch: int) -> None:
    value = loss_sum.item()
    if not np.isfinite(value):
        raise DivergedError(epoch=epoch, loss=value)


def _derived_seed(seed: int, epoch: int, purpose: int) -> int:
    return int(np.random.SeedSequence([seed, epoch, purpose]).generate_state(1, np.uint64)[0] >> 1)
