"""Inspection of a network: counts, feature maps, and an unchanged network."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cifar_core import Classifier, TrainingConfig, build_model, feature_maps, layer_table
from cifar_core.augment import augment, augment_in_steps, normalize
from cifar_core.common.errors import ModelError
from cifar_core.config import ModelConfig
from cifar_core.data.images import LabelledImages
from cifar_core.errors import ImageError
from cifar_core.evaluation import evaluate, probabilities
from cifar_core.models.registry import ARCHITECTURES
from cifar_core.recipes import RECIPES, operations_of, parse_augmentation

SMALL = {"simple": {"width": 8}, "deep": {"width": 8}, "resnet": {"width": 8}}
IMAGES = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), dtype=np.uint8))


class Odd(nn.Module):
    """Shares weights, calls a layer twice and another never, has a direct parameter and an in-place ReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(3, 1, 1))
        self.conv = nn.Conv2d(3, 3, 3, padding=1, groups=3)
        self.up = nn.ConvTranspose2d(3, 4, 2, stride=2)
        self.relu = nn.ReLU(inplace=True)
        self.norm = nn.BatchNorm2d(3)
        self.spare = nn.Linear(5, 5)
        self.head = nn.Sequential(nn.Flatten(), nn.Dropout(0.5), nn.Linear(4 * 64 * 64, 10))
        self.twin = nn.Conv2d(3, 3, 3, padding=1, groups=3)
        self.twin.weight = self.conv.weight

    def forward(self, images: Tensor) -> Tensor:
        maps = self.relu(self.norm(self.twin(self.conv(self.conv(images)))) * self.scale)
        logits: Tensor = self.head(self.up(maps))
        return logits + torch.rand(())


def network_of(name: str) -> nn.Module:
    return build_model(ModelConfig(name=name, **SMALL.get(name, {})))


def state_of(network: nn.Module) -> list[Any]:
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in network.modules()]
    modes = [module.training for module in network.modules()]
    return [hooks, modes, deepcopy(network.state_dict()), torch.get_rng_state(), [p.grad for p in network.parameters()]]


def same(before: list[Any], after: list[Any]) -> bool:
    hooks, modes, weights, random, gradients = zip(before, after, strict=True)
    return (
        hooks[0] == hooks[1]
        and modes[0] == modes[1]
        and all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
        and torch.equal(*random)
        and gradients[0] == gradients[1]
    )


@pytest.mark.parametrize("name", ARCHITECTURES)
class TestEveryArchitecture:
    def test_the_parameters_add_up_and_every_layer_was_computed(self, name: str) -> None:
        network = network_of(name)

        table = layer_table(network)

        assert sum(layer.parameters for layer in table) == sum(p.numel() for p in network.parameters())
        assert sum(layer.parameter_bytes for layer in table) == 4 * sum(layer.parameters for layer in table)
        assert table[-1].output_shape == (10,)
        assert not any(layer.is_uncounted or layer.output_shape is None for layer in table)

    def test_convolutions_and_linear_layers_do_the_work(self, name: str) -> None:
        kinds = {layer.kind for layer in layer_table(network_of(name)) if layer.multiply_adds}

        assert kinds - {"Whitening"} == {"Conv2d", "Linear"}  # a whitening is a convolution, too

    def test_each_output_has_the_reported_shape(self, name: str) -> None:
        network = network_of(name)
        maps = {each.name: each.values_CHW.shape for each in feature_maps(network, IMAGES[0].numpy())}
        shapes = {layer.name: layer.output_shape for layer in layer_table(network)}

        assert len(maps) >= 4
        assert {layer: shapes[layer] for layer in maps} == maps

    def test_inspection_leaves_the_network_unchanged(self, name: str) -> None:
        network = network_of(name)
        next(network.children()).eval()  # a submodule in another mode
        before = state_of(network)

        layer_table(network)
        feature_maps(network, IMAGES[0].numpy())

        assert same(before, state_of(network))


class TestLayers:
    def test_shared_weights_count_once_and_a_layer_computed_twice_works_twice(self) -> None:
        network = Odd()

        table = layer_table(network)

        assert sum(layer.parameters for layer in table) == sum(p.numel() for p in network.parameters())
        convolutions = [layer for layer in table if layer.name == "conv"]
        assert [layer.parameters for layer in convolutions] == [30, 0]
        assert [layer.multiply_adds for layer in convolutions] == [3 * 32 * 32 * 9] * 2
        assert [layer.parameters for layer in table if layer.name == "twin"] == [3]

    def test_uncalled_layers_come_last_and_uncounted_ones_are_marked(self) -> None:
        table = layer_table(Odd())

        assert (table[-1].name, table[-1].output_shape, table[-1].parameters) == ("spare", None, 30)
        assert [layer.name for layer in table if layer.is_uncounted] == [""]

    def test_grouped_and_transposed_convolutions_are_counted_too(self) -> None:
        work = {layer.name: layer.multiply_adds for layer in layer_table(Odd()) if layer.multiply_adds}

        assert work == {
            "conv": 3 * 32 * 32 * 9,
            "twin": 3 * 32 * 32 * 9,
            "up": 3 * 4 * 2 * 2 * 32 * 32,
            "head.2": 4 * 64 * 64 * 10,
        }

    def test_multiply_adds_within_a_layer_are_counted_once(self) -> None:
        class Outer(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.weight = nn.Parameter(torch.ones(8, 4))
                self.inner = nn.Linear(4, 5)

            def forward(self, rows: Tensor) -> Tensor:
                made: Tensor = self.inner(rows @ self.weight)
                return made

        work = {layer.name: layer.multiply_adds for layer in layer_table(Outer(), image_shape=(8,))}

        assert work == {"inner": 4 * 5, "": 8 * 4}

    def test_an_output_in_the_memory_of_its_input_takes_none(self) -> None:
        memory = {layer.kind: layer.activation_bytes for layer in layer_table(Odd())}

        assert memory["ReLU"] == memory["Flatten"] == memory["Dropout"] == 0
        assert memory["ConvTranspose2d"] == 4 * 4 * 64 * 64

    def test_a_network_that_is_one_layer_and_one_without_parameters_have_tables(self) -> None:
        assert [layer.kind for layer in layer_table(nn.Conv2d(3, 10, 32))] == ["Conv2d"]
        assert [layer.parameters for layer in layer_table(nn.Sequential(nn.Flatten()))] == [0]

    def test_a_network_that_cannot_compute_is_an_error_and_keeps_no_hook(self) -> None:
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Linear(7, 10))
        before = state_of(network)

        with pytest.raises(ModelError, match=r"cannot compute a batch of shape \(1, 3, 32, 32\)"):
            layer_table(network)

        assert same(before, state_of(network))


class TestFeatureMaps:
    def test_a_map_is_the_layers_output_also_before_an_inplace_relu(self) -> None:
        network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2), nn.Flatten(), nn.ReLU())
        image = IMAGES[0].numpy()

        convolution, relu, pool = feature_maps(network, image, normalization="cifar10")

        expected = network[0](normalize(IMAGES[:1], normalization="cifar10"))[0].detach().numpy()
        np.testing.assert_array_equal(convolution.values_CHW, expected)
        assert convolution.values_CHW.min() < 0
        np.testing.assert_array_equal(relu.values_CHW, np.maximum(expected, 0))
        assert (pool.name, pool.kind, pool.values_CHW.shape) == ("2", "MaxPool2d", (4, 15, 15))

    def test_a_classifier_normalises_as_it_was_trained(self) -> None:
        config = TrainingConfig(model={"name": "simple", "width": 4}, data={"normalization": "cifar10"})
        network = build_model(config.model)

        known = feature_maps(Classifier(network, config), IMAGES[0].numpy())
        told = feature_maps(network, IMAGES[0].numpy(), normalization="cifar10")
        other = feature_maps(network, IMAGES[0].numpy())

        assert [each.name for each in known] == [each.name for each in told]
        np.testing.assert_array_equal(known[0].values_CHW, told[0].values_CHW)
        assert not np.array_equal(known[0].values_CHW, other[0].values_CHW)

    def test_a_layer_computed_twice_has_two_names(self) -> None:
        assert [each.name for each in feature_maps(Odd(), IMAGES[0].numpy())][:3] == ["conv", "conv (2)", "twin"]

    def test_data_that_is_not_an_image_is_rejected(self) -> None:
        with pytest.raises(ImageError):
            feature_maps(Odd(), b"no image")


LISTED = parse_augmentation(["grayscale", {"pad": {"pixels": 2}}, {"erase": {"p": 1}}, "normalize", {"crop": {}}])


@pytest.mark.parametrize("augmentation", [*RECIPES, LISTED], ids=str)
@pytest.mark.parametrize("normalization", ["none", "cifar10"])
def test_the_steps_of_an_augmentation_end_where_training_begins_bit_for_bit(
    augmentation: Any, normalization: str
) -> None:
    operations = operations_of(augmentation)
    one, other = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)

    whole = augment(IMAGES, operations=operations, normalization=normalization, generator=one)
    steps = list(augment_in_steps(IMAGES, operations=operations, normalization=normalization, generator=other))

    assert len(steps) == len(operations) + 1
    assert torch.equal(steps[0], IMAGES.permute(0, 3, 1, 2) / 255)
    assert torch.equal(steps[-1], whole)
    assert torch.equal(one.get_state(), other.get_state())


def test_probabilities_belong_to_the_measured_predictions() -> None:
    config = TrainingConfig(model={"name": "simple", "width": 4}, data={"normalization": "cifar10"})
    network = build_model(config.model)
    images = LabelledImages(IMAGES.numpy(), np.arange(8))

    found = probabilities(network, images, config=config)

    np.testing.assert_array_equal(found.argmax(1), evaluate(network, images, config=config).predicted_N)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-5)
    assert network.training
