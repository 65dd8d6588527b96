"""Networks of timm and torchvision."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torchvision import models

from cifar_core.checkpoint import load_checkpoint, load_network, save_checkpoint
from cifar_core.common.errors import ModelError, SourceChangedError
from cifar_core.config import ModelConfig, TrainingConfig
from cifar_core.dry_run import dry_run, static_fault
from cifar_core.models.build import build_model
from cifar_core.models.names import networks_matching
from cifar_core.models.source import source_of
from cifar_core.training import start

SMALL = "torchvision:mobilenet_v3_small"
TIMM = "timm:test_vit"


@pytest.fixture
def timm() -> Any:
    return pytest.importorskip("timm")


def build(name: str, *, classes: int = 3, size: int = 64, **values: Any) -> Any:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return build_model(ModelConfig(name=name, **values), num_classes=classes, image_size=size)


def saved(model: nn.Module, path: Path) -> str:
    torch.save(model.state_dict(), path)
    return str(path)


@pytest.mark.parametrize("name", [SMALL, "torchvision:vit_b_32", "torchvision:googlenet"])
def test_a_network_of_torchvision_follows_classes_and_image_size(name: str) -> None:
    network = build(name).train()
    assert network(torch.ones(2, 3, 64, 64)).shape == (2, 3)


@pytest.mark.parametrize("name", [TIMM, "timm:test_resnet"])
def test_a_network_of_timm_follows_classes_and_image_size(name: str, timm: Any) -> None:
    assert build(name, size=32)(torch.ones(2, 3, 32, 32)).shape == (2, 3)
    assert build(name, size=96)(torch.ones(2, 3, 96, 96)).shape == (2, 3)


def test_options_reach_the_constructor(timm: Any) -> None:
    assert build(TIMM, options={"drop_rate": 0.25}).head_drop.p == 0.25
    assert build(SMALL, options={"dropout": 0.75}).classifier[2].p == 0.75


@pytest.mark.parametrize("option", ["num_classes", "img_size", "weights"])
def test_an_option_that_follows_from_other_fields_is_an_error(option: str) -> None:
    with pytest.raises(ValueError, match=f"options.{option} follows from"):
        ModelConfig(name=TIMM, options={option: 1})


def test_weights_of_a_file_are_loaded_except_the_last_layer(tmp_path: Path) -> None:
    original = models.mobilenet_v3_small()
    network = build(SMALL, weights=saved(original, tmp_path / "weights.pt"))
    assert torch.equal(network.features[0][0].weight, original.features[0][0].weight)
    assert network.classifier[-1].weight.shape == (3, 1024)


def test_weights_for_the_same_classes_are_loaded_with_the_last_layer(tmp_path: Path, timm: Any) -> None:
    for name in (SMALL, TIMM):
        trained = build(name)
        again = build(name, weights=saved(trained, tmp_path / "weights.pt"))
        assert all(torch.equal(a, b) for a, b in zip(again.parameters(), trained.parameters(), strict=True)), name


def test_weights_of_timm_for_another_image_size_and_classes_are_adapted(tmp_path: Path, timm: Any) -> None:
    original = timm.create_model("test_vit")
    network = build(TIMM, size=64, weights=saved(original, tmp_path / "weights.pt"))
    assert torch.equal(network.blocks[0].attn.qkv.weight, original.blocks[0].attn.qkv.weight)
    assert network.head.weight.shape[0] == 3
    assert network.pos_embed.shape != original.pos_embed.shape


def test_positions_of_a_torchvision_transformer_are_adapted(tmp_path: Path) -> None:
    original = models.vit_b_32(image_size=96)
    network = build("torchvision:vit_b_32", size=64, weights=saved(original, tmp_path / "weights.pt"))
    assert network.encoder.pos_embedding.shape[1] == 1 + 2 * 2
    assert torch.equal(network.conv_proj.weight, original.conv_proj.weight)


@pytest.mark.parametrize("name", [SMALL, "timm:test_resnet"])
def test_weights_of_another_network_are_refused(name: str, tmp_path: Path) -> None:
    if name.startswith("timm"):
        pytest.importorskip("timm")
    weights = saved(models.squeezenet1_1(), tmp_path / "other.pt")
    with pytest.raises(ModelError, match="do not fit this network"):
        build(name, weights=weights)


def test_a_file_that_is_no_state_dict_is_refused(tmp_path: Path, timm: Any) -> None:
    (tmp_path / "notes.pt").write_text("not weights", encoding="utf-8")
    for name in (SMALL, TIMM):
        with pytest.raises(ModelError, match="is not a state dict"):
            build(name, weights=str(tmp_path / "notes.pt"))


def test_pretrained_weights_without_a_network_name_the_file_to_copy(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("timm")
    import huggingface_hub

    def unreachable(*args: object, **keywords: object) -> None:
        raise OSError("Name or service not known")

    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", unreachable)
    monkeypatch.setattr(torch.hub, "load_state_dict_from_url", unreachable)
    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", unreachable)
    with pytest.raises(ModelError, match=r"download the weights timm/test_vit.r160_in1k .* set model.weights"):
        build(TIMM, pretrained=True)
    with pytest.raises(
        ModelError, match=r"mobilenet_v3_small.*pth on a machine with internet access, and set model.we"
    ):
        build(SMALL, pretrained=True)


def test_pretrained_weights_of_an_earlier_download_need_no_network(
    tmp_path: Path, timm: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub

    original = timm.create_model("test_vit")
    file = saved(original, tmp_path / "pytorch_model.bin")
    found = lambda repository, name: file if name == "pytorch_model.bin" else None  # noqa: E731
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", found)
    monkeypatch.setattr(huggingface_hub.HfApi, "model_info", None)
    network = build(TIMM, pretrained=True)
    assert torch.equal(network.blocks[0].attn.qkv.weight, original.blocks[0].attn.qkv.weight)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("timm:test_vot", "did you mean 'test_vit'.*sweeps inspect models 'timm:\\*'"),
        ("timm:test_vit.other", "no weights 'test_vit.other': choose from test_vit.r160_in1k"),
        ("torchvision:fcn_resnet50", "has no classification network 'fcn_resnet50'"),
    ],
)
def test_an_unknown_network_of_a_library_names_a_close_one(name: str, message: str, timm: Any) -> None:
    with pytest.raises(ModelError, match=message):
        build(name)


def test_images_that_are_too_small_are_named_with_the_remedy() -> None:
    with pytest.raises(ModelError, match=r"cannot process images of 32×32 pixels .*larger data.image_size"):
        build("torchvision:alexnet", size=32)


def test_an_unknown_option_is_an_error_of_the_options(timm: Any) -> None:
    with pytest.raises(ModelError, match=r"unexpected keyword argument 'depths'.*model.options"):
        build(TIMM, options={"depths": 3})


def test_without_timm_the_message_has_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert "Run `pip install timm`" in str(static_fault(TrainingConfig(model=ModelConfig(name=TIMM))))
    with pytest.raises(ModelError, match=r"timm is not installed. Run `pip install timm`"):
        build(TIMM)


def test_library_version_and_weights_are_part_of_the_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    weights = tmp_path / "weights.pt"
    weights.write_bytes(b"first")
    model = ModelConfig(name=SMALL, weights=str(weights))
    before = source_of(model)
    weights.write_bytes(b"second")
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "99.0+cu130")
    after = source_of(model)
    assert before is not None
    assert after is not None
    assert after.files["torchvision"] == "version 99.0"
    assert [name for name in before.files if before.files[name] != after.files[name]] == ["torchvision", str(weights)]


def test_a_resumed_training_under_another_version_names_both(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrainingConfig(model=ModelConfig(name=SMALL), epochs=2)
    save_checkpoint(start(config, train_size=64, device="cpu"), tmp_path / "state.pt")
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "99.0")
    with pytest.raises(SourceChangedError, match=r"torchvision was version [\d.]+, is version 99.0"):
        load_checkpoint(tmp_path / "state.pt", device="cpu")
    load_network(tmp_path / "state.pt", device="cpu")  # for predictions and exports


def test_the_identity_contains_only_the_fields_in_use() -> None:
    assert ModelConfig(name=TIMM, width=8, pretrained=False).canonical() == {"name": TIMM}
    values = {"pretrained": True, "options": {"drop_rate": 0.1}}
    config = TrainingConfig(model=ModelConfig(name=TIMM, **values))
    assert config.model.canonical() == {"name": TIMM} | values
    assert {path for path in config.dotted() if path.startswith("model.")} == {
        "model.name",
        "model.pretrained",
        "model.weights",
        "model.options.drop_rate",
    }


def test_pretrained_and_weights_together_are_an_error() -> None:
    with pytest.raises(ValueError, match="pretrained and weights both name initial weights"):
        ModelConfig(name=TIMM, pretrained=True, weights="weights.pt")


def test_a_dry_run_finds_the_fault_of_a_network_of_a_library() -> None:
    config = TrainingConfig(model=ModelConfig(name="torchvision:alexnet"))
    assert "cannot process images of 32×32" in str(dry_run(config).fault)
    assert dry_run(TrainingConfig(model=ModelConfig(name=SMALL))).fault is None


def test_networks_of_the_named_library_are_listed(timm: Any) -> None:
    assert [each.name for each in networks_matching("torchvision:resnet1?")] == ["torchvision:resnet18"]
    found = {each.name: each.can_be_pretrained for each in networks_matching("timm:test_vit*")}
    assert found["timm:test_vit"]
    assert not found["timm:test_vit4"]
    assert "simple" in [each.name for each in networks_matching("*")]
