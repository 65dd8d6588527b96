"""What a network does on images that it did not train on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from cifar_core.augment import normalize
from cifar_core.config import TrainingConfig
from cifar_core.data import CLASS_NAMES, LabelledImages
from cifar_core.device import DeviceImages, autocast, on_device, reproducible
from cifar_core.results import Confusion

EVALUATION_BATCH = 500
"""Images a batch without gradients: large enough to be fast, small enough for any memory."""


class Evaluation(NamedTuple):
    """What a network did on images that it did not train on."""

    loss: float
    """Mean cross-entropy in nats."""
    correct_N: np.ndarray
    """One bool an image, in the images' order."""
    predicted_N: np.ndarray
    """The class that each image was taken for, 0 to 9."""

    @property
    def accuracy(self) -> float:
        return float(self.correct_N.mean())


@torch.inference_mode()
def evaluate(model: nn.Module, images: DeviceImages | LabelledImages, *, config: TrainingConfig) -> Evaluation:
    """Measure a network on images: normalised as in training, not augmented, dropout off.

    Args:
        model: the network, on the device to compute on.
        images: what to measure on; `LabelledImages` are moved to the model's device.
        config: what the network was trained with.
    """
    device = next(model.parameters()).device
    on_place = on_device(images, device) if isinstance(images, LabelledImages) else images
    was_training = model.training
    model.eval()
    losses, predicted = [], []
    with autocast(config, device), reproducible():
        for images_NHWC, labels_N in zip(
            torch.split(on_place.images_NHWC, EVALUATION_BATCH),
            torch.split(on_place.labels_N, EVALUATION_BATCH),
            strict=True,
        ):
            logits_NK = model(normalize(images_NHWC, normalization=config.data.normalization)).float()
            losses.append(functional.cross_entropy(logits_NK, labels_N, reduction="sum"))
            predicted.append(logits_NK.argmax(1))
    model.train(was_training)
    loss = torch.stack(losses).sum().item() / len(on_place.labels_N)
    predicted_N = torch.cat(predicted)
    return Evaluation(loss, (predicted_N == on_place.labels_N).cpu().numpy(), predicted_N.cpu().numpy())


def confusion(labels_N: np.ndarray, predicted_N: np.ndarray, *, classes: int = len(CLASS_NAMES)) -> Confusion:
    """Return how many images of each class (row) were taken for each class (column)."""
    counts = np.bincount(labels_N * classes + predicted_N, minlength=classes * classes).reshape(classes, classes)
    return tuple(tuple(int(count) for count in row) for row in counts)
