"""Layers and transforms from expressions: their outputs, and rejected expressions."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torchvision.transforms import functional

from cifar_core import layer_of, layer_output
from cifar_core.common.errors import ModelError
from cifar_core.torchvision_steps import transform_in_steps

IMAGE = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
NETS = """
from torch import nn

class Tiny(nn.Module):
    def __init__(self, width=4):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 5, stride=2)

    def forward(self, images):
        return self.conv(images).relu()
"""


@pytest.mark.parametrize(
    ("expression", "shape"),
    [
        ("Conv2d(3, 6, 3)", (6, 30, 30)),
        ("torch.nn.Conv2d(3, 6, kernel_size=(3, 5), padding='same')", (6, 32, 32)),
        ("nn.ConvTranspose2d(3, 6, 4, stride=2)", (6, 66, 66)),
        ("MaxPool2d(2)", (3, 16, 16)),
        ("ReLU", (3, 32, 32)),
        ("Sequential(Conv2d(3, 6, 5), ReLU(), AvgPool2d(2))", (6, 14, 14)),
        ("LazyConv2d(6, 3)", (6, 30, 30)),
    ],
)
def test_a_layer_is_built_from_its_expression(expression: str, shape: tuple[int, ...]) -> None:
    assert layer_output(layer_of(expression), IMAGE).shape == shape


def test_a_layer_computes_what_torch_does() -> None:
    torch.manual_seed(3)
    found = layer_output(layer_of("Conv2d(3, 6, 3)"), IMAGE)
    torch.manual_seed(3)
    expected = nn.Conv2d(3, 6, 3)(torch.from_numpy(IMAGE).permute(2, 0, 1)[None] / 255)[0]

    np.testing.assert_allclose(found, expected.detach().numpy(), atol=1e-5)


def test_a_custom_class_is_a_layer_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "layer_nets.py").write_text(NETS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)

    assert layer_output(layer_of("layer_nets:Tiny"), IMAGE).shape == (4, 14, 14)
    assert layer_output(layer_of("Sequential(layer_nets:Tiny(width=5), BatchNorm2d(5))"), IMAGE).shape == (5, 14, 14)
    with pytest.raises(ModelError, match="its classes are Tiny"):
        layer_of("layer_nets:Tny(3)")


@pytest.mark.parametrize(
    ("expression", "words"),
    [
        ("conv2D(3, 6, 3)", "did you mean Conv2d"),
        ("Conv2d(3, 6)", "kernel_size"),
        ("Conv2d(3, 10**9, 3)", "write each argument out"),
        ("Conv2d(3, 1000000000, 3)", "parameters or output values"),
        ("Upsample(scale_factor=100000)", "parameters or output values"),
        ("__import__('os').system('touch here')", "there is no layer"),
        ("Conv2d(3, 6, 3", "is not a layer"),
        ("", "is not a layer"),
    ],
)
def test_any_other_text_is_rejected_and_not_executed(
    expression: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelError, match=words.replace("(", r"\(")):
        layer_of(expression)

    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("expression", "words"), [("Flatten()", "3072"), ("Conv2d(1, 6, 3)", "3×32×32")])
def test_a_layer_without_maps_is_an_error(expression: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        layer_output(layer_of(expression), IMAGE)


def test_transforms_of_torchvision_are_found_by_name_and_applied_in_turn() -> None:
    steps = transform_in_steps(IMAGE[None], text="Resize(16), colour_jitter, rotation", seed=1, draws=2)

    assert [step.name for step in steps] == ["image", "Resize", "ColorJitter", "RandomRotation"]
    assert [step.images[0].shape for step in steps] == [(32, 32, 3), *[(16, 16, 3)] * 3]
    expected = functional.resize(functional.to_pil_image(IMAGE), [16])
    np.testing.assert_array_equal(steps[1].images[1], np.asarray(expected))
    assert not np.array_equal(steps[2].images[0], steps[2].images[1])


@pytest.mark.parametrize(
    ("text", "words"),
    [("RandomRotatoin(3)", "RandomRotation"), ("Resize(100000)", "at most 512"), ("FiveCrop(8)", "not one image")],
)
def test_a_transform_that_cannot_be_shown_is_refused(text: str, words: str) -> None:
    with pytest.raises(ModelError, match=words):
        transform_in_steps(IMAGE[None], text=text, seed=0)
