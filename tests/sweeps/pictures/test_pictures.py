"""Pictures from arrays: content, size, time."""

from __future__ import annotations

import io
import math
import re
import time
from collections.abc import Callable
from html.parser import HTMLParser
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pytest
from PIL import Image

from cifar_core.data.images import CLASS_NAMES
from sweeps.pictures import charts, grids
from sweeps.pictures.page import picture_page

MAX_BYTES = 300_000
RNG = np.random.default_rng(0)
PATCHES = RNG.integers(0, 216, (100, 8, 8, 3)).repeat(4, 1).repeat(4, 2)
NOISE = list((PATCHES + RNG.integers(0, 40, (100, 32, 32, 3))).astype(np.uint8))
"""Noisy patches, which compress slightly worse than photographs."""
PROBABILITIES = RNG.dirichlet(np.ones(10), 24)


def pixels(png: bytes) -> npt.NDArray[np.uint8]:
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


def holds(picture: npt.NDArray[np.uint8], tile: npt.NDArray[np.uint8]) -> bool:
    """Return whether a picture contains a tile, pixel by pixel."""
    windows = np.lib.stride_tricks.sliding_window_view(picture[..., 0], tile.shape[:2])
    starts = np.argwhere((windows[:, :, 0, 0] == tile[0, 0, 0]) & (windows[:, :, -1, -1] == tile[-1, -1, 0]))
    return any(np.array_equal(picture[y : y + len(tile), x : x + len(tile)], tile) for y, x in starts)


def curve(count: int, *, validated: bool = True) -> dict[str, Any]:
    numbers = range(1, count + 1)
    return {
        "epochs": numbers,
        "train_loss": [2 / number for number in numbers],
        "train_accuracy": [1 - 1 / (number + 1) for number in numbers],
        "val_loss": [2.1 / number for number in numbers if validated],
        "val_accuracy": np.array([0.9 - 0.5 / number for number in numbers if validated]),
    }


def steps(count: int = 6) -> list[grids.Step]:
    padded = [np.pad(image, ((4, 4), (4, 4), (0, 0))) for image in NOISE[:count]]
    first = grids.Step(name="image", images=NOISE[:count], note="0 to 1")
    return [first, grids.Step(name="pad\n4 pixels", images=padded, unchanged=[False] * count)]


MAKERS: dict[str, Callable[[], bytes]] = {
    "image_grid": lambda: grids.image_grid(
        [NOISE[6 * row : 6 * row + 6] for row in range(10)], labels=CLASS_NAMES, title="ten classes"
    ),
    "mistakes_grid": lambda: grids.mistakes_grid(
        NOISE[:24],
        truths=[0] * 24,
        predictions=[1] * 24,
        probabilities=PROBABILITIES,
        class_names=CLASS_NAMES,
        title="mistakes",
        numbers=range(24),
    ),
    "augmentation_steps": lambda: grids.augmentation_steps(steps(), title="pad", labels=["a"] * 6),
    "feature_maps": lambda: grids.feature_maps(
        [(f"features.{row}", RNG.normal(size=(12, 16, 16))) for row in range(12)], image=NOISE[0], title="maps"
    ),
    "confusion_matrix": lambda: charts.confusion_matrix(RNG.integers(0, 900, (10, 10)), CLASS_NAMES, title="all"),
    "learning_curve": lambda: charts.learning_curve(**curve(30), title="a curve"),
    "layer_chart": lambda: charts.layer_chart(
        ["conv", "pool"], shapes=["8×32×32", "8×16×16"], parameters=[224, 0], multiply_adds=[221_184, None], title="net"
    ),
}


@pytest.mark.parametrize("name", MAKERS)
def test_a_picture_is_a_png_small_enough_for_every_run(name: str) -> None:
    png = MAKERS[name]()

    picture = pixels(png)
    assert png.startswith(b"\x89PNG")
    assert len(png) < MAX_BYTES
    assert (picture[0, 0] == 255).all()
    assert picture.std() > 1


@pytest.mark.parametrize("name", MAKERS)
def test_the_same_arrays_give_the_same_bytes_in_half_a_second(name: str) -> None:
    random = RNG.bit_generator.state
    first = MAKERS[name]()
    RNG.bit_generator.state = random
    begun = time.process_time()
    second = MAKERS[name]()

    assert second == first
    assert time.process_time() - begun < 1.5  # a third of it on an idle machine


def test_images_are_drawn_in_a_grid_pixel_by_pixel() -> None:
    picture = pixels(grids.image_grid([NOISE[:2], NOISE[2:3]], labels=["a", "b"], title="three", notes=["x", "y"]))

    assert all(holds(picture, image.repeat(2, 0).repeat(2, 1)) for image in NOISE[:3])
    assert not holds(picture, NOISE[3].repeat(2, 0).repeat(2, 1))


def test_a_step_that_changed_nothing_is_drawn_pale() -> None:
    step = grids.Step(name="flip", images=NOISE[:2], unchanged=[True, False])
    picture = pixels(grids.augmentation_steps([step], title="flip"))

    changed, same = (holds(picture, NOISE[index].repeat(2, 0).repeat(2, 1)) for index in (1, 0))
    assert (changed, same) == (True, False)


def test_a_larger_image_is_drawn_larger_to_the_same_scale() -> None:
    padded = steps()[1].images[0]

    assert holds(pixels(grids.augmentation_steps(steps(1), title="pad")), padded.repeat(2, 0).repeat(2, 1))


def test_a_layer_of_one_value_and_one_without_numbers_are_drawn_too() -> None:
    dead, broken = np.zeros((2, 4, 4)), np.full((2, 4, 4), np.nan)

    assert grids.feature_maps([("dead", dead), ("broken", broken)], image=NOISE[0], title="maps")


@pytest.mark.parametrize("count", [0, 1, 200])
@pytest.mark.parametrize("validated", [True, False])
def test_a_curve_of_any_length_is_drawn(count: int, validated: bool) -> None:
    assert charts.learning_curve(**curve(count, validated=validated), title="a curve")


def test_a_loss_of_none_or_infinity_is_a_gap_without_scale() -> None:
    values = curve(6)
    missing, broken, finite = (
        charts.learning_curve(**{**values, "train_loss": [2.0, 1.5, each, 1.0, 0.9, 0.8]}, title="a gap")
        for each in (None, math.inf, 1.2)
    )

    assert missing == broken != finite


def test_a_name_with_a_dollar_and_braces_is_drawn_unchanged() -> None:
    assert charts.learning_curve(**curve(2), title="$x_{", subtitle="$\\frac{$")


def test_rows_without_labels_are_refused() -> None:
    with pytest.raises(ValueError, match="2 rows need as many labels"):
        grids.image_grid([NOISE[:1], NOISE[:1]], labels=["one"], title="")
    with pytest.raises(ValueError, match="10 classes need 10 rows"):
        charts.confusion_matrix([[1, 2], [3, 4]], CLASS_NAMES, title="")


class _Page(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []

    def handle_starttag(self, tag: str, attrs: Any) -> None:
        self.tags.append((tag, dict(attrs)))


def test_a_page_holds_and_describes_its_picture_and_requests_nothing() -> None:
    png = MAKERS["learning_curve"]()
    hostile = "<script>alert('&\"')</script>"

    text = picture_page(
        png, title=hostile, alt=hostile, notes=[hostile], headings=["name", "count"], rows=[[hostile, "12"]]
    )

    page = _Page()
    page.feed(text)
    (image,) = [attributes for tag, attributes in page.tags if tag == "img"]
    assert image["alt"] == hostile
    assert str(image["src"]).startswith("data:image/png;base64,")
    assert "script" not in [tag for tag, _ in page.tags]
    assert not re.search(r"(https?:)?//(?!\w{0,3}=)", re.sub(r'src="[^"]*"', "", text))
    assert "prefers-color-scheme: dark" in text
    assert ("td", {"class": "number"}) in page.tags


def table_of(**columns: Any) -> pd.DataFrame:
    values = {"epoch": [3, 1, 2], "train_loss": [1.0, 2.0, 1.5], "train_accuracy": [0.6, 0.3, 0.5]}
    return pd.DataFrame(values | columns)


def test_a_runs_table_is_drawn_alike_whatever_the_order_of_rows() -> None:
    ordered = {"train_loss": [2.0, 1.5, 1.0], "train_accuracy": [0.3, 0.5, 0.6]}
    expected = charts.learning_curve([1, 2, 3], **ordered, title="Learning curve of quick-003")

    assert charts.learning_curve(table_of(trial="quick-003", val_accuracy=[None] * 3)) == expected
    nullable = table_of(trial="quick-003").convert_dtypes()
    assert charts.learning_curve(nullable) == expected
    one_panel = charts.learning_curve(pd.DataFrame({"epoch": [1, 2], "val_accuracy": [0.1, None]}))
    assert one_panel.startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (pd.DataFrame({"trial": ["quick-003"], "val_accuracy": [0.5]}), "a column epoch"),
        (pd.DataFrame({"epoch": [1], "accuracy": [0.5]}), "val_accuracy, but its columns are epoch, accuracy"),
        (table_of(epoch=[1, 2, 1]), "contains epoch 1 several times"),
        (table_of().iloc[:0], "has no rows"),
    ],
    ids=["no epochs", "no curve", "several runs", "no row"],
)
def test_a_table_without_a_curve_is_rejected(table: pd.DataFrame, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        charts.learning_curve(table)
