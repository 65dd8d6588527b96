"""The views that test-time augmentation averages over."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cifar_core.augment import normalize
from cifar_core.config import TrainingConfig
from cifar_core.data.images import LabelledImages
from cifar_core.data.load import load_training_images
from cifar_core.evaluation import confusion, evaluate, probabilities


def small_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 5), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 28 * 28, 10))


def some_images() -> LabelledImages:
    train = load_training_images(progress=False)[0]
    return LabelledImages(train.images_NHWC[:50], train.labels_N[:50])


def config(views: str) -> TrainingConfig:
    return TrainingConfig.model_validate({"data": {"normalization": "cifar10"}, "test_time_augmentation": views})


def shifted(inputs_NCHW: Tensor, pixels: int) -> Tensor:
    """Return the images shifted by `pixels` to the top left, mirrored at the edge."""
    whole = np.pad(inputs_NCHW.numpy(), [(0, 0), (0, 0), (1, 1), (1, 1)], mode="reflect")
    start = 1 + pixels
    return torch.from_numpy(whole[..., start : start + 32, start : start + 32].copy())


def test_rows_of_the_confusion_matrix_are_classes_and_columns_are_predictions() -> None:
    found = confusion(np.array([0, 0, 0, 1, 2]), np.array([1, 1, 0, 1, 0]), classes=3)
    assert found == ((1, 2, 0), (0, 1, 0), (1, 0, 0))


def test_logits_are_averaged_over_the_mirrored_and_the_shifted_views() -> None:
    model, images = small_network(), some_images()
    inputs = normalize(torch.from_numpy(np.array(images.images_NHWC)), normalization="cifar10").contiguous()
    with torch.no_grad():
        plain, mirrored = model(inputs), model(inputs.flip(3))
        moved = [
            model(view.flip(3)) if mirror else model(view)
            for view in (shifted(inputs, -1), shifted(inputs, 1))
            for mirror in (False, True)
        ]
        expected = {
            "none": plain,
            "flip": (plain + mirrored) / 2,
            "flip-shift": (plain + mirrored) / 4 + torch.stack(moved).mean(0) / 2,
        }

    for views, logits_NK in expected.items():
        measured = evaluate(model, images, config=config(views))
        likely = probabilities(model, images, config=config(views))
        torch.testing.assert_close(torch.from_numpy(likely), logits_NK.softmax(1), rtol=1e-4, atol=1e-6)
        loss = functional.cross_entropy(logits_NK, torch.from_numpy(images.labels_N)).item()
        assert abs(measured.loss - loss) < 1e-4
