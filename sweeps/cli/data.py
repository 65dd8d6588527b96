"""`sweeps data`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from cifar_core.config import IMAGE_SIZE, TEST_SHARE
from cifar_core.data.sources.registry import AUTO, choices
from cifar_core.datasets.about import CIFAR10
from sweeps.cli.options import FILE, FOLDER

if TYPE_CHECKING:
    from cifar_core.datasets.stored import Prepared, Report


@click.command()
@click.argument(
    "data_source",
    metavar="[SOURCE]",
    default=CIFAR10,
    help="Data set: cifar10, folder:PATH, csv:FILE or npz:FILE; see docs/how-to/own-data.md.  [default: cifar10]",
)
@click.option(
    "--image-size",
    type=click.IntRange(8, 1024),
    default=IMAGE_SIZE,
    show_default=True,
    help="Side of the prepared images in pixels, even; data.image_size of a file.",
)
@click.option(
    "--test-share",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    default=TEST_SHARE,
    show_default=True,
    help="Share of the images to set aside as test part of a data set without one; data.test_share of a file.",
)
@click.option("--picture", type=FILE, help="Write a grid of training images of each class to a PNG file.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, for a custom data set.")
@click.option(
    "--source",
    type=click.Choice(choices()),
    default=AUTO,
    show_default=True,
    help="Where to fetch CIFAR-10 from; auto tries them in order.",
)
@click.option(
    "--dir", "directory", type=FOLDER, help="Folder of CIFAR-10.  [default: $CIFAR10_DIR, else the user's cache folder]"
)
@click.option(
    "--torchvision",
    type=FOLDER,
    metavar="DIR",
    help="Also write CIFAR-10 under DIR in the format of torchvision (180 MB), and print the line for a notebook.",
)
@click.option("--force", is_flag=True, help="Fetch or prepare the data again even if they are there.")
def data(
    data_source: str,
    image_size: int,
    test_share: float,
    picture: Path | None,
    as_json: bool,
    source: str,
    directory: Path | None,
    torchvision: Path | None,
    force: bool,
) -> None:
    """Fetch CIFAR-10, or prepare a data set of your own.

    CIFAR-10 is verified by its checksums. A data set of your own is read once into arrays of one image size; the
    command prints its classes, parts, duplicates and unreadable images. `sweeps run` does the same for a file with
    base.data.source.

    \b
    Example:
      sweeps data
      sweeps data folder:photos --image-size 64 --picture photos.png
      sweeps data csv:labels.csv
      sweeps data --source npm --dir /data/cifar10
      sweeps data --torchvision data
    """
    if data_source != CIFAR10:
        for option, value in (("--source", source != AUTO), ("--dir", directory), ("--torchvision", torchvision)):
            if value:
                raise click.UsageError(f"{option} is for cifar10, not for {data_source}")
        _prepare(data_source, image_size, test_share, picture=picture, as_json=as_json, force=force)
        return
    from cifar_core.data.load import fetch_cifar10

    for option, is_given in (("--image-size", image_size != IMAGE_SIZE), ("--json", as_json)):
        if is_given:
            raise click.UsageError(f"{option} is for a data set of your own: name it, such as folder:photos")
    fetched = fetch_cifar10(directory, source=source, force=force)
    how = "already present" if fetched.already_there else f"fetched in {fetched.seconds:.0f} s"
    click.echo(f"CIFAR-10 in {fetched.directory} ({how}, source {fetched.source})")
    click.echo(f"50,000 training images, MD5 {fetched.fingerprints.train_images}")
    click.echo(f"10,000 test images, MD5 {fetched.fingerprints.test_images}")
    if picture is not None:
        _write_picture(picture, {})
    if torchvision is not None:
        _write_for_torchvision(torchvision, fetched.directory)


def _prepare(
    source: str, image_size: int, test_share: float, *, picture: Path | None, as_json: bool, force: bool
) -> None:
    from cifar_core.common.progress import Reporter
    from cifar_core.datasets.known import prepare_source

    if image_size % 2:
        raise click.UsageError(f"--image-size {image_size}: use an even number")
    prepared = prepare_source(source, image_size=image_size, test_share=test_share, reporter=Reporter(), force=force)
    if as_json:
        import json
        from dataclasses import asdict

        about = prepared.about.model_dump(mode="json")
        click.echo(json.dumps({"folder": str(prepared.folder)} | about | {"report": asdict(prepared.report)}, indent=2))
    else:
        _print_report(prepared)
    if picture is not None:
        _write_picture(picture, {"source": source, "image_size": image_size, "test_share": test_share})


def _print_report(prepared: Prepared) -> None:
    from rich.table import Table

    from cifar_core.datasets.partition import PARTS
    from sweeps.cli.terminal import console
    from sweeps.core.formatting import print_sentence

    about, report, output = prepared.about, prepared.report, console()
    used = [number for number, counts in enumerate(report.counts) if any(counts)]
    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("class", overflow="fold")
    for number in used:
        table.add_column(PARTS[number], justify="right")
    for name, *counts in zip(about.class_names, *report.counts, strict=True):
        table.add_row(name, *(f"{counts[number]:,}" for number in used))
    if len(about.class_names) > 1:
        table.add_row("all", *(f"{sum(report.counts[number]):,}" for number in used), style="bold")
    how = "already prepared" if prepared.already_there else "prepared"
    print_sentence(output, f"{report.source}: {how} in {prepared.folder}")
    output.print(table)
    for line in _findings(report):
        print_sentence(output, line)
    mean, std = (" ".join(f"{value:.4f}" for value in values) for values in (about.mean, about.std))
    print_sentence(output, f"normalization dataset: mean {mean}, deviation {std}")
    print_sentence(output, f"fingerprint {about.fingerprint}")


_SHOWN = 10


def _findings(report: Report) -> list[str]:
    """Return the sizes, the split and the faults of a data set, a sentence each."""
    from sweeps.core.formatting import plural

    small, usual, large = zip(report.widths, report.heights, strict=True)
    size = f"{report.image_size}×{report.image_size}"
    lines = [f"sizes {_size(small)} to {_size(large)}, median {_size(usual)}; scaled and cropped to {size}"]
    if report.test_share is not None:
        lines.append(
            f"test part: {100 * report.test_share:.0f} % of the images, by a hash of the content; "
            "near-duplicates stay together"
        )
    if report.unreadable:
        lines.append(f"left out, since {plural(len(report.unreadable), 'image')} cannot be read:")
        lines += [f"  {place}: {reason}" for place, reason in report.unreadable[:_SHOWN]]
        if len(report.unreadable) > _SHOWN:
            lines.append(f"  and {len(report.unreadable) - _SHOWN} more")
    copies = "1 exact copy" if report.copies == 1 else f"{report.copies:,} exact copies"
    lines.append(f"duplicates: {copies}, {plural(report.near_copies, 'near-duplicate')}")
    for pairs, what in (
        (report.shared, "a test image and an image outside the test part"),
        (report.contradictory, "images of two classes"),
    ):
        if pairs:
            lines.append(f"warning: {plural(len(pairs), 'pair')} of duplicates, {what}:")
            lines += [f"  {one} and {other}" for one, other in pairs[:_SHOWN]]
    return [*lines, *report.notes]


def _size(size: tuple[int, int]) -> str:
    return f"{size[0]}×{size[1]}"


def _write_picture(path: Path, fields: dict[str, object]) -> None:
    import numpy as np

    from cifar_core.common.files import atomic_write
    from cifar_core.config import DataConfig
    from cifar_core.data.images import names_of
    from cifar_core.data.of_config import load_part
    from sweeps.core.errors import SweepError
    from sweeps.pictures.grids import image_grid

    config = DataConfig.model_validate(fields)
    images, names = load_part(config, "train"), names_of(config)
    rows = [images.images_NHWC[np.flatnonzero(images.labels_N == k)[:_SHOWN]] for k in range(len(names))]
    counts = np.bincount(images.labels_N, minlength=len(names)).tolist()
    png = image_grid(
        [list(row) for row in rows],
        labels=names,
        title=f"Training images of {config.source}",
        subtitle=f"the first {_SHOWN} of each class, {config.image_size}×{config.image_size} pixels",
        notes=[f"{count:,} images" for count in counts],
    )
    try:
        with atomic_write(path) as file:
            file.write(png)
    except OSError as error:
        raise SweepError(f"{path} cannot be written: {error.strerror or error}") from None
    click.echo(f"written: {path}")


def _write_for_torchvision(root: Path, directory: Path) -> None:
    from cifar_core.data.load import load_test_images, load_training_images
    from cifar_core.data.torchvision_layout import write_torchvision_files

    train, _ = load_training_images(directory)
    folder = write_torchvision_files(root, train=train, test=load_test_images(directory))
    click.echo(f"written to {folder}: the official images and labels, with other MD5 sums than torchvision expects")
    click.echo("Run this in a notebook first, so that torchvision accepts the files and downloads nothing:")
    click.echo(f"  from cifar_core.data import accept_torchvision_files; accept_torchvision_files({str(root)!r})")
