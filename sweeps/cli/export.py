"""`sweeps export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from sweeps.cli.options import A_RUN_OR_SWEEP, runs_option
from sweeps.cli.param_types import SWEEP_OR_RUN

if TYPE_CHECKING:
    from cifar_core.export_formats import FormatName

FORMATS = ("state-dict", "torch-export", "onnx")
"""The names in `cifar_core.export_formats.FORMATS`, which imports torch."""


@click.command()
@click.argument("name", type=SWEEP_OR_RUN, metavar="RUN|SWEEP", help=A_RUN_OR_SWEEP)
@click.option("--format", "format_", type=click.Choice(FORMATS), required=True, help="Format of FILE; see above.")
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Path of FILE.  [default: RUN or SWEEP with .pt, .pt2 or .onnx, in this folder]",
)
@click.option("--force", is_flag=True, help="Overwrite FILE and FILE.json.")
@runs_option
def export(name: str, format_: FormatName, out: Path | None, force: bool, runs: Path) -> None:
    """Write a trained network to a file for use elsewhere.

    FILE.json, next to FILE, describes input and output: normalisation, class names, the run, its configuration, and the
    SHA-256 of FILE. FILE is loaded again and compared with the network before it is kept.

    torch-export and onnx are graphs: they take float32 N×3×H×H RGB pixels in [0, 1], normalise them, and return N×K
    logits. onnx needs `pip install 'cifar-sweeps[onnx]'`. state-dict holds the weights only. The caller normalises the
    images, as a Classifier does (after `from cifar_core import Classifier, TrainingConfig, build_model`):

    \b
      config = TrainingConfig(**json.load(open("quick.pt.json"))["config"])
      network = build_model(config.model)
      network.load_state_dict(torch.load("quick.pt", weights_only=True))
      Classifier(network, config).predict("cat.jpg").label

    \b
    Example:
      sweeps export quick --format onnx
    """
    from sweeps.core.formatting import accuracy
    from sweeps.system.output import stage, terminal_copy

    with terminal_copy() as console, stage(console, f"exporting {name} as {format_}"):
        from sweeps.use.networks import export_model

        exported = export_model(name, out, format=format_, runs=runs, overwrite=force)
    about = exported.about()
    run, normalization, precision = about["run"], about["normalization"], about["precision"]
    measured = "" if run["val_accuracy"] is None else f", validation accuracy {accuracy(run['val_accuracy'])}"
    click.echo(f"{exported.path}: {run['name']}{measured}, {exported.size_bytes / 1e6:,.2f} MB")
    click.echo(f"{exported.about_path}: input, normalisation, class names, configuration")
    if normalization["inside"]:
        click.echo(f"input: RGB pixels in [0, 1]. The graph contains the normalisation {normalization['name']}.")
    else:
        click.echo(f"weights only: normalise images with {normalization['name']} before calling the network")
    if precision["trained_in"] != precision["computes_in"] and normalization["inside"]:
        click.echo(f"computes in {precision['computes_in']}, trained in {precision['trained_in']}")
    if exported.tolerance == 0:
        click.echo("verified: the loaded file returns the network's logits bit for bit")
    else:
        click.echo(
            f"verified: the logits of the loaded file differ by at most {exported.largest_difference:.1e} from those "
            f"of the network ({exported.tolerance:.1e} allowed)"
        )
