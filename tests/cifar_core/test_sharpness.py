"""Sharpness-aware steps and clipped gradients compared with their definitions."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from cifar_core.config import TrainingConfig
from cifar_core.sharpness import perturbed
from cifar_core.training import TrainingState, start, train_step


def begun(**optimizer: Any) -> TrainingState:
    content = {"model": {"name": "resnet", "width": 4, "dropout": 0}, "optimizer": {"lr": 0.1} | optimizer}
    return start(TrainingConfig.model_validate(content), train_size=8, device="cpu")


def batch() -> tuple[Tensor, Tensor]:
    return torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(1)), torch.arange(8)


def gradients(model: nn.Module) -> list[Tensor]:
    model.zero_grad()
    images_NCHW, labels_N = batch()
    functional.cross_entropy(model(images_NCHW), labels_N).backward()
    return [parameter.grad.clone() for parameter in model.parameters() if parameter.grad is not None]


def norm(values: list[Tensor]) -> float:
    return math.sqrt(sum(value.double().square().sum().item() for value in values))


def test_the_gradient_of_moved_weights_is_applied_to_the_original_ones() -> None:
    state = begun(sam_rho=0.5)
    original, moved = copy.deepcopy(state.model), copy.deepcopy(state.model)
    first = gradients(copy.deepcopy(state.model))
    with torch.no_grad():
        for parameter, gradient in zip(moved.parameters(), first, strict=True):
            parameter.add_(gradient, alpha=0.5 / norm(first))
    second = gradients(moved)

    train_step(state, *batch())

    for after, before, gradient in zip(state.model.parameters(), original.parameters(), second, strict=True):
        torch.testing.assert_close(after, before - 0.1 * gradient, rtol=1e-4, atol=1e-6)


def test_the_reported_loss_is_that_of_the_original_weights() -> None:
    plain, sharp = (train_step(begun(**values), *batch()) for values in ({}, {"sam_rho": 0.5}))
    assert (sharp.loss, sharp.correct) == (plain.loss, plain.correct)


def test_running_statistics_come_from_the_first_pass_only() -> None:
    plain, sharp = begun(), begun(sam_rho=0.5)
    for state in (plain, sharp):
        train_step(state, *batch())

    expected = dict(plain.model.named_buffers())
    assert all(torch.equal(value, expected[name]) for name, value in sharp.model.named_buffers())
    norms = [layer for layer in sharp.model.modules() if isinstance(layer, nn.BatchNorm2d)]
    assert all(layer.track_running_stats for layer in norms)


@pytest.mark.parametrize("scale", [1.0, 65536.0])
def test_weights_move_by_rho_at_any_gradient_scale_and_come_back(scale: float) -> None:
    layer = nn.Linear(3, 2)
    layer.requires_grad_(True).bias.requires_grad_(False)
    layer.weight.grad = torch.randn(2, 3) * scale
    before = copy.deepcopy(layer.state_dict())

    with perturbed(layer, rho=0.3):
        assert (layer.weight - before["weight"]).norm().item() == pytest.approx(0.3, rel=1e-4)
        assert torch.equal(layer.bias, before["bias"])

    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())


def test_a_gradient_of_zero_moves_no_weight() -> None:
    layer = nn.Linear(3, 2)
    layer.weight.grad = torch.zeros(2, 3)
    before = layer.weight.detach().clone()

    with perturbed(layer, rho=0.3):
        assert torch.equal(layer.weight, before)


@pytest.mark.parametrize("share", [0.5, 2.0])
def test_a_gradient_longer_than_clip_norm_is_scaled_down_to_it(share: float) -> None:
    gradient = gradients(copy.deepcopy(begun().model))
    limit = share * norm(gradient)
    state = begun(clip_norm=limit)
    before = [parameter.detach().clone() for parameter in state.model.parameters()]

    train_step(state, *batch())

    for after, was, each in zip(state.model.parameters(), before, gradient, strict=True):
        torch.testing.assert_close(after.detach(), was - 0.1 * min(share, 1) * each, rtol=1e-4, atol=1e-6)


def test_the_gradient_is_unscaled_before_it_is_clipped() -> None:
    scaled, plain = begun(clip_norm=0.01), begun(clip_norm=0.01)
    scaled.scaler = torch.amp.GradScaler("cpu", init_scale=1024.0)
    for state in (scaled, plain):
        train_step(state, *batch())

    for ours, theirs in zip(scaled.model.parameters(), plain.model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["sgd", "adamw", "muon"])
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_every_optimizer_learns_a_batch_with_both(name: str, precision: str) -> None:
    content = {
        "model": {"name": "resnet", "width": 8, "dropout": 0},
        "optimizer": {"name": name, "lr": 0.02, "sam_rho": 0.02, "clip_norm": 5.0},
        "precision": precision,
    }
    state = start(TrainingConfig.model_validate(content), train_size=8, device="cpu")

    losses = [train_step(state, *batch()).loss.item() for _ in range(12)]

    assert losses[-1] < 0.5 * losses[0]
