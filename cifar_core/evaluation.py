"""Evaluation of a network on images that it was not trained on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cifar_core.augment import normalize
from cifar_core.config import TrainingConfig
from cifar_core.data.images import CLASS_NAMES, LabelledImages
from cifar_core.device import DeviceImages, autocast, on_device, reproducible
from cifar_core.results import Confusion

EVALUATION_BATCH = 500
"""Images per batch without gradients: large enough to be fast, small enough for any memory."""


class Evaluation(NamedTuple):
    """The results of an evaluation."""

    loss: float
    """Mean cross-entropy in nats."""
    correct_N: np.ndarray
    """One bool per image, in the images' order."""
    predicted_N: np.ndarray
    """Predicted class of each image, from 0."""

    @property
    def accuracy(self) -> float:
        return float(self.correct_N.mean())


@torch.inference_mode()
def evaluate(model: nn.Module, images: DeviceImages | LabelledImages, *, config: TrainingConfig) -> Evaluation:
    """Evaluate a network on images: normalised as in training, without dropout, with test-time augmentation.

    Args:
        model: the network, on the device to compute on.
        images: the images; `LabelledImages` are moved to the model's device.
        config: the configuration that the network was trained with.
    """
    images_on_device = _on_device(images, model)
    losses, predicted = [], []
    for logits_NK, labels_N in _logits(model, images_on_device, config=config):
        losses.append(functional.cross_entropy(logits_NK, labels_N, reduction="sum"))
        predicted.append(logits_NK.argmax(1))
    loss = torch.stack(losses).sum().item() / len(images_on_device.labels_N)
    predicted_N = torch.cat(predicted)
    return Evaluation(loss, (predicted_N == images_on_device.labels_N).cpu().numpy(), predicted_N.cpu().numpy())


@torch.inference_mode()
def probabilities(model: nn.Module, images: DeviceImages | LabelledImages, *, config: TrainingConfig) -> np.ndarray:
    """Return the softmax probabilities, N×K float32, of the logits that `evaluate` measures.

    Arguments are those of `evaluate`.
    """
    answers = [logits_NK.softmax(1) for logits_NK, _ in _logits(model, _on_device(images, model), config=config)]
    found: np.ndarray = torch.cat(answers).cpu().numpy()
    return found


def _on_device(images: DeviceImages | LabelledImages, model: nn.Module) -> DeviceImages:
    return on_device(images, next(model.parameters()).device) if isinstance(images, LabelledImages) else images


def _logits(model: nn.Module, images: DeviceImages, *, config: TrainingConfig) -> Iterator[tuple[Tensor, Tensor]]:
    """Yield logits and labels batch by batch; the model is in evaluation mode until the generator is exhausted."""
    was_training = model.training
    model.eval()
    with autocast(config, images.images_NHWC.device), reproducible():
        for images_NHWC, labels_N in zip(
            torch.split(images.images_NHWC, EVALUATION_BATCH),
            torch.split(images.labels_N, EVALUATION_BATCH),
            strict=True,
        ):
            inputs_NCHW = normalize(images_NHWC, normalization=config.data.constants)
            yield averaged_logits(model, inputs_NCHW, over=config.test_time_augmentation), labels_N
    model.train(was_training)


def averaged_logits(model: nn.Module, inputs_NCHW: Tensor, *, over: str) -> Tensor:
    """Return the mean logits over the views of each image; in `flip-shift` unshifted views have half the weight."""
    if over == "none":
        return _float_logits(model, inputs_NCHW)
    straight_NK = _flip_averaged(model, inputs_NCHW)
    if over == "flip":
        return straight_NK
    height, width = inputs_NCHW.shape[2:]
    padded_NCHW = functional.pad(inputs_NCHW, (1, 1, 1, 1), mode="reflect")
    shifted = (padded_NCHW[..., start : start + height, start : start + width] for start in (0, 2))
    up_NK, down_NK = (_flip_averaged(model, view_NCHW) for view_NCHW in shifted)
    return 0.5 * straight_NK + 0.25 * (up_NK + down_NK)


def _flip_averaged(model: nn.Module, inputs_NCHW: Tensor) -> Tensor:
    return 0.5 * (_float_logits(model, inputs_NCHW) + _float_logits(model, inputs_NCHW.flip(3)))


def _float_logits(model: nn.Module, inputs_NCHW: Tensor) -> Tensor:
    logits_NK: Tensor = model(inputs_NCHW)
    return logits_NK.float()


def confusion(labels_N: np.ndarray, predicted_N: np.ndarray, *, classes: int = len(CLASS_NAMES)) -> Confusion:
    """Return the number of images of each class (row) that were predicted as each class (column)."""
    counts = np.bincount(labels_N * classes + predicted_N, minlength=classes * classes).reshape(classes, classes)
    return tuple(tuple(int(count) for count in row) for row in counts)
