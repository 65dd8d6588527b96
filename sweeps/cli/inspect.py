"""`sweeps inspect`: looking at images, augmentations, networks and mistakes."""

from __future__ import annotations

import click

from sweeps.cli.inspect_data import augment, images
from sweeps.cli.inspect_mistakes import mistakes
from sweeps.cli.inspect_network import activations, layer, summary
from sweeps.cli.ordered_group import OrderedGroup


@click.group(cls=OrderedGroup, unknown="nothing to inspect is called")
def inspect() -> None:
    """Look at the images, at what an augmentation does, into a network, at its mistakes.

    Each writes a picture (a PNG, or a page with --out FILE.html) and says where it is; --open opens it. Nothing is
    trained, nothing is recorded.

    \b
    Example:
      sweeps inspect images
      sweeps inspect augment flip-erase-crop --draws 3
      sweeps inspect layer 'Conv2d(3, 6, 3)' 7
      sweeps inspect summary resnet --set model.width=16
      sweeps inspect activations quick cat.jpg
      sweeps inspect mistakes quick --validation
    """


inspect.add_section("What there is to look at", images, augment, layer, summary, activations, mistakes)
