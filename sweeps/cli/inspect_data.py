"""`sweeps inspect images` and `sweeps inspect augment`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from sweeps.cli.picture_output import Picture, deliver, picture_options
from sweeps.core.errors import SweepError
from sweeps.core.formatting import escaped

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from cifar_core import TrainingConfig
    from cifar_core.config import DataConfig
    from sweeps.pictures.grids import Step
    from sweeps.use.inspected import Inspected

MAX_ROWS = 60
"""Largest number of rows in a picture of augmentations."""


@click.command()
@click.argument(
    "source", default="cifar10", help="Data set, as in `sweeps data`, such as folder:photos.  [default: cifar10]"
)
@click.option(
    "--image-size",
    type=click.IntRange(8, 1024),
    default=32,
    show_default=True,
    help="Side of the images of a data set of your own in pixels, even.",
)
@click.option("--count", type=click.IntRange(1, 30), default=8, show_default=True, help="Images per class.")
@click.option("--seed", type=click.IntRange(min=0), default=0, show_default=True, help="Seed of the selection.")
@click.option(
    "--split",
    type=click.Choice(["train", "test"]),
    default="train",
    show_default=True,
    help="test: for viewing only. No search or trial receives these images.",
)
@picture_options
def images(
    source: str,
    image_size: int,
    count: int,
    seed: int,
    split: Literal["train", "test"],
    out: Path | None,
    opens: bool,
    runs: Path,
) -> None:
    """Draw examples of each class from the training or the test images, with the size of the class.

    \b
    Example:
      sweeps inspect images --seed 1
      sweeps inspect images --split test
      sweeps inspect images folder:photos --image-size 64
    """
    import numpy as np

    from cifar_core.data.images import names_of
    from cifar_core.data.of_config import load_part
    from sweeps.pictures.grids import image_grid
    from sweeps.use.data_source import prepared_data

    data = prepared_data(source, image_size=image_size)
    names = names_of(data)
    # Viewing images measures nothing, so it is not logged as a test-set access.
    of = load_part(data, split)
    what = "test images" if split == "test" else "training images"
    rng, sizes = np.random.default_rng(seed), np.bincount(of.labels_N, minlength=len(names)).tolist()
    chosen = [
        rng.choice(np.flatnonzero(of.labels_N == k), min(count, size), replace=False) for k, size in enumerate(sizes)
    ]
    title = "CIFAR-10: the ten classes" if data.about is None else f"{source}: {len(names)} classes"
    subtitle = f"{count} of each among the {len(of):,} {what}, drawn with seed {seed}"
    png = image_grid(
        [list(of.images_NHWC[indices]) for indices in chosen],
        labels=names,
        title=title,
        subtitle=subtitle,
        notes=[f"{each:,} images" for each in sizes],
    )
    rows = [
        (name, str(each), " ".join(map(str, indices))) for name, each, indices in zip(names, sizes, chosen, strict=True)
    ]
    of_source = "" if data.about is None else f"-{source}"
    picture = Picture(
        png=png,
        name=f"images{of_source}" + ("" if split == "train" else "-test") + (f"-seed-{seed}" if seed else ""),
        title=title,
        alt=f"A grid of small photographs, a row for each of {', '.join(names)}: {subtitle}.",
        notes=(f"{subtitle}.",),
        headings=("class", what, "shown image numbers"),
        rows=rows,
    )
    deliver(picture, out=out, opens=opens, runs=runs)


@click.command()
@click.argument(
    "name",
    metavar="RECIPE|RUN|FILE",
    help="A recipe or transforms (above), a recorded run (see `sweeps show`), or a sweep or ladder file: FILE:RUNG for "
    "a rung.",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="Seed of the random numbers."
)
@click.option(
    "--draws",
    type=click.IntRange(1, 20),
    default=1,
    show_default=True,
    help="Rows per image, each with new random numbers.",
)
@click.option(
    "--count", type=click.IntRange(1, 20), default=6, show_default=True, help="Number of images, of different classes."
)
@click.option("--image", "chosen", multiple=True, help="Image file, or number of a training image; repeatable.")
@click.option(
    "--normalization",
    type=click.Choice(["none", "cifar10", "imagenet", "dataset"]),
    help="Normalisation.  [default: that of the run or the file, cifar10 for a recipe]",
)
@click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Override a field of the configuration, such as data.augmentation=flip; repeatable.",
)
@picture_options
def augment(
    name: str,
    seed: int,
    draws: int,
    count: int,
    chosen: tuple[str, ...],
    normalization: str | None,
    overrides: tuple[str, ...],
    out: Path | None,
    opens: bool,
    runs: Path,
) -> None:
    """Draw what each operation of an augmentation does to the same images, step by step.

    A recipe is none, flip, flip-crop, flip-erase-crop, pad-flip-gray-crop, or a list: '[normalize, flip, {crop:
    {padding: 2}}]'. Transforms of torchvision are written as in 'Resize(16), ColorJitter(hue=0.2), rotation'. An image
    that an operation did not change is drawn pale. After normalize, mean and deviation are reverted for display: 0 is
    the mean colour.

    \b
    Example:
      sweeps inspect augment flip-erase-crop --draws 3 --seed 1
      sweeps inspect augment 'ColorJitter(brightness=0.5), RandomRotation(30)'
    """
    from sweeps.pictures.grids import augmentation_steps
    from sweeps.record.reader import MlflowReader
    from sweeps.use.inspected import resolve_augmentation

    transforms = _names_transforms(name)
    if transforms and (normalization or overrides):
        raise click.UsageError(
            "--normalization and --set are for recipes, runs and files. Write Normalize(...) in the list instead."
        )
    found = None
    if not transforms:
        found = resolve_augmentation(MlflowReader(runs), name, normalization=normalization, overrides=overrides)
    pixels_NHWC, labels = _images(chosen, found, count=count, seed=seed, out=out)
    if len(labels) * draws > MAX_ROWS:
        raise SweepError(f"{len(labels)} images × {draws} draws exceed {MAX_ROWS} rows. Lower --count or --draws.")
    if found is None:
        steps = _transform_steps(name, pixels_NHWC, seed=seed, draws=draws)
        called, subtitle = " ".join(name.split()), f"torchvision transforms, seed {seed}; pale: unchanged"
    else:
        steps = _steps(found.config, pixels_NHWC, seed=seed, draws=draws)
        called = found.name
        subtitle = f"normalization {found.config.data.normalization}, seed {seed}; pale: unchanged"
    title = f"Effect of {called} on images"
    png = augmentation_steps(
        steps,
        title=title,
        subtitle=subtitle,
        labels=[label if draw == 0 else "" for label in labels for draw in range(draws)],
        group=draws,
    )
    operations = ", then ".join(step.name for step in steps[1:])
    picture = Picture(
        png=png,
        name=f"augment-{called}" + (f"-seed-{seed}" if seed else ""),
        title=title,
        alt=f"A row for each image and a column for each step: the image, then {operations}. {subtitle}.",
        notes=(
            f"{operations[:1].upper()}{operations[1:]}.",
            "Values after normalize are shown without normalization: 0 is the mean colour.",
        ),
        headings=("step", "arguments and values"),
        rows=[(step.name, step.note.replace("\n", ", ")) for step in steps],
    )
    deliver(picture, out=out, opens=opens, runs=runs)


def _images(
    chosen: Sequence[str], found: Inspected | None, *, count: int, seed: int, out: Path | None
) -> tuple[np.ndarray, list[str]]:
    """Return images N×H×H×3 and their labels: the named images, or a sample of the training images."""
    import numpy as np

    from cifar_core.config import DataConfig
    from cifar_core.data.images import names_of
    from cifar_core.data.of_config import load_part

    data = DataConfig() if found is None else found.config.data
    if chosen:
        named = [image_named(each, data=data, out=out) for each in chosen]
        return np.stack([pixels for pixels, _ in named]), [label for _, label in named]
    training, names = load_part(data, "train"), names_of(data)
    rng = np.random.default_rng(seed)
    classes = [*rng.permutation(len(names)), *rng.permutation(len(names))][:count]
    indices = [int(rng.choice(np.flatnonzero(training.labels_N == k))) for k in classes]
    return training.images_NHWC[indices], [names[k] for k in classes]


def image_named(name: str, *, data: DataConfig | None = None, out: Path | None = None) -> tuple[np.ndarray, str]:
    """Return an image H×H×3 and its label: a training image by its number, or an image file.

    Args:
        name: the number, or the file.
        data: the data set that the number is of, and the size of the image; None for CIFAR-10.
        out: output file, which must not be the image.

    Raises:
        ImageError: the file cannot be read as an image.
        SweepError: there is no training image of this number, or `out` is the image file.
    """
    from cifar_core.config import DataConfig
    from cifar_core.data.images import names_of
    from cifar_core.data.of_config import load_part
    from cifar_core.errors import ImageError
    from cifar_core.image_file import read_image

    data = data or DataConfig()
    if not (name.isascii() and name.isdecimal()):
        if out is not None and out.resolve() == Path(name).resolve():
            raise SweepError(f"--out would overwrite the image {escaped(name)}. Choose another file.")
        try:
            return read_image(name, size=data.image_size), escaped(Path(name).name)
        except ImageError as error:
            raise ImageError(f"{escaped(name)}: {error}") from error
    training = load_part(data, "train")
    number = int(name[:12])
    if number >= len(training):
        raise SweepError(f"there is no training image {name}. Give a number from 0 to {len(training) - 1:,}.")
    return training.images_NHWC[number], f"{names_of(data)[int(training.labels_N[number])]} {number}"


def _steps(config: TrainingConfig, pixels_NHWC: np.ndarray, *, seed: int, draws: int) -> list[Step]:
    """Return the columns. The draws of one image are adjacent rows. The first draw only depends on the seed."""
    import numpy as np
    import torch

    from cifar_core.augment import augment_in_steps
    from sweeps.pictures.grids import Step

    operations = config.data.operations
    generator = torch.Generator().manual_seed(seed)
    drawn: list[list[Tensor]] = [
        list(
            augment_in_steps(
                torch.from_numpy(np.array(pixels_NHWC)),
                operations=operations,
                normalization=config.data.constants,
                generator=generator,
            )
        )
        for _ in range(draws)
    ]
    mean, std = (torch.tensor(each)[:, None, None] for each in config.data.constants)
    steps: list[Step] = []
    before, normalized = torch.empty(0), False
    for number, ((title, arguments), *values) in enumerate(zip(_titles(operations), *drawn, strict=True)):
        normalized = normalized or (number > 0 and operations[number - 1].op == "normalize")
        stacked = torch.stack(values, dim=1).flatten(0, 1)  # N×draws, the draws of an image adjacent
        unit = (stacked * std + mean if normalized else stacked).clamp(0, 1)
        images = (unit * 255).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
        same = [torch.equal(now, then) for now, then in zip(stacked, before, strict=True)] if number else []
        note = "\n".join([*arguments, f"{stacked.min():.2f} to {stacked.max():.2f}"])
        steps.append(Step(name=title, images=list(images), note=note, unchanged=same))
        before = stacked
    return steps


def _names_transforms(name: str) -> bool:
    from cifar_core.recipes import RECIPES

    if name in RECIPES or name.startswith("[") or "/" in name or name.endswith((".yaml", ".yml")):
        return False
    from cifar_core.torchvision_steps import is_transforms

    return is_transforms(name)


def _transform_steps(text: str, pixels_NHWC: np.ndarray, *, seed: int, draws: int) -> list[Step]:
    import numpy as np

    from cifar_core.torchvision_steps import transform_in_steps
    from sweeps.pictures.grids import Step

    steps: list[Step] = []
    before: Sequence[np.ndarray] = ()
    for step in transform_in_steps(pixels_NHWC, text=text, seed=seed, draws=draws):
        same = [np.array_equal(now, then) for now, then in zip(step.images, before, strict=False)]
        note = "\n".join([*step.arguments.split(", "), f"{step.least:.2f} to {step.greatest:.2f}"]).strip()
        steps.append(Step(name=step.name, images=step.images, note=note, unchanged=same))
        before = step.images
    return steps


def _titles(operations: Sequence[Any]) -> list[tuple[str, list[str]]]:
    """Return the name and the arguments of each step, beginning with the image."""
    from cifar_core.recipes import operation_record

    return [
        ("image", []),
        *(
            (each.op, [f"{field} {_text(value)}" for field, value in operation_record(each).items() if field != "op"])
            for each in operations
        ),
    ]


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " to ".join(map(_text, value))
    return f"{value:g}" if isinstance(value, int | float) and not isinstance(value, bool) else str(value).lower()
