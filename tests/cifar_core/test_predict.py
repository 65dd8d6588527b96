"""Image files are read as displayed, and a network predicts with the normalisation of its training."""

from __future__ import annotations

import contextlib
import io
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cifar_core import Classifier, TrainingConfig, save_checkpoint, split_train_validation, start, train
from cifar_core.data.images import CLASS_NAMES, LabelledImages
from cifar_core.data.load import load_training_images
from cifar_core.errors import ImageError
from cifar_core.evaluation import evaluate, probabilities
from cifar_core.image_file import MAX_PIXELS, read_image
from cifar_core.models.build import build_model

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def filled(mode: str, colour: Any, *, size: tuple[int, int] = (64, 48)) -> Image.Image:
    return Image.new(mode, size, colour)


def as_file(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def is_all(pixels: np.ndarray, colour: tuple[int, int, int], *, within: int = 0) -> bool:
    return bool((np.abs(pixels.astype(int) - np.array(colour)) <= within).all())


def grey_16_bits(value: int) -> bytes:
    return as_file(Image.fromarray(np.full((40, 40), value, dtype=np.uint16)), "PNG")


def rgb_png_of_16_bits(value: int) -> bytes:
    """Return a PNG with 48 bits per pixel, which Pillow reads but does not write."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    row = b"\0" + struct.pack(">HHH", value, 0, value) * 32
    header = struct.pack(">IIBBBBB", 32, 32, 16, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(row * 32)) + chunk(b"IEND", b"")


def cmyk_jpeg() -> bytes:
    return as_file(filled("RGB", RED).convert("CMYK"), "JPEG", quality=100)


def palette_with_a_transparent_colour() -> bytes:
    image = Image.new("P", (40, 40), 0)
    image.putpalette([*RED, *GREEN])
    return as_file(image, "PNG", transparency=0)


def animated() -> bytes:
    frames = [filled("RGB", colour) for colour in (GREEN, RED, BLUE)]
    return as_file(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)


FILES = {
    "RGB": (as_file(filled("RGB", RED), "PNG"), RED),
    "JPEG": (as_file(filled("RGB", RED), "JPEG", quality=100), (254, 0, 0)),
    "grey": (as_file(filled("L", 77), "PNG"), (77, 77, 77)),
    "black and white": (as_file(filled("1", 1), "PNG"), WHITE),
    "palette": (as_file(filled("RGB", GREEN).convert("P"), "PNG"), GREEN),
    "wholly transparent": (as_file(filled("RGBA", (255, 0, 0, 0)), "PNG"), WHITE),
    "half transparent": (as_file(filled("RGBA", (255, 0, 0, 128)), "PNG"), (255, 127, 127)),
    "grey with transparency": (as_file(filled("LA", (0, 0)), "PNG"), WHITE),
    "a transparent colour of a palette": (palette_with_a_transparent_colour(), WHITE),
    "16 bits": (grey_16_bits(0x8080), (128, 128, 128)),
    "16 bits, white": (grey_16_bits(65535), WHITE),
    "16 bits a channel": (rgb_png_of_16_bits(65535), (255, 0, 255)),
    "real numbers": (as_file(filled("F", 0.5), "TIFF"), (128, 128, 128)),
    "real numbers to 255": (as_file(filled("F", 51.0), "TIFF"), (51, 51, 51)),
    "CMYK": (cmyk_jpeg(), (254, 0, 0)),
    "the first of several frames": (animated(), GREEN),
    "WebP": (as_file(filled("RGB", BLUE), "WEBP", lossless=True), BLUE),
    "BMP": (as_file(filled("RGB", BLUE), "BMP"), BLUE),
}


@pytest.mark.parametrize("kind", FILES)
def test_an_image_of_any_kind_is_read_as_displayed(kind: str) -> None:
    content, colour = FILES[kind]

    pixels = read_image(content)

    assert (pixels.shape, pixels.dtype) == ((32, 32, 3), np.uint8)
    assert is_all(pixels, colour, within=2)


def test_an_image_of_32_by_32_is_read_unchanged_from_every_source(tmp_path: Path) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)

    with path.open("rb") as file:
        for source in (path, str(path), path.read_bytes(), file, Image.open(path), pixels):
            assert (read_image(source) == pixels).all()


@pytest.mark.parametrize("size", [(1, 1), (31, 33), (500, 3), (3, 500), (640, 480)])
def test_an_image_of_any_size_is_cropped_to_its_centre_square(size: tuple[int, int]) -> None:
    assert read_image(as_file(filled("RGB", RED, size=size), "PNG")).shape == (32, 32, 3)

    wide = Image.new("RGB", (96, 32), RED)
    wide.paste(Image.new("RGB", (32, 32), GREEN), (32, 0))
    assert is_all(read_image(wide), GREEN)


def test_an_image_is_rotated_by_its_exif_orientation() -> None:
    image = Image.new("RGB", (32, 32), RED)
    image.paste(Image.new("RGB", (32, 16), BLUE), (0, 16))
    exif = Image.Exif()
    exif[0x0112] = 6  # the orientation of an upright camera: rotate by 90 degrees clockwise

    pixels = read_image(as_file(image, "PNG", exif=exif))

    assert is_all(pixels[:, :16], BLUE)
    assert is_all(pixels[:, 16:], RED)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "its format is unknown"),
        (b"no image at all", "its format is unknown"),
        (FILES["RGB"][0][:60], "cannot be read as an image"),
        (FILES["JPEG"][0][: len(FILES["JPEG"][0]) // 2], "cannot be read as an image"),
    ],
)
def test_data_that_is_not_an_image_is_rejected(content: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=message):
        read_image(content)


def test_a_missing_file_is_an_image_error(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="No such file"):
        read_image(tmp_path / "none.png")
    with pytest.raises(ImageError, match="Is a directory"):
        read_image(tmp_path)


def test_a_decompression_bomb_is_refused_before_it_is_unpacked() -> None:
    side = int(MAX_PIXELS**0.5) + 1
    bomb = as_file(Image.new("1", (side, side)), "PNG")
    assert len(bomb) < 10_000

    with pytest.raises(ImageError, match="pixels, more than"):
        read_image(bomb)


@pytest.mark.parametrize("array", [np.zeros((32, 32), np.uint8), np.zeros((32, 32, 3)), np.zeros((0, 32, 3), np.uint8)])
def test_an_array_of_another_kind_is_refused(array: np.ndarray) -> None:
    with pytest.raises(ImageError, match="an array must be uint8 of shape H×W×3"):
        read_image(array)


@given(st.integers(0, len(FILES["RGB"][0]) - 1), st.integers(0, 255))
@settings(max_examples=100, deadline=None)
def test_a_damaged_file_is_read_or_refused_and_nothing_else(position: int, byte: int) -> None:
    content = bytearray(FILES["RGB"][0])
    content[position] = byte
    with contextlib.suppress(ImageError):
        assert read_image(bytes(content)).shape == (32, 32, 3)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, TrainingConfig]:
    config = TrainingConfig.model_validate(
        {
            "epochs": 1, "model": {"name": "simple", "width": 8}, "optimizer": {"lr": 0.05},
            "data": {"train_size": 2000, "validation_size": 500, "normalization": "imagenet", "batch_size": 32},
        }
    )  # fmt: skip
    images, _ = load_training_images(progress=False)
    state = start(config, train_size=2000, device="cpu")
    for _ in train(config, *split_train_validation(images, config.data), state=state):
        pass
    path = tmp_path_factory.mktemp("trained") / "state.pt"
    save_checkpoint(state, path)
    return path, config


@pytest.mark.parametrize("views", ["none", "flip", "flip-shift"])
def test_a_classifier_averages_over_the_views_that_its_accuracy_was_measured_with(views: str) -> None:
    config = TrainingConfig.model_validate({"model": {"name": "lean", "width": 8}, "test_time_augmentation": views})
    network = build_model(config.model).eval()
    rng = np.random.default_rng(0)
    images = LabelledImages(rng.integers(0, 256, (20, 32, 32, 3), dtype=np.uint8), np.arange(20) % 10)

    with torch.inference_mode():
        logits_NK = Classifier(network, config)(torch.from_numpy(images.images_NHWC))

    expected = torch.from_numpy(probabilities(network, images, config=config))
    assert torch.allclose(logits_NK.softmax(1), expected, atol=1e-6)


def test_a_loaded_network_predicts_exactly_what_its_run_was_measured_with(trained: tuple[Path, TrainingConfig]) -> None:
    path, config = trained
    model = Classifier.load(path, device="cpu")
    _, validation = split_train_validation(load_training_images(progress=False)[0], config.data)
    assert validation is not None

    predictions = model.predict_many(validation.images_NHWC)

    right = [CLASS_NAMES[label] == each.label for label, each in zip(validation.labels_N, predictions, strict=True)]
    assert right == evaluate(model.network, validation, config=config).correct_N.tolist()


def test_a_prediction_names_every_class_the_likeliest_first(trained: tuple[Path, TrainingConfig]) -> None:
    found = Classifier.load(trained[0], device="cpu").predict(FILES["RGB"][0])

    assert set(found.probabilities) == set(CLASS_NAMES)
    assert list(found.probabilities.values()) == sorted(found.probabilities.values(), reverse=True)
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert (found.label, found.probability) == next(iter(found.probabilities.items()))


def test_normalised_images_are_refused(trained: tuple[Path, TrainingConfig]) -> None:
    with pytest.raises(TypeError, match="do not normalise them"):
        Classifier.load(trained[0], device="cpu")(torch.zeros(1, 32, 32, 3))


def test_predicting_twice_gives_the_same_although_the_network_drops_out(trained: tuple[Path, TrainingConfig]) -> None:
    _, config = trained
    dropping = config.model_copy(update={"model": config.model.model_copy(update={"dropout": 0.5})})
    model = Classifier(start(dropping, train_size=2000).model, dropping)

    assert model.predict(FILES["RGB"][0]) == model.predict(FILES["RGB"][0])


EXPORT_THEN_PREDICT = """
import sys
import torch
from cifar_core import Classifier
from cifar_core.predict import Probabilities

classifier, images = Classifier.load(sys.argv[1], device="cpu"), torch.load(sys.argv[2])
torch.export.export(Probabilities(classifier), (images,))
with torch.inference_mode():
    torch.save(classifier(images), sys.argv[3])
"""


def test_an_export_does_not_change_the_predictions_that_follow_it(tmp_path: Path) -> None:
    config = TrainingConfig.model_validate({"model": {"name": "simple"}, "data": {"normalization": "imagenet"}})
    checkpoint, images, logits = (tmp_path / name for name in ("state.pt", "images.pt", "logits.pt"))
    save_checkpoint(start(config, train_size=200, device="cpu"), checkpoint)
    images_NHWC = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    torch.save(images_NHWC, images)

    # In another process, whose first normalisation is the exported one.
    command = [sys.executable, "-c", EXPORT_THEN_PREDICT, *map(str, (checkpoint, images, logits))]
    subprocess.run(command, check=True, timeout=120)

    with torch.inference_mode():
        assert torch.equal(torch.load(logits), Classifier.load(checkpoint, device="cpu")(images_NHWC))
