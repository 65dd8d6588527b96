"""`sweeps inspect summary`, `activations` and `layer`: the layers of a network and their outputs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweeps.cli.inspect_data import image_named
from sweeps.cli.picture_output import Picture, deliver, is_drawn, picture_options
from sweeps.core.errors import SweepError
from sweeps.core.formatting import truncated

if TYPE_CHECKING:
    import numpy as np
    from rich.table import Table

    from cifar_core import Layer
    from sweeps.use.inspected import Inspected

HEADINGS = ("layer", "kind", "output", "parameters", "multiply-adds", "memory")
LAYER_TILE = 96
"""Side of a map in pixels in the picture of one layer."""
set_option = click.option(
    "--set",
    "overrides",
    multiple=True,
    metavar="PATH=VALUE",
    help="Override a field of the network, such as model.width=16; repeatable.",
)


@click.command()
@click.argument(
    "name",
    metavar="MODEL|RUN|FILE",
    help="simple, deep, resnet, lean, resnet18, wide_resnet, vgg, torchvision_vgg16, timm:NAME, torchvision:NAME, "
    "or your own network as 'nets:Tiny'; a recorded run (see `sweeps show`); a sweep or ladder file: FILE:RUNG for a "
    "rung.",
)
@set_option
@click.option(
    "--batch", type=click.IntRange(1, 100_000), default=1, show_default=True, help="Batch size of the memory column."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@picture_options
def summary(
    name: str, overrides: tuple[str, ...], batch: int, as_json: bool, out: Path | None, opens: bool, runs: Path
) -> None:
    """List the layers of a network: output shape, parameters, multiply-adds, memory.

    A chart is written with --out or --open. Shapes are measured with a batch of ones in the real network with untrained
    weights. Multiply-adds count convolutions and Linear layers for one image, without biases. Memory is the size of a
    layer's output in evaluation, and none for an in-place layer. Training needs more.

    \b
    Example:
      sweeps inspect summary resnet --set model.width=16
    """
    from cifar_core import layer_table
    from cifar_core.models.build import network_of
    from sweeps.record.reader import MlflowReader
    from sweeps.use.inspected import resolve_network

    found = resolve_network(MlflowReader(runs), name, runs=runs, overrides=overrides)
    size = found.config.data.image_size
    layers = layer_table(network_of(found.config.without_initial_weights()), image_shape=(3, size, size))
    totals = _totals(layers, batch=batch)
    if as_json:
        rows = [asdict(layer) for layer in layers]
        click.echo(json.dumps({"name": found.name, "batch": batch, "layers": rows, "totals": totals}, indent=2))
    else:
        _print_table(found, layers, totals=totals, batch=batch)
    if is_drawn(out, opens=opens):
        deliver(_chart(found, layers, totals=totals, batch=batch), out=out, opens=opens, runs=runs)


def _totals(layers: Sequence[Layer], *, batch: int) -> dict[str, int]:
    return {
        "parameters": sum(layer.parameters for layer in layers),
        "multiply_adds": sum(layer.multiply_adds or 0 for layer in layers),
        "parameter_bytes": sum(layer.parameter_bytes for layer in layers),
        "activation_bytes": batch * sum(layer.activation_bytes for layer in layers),
    }


def _row(layer: Layer, *, batch: int) -> tuple[str, ...]:
    from sweeps.core.formatting import bytes_in_words

    return (
        layer.name or "(network)",
        layer.kind,
        _shape(layer),
        f"{layer.parameters:,}" if layer.parameters else "",
        f"{layer.multiply_adds:,}" if layer.multiply_adds else "",
        bytes_in_words(batch * layer.activation_bytes) if layer.activation_bytes else "",
    )


def _shape(layer: Layer) -> str:
    return "not called" if layer.output_shape is None else _sizes(layer.output_shape) or "a number"


def _sizes(shape: Sequence[int]) -> str:
    return "×".join(map(str, shape))


def _sentences(found: Inspected, layers: Sequence[Layer], *, totals: dict[str, int], batch: int) -> list[str]:
    from sweeps.core.formatting import bytes_in_words

    images = "an image" if batch == 1 else f"{batch:,} images"
    sentences = [
        f"{found.name}: {totals['parameters']:,} parameters, {totals['multiply_adds']:,} multiply-adds per image, "
        f"{bytes_in_words(totals['parameter_bytes'])} of weights, {bytes_in_words(totals['activation_bytes'])} of "
        f"outputs for {images}"
    ]
    uncounted = sorted({layer.kind for layer in layers if layer.is_uncounted})
    if uncounted:
        sentences.append(f"the multiply-adds of {', '.join(uncounted)} are not counted")
    never = [layer.name for layer in layers if layer.output_shape is None and layer.parameters]
    if never:
        sentences.append(f"modules with parameters that are never called: {', '.join(never)}")
    return sentences


def _print_table(found: Inspected, layers: Sequence[Layer], *, totals: dict[str, int], batch: int) -> None:
    from rich.measure import Measurement

    from sweeps.cli.terminal import console
    from sweeps.core.formatting import print_sentence

    output = console()
    table = _table(layers, totals=totals, batch=batch)
    if Measurement.get(output, output.options, table).maximum >= output.width:
        table = _table(layers, totals=totals, batch=batch, is_narrow=True)
    output.print(table)
    for sentence in _sentences(found, layers, totals=totals, batch=batch):
        print_sentence(output, sentence)


def _table(layers: Sequence[Layer], *, totals: dict[str, int], batch: int, is_narrow: bool = False) -> Table:
    from rich.table import Table

    from sweeps.core.formatting import bytes_in_words

    table = Table(
        box=None,
        header_style="bold",
        pad_edge=False,
        show_footer=True,
        footer_style="bold",
        collapse_padding=is_narrow,
    )
    footer = ("total", "", "", f"{totals['parameters']:,}", f"{totals['multiply_adds']:,}")
    for heading, total in zip(HEADINGS, (*footer, bytes_in_words(totals["activation_bytes"])), strict=True):
        if heading in ("layer", "kind"):
            table.add_column(heading, total, overflow="fold")
        else:
            text = heading.replace("-", "-\n") if is_narrow else heading
            table.add_column(text, total, justify="left" if heading == "output" else "right", no_wrap=True)
    for layer in layers:
        table.add_row(*_row(layer, batch=batch))
    return table


def _chart(found: Inspected, layers: Sequence[Layer], *, totals: dict[str, int], batch: int) -> Picture:
    from sweeps.pictures.charts import layer_chart

    sentence = _sentences(found, layers, totals=totals, batch=batch)[0]
    png = layer_chart(
        [f"{layer.name or '(network)'} {layer.kind}" for layer in layers],
        shapes=[_shape(layer) for layer in layers],
        parameters=[layer.parameters for layer in layers],
        multiply_adds=[layer.multiply_adds for layer in layers],
        title=f"The layers of {found.name}",
        subtitle=sentence.partition(": ")[2].replace(" an image, ", " an image\n"),
    )
    largest = max(layers, key=lambda layer: layer.parameters)
    return Picture(
        png=png,
        name=f"summary-{found.name}",
        title=f"The layers of {found.name}",
        alt=f"A line for each of {len(layers)} layers with bars for its parameters and its multiply-adds; the most "
        f"parameters, {largest.parameters:,}, are in {largest.name or 'the network'}.",
        notes=tuple(_sentences(found, layers, totals=totals, batch=batch)),
        headings=HEADINGS,
        rows=[_row(layer, batch=batch) for layer in layers],
    )


@click.command()
@click.argument(
    "names",
    nargs=-1,
    required=True,
    metavar="[RUN|SWEEP] IMAGE",
    help="A recorded run (see `sweeps show`), or a sweep: its best configuration. Then an image file of any size, or "
    "the number of a training image, 0 to 49999.",
)
@click.option("--model", help="Instead of a run: a network with untrained weights, named as in `inspect summary`.")
@set_option
@click.option(
    "--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Seed of untrained weights."
)
@click.option(
    "--channels",
    type=click.IntRange(1, 32),
    default=10,
    show_default=True,
    help="Maximum number of channels per layer.",
)
@click.option("--layer", "layers", multiple=True, help="Only layers whose name starts with this text; repeatable.")
@picture_options
def activations(
    names: tuple[str, ...],
    model: str | None,
    overrides: tuple[str, ...],
    seed: int,
    channels: int,
    layers: tuple[str, ...],
    out: Path | None,
    opens: bool,
    runs: Path,
) -> None:
    """Draw the feature maps of a network for an image, after each convolution, pooling and activation.

    A number such as 7 means training image 7. For a file named 7, write ./7.

    \b
    Example:
      sweeps inspect activations quick cat.jpg
      sweeps inspect activations --model resnet --set model.width=16 7
    """
    *before, image = names
    if len(before) != (1 if model is None else 0):
        raise click.UsageError("give a RUN or a SWEEP and an IMAGE" if model is None else "give --model and an IMAGE")
    if overrides and model is None:
        raise click.UsageError("--set changes a network of --model. A trained network cannot be changed.")
    from cifar_core import feature_maps

    network, named, is_trained = _untrained(model, overrides, seed, runs) if model else _trained(before[0], runs)
    pixels_HWC, label = image_named(image, data=network.config.data, out=out)
    maps = feature_maps(network, pixels_HWC)
    if not maps:
        raise SweepError(
            f"{named} has no feature maps: none of its modules is a convolution, a pooling or an activation with an "
            "output channels × height × width."
        )
    kept = [each for each in maps if not layers or each.name.startswith(layers)]
    if not kept:
        known = ", ".join(each.name for each in maps)
        raise SweepError(f"--layer matches no layer of {named} with feature maps. Choose from {known}.")
    caption = _top_classes(network.predict(pixels_HWC)) if is_trained else f"untrained weights of seed {seed}"
    picture = _picture(
        [((each.name, each.kind), each.values_CHW) for each in kept],
        ("layer", "kind"),
        image=pixels_HWC,
        title=f"Feature maps of {named} for {label}",
        caption=caption,
        name=f"activations-{named}-{Path(label).stem}",
        channels=channels,
    )
    click.echo(caption)
    deliver(picture, out=out, opens=opens, runs=runs)


@click.command()
@click.argument(
    "expression",
    metavar="LAYER",
    help="Any class of torch.nn with its arguments, as in Python, or one of your own file as 'nets:Block(3)'. Its "
    "weights are untrained.",
)
@click.argument(
    "image", help="An image file of any size, a web address, or the number of a training image, 0 to 49999."
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Seed of the weights.")
@click.option(
    "--channels", type=click.IntRange(1, 32), default=8, show_default=True, help="Maximum number of channels."
)
@click.option(
    "--normalization",
    type=click.Choice(["none", "cifar10", "imagenet"]),
    default="none",
    show_default=True,
    help="Normalisation before the layer; none passes values from 0 to 1.",
)
@click.option("--training", is_flag=True, help="Training mode: Dropout drops, BatchNorm2d uses the image's statistics.")
@picture_options
def layer(
    expression: str,
    image: str,
    seed: int,
    channels: int,
    normalization: str,
    training: bool,
    out: Path | None,
    opens: bool,
    runs: Path,
) -> None:
    """Draw the output of one layer for an image: a convolution, pooling, activation, or several of them.

    \b
    Example:
      sweeps inspect layer 'Conv2d(3, 6, 3)' 7
      sweeps inspect layer 'Sequential(Conv2d(3, 6, 5), ReLU(), MaxPool2d(2))' cat.jpg
      sweeps inspect layer 'ConvTranspose2d(3, 6, 4, stride=2)' 7
    """
    import torch

    from cifar_core import layer_of, layer_output
    from cifar_core.device import seeded

    pixels_HWC, label = image_named(image, out=out)
    with seeded(seed, torch.device("cpu")):
        module = layer_of(expression)
        given_CHW = layer_output(torch.nn.Identity(), pixels_HWC, normalization=normalization)
        made_CHW = layer_output(module, pixels_HWC, normalization=normalization, training=training)
    written = " ".join(expression.split())
    parameters = sum(parameter.numel() for parameter in module.parameters())
    caption = f"{_sizes(given_CHW.shape)} to {_sizes(made_CHW.shape)}"
    caption += f", {parameters:,} untrained weights of seed {seed}" if parameters else ""
    picture = _picture(
        [(("red, green, blue",), given_CHW), ((truncated(written, 40),), made_CHW)],
        ("values",),
        image=pixels_HWC,
        title=f"Effect of {written} on {label}",
        caption=caption,
        name=f"layer-{written}-{Path(label).stem}" + (f"-seed-{seed}" if seed else ""),
        channels=channels,
        tile=LAYER_TILE,
    )
    click.echo(f"{written}: {caption}, {made_CHW.min():.3g} to {made_CHW.max():.3g}")
    deliver(picture, out=out, opens=opens, runs=runs)


def _trained(name: str, runs: Path) -> tuple[Any, str, bool]:
    from cifar_core import Classifier
    from sweeps.record.reader import MlflowReader
    from sweeps.use.weights import find_weights

    weights = find_weights(MlflowReader(runs), name, runs=runs)
    return Classifier.load(weights.path), weights.run, True


def _untrained(model: str, overrides: Sequence[str], seed: int, runs: Path) -> tuple[Any, str, bool]:
    import torch

    from cifar_core import Classifier
    from cifar_core.device import seeded
    from cifar_core.models.build import network_of
    from sweeps.record.reader import MlflowReader
    from sweeps.use.inspected import resolve_network

    found = resolve_network(MlflowReader(runs), model, runs=runs, overrides=overrides)
    with seeded(seed, torch.device("cpu")):
        network = network_of(found.config.without_initial_weights())
    return Classifier(network, found.config), f"an untrained {found.name}", False


def _picture(
    layers: Sequence[tuple[tuple[str, ...], np.ndarray]],
    headings: tuple[str, ...],
    *,
    image: np.ndarray,
    title: str,
    caption: str,
    name: str,
    **settings: int,
) -> Picture:
    """Return a picture of the maps of layers. `headings` name the columns of a layer's names; `settings` go to
    `feature_maps`."""
    from sweeps.pictures.grids import feature_maps

    named = [(" ".join(filter(None, names)), values_CHW) for names, values_CHW in layers]
    return Picture(
        png=feature_maps(named, image=image, title=title, subtitle=caption, **settings),
        name=name,
        title=title,
        alt=f"The image, and under it {len(named)} rows of its maps, {named[0][0]} to {named[-1][0]}: {caption}.",
        notes=(f"{caption}.",),
        headings=(*headings, "channels × height × width", "minimum", "maximum"),
        rows=[
            (*names, _sizes(values_CHW.shape), f"{values_CHW.min():.3g}", f"{values_CHW.max():.3g}")
            for names, values_CHW in layers
        ],
    )


def _top_classes(prediction: Any) -> str:
    likeliest = list(prediction.probabilities.items())[:3]
    return "predicted " + ", ".join(f"{label} {100 * share:.1f} %" for label, share in likeliest)
