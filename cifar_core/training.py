"""The train step, one epoch, one run: state in, state out.

Random numbers: every epoch draws from generators seeded by (seed, epoch), so a run that goes on from a checkpoint
computes what it would have computed without the stop, and no generator's state has to be kept.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cifar_core.augment import augment, normalize, resized
from cifar_core.averaging import Lookahead
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
from cifar_core.models.build import build_model
from cifar_core.models.source import source_of
from cifar_core.operations.flip import Flip
from cifar_core.operations.operation import Operation
from cifar_core.optimization import Schedule, build_optimizer, build_schedule
from cifar_core.recipes import operations_of
from cifar_core.results import Confusion, EpochResult

DIVERGENCE_CHECK_STEPS = 50
"""Steps between two looks at the loss: a lost run ends within its epoch, and a GPU is seldom waited for."""

_ORDER, _AUGMENTATION, _DROPOUT, _ALTERNATION = 0, 1, 2, 3


@dataclass(kw_only=True)
class TrainingState:
    """A run between two epochs: all that the next epoch starts from."""

    config: TrainingConfig
    train_size: int
    """Training images; the schedule of one-cycle depends on it."""
    device: torch.device
    memory_format: torch.memory_format
    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    scaler: torch.amp.GradScaler
    averaging: Lookahead | None
    source: Mapping[str, str] | None = None
    """Files of the user's own that the network was built from, with their hashes (`models.source.Source`)."""
    history: list[EpochResult] = field(default_factory=list)
    """The epochs trained so far, first to last."""

    @property
    def epoch(self) -> int:
        """Epochs trained so far."""
        return len(self.history)


class StepResult(NamedTuple):
    """One train step; tensors stay on the device so that a GPU is not waited for."""

    loss: Tensor
    correct: Tensor
    """Right answers among the batch, while training."""
    batch_size: int


SEEN_IMAGES = 5_000
"""How many training images a network sees that looks at them before its first step."""

OnStep = Callable[[StepResult], None]
"""Hears of every step; where it reads a tensor's value, a GPU is waited for."""


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
        memory_format: `auto` takes what is fastest. The formats compute the same sums in another order: they
            differ in the last bit of a step, which networks with batch norm amplify over the steps.

    Raises:
        DeviceError: the device is not there, or cannot do the configuration's precision.
        ModelError: the network cannot be built.
    """
    torch_device = resolve_device(device)
    if config.precision == "float16" and torch_device.type != "cuda":
        raise DeviceError("precision float16 needs a CUDA GPU: use float32 or bfloat16 on a CPU")
    # Before: building refuses a file that says something else by then.
    source = source_of(config.model)
    with seeded(config.seed, torch_device):
        model = build_model(config.model)
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
        averaging=Lookahead(model, steps=config.epochs * steps) if config.averaging == "lookahead" else None,
        source=None if source is None else source.files,
    )


def train(
    config: TrainingConfig,
    images: LabelledImages,
    validation: LabelledImages | None = None,
    *,
    device: Device = "auto",
    state: TrainingState | None = None,
    on_step: OnStep | None = None,
) -> Iterator[EpochResult]:
    """Train one network and yield each epoch's result; stop when you have seen enough.

    What does not belong together is refused at the call, before the first epoch.

    Args:
        config: what to train.
        images: the training images; `split_train_validation` makes them, and `validation`, from `config.data`.
        validation: images to measure each epoch on; None, or no image at all, for none.
        device: `auto`, `cpu`, `cuda` or any torch device; not used where a state is given.
        state: where to go on from (`start`, `load_checkpoint`); it moves on with every epoch.
        on_step: hears of every step.

    Yields:
        One `EpochResult` an epoch, after `state` holds it.

    Raises:
        DataMismatchError: at the call: the images are not as many as `config.data` says (`require_split`).
        StateMismatchError: at the call: the state is of another configuration, or of another number of images.
        DeviceError: at the call, as `start`.
        ModelError: at the call, as `start`.
        DivergedError: the loss is not finite; the epochs before remain in `state.history`.
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
    """Train one epoch, measure it, append it to the state's history and return it.

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
        val_confusion=None if measured is None or epoch < state.config.epochs else _confusion(validation, measured),
    )
    state.history.append(result)
    return result


def train_steps(state: TrainingState, images: DeviceImages) -> Iterator[StepResult]:
    """Take the steps of the next epoch one by one; each is done when it is yielded."""
    config, device = state.config, state.device
    epoch = state.epoch + 1
    if epoch == 1:
        _see_images(state, images)
    state.model.train()
    # Dropout draws from torch's global generator, which the caller gets back as it was.
    with seeded(_derived_seed(config.seed, epoch, _DROPOUT), device), reproducible():
        for inputs_NCHW, labels_N in input_batches(config, images, epoch=epoch):
            yield train_step(state, inputs_NCHW.contiguous(memory_format=state.memory_format), labels_N)


def input_batches(config: TrainingConfig, images: DeviceImages, *, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield an epoch's batches as the network is trained on them: inputs, float32 N×3×32×32, and labels, int64 N.

    The random numbers come from generators of its own: whoever looks at them changes no run.
    """
    order_generator = torch.Generator().manual_seed(_derived_seed(config.seed, epoch, _ORDER))
    augmentation_generator = torch.Generator().manual_seed(_derived_seed(config.seed, epoch, _AUGMENTATION))
    operations = operations_of(config.data.augmentation)
    count = len(images.labels_N)
    order = torch.randperm(count, generator=order_generator) if config.data.shuffle else torch.arange(count)
    alternation = _alternation(config, operations, count=count, epoch=epoch)
    for order_N in torch.split(order, config.data.batch_size):
        indices_N = order_N.to(images.labels_N.device)
        inputs_NCHW = augment(
            images.images_NHWC[indices_N],
            operations=operations,
            normalization=config.data.normalization,
            generator=augmentation_generator,
            alternation_N=None if alternation is None else alternation[order_N],
        )
        yield resized(inputs_NCHW, config.image_size(epoch)), images.labels_N[indices_N]


def _alternation(config: TrainingConfig, operations: tuple[Operation, ...], *, count: int, epoch: int) -> Tensor | None:
    """Return which images a flip that alternates mirrors in an epoch, one bool an image; None without such a flip."""
    flip = next((op for op in operations if isinstance(op, Flip) and op.alternate), None)
    if flip is None:
        return None
    generator = torch.Generator().manual_seed(_derived_seed(config.seed, 0, _ALTERNATION))
    return (torch.rand(count, generator=generator) < flip.p) ^ (epoch % 2 == 0)


@torch.no_grad()
def _see_images(state: TrainingState, images: DeviceImages) -> None:
    """Let a network that has a method `see_images` look at training images before its first step."""
    see_images = getattr(state.model, "see_images", None)
    if see_images is not None:
        stored_NHWC = images.images_NHWC[:SEEN_IMAGES]
        see_images(normalize(stored_NHWC, normalization=state.config.data.normalization))
        if state.averaging is not None:
            state.averaging.begin_anew()


def train_step(state: TrainingState, inputs_NCHW: Tensor, labels_N: Tensor) -> StepResult:
    """Move the weights once along the gradient of a batch's mean cross-entropy.

    With label smoothing that is the loss it tells, so that losses are compared between runs of one smoothing only.
    """
    state.optimizer.zero_grad(set_to_none=True)
    with autocast(state.config, state.device):
        logits_NK = state.model(inputs_NCHW)
        loss = functional.cross_entropy(logits_NK, labels_N, label_smoothing=state.config.label_smoothing)
    torch.autograd.backward(state.scaler.scale(loss))
    state.scaler.step(state.optimizer)
    state.scaler.update()
    state.schedule.end_step()
    if state.averaging is not None:
        state.averaging.end_step()
    correct = (logits_NK.argmax(1) == labels_N).sum()
    return StepResult(loss.detach().float(), correct, len(labels_N))


def _confusion(images: DeviceImages | None, measured: Evaluation) -> Confusion:
    assert images is not None
    return confusion(images.labels_N.cpu().numpy(), measured.predicted_N)


def _require_same_run(state: TrainingState, config: TrainingConfig, *, train_size: int) -> None:
    if not config.is_same_run(state.config):
        raise StateMismatchError(
            "the state belongs to another configuration: train with state.config, or start anew without a state"
        )
    if state.train_size != train_size:
        raise StateMismatchError(
            f"the state was started for {state.train_size} training images, but there are {train_size}: "
            "give the same images again, or start anew without a state"
        )


def _require_finite(loss_sum: Tensor, epoch: int) -> None:
    value = loss_sum.item()
    if not np.isfinite(value):
        raise DivergedError(epoch=epoch, loss=value)


def _derived_seed(seed: int, epoch: int, purpose: int) -> int:
    return int(np.random.SeedSequence([seed, epoch, purpose]).generate_state(1, np.uint64)[0] >> 1)
