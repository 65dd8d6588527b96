"""A dry run reports errors of a configuration as faults, and likely mistakes as warnings."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from cifar_core.config import TrainingConfig
from cifar_core.dry_run import DryRunResult, dry_run

NETS = """
import sys
from torch import nn

class Good(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.first = nn.Linear(3072, 8)
        self.norm = nn.Identity()
        self.head = nn.Linear(8, num_classes)

    def features(self, images):
        return self.norm(self.first(images.flatten(1)))

    def forward(self, images):
        return self.head(self.features(images))

class Pair(Good):
    def forward(self, images):
        logits = super().forward(images)
        return (logits, logits) if self.training else logits

class Detached(Good):
    def forward(self, images):
        return super().forward(images).detach()

class Unreached(Good):
    def features(self, images):
        return super().features(images).detach()

class Softmax(Good):
    def forward(self, images):
        return super().forward(images).softmax(1)

class LogSoftmax(Good):
    def forward(self, images):
        return super().forward(images).log_softmax(1)

class Normed(Good):
    def __init__(self, num_classes=10):
        super().__init__(num_classes)
        self.norm = nn.BatchNorm1d(8)

class Empty(nn.Flatten):
    def forward(self, images):
        return super().forward(images)[:, :10]

class Exits(Good):
    def forward(self, images):
        if self.training:
            sys.exit(3)
        return super().forward(images)
"""


@pytest.fixture
def dry_run_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "dry_run_nets", raising=False)
    (tmp_path / "dry_run_nets.py").write_text(NETS, encoding="utf-8")

    def of(network: str, *, train_size: int = 64, batch_size: int = 32, **more: Any) -> DryRunResult:
        name = network if network in ("simple", "torchvision_vgg16") else f"dry_run_nets:{network}"
        data = {"train_size": train_size, "batch_size": batch_size}
        content = {"model": {"name": name} | more.pop("model", {}), "data": data, "epochs": 1, **more}
        return dry_run(TrainingConfig.model_validate(content))

    return of


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("Pair", "forward returns a tuple in training"),
        ("Detached", "has no gradient"),
        ("Empty", "empty parameter list"),
        ("Exits", "sys.exit(3)"),
        ("Missing", "no class 'Missing'"),
    ],
)
def test_a_network_that_cannot_train_has_a_fault(dry_run_of: Any, network: str, words: str) -> None:
    found = dry_run_of(network)

    assert words in found.fault
    assert f"dry_run_nets:{network}" in found.fault


@pytest.mark.parametrize(
    ("network", "words"),
    [
        ("Softmax", "outputs look like those of a softmax"),
        ("Unreached", "no gradient reaches first.weight"),
    ],
)
def test_likely_mistakes_are_warnings(dry_run_of: Any, network: str, words: str) -> None:
    found = dry_run_of(network)

    assert found.fault is None
    assert words in found.warnings[0]


@pytest.mark.parametrize("network", ["Good", "LogSoftmax", "Normed"])
def test_a_network_that_trains_has_no_warning_and_random_numbers_stay(dry_run_of: Any, network: str) -> None:
    torch.manual_seed(1)
    expected = torch.rand(1)
    torch.manual_seed(1)

    assert dry_run_of(network) == DryRunResult()
    assert torch.equal(torch.rand(1), expected)


def test_a_last_batch_of_one_image_is_named_where_training_fails(dry_run_of: Any) -> None:
    assert (
        "the last batch of an epoch, 1 image (65 images in batches of 32), raised"
        in dry_run_of("Normed", train_size=65).fault
    )
    assert dry_run_of("Good", train_size=65) == DryRunResult()


def test_too_few_steps_of_one_cycle_are_named(dry_run_of: Any) -> None:
    schedule = {"name": "one_cycle", "warmup": 0.5}

    assert "one_cycle has too few steps" in dry_run_of("simple", train_size=32, schedule=schedule).fault
    assert dry_run_of("simple", train_size=64, schedule=schedule).fault is None


def test_missing_weights_are_named(dry_run_of: Any) -> None:
    found = dry_run_of("torchvision_vgg16", model={"weights": "nowhere.pt"})

    assert "'nowhere.pt' is neither a file on this machine" in found.fault
