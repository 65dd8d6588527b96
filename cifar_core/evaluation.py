"""What a network does on images that it did not train on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import nn
from torch.nn import functional

from cifar_core.augment import normalize
from cifar_core.config import TrainingConfig
from cifar_core.data import LabelledImages
from cifar_core.device import DeviceImages, autocast, on_device, reproducible

EVALUATION_BATCH = 500
"""Images a batch without gradients: large enough to be fast, small enough for any memory."""


class Evaluation(NamedTuple):
    """What a network did on images that it did not train on."""

    loss: float
    """Mean cross-entropy in nats."""
    correct_N: np.ndarray
    """One bool an image, in the images' order."""

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
    losses, correct = [], []
    with autocast(config, device), reproducible():
        for images_NHWC, labels_N in zip(
            torch.split(on_place.images_NHWC, EVALUATION_BATCH),
            torch.split(on_place.labels_N, EVALUATION_BATCH),
            strict=True,
        ):
            logits_NK = model(normalize(images_NHWC, normalization=config.data.normalization)).float()
            losses.append(functional.cross_entropy(logits_NK, labels_N, reduction="sum"))
            correct.append(logits_NK.argmax(1) == labels_N)
    model.train(was_training)
    loss = torch.stack(losses).sum().item() / len(on_place.labels_N)
    return Evaluation(loss, torch.cat(correct).cpu().numpy())
