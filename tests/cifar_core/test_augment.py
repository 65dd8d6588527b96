"""The batched operations compared with torchvision's transforms, applied image by image to real images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from scipy import stats
from torch import Tensor, nn
from torchvision import transforms
from torchvision.transforms import functional as reference

from cifar_core.augment import augment, normalize
from cifar_core.config import DataConfig
from cifar_core.data.load import load_cifar10
from cifar_core.operations.crop import Crop
from cifar_core.operations.erase import Erase
from cifar_core.operations.flip import Flip
from cifar_core.operations.grayscale import Grayscale
from cifar_core.operations.normalize import NORMALIZATIONS, Normalize
from cifar_core.operations.operation import Operation
from cifar_core.operations.pad import Pad
from cifar_core.recipes import RECIPES, parse_augmentation

SIZE = 32
IMAGES = 800
SIGNIFICANCE = 1e-3
"""Probability that a correct implementation fails a statistical test; under its fixed seed it never does."""


@pytest.fixture(scope="module", name="images_NHWC")
def real_images() -> Tensor:
    """Real training images without a black pixel, so that black pixels identify the border."""
    images_NHWC = load_cifar10().train.images_NHWC[: 2 * IMAGES]
    chosen = images_NHWC[images_NHWC.any(axis=-1).reshape(2 * IMAGES, -1).all(axis=1)][:IMAGES]
    assert len(chosen) == IMAGES
    return torch.from_numpy(np.array(chosen))


@pytest.fixture(scope="module", name="few_NHWC")
def few_real_images(images_NHWC: Tensor) -> Tensor:
    return images_NHWC[:24]


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def ours(images_NHWC: Tensor, *operations: Operation, normalization: str = "imagenet") -> Tensor:
    return augment(images_NHWC, operations=operations, normalization=normalization, generator=seeded())


def as_torchvision(operation: Operation, normalization: str) -> nn.Module:
    match operation:
        case Normalize():
            mean, std = NORMALIZATIONS[normalization]
            return transforms.Normalize(mean, std)
        case Pad(pixels=pixels):
            return transforms.Pad(pixels)
        case Flip(p=p):
            return transforms.RandomHorizontalFlip(p)
        case Grayscale(p=p):
            return transforms.RandomGrayscale(p)
        case Erase(p=p, scale=scale, ratio=ratio):
            return transforms.RandomErasing(p, scale, ratio, value=0)
        case Crop(size=size, padding=padding, fill=fill):
            mode = {"zero": "constant", "reflect": "reflect"}[fill]
            return transforms.RandomCrop(size, padding=padding, padding_mode=mode)


def torchvisions(images_NHWC: Tensor, *operations: Operation, normalization: str = "imagenet", seed: int = 0) -> Tensor:
    steps = [as_torchvision(operation, normalization) for operation in operations]
    pipeline = transforms.Compose([transforms.ToTensor(), *steps])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return torch.stack([pipeline(image_HWC.numpy()) for image_HWC in images_NHWC])


# Deterministic operations are equal image by image.


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
@pytest.mark.parametrize(
    "operations",
    [
        (Normalize(),),
        (Pad(pixels=3), Normalize()),
        (Normalize(), Pad(pixels=3)),
        (Normalize(), Flip(p=1)),
        (Normalize(), Flip(p=0)),
        (Normalize(), Grayscale(p=1)),
        (Grayscale(p=1), Normalize()),
        (Normalize(), Grayscale(p=0)),
        (Normalize(), Erase(p=0)),
        (Normalize(), Crop(size=32, padding=0)),
        (Normalize(), Crop(size=40, padding=4, fill="reflect")),
        (Pad(pixels=2), Flip(p=1), Normalize(), Grayscale(p=1), Pad(pixels=1)),
    ],
    ids=lambda operations: "-".join(operation.op for operation in operations),
)
def test_deterministic_operations_equal_those_of_torchvision(
    few_NHWC: Tensor, operations: tuple[Operation, ...], normalization: str
) -> None:
    torch.testing.assert_close(
        ours(few_NHWC, *operations, normalization=normalization).contiguous(),
        torchvisions(few_NHWC, *operations, normalization=normalization),
        rtol=1e-5,
        atol=1e-6,
    )


def test_the_constants_are_the_notebooks() -> None:
    assert NORMALIZATIONS == {
        "none": ((0, 0, 0), (1, 1, 1)),
        "cifar10": ((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)),
        "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    }


def test_without_normalization_pixels_are_scaled_exactly_as_to_tensor_does(few_NHWC: Tensor) -> None:
    assert torch.equal(normalize(few_NHWC, normalization="none"), torchvisions(few_NHWC))


@pytest.mark.parametrize("normalization", NORMALIZATIONS)
def test_evaluation_normalises_as_training_does_and_does_nothing_else(few_NHWC: Tensor, normalization: str) -> None:
    evaluated = normalize(few_NHWC, normalization=normalization)
    assert torch.equal(evaluated, ours(few_NHWC, Normalize(), normalization=normalization))


def test_a_crop_is_one_of_torchvisions_windows(few_NHWC: Tensor) -> None:
    padded = reference.pad(torchvisions(few_NHWC, Normalize()), [4])
    cropped = ours(few_NHWC, Normalize(), Crop(size=28, padding=4))
    for number, image in enumerate(cropped):
        windows = [reference.crop(padded[number], top, left, 28, 28) for top in range(13) for left in range(13)]
        equal = [torch.allclose(image, window, atol=1e-6) for window in windows]
        assert sum(equal) == 1


def test_an_erased_rectangle_is_one_of_torchvisions(few_NHWC: Tensor) -> None:
    # Fixed area and ratio, so that only the position is random: 16 rows of 8.
    erased = ours(few_NHWC, Normalize(), Erase(p=1, scale=(0.125, 0.125), ratio=(2, 2)))
    whole = torchvisions(few_NHWC, Normalize())
    for number, image in enumerate(erased):
        rows, columns = (image == 0).all(dim=0).nonzero().unbind(1)
        top, left = int(rows.min()), int(columns.min())
        expected = reference.erase(whole[number], top, left, 16, 8, torch.zeros(1))
        torch.testing.assert_close(image, expected, rtol=1e-5, atol=1e-6)


def test_vertical_and_horizontal_positions_of_rectangles_are_independent(images_NHWC: Tensor) -> None:
    erased = ours(images_NHWC, Normalize(), Erase(p=1, scale=(0.0625, 0.0625), ratio=(1, 1)))
    positions = [(image == 0).all(dim=0).nonzero().min(dim=0).values.tolist() for image in erased]
    correlation = np.corrcoef(np.array(positions).T)[0, 1]

    # For independent pairs it exceeds 4 / sqrt(n) once in 16,000.
    assert abs(correlation) < 4 / len(positions) ** 0.5


@pytest.mark.parametrize(
    ("share", "ratio"), [(1, 1), (0.5, 2), (0.5, 0.5)], ids=["the whole image", "as high", "as wide"]
)
def test_an_image_that_no_rectangle_fits_stays_unchanged(few_NHWC: Tensor, share: float, ratio: float) -> None:
    operations = (Normalize(), Erase(p=1, scale=(share, share), ratio=(ratio, ratio)))
    assert torch.equal(ours(few_NHWC, *operations), ours(few_NHWC, Normalize()))


# Random operations have torchvision's distribution.


@dataclass(frozen=True, kw_only=True)
class Decoded:
    """The operations applied to each image of a batch, inferred from the pixels."""

    down: np.ndarray
    """Rows by which the crop's window is below the image's position; `right` the same for columns."""
    right: np.ndarray
    flipped: np.ndarray
    gray: np.ndarray
    erased_pixels: np.ndarray
    """Pixels of the erased rectangle that the crop shows."""
    zeros: np.ndarray
    """Share of pixels that are 0 after normalisation."""


def decode(outputs_NCHW: Tensor, images_NHWC: Tensor) -> Decoded:
    """Find out of crop, flip, grayscale and erasing what makes each output of its image.

    Fails where nothing does, for instance where a border has the wrong colour or an operation the wrong order.
    """
    black_C11 = normalize(torch.zeros(1, 1, 1, 3, dtype=torch.uint8), normalization="imagenet")[0]
    borders = [torch.zeros(3, 1, 1), black_C11, reference.rgb_to_grayscale(black_C11, 3)]
    found = []
    images_NCHW = normalize(images_NHWC, normalization="imagenet")
    for output_CHW, image_CHW in zip(outputs_NCHW, images_NCHW, strict=True):
        is_border = torch.stack([same(output_CHW, border) for border in borders]).any(dim=0)
        above, below = leading(is_border.all(dim=1)), leading(is_border.all(dim=1).flip(0))
        left, right = leading(is_border.all(dim=0)), leading(is_border.all(dim=0).flip(0))
        assert min(above, below) == 0
        assert min(left, right) == 0
        visible = output_CHW[:, above : SIZE - below, left : SIZE - right]
        source = image_CHW[:, below : SIZE - above, right : SIZE - left]
        flipped_source = image_CHW.flip(2)[:, below : SIZE - above, right : SIZE - left]

        candidates = [(is_flipped, is_gray) for is_flipped in (False, True) for is_gray in (False, True)]
        different = []
        for is_flipped, is_gray in candidates:
            candidate = flipped_source if is_flipped else source
            candidate = reference.rgb_to_grayscale(candidate, 3) if is_gray else candidate
            different.append(~same(visible, candidate))
        best = min(range(len(candidates)), key=lambda n: int(different[n].sum()))
        erased = different[best]
        assert erased.float().mean() < 0.5, "no crop, flip, grayscale and erasing produce this"
        assert not visible[:, erased].any(), "a changed pixel is not 0"
        rows, columns = erased.any(dim=1).nonzero(), erased.any(dim=0).nonzero()
        assert erased.sum() == len(rows) * len(columns), "the erased area is not a rectangle"

        zeros = (output_CHW == 0).all(dim=0).float().mean()
        found.append((below - above, right - left, *candidates[best], int(erased.sum()), float(zeros)))
    down, rightward, flipped, gray, erased_pixels, zeros = (np.array(v) for v in zip(*found, strict=True))
    return Decoded(down=down, right=rightward, flipped=flipped, gray=gray, erased_pixels=erased_pixels, zeros=zeros)


def same(a_CHW: Tensor, b_CHW: Tensor) -> Tensor:
    return ((a_CHW - b_CHW).abs() < 1e-4).all(dim=0)


def leading(is_border: Tensor) -> int:
    """Return the number of leading true values."""
    return int(is_border.long().cumprod(0).sum())


@dataclass(frozen=True, kw_only=True)
class Compared:
    """A recipe's output for the same images, of this project and of torchvision, and the applied operations."""

    operations: tuple[Operation, ...]
    our_NCHW: Tensor
    their_NCHW: Tensor
    our: Decoded
    their: Decoded

    def chance(self, op: type[Flip | Grayscale | Erase]) -> float:
        """Return the probability of an operation in the recipe."""
        return next((operation.p for operation in self.operations if isinstance(operation, op)), 0.0)


@pytest.fixture(scope="module", params=sorted(set(RECIPES) - {"none"}))
def compared(request: pytest.FixtureRequest, images_NHWC: Tensor) -> Compared:
    operations = RECIPES[request.param]
    our_NCHW, their_NCHW = ours(images_NHWC, *operations), torchvisions(images_NHWC, *operations)
    return Compared(
        operations=operations,
        our_NCHW=our_NCHW,
        their_NCHW=their_NCHW,
        our=decode(our_NCHW, images_NHWC),
        their=decode(their_NCHW, images_NHWC),
    )


def test_a_recipes_mean_and_deviation_are_torchvisions(compared: Compared) -> None:
    for statistic in (Tensor.mean, Tensor.std):
        our_NC = statistic(compared.our_NCHW.flatten(start_dim=2), dim=2)
        their_NC = statistic(compared.their_NCHW.flatten(start_dim=2), dim=2)
        difference_NC = (our_NC - their_NC).double()
        # On the same images, which removes most of the variance between images.
        standard_error_C = difference_NC.std(dim=0) / len(difference_NC) ** 0.5
        assert (difference_NC.mean(dim=0).abs() <= 4 * standard_error_C + 1e-6).all()


def test_a_recipe_flips_grays_and_erases_as_often_as_it_says(compared: Compared) -> None:
    for op, done in (
        (Flip, compared.our.flipped),
        (Grayscale, compared.our.gray),
        (Erase, compared.our.erased_pixels > 0),
    ):
        test = stats.binomtest(int(done.sum()), len(done), compared.chance(op))
        assert test.pvalue > SIGNIFICANCE, f"{op.__name__}: {done.mean()}"


def test_a_recipe_flips_grays_and_erases_independently(compared: Compared) -> None:
    done = (compared.our.flipped, compared.our.gray, compared.our.erased_pixels > 0, compared.our.down > 0)
    varying = [values for values in done if 0 < values.sum() < len(values)]
    for number, first in enumerate(varying):
        for second in varying[:number]:
            table = stats.contingency.crosstab(first, second).count
            assert stats.chi2_contingency(table).pvalue > SIGNIFICANCE


def test_a_recipes_windows_are_uniform_over_all_positions(compared: Compared) -> None:
    border = sum(operation.pixels for operation in compared.operations if isinstance(operation, Pad))
    border += sum(operation.padding for operation in compared.operations if isinstance(operation, Crop))
    positions = np.arange(-border, border + 2) - 0.5
    counts, _, _ = np.histogram2d(compared.our.down, compared.our.right, bins=(positions, positions))
    assert counts.sum() == IMAGES
    assert border == 0 or stats.chisquare(counts.ravel()).pvalue > SIGNIFICANCE


def test_a_recipe_shows_as_much_border_and_erased_area_as_torchvision(compared: Compared) -> None:
    assert stats.ks_2samp(compared.our.zeros, compared.their.zeros).pvalue > SIGNIFICANCE
    erased = [decoded.erased_pixels[decoded.erased_pixels > 0] for decoded in (compared.our, compared.their)]
    assert not compared.chance(Erase) or stats.ks_2samp(*erased).pvalue > SIGNIFICANCE


@pytest.mark.parametrize(
    "operation",
    [Erase(p=1), Erase(p=1, scale=(0.3, 1), ratio=(0.3, 3.3))],
    ids=["notebook", "often-too-big"],
)
def test_erased_rectangles_have_torchvisions_shapes_and_positions(operation: Erase) -> None:
    white_NHWC = torch.full((1_500, SIZE, SIZE, 3), 255, dtype=torch.uint8)
    our_4N = boxes(ours(white_NHWC, operation))
    their_4N = boxes(torchvisions(white_NHWC, operation))
    for our_N, their_N in zip(our_4N, their_4N, strict=True):
        assert stats.ks_2samp(our_N, their_N).pvalue > SIGNIFICANCE
    for our_N, their_N in zip(our_4N[:2], our_4N[2:], strict=True):
        # A position is uniform over the range that the size leaves: scaled to it, it is uniform from 0 to 1.
        erased = our_N > 0
        position = (their_N[erased] + seeded_uniform(erased.sum())) / (SIZE - our_N[erased] + 1)
        assert stats.kstest(position, "uniform").pvalue > SIGNIFICANCE


def boxes(images_NCHW: Tensor) -> np.ndarray:
    """Return height, width, top and left of the zeros in each image; all 0 where there are none."""
    zero_NHW = (images_NCHW == 0).all(dim=1)
    rows_NH, columns_NW = zero_NHW.any(dim=2).long(), zero_NHW.any(dim=1).long()
    found = (rows_NH.sum(1), columns_NW.sum(1), rows_NH.argmax(1), columns_NW.argmax(1))
    return torch.stack(found).numpy()


def seeded_uniform(count: int) -> np.ndarray:
    return np.random.default_rng(0).random(count)


def test_erasing_before_the_crop_lets_the_crop_cut_the_rectangle() -> None:
    white_NHWC = torch.full((500, SIZE, SIZE, 3), 255, dtype=torch.uint8)
    side = 10
    share = side**2 / SIZE**2
    outputs_NCHW = ours(white_NHWC, Normalize(), Erase(p=1, scale=(share, share), ratio=(1, 1)), Crop())
    cut = 0
    for output_CHW in outputs_NCHW:
        zero = (output_CHW == 0).all(dim=0)
        for lines in (zero, zero.T):
            border = lines.all(dim=1)
            before, after = leading(border), leading(border.flip(0))
            # Lines of the image without the border at their ends: zeros there are erased.
            erased = lines[before : SIZE - after, ~lines.all(dim=0)].any(dim=1)
            if 0 < erased.sum() < side:
                cut += 1
                assert (erased[0] and before == 0) or (erased[-1] and after == 0)
    assert cut > 50


# Sources of randomness.


def test_equal_images_of_a_batch_come_out_different(images_NHWC: Tensor) -> None:
    equal_NHWC = images_NHWC[:1].expand(64, -1, -1, -1)
    for recipe in ("flip-crop", "flip-erase-crop", "pad-flip-gray-crop"):
        assert len(ours(equal_NHWC, *RECIPES[recipe]).unique(dim=0)) > 40
    assert len(ours(equal_NHWC, *RECIPES["flip"]).unique(dim=0)) == 2


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_a_batch_follows_from_the_generators_seed(few_NHWC: Tensor, recipe: str) -> None:
    def two_batches(seed: int) -> list[Tensor]:
        generator = seeded(seed)
        operations = RECIPES[recipe]
        return [
            augment(few_NHWC, operations=operations, normalization="cifar10", generator=generator) for _ in range(2)
        ]

    first, second = two_batches(0)
    again_first, again_second = two_batches(0)
    assert torch.equal(first, again_first)
    assert torch.equal(second, again_second)
    if recipe != "none":
        assert not torch.equal(first, second)
        assert not torch.equal(first, two_batches(1)[0])


def test_the_global_generator_and_the_images_stay_unchanged(few_NHWC: Tensor) -> None:
    state, images_NHWC = torch.get_rng_state(), few_NHWC.clone()
    for operations in RECIPES.values():
        ours(few_NHWC, *operations)
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.equal(few_NHWC, images_NHWC)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_a_gpu_gets_the_same_images_as_a_cpu(few_NHWC: Tensor, recipe: str) -> None:
    on_gpu = ours(few_NHWC.cuda(), *RECIPES[recipe])
    assert on_gpu.is_cuda
    torch.testing.assert_close(on_gpu.cpu(), ours(few_NHWC, *RECIPES[recipe]), rtol=1e-5, atol=1e-6)


# Properties that the train step relies on.


@pytest.mark.parametrize("recipe", sorted(RECIPES))
def test_batches_are_float32_and_channels_last(few_NHWC: Tensor, recipe: str) -> None:
    for batch_NCHW in (ours(few_NHWC, *RECIPES[recipe]), normalize(few_NHWC, normalization="cifar10")):
        assert batch_NCHW.dtype == torch.float32
        assert batch_NCHW.shape == (len(few_NHWC), 3, SIZE, SIZE)
        assert batch_NCHW.is_contiguous(memory_format=torch.channels_last)


def test_evaluation_in_inference_mode_leaves_training_able_to_go_backward(few_NHWC: Tensor) -> None:
    # 24 wide, so that no other test has cached the constants.
    narrow_NHWC = few_NHWC[:, :, :24]
    with torch.inference_mode():
        normalize(narrow_NHWC, normalization="imagenet")
    layer = nn.Conv2d(3, 4, 3)
    layer(ours(narrow_NHWC, Normalize(), Flip(), Erase())).sum().backward()
    assert layer.weight.grad is not None


PROBABILITIES = st.floats(0, 1)


def ordered_pairs(least: float, most: float) -> st.SearchStrategy[tuple[float, float]]:
    return st.tuples(st.floats(least, most), st.floats(least, most)).map(lambda pair: (min(pair), max(pair)))


@st.composite
def valid_operations(draw: st.DrawFn) -> Sequence[Operation]:
    """Any list that a configuration accepts: one `normalize`, and 32×32 at the end."""
    operations: list[Operation] = []
    size = SIZE
    for op in draw(st.lists(st.sampled_from([Pad, Flip, Grayscale, Erase, Crop]), max_size=5)):
        if op is Pad:
            pixels = draw(st.integers(1, 16))
            operations.append(Pad(pixels=pixels))
            size += 2 * pixels
        elif op is Flip:
            operations.append(Flip(p=draw(PROBABILITIES)))
        elif op is Grayscale:
            operations.append(Grayscale(p=draw(PROBABILITIES)))
        elif op is Erase:
            scale, ratio = draw(ordered_pairs(0, 1)), draw(ordered_pairs(0.01, 100))
            operations.append(Erase(p=draw(PROBABILITIES), scale=scale, ratio=ratio))
        else:
            padding = draw(st.integers(0, 16))
            size = draw(st.integers(8, min(64, size + 2 * padding)))
            operations.append(Crop(size=size, padding=padding))
    operations.insert(draw(st.integers(0, len(operations))), Normalize())
    if size != SIZE:
        operations.append(Crop(size=SIZE, padding=12))
    return operations


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    operations=valid_operations(),
    count=st.integers(1, 5),
    normalization=st.sampled_from(sorted(NORMALIZATIONS)),
    seed=st.integers(0, 2**32),
)
def test_any_valid_list_of_operations_gives_finite_images_of_32_by_32(
    operations: Sequence[Operation], count: int, normalization: str, seed: int
) -> None:
    images = torch.randint(256, (count, SIZE, SIZE, 3), dtype=torch.uint8, generator=seeded(seed))
    batch_NCHW = augment(
        images,
        operations=parse_augmentation(operations),
        normalization=normalization,
        generator=seeded(seed),
    )
    assert batch_NCHW.shape == (count, 3, SIZE, SIZE)
    assert batch_NCHW.isfinite().all()


@pytest.mark.parametrize(
    ("operation", "words"),
    [
        ({"pad": {"padding": 2}}, "pad: unknown argument 'padding': did you mean 'pixels'"),
        ({"crop": {"pad": 2}}, "crop: unknown argument 'pad': did you mean 'padding'"),
        ({"normalize": {"mean": 1}}, "normalize: unknown argument 'mean': it takes none"),
        ({"flip": {"p": 2}}, "flip: p: should be less than or equal to 1 (got 2)"),
    ],
)
def test_a_wrong_argument_is_named_with_its_operation_and_the_closest_argument(
    operation: dict[str, Any], words: str
) -> None:
    with pytest.raises(ValidationError, match=re.escape(words)) as caught:
        DataConfig(augmentation=["normalize", operation])  # type: ignore[arg-type]

    assert caught.value.errors()[0]["loc"] == ("augmentation",)
