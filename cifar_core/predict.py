"""A trained network with everything that predictions need: its normalisation, image size and class names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cifar_core.augment import normalize
from cifar_core.checkpoint import load_network
from cifar_core.config import TrainingConfig
from cifar_core.data.images import class_names_of
from cifar_core.device import Device, autocast
from cifar_core.evaluation import EVALUATION_BATCH, averaged_logits
from cifar_core.image_file import ImageSource, read_image


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The prediction for an image."""

    probabilities: Mapping[str, float]
    """Class name to probability, the highest first; they add up to 1."""

    @property
    def label(self) -> str:
        return next(iter(self.probabilities))

    @property
    def probability(self) -> float:
        return self.probabilities[self.label]


class Classifier(nn.Module):
    """A network that takes uint8 images and normalises them as in its training.

    Example:
        >>> model = Classifier.load("checkpoints/.../state.pt")
        >>> model.predict("cat.jpg").label
        'cat'
    """

    def __init__(
        self, network: nn.Module, config: TrainingConfig, *, class_names: tuple[str, ...] | None = None
    ) -> None:
        """Wrap a trained network.

        Args:
            network: maps N×3×H×H normalised images to N×K logits; CIFAR-10 has H = 32 and K = 10.
            config: the configuration that it was trained with.
            class_names: in the order of the logits; None for those of the data set that it was trained on.
        """
        super().__init__()
        self.network = network
        self.config = config
        self.class_names = class_names or class_names_of(config)
        self.eval()

    @classmethod
    def load(cls, checkpoint: str | Path, *, device: Device = "auto") -> Classifier:
        """Return the network of a checkpoint, on any device.

        Raises:
            CheckpointError: the file is missing or damaged.
        """
        return cls(*load_network(Path(checkpoint), device=device))

    def forward(self, images_NHWC: Tensor) -> Tensor:
        """Return N×K float32 logits for N×H×H×3 uint8 images, red green blue, 0 to 255.

        They are averaged over the views of `config.test_time_augmentation`, as for the recorded accuracies.

        Raises:
            TypeError: the images have another type; normalised images would be normalised twice.
        """
        if images_NHWC.dtype != torch.uint8:
            size = self.config.data.image_size
            raise TypeError(f"images must be uint8, N×{size}×{size}×3, not {images_NHWC.dtype}: do not normalise them")
        with autocast(self.config, images_NHWC.device):
            inputs_NCHW = normalize(images_NHWC, normalization=self.config.data.constants)
            return averaged_logits(self.network, inputs_NCHW, over=self.config.test_time_augmentation)

    def predict(self, image: ImageSource) -> Prediction:
        """Return the prediction for an image of any mode and size (`cifar_core.image_file.read_image`).

        Raises:
            ImageError: the image cannot be read.
        """
        return self.predict_many([self.read(image)])[0]

    def read(self, image: ImageSource) -> np.ndarray:
        """Return an image as the network takes it, H×H×3 uint8.

        Raises:
            ImageError: the image cannot be read.
        """
        return read_image(image, size=self.config.data.image_size)

    @torch.inference_mode()
    def predict_many(self, images: Iterable[np.ndarray]) -> list[Prediction]:
        """Return the prediction for each image, H×H×3 uint8 (`read`)."""
        stacked = np.stack(list(images))
        device = next(self.parameters()).device
        found = []
        for images_NHWC in torch.split(torch.from_numpy(stacked), EVALUATION_BATCH):
            for probabilities_K in self(images_NHWC.to(device)).softmax(1).cpu():
                order = probabilities_K.argsort(descending=True, stable=True).tolist()
                found.append(Prediction(probabilities={self.class_names[k]: float(probabilities_K[k]) for k in order}))
        return found


class Probabilities(nn.Module):
    """A classifier that returns probabilities, for serving.

    Shapes are those of `Classifier`: N×H×H×3 uint8 images in, N×K probabilities out, which add up to 1 per image.
    """

    def __init__(self, classifier: Classifier) -> None:
        super().__init__()
        self.classifier = classifier
        self.eval()

    def forward(self, images_NHWC: Tensor) -> Tensor:
        probabilities_NK: Tensor = self.classifier(images_NHWC).softmax(1)
        return probabilities_NK
