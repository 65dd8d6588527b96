"""ResNet-18, wide residual networks and the optional parts of networks compared with their papers and torchvision's."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import resnet18
from torchvision.ops import SqueezeExcitation as TheirSqueezeExcitation

from cifar_core.config import ModelConfig
from cifar_core.models.build import build_model
from cifar_core.models.layers import SqueezeExcitation, StochasticDepth
from cifar_core.models.registry import ARCHITECTURES
from cifar_core.models.resnet import ResNet
from cifar_core.models.resnet18 import ResNet18
from cifar_core.models.wide_resnet import PreActivationBlock, WideResNet


def parameters_of(**fields: Any) -> int:
    with torch.device("meta"):
        return sum(parameter.numel() for parameter in build_model(ModelConfig(**fields)).parameters())


@pytest.mark.parametrize(
    ("fields", "millions"),
    [
        ({"name": "resnet18"}, 11.17),
        # Tables 1 and 4 of Zagoruyko and Komodakis.
        ({"name": "wide_resnet", "depth": 16, "widen_factor": 4}, 2.7),
        ({"name": "wide_resnet", "depth": 40, "widen_factor": 4}, 8.9),
        ({"name": "wide_resnet", "depth": 16, "widen_factor": 8}, 11.0),
        ({"name": "wide_resnet", "depth": 28, "widen_factor": 10}, 36.5),
        ({"name": "wide_resnet", "depth": 40, "widen_factor": 1}, 0.6),
    ],
)
def test_the_number_of_parameters_is_the_published_one(fields: dict[str, Any], millions: float) -> None:
    digits = 2 if fields["name"] == "resnet18" else 1
    assert round(parameters_of(**fields) / 1e6, digits) == millions


def test_resnet18_computes_what_torchvisions_does_with_a_small_stem() -> None:
    theirs = resnet18(num_classes=10)
    theirs.conv1, theirs.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    ours = ResNet18()
    values = dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True))
    ours.load_state_dict(values)
    images_NCHW = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))

    with torch.no_grad():
        torch.testing.assert_close(ours.train()(images_NCHW), theirs.train()(images_NCHW), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["resnet18", "wide_resnet"])
def test_the_smallest_images_train_in_a_batch_of_one(name: str) -> None:
    model = build_model(ModelConfig(name=name, width=4))
    size = ARCHITECTURES[name].least_size
    assert model(torch.rand(1, 3, size, size)).shape == (1, 10)


def test_a_pre_activation_block_is_the_one_written_out() -> None:
    same, wider = (PreActivationBlock(4, out_channels=n, stride=s, dropout=0.0).eval() for n, s in ((4, 1), (6, 2)))
    maps_NCHW = torch.randn(2, 4, 8, 8)
    for block in (same, wider):
        with torch.no_grad():
            active = block.activated[0](maps_NCHW).relu()
            inner = block.residual[1](block.residual[0](active)).relu()
            shortcut = maps_NCHW if block is same else block.shortcut(active)  # type: ignore[misc]
            torch.testing.assert_close(block(maps_NCHW), block.residual[3](inner) + shortcut)
    assert same.shortcut is None


def test_a_wide_network_has_blocks_by_its_depth_and_drops_between_convolutions() -> None:
    blocks = [
        layer for layer in WideResNet(width=2, depth=22, dropout=0.3).modules() if isinstance(layer, PreActivationBlock)
    ]
    assert len(blocks) == 9
    assert all(isinstance(block.residual[3], nn.Dropout) for block in blocks)


@pytest.mark.parametrize("name", ["simple", "deep", "resnet", "lean", "vgg", "resnet18", "wide_resnet"])
def test_channels_are_dropped_whole_after_each_stage(name: str) -> None:
    model = build_model(ModelConfig(name=name, width=8, channel_dropout=0.5))
    seen: list[Tensor] = []
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Dropout2d)]
    for layer in layers:
        layer.register_forward_hook(lambda _, inputs, output: seen.extend((inputs[0], output)))
    model(torch.rand(8, 3, 32, 32))

    assert len(layers) == {"simple": 3, "lean": 3, "wide_resnet": 3, "vgg": 5}.get(name, 4)
    for before, after in zip(seen[::2], seen[1::2], strict=True):
        kept_NC = after.flatten(2).any(2)
        torch.testing.assert_close(after, before * 2 * kept_NC[..., None, None])
    assert not [
        layer for layer in build_model(ModelConfig(name=name, width=8)).modules() if isinstance(layer, nn.Dropout2d)
    ]


def test_squeeze_and_excitation_is_torchvisions() -> None:
    ours, theirs = SqueezeExcitation(256), TheirSqueezeExcitation(256, 16)
    ours.load_state_dict(dict(zip(ours.state_dict(), theirs.state_dict().values(), strict=True)))
    maps_NCHW = torch.randn(2, 256, 4, 4)

    torch.testing.assert_close(ours(maps_NCHW), theirs(maps_NCHW))
    assert SqueezeExcitation(16).factors[1].out_channels == 8


def test_an_image_is_skipped_whole_and_the_mean_is_preserved() -> None:
    layer, maps_NCHW = StochasticDepth(0.25), torch.ones(4000, 2, 3, 3)
    torch.manual_seed(0)

    values_NV = layer(maps_NCHW).flatten(1)

    assert (values_NV == values_NV[:, :1]).all()
    assert sorted(set(values_NV[:, 0].tolist())) == pytest.approx([0, 4 / 3])
    assert values_NV.mean().item() == pytest.approx(1, abs=0.03)
    assert torch.equal(layer.eval()(maps_NCHW), maps_NCHW)


def test_the_blocks_of_resnet_are_skipped_more_often_towards_the_end() -> None:
    model = ResNet(width=4, stochastic_depth=0.4, squeeze_excitation=True)
    found = [layer.probability for layer in model.modules() if isinstance(layer, StochasticDepth)]
    assert found == pytest.approx([0.1, 0.2, 0.3, 0.4])
    assert len([layer for layer in model.modules() if isinstance(layer, SqueezeExcitation)]) == 4


def test_a_skipped_block_leaves_its_shortcut() -> None:
    block = ResNet(width=4, stochastic_depth=0.9).features[6]
    maps_NCHW = torch.rand(64, 16, 4, 4)
    torch.manual_seed(0)

    out_NCHW = block(maps_NCHW)

    is_shortcut_N = (out_NCHW == block.shortcut.train()(maps_NCHW).relu()).flatten(1).all(1)
    assert 48 < is_shortcut_N.sum() < 64
