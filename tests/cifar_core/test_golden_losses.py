"""The train step against a plain torch loop written from the notebook: torchvision transforms, DataLoader, SGD.

Nothing of `cifar_core` is used in the loop. Augmentation is off; dropout is on where the rung has it, since both
sides draw it from torch's global generator under the same seed.

Both sides use the contiguous memory format, in which they agree to the last bit. In `channels_last`, the default where
it is faster, the same sums are added in another order; the networks with batch norm amplify that from step to
step (measured: 3e-4 for the deep net, 3e-2 for VGG at an eighth of the width after 20 steps), so there the first
two steps alone are held to the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice, pairwise

import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from cifar_core import TrainingConfig, load_cifar10, start
from cifar_core.data.images import LabelledImages
from cifar_core.device import MemoryFormat, on_device
from cifar_core.training import _DROPOUT, _derived_seed, train_steps

STEPS = 20
VGG_PLAN = "96 96 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M"
IMAGENET = transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
CIFAR10 = transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))


class Images(Dataset[tuple[torch.Tensor, int]]):
    """The images one by one through a transform, as the notebook's DataLoader sees them."""

    def __init__(self, images: LabelledImages, transform: Callable[..., torch.Tensor]) -> None:
        self.images, self.transform = images, transform

    def __len__(self) -> int:
        return len(self.images.labels_N)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.transform(np.array(self.images.images_NHWC[index])), int(self.images.labels_N[index])


def simple(w: int, *, hidden: tuple[int, ...] = (64,), noisy: bool = False) -> nn.Module:
    layers: list[nn.Module] = []
    for before, after in ((3, w), (w, w), (w, 2 * w)):
        layers += [nn.Conv2d(before, after, 5, padding="same"), nn.MaxPool2d(2)]
    layers.append(nn.Flatten())
    widths = [2 * w * 16, *(h * w // 32 for h in hidden), 10]
    for before, after in pairwise(widths):
        layers.append(nn.Linear(before, after))
        if noisy:
            layers += [nn.ReLU(), nn.Dropout(0.4)]
    return nn.Sequential(*layers)


def deep(w: int) -> nn.Module:
    layers: list[nn.Module] = []
    before = 3
    for after in (w, 2 * w, 4 * w, 8 * w):
        layers += [nn.Conv2d(before, after, 3, padding="same"), nn.BatchNorm2d(after)]
        layers += [nn.Conv2d(after, after, 3, padding="same"), nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
        before = after
    layers += [nn.Flatten(), nn.Linear(8 * w * 4, 4 * w), nn.Linear(4 * w, w), nn.Linear(w, 10)]
    return nn.Sequential(*layers)


class Block(nn.Module):
    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(before, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
            nn.ReLU(),
            nn.Conv2d(after, after, 3, padding=1, bias=False),
            nn.BatchNorm2d(after),
        )
        self.shortcut = nn.Sequential(nn.Conv2d(before, after, 1, bias=False), nn.BatchNorm2d(after))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.main(x) + self.shortcut(x))


def resnet(w: int) -> nn.Module:
    layers: list[nn.Module] = []
    before = 3
    for after in (w, 2 * w, 4 * w, 8 * w):
        layers += [Block(before, after), nn.MaxPool2d(2)]
        before = after
    layers += [nn.Flatten(), nn.Dropout(0.4)]
    layers += [nn.Linear(8 * w * 4, 4 * w), nn.Linear(4 * w, w), nn.Linear(w, 10)]
    return nn.Sequential(*layers)


def vgg(w: int) -> nn.Module:
    layers: list[nn.Module] = []
    before = 3
    for layer in VGG_PLAN.split():
        if layer == "M":
            layers.append(nn.MaxPool2d(2))
        else:
            after = round(int(layer) * w / 96)
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
            before = after
    wide = round(4096 * w / 96)
    layers += [nn.Flatten(), nn.Linear(before, wide), nn.ReLU(), nn.Dropout(0.4)]
    layers += [nn.Linear(wide, wide), nn.ReLU(), nn.Dropout(0.4), nn.Linear(wide, 10)]
    return nn.Sequential(*layers)


Rung = tuple[dict[str, object], Callable[[int], nn.Module], Callable[..., torch.Tensor], dict[str, float], int]

TO_IMAGENET = transforms.Compose([transforms.ToTensor(), IMAGENET])
RUNGS: dict[str, Rung] = {
    "baseline": ({}, simple, transforms.ToTensor(), {"lr": 0.01}, 32),
    "batch-256": ({"data.batch_size": 256}, simple, transforms.ToTensor(), {"lr": 0.01}, 32),
    "normalized": (
        {"data.batch_size": 256, "data.normalization": "cifar10"},
        simple,
        transforms.Compose([transforms.ToTensor(), CIFAR10]),
        {"lr": 0.01},
        32,
    ),
    "regularized": (
        {
            "model.activation": "relu",
            "model.dropout": 0.4,
            "model.regularize_logits": True,
            "data.normalization": "imagenet",
        },
        lambda w: simple(w, noisy=True),
        TO_IMAGENET,
        {"lr": 0.01},
        32,
    ),
    "three-fc": (
        {"model.head": [256, 64]},
        lambda w: simple(w, hidden=(256, 64)),
        transforms.ToTensor(),
        {"lr": 0.01},
        32,
    ),
    "deep": (
        {"model.name": "deep", "data.normalization": "imagenet", "optimizer.lr": 0.005},
        deep,
        TO_IMAGENET,
        {"lr": 0.005},
        64,
    ),
    "resnet": (
        {"model.name": "resnet", "data.normalization": "imagenet", "optimizer.lr": 0.005},
        resnet,
        TO_IMAGENET,
        {"lr": 0.005},
        64,
    ),
    "vgg": (
        {
            "model.name": "vgg",
            "data.normalization": "imagenet",
            "data.batch_size": 24,
            "optimizer.weight_decay": 0.005,
        },
        vgg,
        TO_IMAGENET,
        {"lr": 0.01, "weight_decay": 0.005},
        96,
    ),
}


def losses_of_this_project(
    settings: dict[str, object],
    width: int,
    images: LabelledImages,
    *,
    steps: int = STEPS,
    memory_format: MemoryFormat = "contiguous",
) -> list[float]:
    tree: dict[str, dict[str, object]] = {"model": {"width": width}, "data": {"shuffle": False}}
    for path, value in settings.items():
        block, field = path.split(".")
        tree.setdefault(block, {})[field] = value
    config = TrainingConfig.model_validate({**tree, "seed": 7})
    state = start(config, train_size=len(images), device="cpu", memory_format=memory_format)
    return [step.loss.item() for step in islice(train_steps(state, on_device(images, state.device)), steps)]


def losses_of_a_plain_loop(rung: Rung, width: int, images: LabelledImages, *, steps: int = STEPS) -> list[float]:
    settings, build, transform, sgd, _ = rung
    torch.manual_seed(7)
    net = build(width)
    optimizer = torch.optim.SGD(net.parameters(), **sgd)
    batch_size = int(str(settings.get("data.batch_size", 64)))
    torch.manual_seed(_derived_seed(7, 1, _DROPOUT))
    losses = []
    loader = DataLoader(Images(images, transform), batch_size=batch_size, generator=torch.Generator())
    for inputs, labels in islice(loader, steps):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(inputs), labels)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def assert_same_losses(name: str, width: int) -> None:
    images = load_cifar10().train
    ours = losses_of_this_project(RUNGS[name][0], width, images)
    plain = losses_of_a_plain_loop(RUNGS[name], width, images)
    assert len(ours) == STEPS
    assert ours == pytest.approx(plain, abs=1e-4)


@pytest.mark.parametrize("name", RUNGS)
def test_first_twenty_losses_are_those_of_a_plain_loop_at_reduced_width(name: str) -> None:
    assert_same_losses(name, RUNGS[name][-1] // 8)


@pytest.mark.parametrize("name", RUNGS)
def test_first_losses_agree_in_channels_last_too(name: str) -> None:
    width, images = RUNGS[name][-1] // 8, load_cifar10().train
    plain = losses_of_a_plain_loop(RUNGS[name], width, images, steps=2)
    ours = losses_of_this_project(RUNGS[name][0], width, images, steps=2, memory_format="channels_last")
    assert ours == pytest.approx(plain, abs=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNGS)
def test_first_twenty_losses_are_those_of_a_plain_loop_at_full_width(name: str) -> None:
    assert_same_losses(name, RUNGS[name][-1])
