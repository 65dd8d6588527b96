"""`sweeps inspect`: pictures of images, augmentations, networks and mistakes."""

from __future__ import annotations

import click

from sweeps.cli.inspect_data import augment, images
from sweeps.cli.inspect_mistakes import mistakes
from sweeps.cli.inspect_models import models
from sweeps.cli.inspect_network import activations, layer, summary
from sweeps.cli.ordered_group import OrderedGroup


@click.group(cls=OrderedGroup, unknown="no such subcommand")
def inspect() -> None:
    """Draw images, augmentations, the layers of a network, and its mistakes.

    Each subcommand writes a PNG, or an HTML page with --out FILE.html, and prints its path. --open opens it. Nothing is
    trained and nothing is recorded.

    \b
    Example:
      sweeps inspect images
      sweeps inspect augment flip-erase-crop --draws 3
      sweeps inspect layer 'Conv2d(3, 6, 3)' 7
      sweeps inspect models 'torchvision:*'
      sweeps inspect summary resnet --set model.width=16
      sweeps inspect activations quick cat.jpg
      sweeps inspect mistakes quick --validation
    """


inspect.add_section("Subcommands", images, augment, layer, models, summary, activations, mistakes)
