"""Muon compared with torch's building blocks, and the layers that it takes."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import nn
from torch.optim import _muon

from cifar_core.common.errors import ModelError
from cifar_core.config import ModelConfig, OptimizerConfig
from cifar_core.models.build import build_model
from cifar_core.optimization import build_optimizer
from cifar_core.optimizers.muon import NEWTON_SCHULZ, hidden_weights, orthogonalized
from cifar_core.optimizers.registry import OPTIMIZERS


def muon(model: nn.Module, **values: Any) -> torch.optim.Optimizer:
    return build_optimizer(model, OptimizerConfig(name="muon", **values))


def names(model: nn.Module, parameters: list[nn.Parameter]) -> list[str]:
    known = {id(parameter): name for name, parameter in model.named_parameters()}
    return [known[id(parameter)] for parameter in parameters]


@pytest.mark.parametrize("shape", [(8, 30), (30, 8), (16, 16)])
def test_a_matrix_is_orthogonalised_as_torchs_muon_does(shape: tuple[int, int]) -> None:
    matrix = torch.randn(shape, generator=torch.Generator().manual_seed(0))

    ours = orthogonalized(matrix)

    theirs = _muon._zeropower_via_newtonschulz(matrix.clone(), NEWTON_SCHULZ, 3, 1e-7).float()
    torch.testing.assert_close(ours, theirs, rtol=0.05, atol=0.02)  # torch computes in bfloat16


def test_singular_vectors_stay_and_singular_values_approach_one() -> None:
    matrix = torch.randn(20, 50, generator=torch.Generator().manual_seed(0))
    u, values, v = torch.linalg.svd(matrix, full_matrices=False)

    rotated = u.T @ orthogonalized(matrix, steps=5) @ v.T

    assert values.max() / values.min() > 3
    assert rotated.diag().min() > 0.65
    assert rotated.diag().max() < 1.25
    assert (rotated - rotated.diag().diag()).abs().max() < 1e-4


def test_a_matrix_of_zeros_stays() -> None:
    assert orthogonalized(torch.zeros(3, 4)).count_nonzero() == 0


def test_two_steps_are_the_published_ones() -> None:
    layers = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Conv2d(4, 6, 3, bias=False), nn.Conv2d(6, 2, 1))
    optimizer = muon(layers, lr=0.2, momentum=0.6)
    weight = layers[1].weight
    expected, buffer = weight.detach().clone(), torch.zeros_like(weight)
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        gradient = torch.randn(weight.shape, generator=generator)
        weight.grad = gradient.clone()
        optimizer.step()

        buffer = 0.6 * buffer + gradient
        update = orthogonalized((gradient + 0.6 * buffer).reshape(6, 36)).reshape(weight.shape)
        expected = expected * math.sqrt(6) / expected.norm() - 0.2 * update
        torch.testing.assert_close(weight.detach(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("factor", [1.0, 4.0])
def test_all_other_parameters_are_trained_by_torchs_sgd(factor: float) -> None:
    ours, theirs = (nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 4), nn.Linear(4, 2)) for _ in range(2))
    theirs.load_state_dict(ours.state_dict())
    optimizer = muon(ours, sgd_lr=0.3, sgd_momentum=0.7, weight_decay=0.02, bias_lr_factor=factor)
    weights, biases = [theirs[0].weight, theirs[2].weight], [layer.bias for layer in theirs]
    of_biases = {"params": biases, "lr": 0.3 * factor, "weight_decay": 0.02 / factor}
    reference = torch.optim.SGD(
        [{"params": weights}, of_biases], lr=0.3, momentum=0.7, weight_decay=0.02, nesterov=True
    )
    generator = torch.Generator().manual_seed(0)
    for _ in range(3):
        for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
            mine.grad = torch.randn(mine.shape, generator=generator)
            other.grad = mine.grad.clone()
        optimizer.step()
        reference.step()

    for name, mine in ours.named_parameters():
        is_equal = torch.allclose(mine, theirs.get_parameter(name), rtol=1e-5, atol=1e-6)
        assert is_equal == (name != "1.weight"), name


def test_lean_is_split_as_airbench_splits_it() -> None:
    model = build_model(ModelConfig(name="lean", width=8))

    hidden, weights, biases = (group["params"] for group in muon(model).param_groups)

    assert [tuple(weight.shape) for weight in hidden] == [
        (8, 24, 3, 3), (8, 8, 3, 3), (32, 8, 3, 3), (32, 32, 3, 3), (32, 32, 3, 3), (32, 32, 3, 3),
    ]  # fmt: skip
    assert names(model, weights) == ["head.1.weight"]
    assert len(biases) == 7


@pytest.mark.parametrize("name", ["simple", "deep", "resnet", "vgg", "resnet18", "wide_resnet"])
def test_every_trained_parameter_is_in_one_group(name: str) -> None:
    model = build_model(ModelConfig(name=name, width=4))

    found = [parameter for group in muon(model).param_groups for parameter in group["params"]]

    assert sorted(names(model, found)) == sorted(name for name, each in model.named_parameters() if each.requires_grad)


def test_a_shared_weight_is_trained_once() -> None:
    layers = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2), nn.Linear(2, 2))
    layers[2].weight = layers[1].weight

    assert names(layers, hidden_weights(layers)) == ["1.weight"]


def test_a_network_without_hidden_layers_is_refused() -> None:
    with pytest.raises(ModelError, match="optimizer muon: the network has no convolution or linear layer between"):
        muon(nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 2)))


def test_the_fields_of_an_optimizer_are_fields_of_the_configuration() -> None:
    for optimizer in OPTIMIZERS.values():
        assert set(optimizer.fields) < set(OptimizerConfig.model_fields)
    assert list(OPTIMIZERS) == list(OptimizerConfig.model_fields["name"].annotation.__args__)  # type: ignore[union-attr]
