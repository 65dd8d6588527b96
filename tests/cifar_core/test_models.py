"""Conformance tests of all architectures; equality with the notebook's; checks of custom networks."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torchvision.models import vgg16

from cifar_core.common.errors import ModelError
from cifar_core.config import ModelConfig
from cifar_core.models.build import build_model
from cifar_core.models.registry import ARCHITECTURES
from cifar_core.models.source import source_hash

SMALL_WIDTH = 8
GIVEN = ("num_classes", "image_size")
"""Arguments of a network that follow from the data."""
SCALABLE = sorted(name for name, entry in ARCHITECTURES.items() if "width" in entry.defaults)


def config_of(name: str) -> ModelConfig:
    """Return the architecture's configuration, at a small width if it has a width."""
    return ModelConfig(name=name, width=SMALL_WIDTH if name in SCALABLE else None)


def build(config: ModelConfig, *, seed: int = 0) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return build_model(config)


def build_shape(config: ModelConfig) -> nn.Module:
    """Build a network without values, which takes neither time nor memory."""
    with torch.device("meta"):
        return build_model(config)


def random_images(count: int) -> Tensor:
    return torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def parameters_of(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


# Conformance tests of every architecture.


@pytest.fixture(scope="module", params=sorted(ARCHITECTURES))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(name: str) -> nn.Module:
    """One network for all tests of an architecture: the wide ones take seconds and gigabytes."""
    return build(config_of(name))


def test_a_batch_of_ones_gives_ten_logits_an_image(name: str, model: nn.Module) -> None:
    count = 64 if name in SCALABLE else 3
    model.eval()
    with torch.no_grad():
        logits_NK = model(torch.ones(count, 3, 32, 32))
    assert logits_NK.shape == (count, 10)
    assert logits_NK.isfinite().all()


def test_gradients_reach_every_parameter_that_is_trained(model: nn.Module) -> None:
    model.train()
    functional.cross_entropy(model(random_images(4)), torch.arange(4)).backward()
    trained = {name: parameter for name, parameter in model.named_parameters() if parameter.requires_grad}
    for parameter_name, parameter in trained.items():
        assert parameter.grad is not None, parameter_name
        # A bias before a batch norm has the gradient 0; a weight matrix never has.
        assert parameter.ndim == 1 or parameter.grad.count_nonzero() > 0, parameter_name
    model.zero_grad(set_to_none=True)


def test_channels_last_gives_the_same_logits(model: nn.Module) -> None:
    model.eval()
    images_NCHW = random_images(2)
    with torch.no_grad():
        expected_NK = model(images_NCHW)
        model.to(memory_format=torch.channels_last)
        logits_NK = model(images_NCHW.to(memory_format=torch.channels_last))
        model.to(memory_format=torch.contiguous_format)
    torch.testing.assert_close(logits_NK, expected_NK, rtol=1e-4, atol=1e-5)


def test_a_state_dict_carries_all_that_decides_the_logits(name: str, model: nn.Module) -> None:
    other = build_shape(config_of(name))
    other.load_state_dict(model.state_dict(), assign=True)
    model.eval()
    other.eval()
    with torch.no_grad():
        assert torch.equal(other(random_images(2)), model(random_images(2)))


def test_the_same_seed_gives_the_same_weights(name: str, model: nn.Module) -> None:
    again = build(config_of(name))
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))


def test_the_registry_contains_the_constructors_defaults(name: str) -> None:
    module_name, class_name = ARCHITECTURES[name].path.split(":")
    parameters = inspect.signature(getattr(importlib.import_module(module_name), class_name)).parameters
    defaults = {key: parameter.default for key, parameter in parameters.items() if key not in GIVEN}
    assert defaults == ARCHITECTURES[name].defaults
    assert parameters["num_classes"].default == 10


def test_another_number_of_classes_gives_as_many_logits(name: str) -> None:
    with torch.device("meta"):
        assert build_model(config_of(name), num_classes=7)(torch.ones(2, 3, 32, 32)).shape == (2, 7)


def test_it_takes_larger_images_and_the_smallest_that_it_names(name: str) -> None:
    with torch.device("meta"):
        for size in (max(16, ARCHITECTURES[name].least_image), 48, 96):
            config = config_of(name)
            if config.name == "vgg":
                config = config.model_copy(update={"plan": (8, "M", 8, "M")})
            network = build_model(config, num_classes=3, image_size=size).eval()
            assert network(torch.ones(2, 3, size, size)).shape == (2, 3), size


@pytest.mark.parametrize("name", SCALABLE)
def test_another_seed_gives_other_weights(name: str) -> None:
    first, second = (torch.cat([p.flatten() for p in build(config_of(name), seed=s).parameters()]) for s in (0, 1))
    assert not torch.equal(first, second)


@pytest.mark.parametrize("name", SCALABLE)
def test_width_is_the_channels_of_the_first_convolution_and_scales_the_rest(name: str) -> None:
    whole = output_sizes(build_shape(ModelConfig(name=name)))
    half = output_sizes(build_shape(ModelConfig(name=name, width=whole[0] // 2)))
    assert half[0] == whole[0] // 2
    assert half[:-1] == [size // 2 for size in whole[:-1]]
    assert half[-1] == whole[-1] == 10


@pytest.mark.parametrize("name", SCALABLE)
def test_at_width_1_every_layer_has_a_unit(name: str) -> None:
    assert min(output_sizes(build_shape(ModelConfig(name=name, width=1)))) == 1


def output_sizes(model: nn.Module) -> list[int]:
    """Return the units of each convolution and linear layer whose weights are trained."""
    layers = [layer for layer in model.modules() if isinstance(layer, nn.Conv2d | nn.Linear)]
    layers = [layer for layer in layers if layer.weight.requires_grad]
    return [layer.out_channels if isinstance(layer, nn.Conv2d) else layer.out_features for layer in layers]


# The notebook's networks at their full width, written out layer by layer.


def plain_simple() -> nn.Module:
    return nn.Sequential(*simple_features(), nn.Flatten(), nn.Linear(1024, 64), nn.Linear(64, 10))


def plain_regularized() -> nn.Module:
    return nn.Sequential(
        *simple_features(),
        nn.Flatten(),
        nn.Linear(1024, 64),
        nn.ReLU(),
        nn.Dropout(0.4),
        nn.Linear(64, 10),
        nn.ReLU(),
        nn.Dropout(0.4),
    )


def plain_three_fc() -> nn.Module:
    return nn.Sequential(*simple_features(), nn.Flatten(), nn.Linear(1024, 256), nn.Linear(256, 64), nn.Linear(64, 10))


def simple_features() -> list[nn.Module]:
    return [
        nn.Conv2d(3, 32, 5, padding=2),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 32, 5, padding=2),
        nn.MaxPool2d(2),
        nn.Conv2d(32, 64, 5, padding=2),
        nn.MaxPool2d(2),
    ]


def plain_deep() -> nn.Module:
    layers: list[nn.Module] = []
    for channels, out_channels in ((3, 64), (64, 128), (128, 256), (256, 512)):
        layers += [
            nn.Conv2d(channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.Conv2d(out_channels, out_channels, 3, padding=1),
            nn.BatchNorm2d(out_channels),
            nn.ReLU(),
            nn.MaxPool2d(2),
        ]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(2048, 256), nn.Linear(256, 64), nn.Linear(64, 10))


class PlainBlock(nn.Module):
    def __init__(self, channels: int, out_channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out_channels, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(out_channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        residual = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        return functional.relu(residual + self.norm3(self.conv3(x)))


def plain_resnet() -> nn.Module:
    return nn.Sequential(
        PlainBlock(3, 64),
        nn.MaxPool2d(2),
        PlainBlock(64, 128),
        nn.MaxPool2d(2),
        PlainBlock(128, 256),
        nn.MaxPool2d(2),
        PlainBlock(256, 512),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Dropout(0.4),
        nn.Linear(2048, 256),
        nn.Linear(256, 64),
        nn.Linear(64, 10),
    )


def plain_vgg() -> nn.Module:
    plan = "96 96 M 128 128 M 256 256 256 M 512 512 512 M 512 512 512 M"
    layers: list[nn.Module] = []
    channels = 3
    for entry in plan.split():
        if entry == "M":
            layers.append(nn.MaxPool2d(2))
            continue
        layers += [nn.Conv2d(channels, int(entry), 3, padding=1), nn.BatchNorm2d(int(entry)), nn.ReLU()]
        channels = int(entry)
    return nn.Sequential(
        *layers,
        nn.Flatten(),
        nn.Linear(512, 4096),
        nn.ReLU(),
        nn.Dropout(0.4),
        nn.Linear(4096, 4096),
        nn.ReLU(),
        nn.Dropout(0.4),
        nn.Linear(4096, 10),
    )


NOTEBOOK: dict[str, tuple[ModelConfig, Callable[[], nn.Module], int]] = {
    "simple": (ModelConfig(name="simple"), plain_simple, 145_578),
    "regularized": (
        ModelConfig(name="simple", activation="relu", dropout=0.4, regularize_logits=True),
        plain_regularized,
        145_578,
    ),
    "three-fc": (ModelConfig(name="simple", head=(256, 64)), plain_three_fc, 358_826),
    "deep": (ModelConfig(name="deep"), plain_deep, 5_230_858),
    "resnet": (ModelConfig(name="resnet"), plain_resnet, 5_403_082),
    "vgg": (ModelConfig(name="vgg"), plain_vgg, 33_730_666),
}


@pytest.mark.parametrize("rung", NOTEBOOK)
def test_a_notebook_network_is_the_one_written_out_layer_by_layer(rung: str) -> None:
    config, write_out, parameter_count = NOTEBOOK[rung]
    ours = build(config, seed=1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        plain = write_out()
    our_state, plain_state = list(ours.state_dict().values()), list(plain.state_dict().values())
    assert [value.shape for value in our_state] == [value.shape for value in plain_state]
    assert all(torch.equal(a, b) for a, b in zip(our_state, plain_state, strict=True))
    assert parameters_of(ours) == parameter_count

    # In training mode, to detect an activation or a dropout in another position.
    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(2)
        our_logits_NK = ours.train()(random_images(4))
        torch.manual_seed(2)
        assert torch.equal(our_logits_NK, plain.train()(random_images(4)))


def test_the_regularized_net_has_an_activation_and_a_dropout_on_its_logits() -> None:
    model = build(ModelConfig(name="simple", activation="relu", dropout=0.4, regularize_logits=True))
    names = [type(layer).__name__ for layer in model.get_submodule("head").children()]
    assert names == ["Flatten", "Linear", "ReLU", "Dropout", "Linear", "ReLU", "Dropout"]


@pytest.mark.parametrize(("activation", "layer"), [("relu", nn.ReLU), ("gelu", nn.GELU), ("tanh", nn.Tanh)])
def test_simple_takes_each_activation(activation: str, layer: type[nn.Module]) -> None:
    model = build_shape(ModelConfig.model_validate({"name": "simple", "activation": activation}))
    assert sum(isinstance(module, layer) for module in model.modules()) == 1


# The activations that the deep network lacks.


def test_inner_activations_stand_between_convolutions_and_in_the_head_without_weights() -> None:
    notebooks = build_shape(ModelConfig(name="deep"))
    filled = build_shape(ModelConfig(name="deep", inner_activation="gelu"))

    added = [layer for layer in filled.modules() if isinstance(layer, nn.GELU)]
    assert len(added) == 4 + 2
    assert parameters_of(filled) == parameters_of(notebooks)
    stage = [type(layer) for layer in filled.get_submodule("features.0").children()]
    norm = nn.BatchNorm2d
    assert stage == [nn.Conv2d, norm, nn.GELU, nn.Conv2d, norm, nn.ReLU, nn.MaxPool2d]


# The residual network's shortcuts.


def test_the_plain_network_is_the_residual_one_without_its_shortcuts_parameters() -> None:
    with_shortcuts = build_shape(ModelConfig(name="resnet"))
    plain = build_shape(ModelConfig(name="resnet", residual=False))

    shapes = {name: value.shape for name, value in with_shortcuts.state_dict().items()}
    kept = {name: shape for name, shape in shapes.items() if ".shortcut." not in name}
    assert {name: value.shape for name, value in plain.state_dict().items()} == kept
    assert len(kept) == len(shapes) - 4 * 6


def test_a_plain_block_is_its_convolutions_and_a_relu_after_them() -> None:
    config = ModelConfig(name="resnet", width=4, residual=False)
    model = build(config).eval()
    block = model.get_submodule("features.0")
    images_NCHW = random_images(2)
    with torch.no_grad():
        convolved_NCHW = block.get_submodule("residual")(images_NCHW)
        assert convolved_NCHW.min() < 0
        assert torch.equal(block(images_NCHW), functional.relu(convolved_NCHW))


# VGG's plan and width.


def test_another_plan_is_used_unscaled() -> None:
    config = ModelConfig(name="vgg", plan=(32, "M", 64, "M", 48), head=(100,))
    model = build_shape(config)
    assert output_sizes(model) == [32, 64, 48, 100, 10]
    assert model(torch.ones(2, 3, 32, 32, device="meta")).shape == (2, 10)


def test_width_scales_another_plan_by_its_first_convolution() -> None:
    config = ModelConfig(name="vgg", width=16, plan=(32, "M", 64, "M", 48), head=(100,))
    assert output_sizes(build_shape(config)) == [16, 32, 24, 50, 10]


def test_a_plan_may_start_with_a_pool() -> None:
    model = build_shape(ModelConfig(name="vgg", width=4, plan=("M", 8, "M", 16), head=()))
    assert output_sizes(model) == [4, 8, 10]
    assert model(torch.ones(2, 3, 32, 32, device="meta")).shape == (2, 10)


# torchvision's VGG16.


@pytest.fixture
def without_initialisation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave the values of new layers undefined: a state dict overwrites them, and drawing them is slow."""
    for initialise in ("kaiming_normal_", "normal_"):
        monkeypatch.setattr(nn.init, initialise, lambda tensor, *args, **kwargs: tensor)
    for layer in (nn.Linear, nn.Conv2d):
        monkeypatch.setattr(layer, "reset_parameters", lambda self: None)


@pytest.mark.parametrize(("last_layer", "parameter_count"), [("swap", 134_301_514), ("append", 138_367_554)])
def test_vgg16s_last_layer_is_swapped_or_appended(last_layer: str, parameter_count: int) -> None:
    config = ModelConfig.model_validate({"name": "torchvision_vgg16", "last_layer": last_layer, "dropout": 0.2})
    model = build_shape(config)
    sizes = output_sizes(model)[-3:]
    assert sizes == ([4096, 4096, 10] if last_layer == "swap" else [4096, 1000, 10])
    assert parameters_of(model) == parameter_count
    assert {module.p for module in model.modules() if isinstance(module, nn.Dropout)} == {0.2}


def numbered_state(model: nn.Module) -> dict[str, Tensor]:
    """Return a state dict of a few kilobytes: every value of the n-th tensor is n/1000."""
    return {
        key: torch.tensor(n / 1000).expand(value.shape) for n, (key, value) in enumerate(model.state_dict().items())
    }


@pytest.mark.usefixtures("without_initialisation")
@pytest.mark.parametrize("last_layer", ["swap", "append"])
def test_vgg16_takes_a_file_of_torchvisions_weights(tmp_path: Path, last_layer: str) -> None:
    with torch.device("meta"):
        torchvisions = vgg16()
    state = numbered_state(torchvisions)
    torch.save(state, tmp_path / "vgg16.pth")
    config = {"name": "torchvision_vgg16", "last_layer": last_layer, "weights": str(tmp_path / "vgg16.pth")}
    model = build_model(ModelConfig.model_validate(config))
    loaded = model.state_dict()
    kept = [key for key in state if last_layer == "append" or not key.startswith("classifier.6")]
    assert all(torch.equal(loaded[f"vgg16.{key}"], state[key]) for key in kept)
    assert len(loaded) == len(kept) + 2


@pytest.mark.usefixtures("without_initialisation")
def test_vgg16_takes_weights_that_were_saved_from_it(tmp_path: Path) -> None:
    state = numbered_state(build_shape(ModelConfig(name="torchvision_vgg16")))
    torch.save(state, tmp_path / "own.pth")
    loaded = build_model(ModelConfig(name="torchvision_vgg16", weights=str(tmp_path / "own.pth"))).state_dict()
    assert loaded.keys() == state.keys()
    assert all(torch.equal(loaded[key], value) for key, value in state.items())


def test_vgg16_names_the_known_weights_when_a_file_is_missing() -> None:
    with pytest.raises(ModelError, match=r"'vgg16\.pht' is neither a file .* IMAGENET1K_V1"):
        build_model(ModelConfig(name="torchvision_vgg16", weights="vgg16.pht"))


@pytest.mark.parametrize("content", [b"", b"not a state dict"])
def test_vgg16_rejects_a_file_that_is_not_a_state_dict(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "weights.pth").write_bytes(content)
    with pytest.raises(ModelError, match="is not a state dict"):
        build_model(ModelConfig(name="torchvision_vgg16", weights=str(tmp_path / "weights.pth")))


def test_vgg16_rejects_a_file_with_other_content(tmp_path: Path) -> None:
    torch.save([1, 2], tmp_path / "list.pth")
    with pytest.raises(ModelError, match="contains a list, not a state dict"):
        build_model(ModelConfig(name="torchvision_vgg16", weights=str(tmp_path / "list.pth")))


@pytest.mark.usefixtures("without_initialisation")
def test_vgg16_rejects_the_weights_of_another_network(tmp_path: Path) -> None:
    torch.save(build(ModelConfig(name="simple")).state_dict(), tmp_path / "simple.pth")
    with pytest.raises(ModelError, match="do not fit this network"):
        build_model(ModelConfig(name="torchvision_vgg16", weights=str(tmp_path / "simple.pth")))


def test_vgg16_names_the_remedy_when_the_weights_cannot_be_downloaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object, **kwargs: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("torch.hub.urlopen", refuse)
    with pytest.raises(ModelError, match=r"no route to host.*download https://.* to the file's path"):
        build_model(ModelConfig(name="torchvision_vgg16", weights="IMAGENET1K_V1"))


# Custom networks.

TINY = """
import torch
from torch import nn

class Tiny(nn.Module):
    def __init__(self, *, num_classes, channels=4, dropout=0.0):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, channels, 3), nn.BatchNorm2d(channels), nn.Flatten(), nn.Dropout(dropout),
            nn.Linear(channels * 900, num_classes),
        )

    def forward(self, images):
        return self.layers(images + 0.01 * torch.randn_like(images))

class TenLogits(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(3072, 10))

class Anything(nn.Sequential):
    def __init__(self, **options):
        super().__init__(nn.Flatten(), nn.Linear(3072, options["num_classes"], bias=options["bias"]))

class Needs(nn.Module):
    def __init__(self, channels):
        super().__init__()

class Refuses(nn.Module):
    def __init__(self, channels=4):
        raise ValueError("channels must be odd")

class Wrong(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(3072, 100))

class Pair(nn.Flatten):
    def forward(self, images):
        return images, images

class Breaks(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(784, 10))

class NoModule:
    pass

number = 3
"""


@pytest.fixture
def write_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str, str], None]]:
    """Write modules into the current folder, which is not on Python's path; unload them afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [folder for folder in sys.path if folder not in ("", str(tmp_path))])
    before = set(sys.modules)

    def write(path: str, source: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(source)

    yield write
    for name in set(sys.modules) - before:
        if str(getattr(sys.modules[name], "__file__", None) or "").startswith(str(tmp_path)):
            del sys.modules[name]


def test_a_network_of_the_current_folder_is_built_with_its_options(
    write_module: Callable[[str, str], None],
) -> None:
    write_module("my_package/nets.py", TINY)
    model = build_model(ModelConfig(name="my_package.nets:Tiny", options={"channels": 6}), num_classes=7)
    assert output_sizes(model) == [6, 7]
    assert all(module.training for module in model.modules())


def test_a_network_that_takes_no_num_classes_is_built_without(
    write_module: Callable[[str, str], None],
) -> None:
    write_module("my_nets.py", TINY)
    assert output_sizes(build_model(ModelConfig(name="my_nets:TenLogits"))) == [10]


def test_a_network_that_takes_any_argument_receives_num_classes(
    write_module: Callable[[str, str], None],
) -> None:
    write_module("my_nets.py", TINY)
    model = build_model(ModelConfig(name="my_nets:Anything", options={"bias": False}), num_classes=5)
    assert [tuple(parameter.shape) for parameter in model.parameters()] == [(5, 3072)]


def test_the_check_of_a_network_leaves_no_trace(write_module: Callable[[str, str], None]) -> None:
    write_module("my_nets.py", TINY)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        model = build_model(ModelConfig(name="my_nets:Tiny", options={"dropout": 0.5}))
        drawn = torch.rand(3)
        torch.manual_seed(5)
        expected = sys.modules["my_nets"].Tiny(num_classes=10, dropout=0.5)
        assert torch.equal(drawn, torch.rand(3))
    assert all(
        torch.equal(a, b) for a, b in zip(model.state_dict().values(), expected.state_dict().values(), strict=True)
    )


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("my_nest:Tiny", {}, r"no module 'my_nest' in .*: change to the folder that contains it"),
        ("elsewhere.nets:Tiny", {}, r"no module 'elsewhere\.nets' in .*: change to the folder that contains it"),
        ("my_nets:Tyni", {}, r"no class 'Tyni': did you mean 'Tiny'\?"),
        ("my_nets:", {}, r"write a custom network as 'module:Class'"),
        ("my_nets:number", {}, r"number is a int: name a class that inherits from torch\.nn\.Module"),
        ("my_nets:NoModule", {}, r"returned a NoModule, not a torch\.nn\.Module: name a class"),
        ("my_nets:Tiny", {"chanels": 4}, r"unknown option 'chanels' .* did you mean 'channels'\?"),
        ("my_nets:TenLogits", {"channels": 4}, r"unknown option 'channels' .* takes no options"),
        ("my_nets:Tiny", {"num_classes": 4}, r"num_classes is always 10: remove it from model\.options"),
        ("my_nets:Needs", {}, r"missing a required argument: 'channels'\. Change model\.options"),
        ("my_nets:Refuses", {"channels": 2}, r"called with \(channels=2\), raised ValueError: channels must be odd"),
        ("my_nets:Wrong", {}, r"returned \(2, 100\), not \(2, 10\), for a batch of ones of shape \(2, 3, 32, 32\)"),
        ("my_nets:Pair", {}, r"returned tuple, not \(2, 10\), .*: let it return one logit"),
        ("my_nets:Breaks", {}, r"forward raised RuntimeError: .* shape \(2, 3, 32, 32\): let it accept"),
    ],
)
def test_a_network_that_does_not_fit_is_an_error_with_the_reason(
    write_module: Callable[[str, str], None], name: str, options: dict[str, int], message: str
) -> None:
    write_module("my_nets.py", TINY)
    with pytest.raises(ModelError, match=rf"(?s)model '{name}': .*{message}"):
        build_model(ModelConfig(name=name, options=dict(options)))


def test_a_module_without_networks_is_an_error(write_module: Callable[[str, str], None]) -> None:
    write_module("no_nets.py", "x = 1\n")
    with pytest.raises(ModelError, match=r"no class 'Tiny', nor any other torch\.nn\.Module"):
        build_model(ModelConfig(name="no_nets:Tiny"))


@pytest.mark.parametrize(
    ("path", "name"),
    [("broken.py", "broken:Tiny"), ("broken_package/__init__.py", "broken_package.nets:Tiny")],
)
def test_an_import_that_fails_inside_the_module_is_not_called_missing(
    write_module: Callable[[str, str], None], path: str, name: str
) -> None:
    write_module(path, "import no_such_library\n")
    write_module("broken_package/nets.py", "")
    with pytest.raises(ModelError, match=r"raised ModuleNotFoundError: No module named 'no_such_library'"):
        build_model(ModelConfig(name=name))


# The hash of a custom network.


def test_a_built_in_network_has_no_source_hash(name: str) -> None:
    assert source_hash(ModelConfig(name=name)) is None


def test_the_source_hash_follows_the_file_and_does_not_run_it(
    write_module: Callable[[str, str], None],
) -> None:
    config = ModelConfig(name="my_nets:Tiny")
    write_module("my_nets.py", "raise RuntimeError")
    first = source_hash(config)
    assert first == source_hash(config)
    write_module("my_nets.py", "raise ValueError")
    assert first != source_hash(config)
    assert first is not None
    assert len(first) == 16


@pytest.mark.parametrize(
    ("name", "message"), [("nowhere:Tiny", "no module 'nowhere'"), ("sys:Tiny", "'sys' from its standard library")]
)
def test_the_source_hash_of_no_file_is_an_error(
    write_module: Callable[[str, str], None], name: str, message: str
) -> None:
    with pytest.raises(ModelError, match=message):
        source_hash(ModelConfig(name=name))


def test_the_registry_is_read_without_torch() -> None:
    code = "import sys, cifar_core.models, cifar_core.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
