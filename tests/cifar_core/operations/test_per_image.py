"""The changes of TrivialAugment and RandAugment compared with torchvision's, image by image."""

from __future__ import annotations

import math
from collections import Counter

import numpy as np
import pytest
import torch
from torch import Tensor
from torchvision.transforms import RandAugment, TrivialAugmentWide, autoaugment
from torchvision.transforms.functional import InterpolationMode

from cifar_core.config import DataConfig
from cifar_core.data.load import load_cifar10
from cifar_core.operations import rand_augment, trivial_augment
from cifar_core.operations.operation import AugmentContext
from cifar_core.operations.per_image import changes
from cifar_core.operations.per_image.changes import BINS, CHANGES, TWO_SIDED, Limits, magnitudes

NAMES = {
    "identity": "Identity", "shear_x": "ShearX", "shear_y": "ShearY", "translate_x": "TranslateX",
    "translate_y": "TranslateY", "rotate": "Rotate", "brightness": "Brightness", "color": "Color",
    "contrast": "Contrast", "sharpness": "Sharpness", "posterize": "Posterize", "solarize": "Solarize",
    "autocontrast": "AutoContrast", "equalize": "Equalize",
}  # fmt: skip
"""Our name of a change to torchvision's."""

ON_8_BITS = ("posterize", "solarize", "equalize")
"""Changes for which torchvision needs 8 bits, or compares with a value of 8 bits."""
WIDE = Limits(shear=0.99, translate=32, rotate=135, tone=0.99, removed_bits=6)


@pytest.fixture(scope="module", name="stored_NHWC")
def real_images() -> Tensor:
    """Real images, and one of a single colour, which has no contrast to stretch or equalise."""
    images = torch.from_numpy(np.array(load_cifar10().train.images_NHWC[:12]))
    return torch.cat([images, torch.full((1, 32, 32, 3), 90, dtype=torch.uint8)])


def torchvisions(stored_NHWC: Tensor, name: str, magnitude_N: Tensor) -> Tensor:
    """Return torchvision's result from 0 to 1, N×H×W×3."""
    images_NCHW = stored_NHWC.permute(0, 3, 1, 2)
    if name not in ON_8_BITS:
        images_NCHW = images_NCHW.float() / 255
    found = [
        autoaugment._apply_op(image, NAMES[name], magnitude.item(), InterpolationMode.NEAREST, None)
        for image, magnitude in zip(images_NCHW, magnitude_N, strict=True)
    ]
    scale = 255 if name in ON_8_BITS else 1
    return torch.stack(found).permute(0, 2, 3, 1).float() / scale


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", [name for name, change in CHANGES.items() if change is not None])
def test_a_change_is_torchvisions_at_every_magnitude(stored_NHWC: Tensor, name: str, sign: int) -> None:
    pixels_NHWC = stored_NHWC.float() / 255
    change = CHANGES[name]
    assert change is not None
    for magnitude in magnitudes(WIDE)[list(CHANGES).index(name)] * (sign if name in TWO_SIDED else 1):
        magnitude_N = magnitude.expand(len(pixels_NHWC)).clone()

        ours = change(pixels_NHWC.clone(), magnitude_N)

        torch.testing.assert_close(ours, torchvisions(stored_NHWC, name, magnitude_N), rtol=1e-5, atol=2e-6)


def test_each_image_of_a_batch_has_its_own_change_and_magnitude(stored_NHWC: Tensor) -> None:
    pixels_NHWC = stored_NHWC[:1].repeat(200, 1, 1, 1).float() / 255
    generator = torch.Generator().manual_seed(3)
    change_N = torch.randint(len(CHANGES), (200,), generator=generator)
    bin_N = torch.randint(BINS, (200,), generator=generator)
    arguments = {"change_N": change_N, "bin_N": bin_N, "limits": WIDE}
    batch = changes.changed(pixels_NHWC.clone(), generator=torch.Generator().manual_seed(0), **arguments)  # type: ignore[arg-type]
    sign_N = 1 - 2 * torch.randint(2, (200,), generator=torch.Generator().manual_seed(0))

    for number, name in enumerate(CHANGES):
        signed_N = magnitudes(WIDE)[number, bin_N] * (sign_N if name in TWO_SIDED else 1)
        expected = torchvisions(stored_NHWC[:1].expand(200, -1, -1, -1), name, signed_N)
        chosen = change_N == number
        torch.testing.assert_close(batch[chosen], expected[chosen], rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("size", [32, 48])
def test_the_magnitudes_are_those_of_torchvisions_policies(size: int) -> None:
    trivial = TrivialAugmentWide()._augmentation_space(BINS)
    rand = RandAugment()._augmentation_space(BINS, (size, size))
    narrow = Limits(shear=0.3, translate=150 / 331 * size, rotate=30, tone=0.9, removed_bits=4)

    for limits, theirs in ((WIDE, trivial), (narrow, rand)):
        assert [NAMES[name] for name in CHANGES] == list(theirs)
        assert [NAMES[name] for name in TWO_SIDED] == [name for name, (_, signed) in theirs.items() if signed]
        for row, (expected, _) in zip(magnitudes(limits), theirs.values(), strict=True):
            assert torch.equal(row, expected.float().expand(BINS))


Drawn = list[tuple[str, float]]


def drawn_by_torchvision(policy: torch.nn.Module, count: int, monkeypatch: pytest.MonkeyPatch) -> Drawn:
    found: Drawn = []

    def noted(image: Tensor, name: str, magnitude: float, **_: object) -> Tensor:
        found.append((name, magnitude))
        return image

    monkeypatch.setattr(autoaugment, "_apply_op", noted)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        for _ in range(count):
            policy(torch.zeros(3, 32, 32, dtype=torch.uint8))
    return found


def drawn_by_us(operation: rand_augment.RandAugment | trivial_augment.TrivialAugment, count: int,
                monkeypatch: pytest.MonkeyPatch) -> Drawn:  # fmt: skip
    found: Drawn = []

    def noting(name: str) -> object:
        def change(pixels_NHWC: Tensor, magnitude_N: Tensor) -> Tensor:
            found.extend((NAMES[name], value) for value in magnitude_N.tolist())
            return pixels_NHWC

        return change

    monkeypatch.setattr(changes, "CHANGES", {name: noting(name) for name in CHANGES})
    context = AugmentContext(normalization="none", generator=torch.Generator().manual_seed(0))
    operation.apply(torch.zeros(count, 32, 32, 3), context)
    return found


@pytest.mark.parametrize("kind", ["trivial_augment", "rand_augment"])
def test_changes_and_magnitudes_are_drawn_as_often_as_by_torchvision(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if kind == "trivial_augment":
        ours = drawn_by_us(trivial_augment.TrivialAugment(), 6000, monkeypatch)
        theirs = drawn_by_torchvision(TrivialAugmentWide(), 6000, monkeypatch)
    else:
        ours = drawn_by_us(rand_augment.RandAugment(), 3000, monkeypatch)
        theirs = drawn_by_torchvision(RandAugment(), 3000, monkeypatch)

    assert len(ours) == len(theirs) == 6000
    for draws in (ours, theirs):
        counts = Counter(name for name, _ in draws)
        assert set(counts) == set(NAMES.values())
        # 6,000 draws of 14 changes: 429 each, with a deviation of 20.
        assert all(abs(count - 6000 / 14) < 5 * math.sqrt(6000 / 14) for count in counts.values())
    for name in NAMES.values():
        mine, other = ([value for each, value in draws if each == name] for draws in (ours, theirs))
        if kind == "rand_augment":
            assert {round(value, 4) for value in mine} == {round(value, 4) for value in other}
        else:
            assert min(mine) == pytest.approx(min(other), rel=0.2, abs=0.2)
            assert max(mine) == pytest.approx(max(other), rel=0.2, abs=0.2)
        spread = np.std(other) * math.sqrt(1 / len(mine) + 1 / len(other))
        assert abs(np.mean(mine) - np.mean(other)) <= 5 * spread + 1e-9


def test_they_are_read_from_a_file_with_their_arguments() -> None:
    written = ["flip", "trivial_augment", {"rand_augment": {"changes": 1, "magnitude": 5}}, "normalize"]

    _, trivial, rand, _ = DataConfig(augmentation=written).operations  # type: ignore[arg-type]

    assert isinstance(trivial, trivial_augment.TrivialAugment)
    assert rand == rand_augment.RandAugment(changes=1, magnitude=5)
