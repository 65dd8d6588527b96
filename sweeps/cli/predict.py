"""`sweeps predict`."""

from __future__ import annotations

import csv
import glob
import io
import json
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from sweeps.cli.options import A_RUN_OR_SWEEP, FILE, runs_option
from sweeps.cli.param_types import SWEEP_OR_RUN
from sweeps.core.exit_codes import ExitCode
from sweeps.core.formatting import escaped

if TYPE_CHECKING:
    from cifar_core import Prediction
    from sweeps.record.reader import RecordReader

STANDARD_INPUT = "-"
_TOP = 3
CHUNK = 500
"""Number of images that are read and predicted together."""


@click.command()
@click.argument("name", type=SWEEP_OR_RUN, metavar="RUN|SWEEP", help=A_RUN_OR_SWEEP)
@click.argument(
    "images",
    nargs=-1,
    required=True,
    metavar="INPUT...",
    help="An image file of any size, a web address (http, https), a folder with its subfolders, a pattern such as "
    "'photos/*.jpg', or - for standard input. For a training function: any text.",
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    help="Number of classes to show per image.  [default: 3]",
)
@click.option(
    "--labels",
    "labels_file",
    type=FILE,
    help="CSV file with the columns path and label: compare the predictions with it.  [default: folders that are named "
    "like a class]",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
@click.option("--csv", "csv_file", type=FILE, help="Write a CSV file instead of a table.")
@runs_option
def predict(
    name: str,
    images: tuple[str, ...],
    top: int | None,
    labels_file: Path | None,
    as_json: bool,
    csv_file: Path | None,
    runs: Path,
) -> None:
    """Classify images with a trained network, or call the `predict` of a training function.

    Images in folders that are named like a class are compared with it: accuracy and confusion follow the table. Images
    that cannot be read are listed and skipped, and the exit code is 1. HTTP_PROXY, HTTPS_PROXY and NO_PROXY are
    honoured. A run of a training function passes the inputs to `def predict(trial, inputs, **config)` of its module.

    \b
    Example:
      sweeps predict quick cat.jpg photos/
      sweeps predict quick https://example.org/cat.jpg
      sweeps predict quick new/ --labels new.csv --csv predicted.csv
    """
    from sweeps.record.reader import MlflowReader
    from sweeps.use.weights import find_weights, is_of_network

    reader = MlflowReader(runs)
    if not is_of_network(reader, name):
        if top is not None or labels_file is not None:
            raise click.UsageError("--top and --labels are for networks: the predict function decides what it returns")
        _call_predict(reader, name, images, as_json=as_json, csv_file=csv_file, runs=runs)
        return
    top = top or _TOP
    sources = [source for image in images for source in _sources(image)]
    if not sources:
        raise click.UsageError(f"no image in {', '.join(images)}")
    from cifar_core import Classifier

    weights = find_weights(reader, name, runs=runs)
    model = Classifier.load(weights.path)
    labels = _labels(sources, model.class_names, labels_file)
    predicted = list(_predicted(model, sources))
    found = [(escaped(source), result) for source, result in predicted]
    rows = [
        {"image": escaped(source), "class": label, "probability": probability}
        | ({"label": labels[source]} if source in labels else {})
        for source, prediction in predicted
        for label, probability in list(prediction.probabilities.items())[:top]
    ]
    if as_json:
        click.echo(json.dumps(rows, indent=2))
    if csv_file is not None:
        labelled = any("label" in row for row in rows)
        _write_csv(rows, csv_file, columns=["image", "class", "probability", *(["label"] if labelled else [])])
    elif not as_json and found:
        _print_table(found, run=weights.run, top=top)
    if not as_json and (pairs := [(labels[source], result.label) for source, result in predicted if source in labels]):
        _print_accuracy(pairs, model.class_names, images=len(predicted))
    if len(found) < len(sources):
        click.echo(f"{len(sources) - len(found)} of {len(sources)} images were skipped", err=True)
        sys.exit(ExitCode.FAILED)


def _call_predict(
    reader: RecordReader, name: str, inputs: Sequence[str], *, as_json: bool, csv_file: Path | None, runs: Path
) -> None:
    """Print or write the predictions of a training function."""
    from rich.table import Table

    from sweeps.cli.terminal import console
    from sweeps.use.predictions import predict_with_function

    found = predict_with_function(reader, name, inputs, runs=runs)
    columns = list(dict.fromkeys(column for row in found.rows for column in row))
    if as_json:
        click.echo(json.dumps(found.rows, indent=2))
    if csv_file is not None:
        _write_csv(found.rows, csv_file, columns=columns)
    elif not as_json:
        table = Table(box=None, header_style="bold", pad_edge=False)
        for column in columns:
            table.add_column(column, overflow="fold")
        for row in found.rows:
            table.add_row(*(_shown(row.get(column)) for column in columns))
        output = console()
        output.print(table)
        output.print(f"by {found.run}", style="dim", highlight=False)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.6g}" if isinstance(value, float) else escaped(str(value))


def _sources(image: str) -> list[str]:
    """Return the files of an argument."""
    from PIL import Image

    path = Path(image)
    if path.is_dir():
        known = Image.registered_extensions()
        files = (Path(folder, name) for folder, _, names in os.walk(path) for name in names)
        return sorted(str(file) for file in files if file.suffix.lower() in known and file.is_file())
    if "://" in image or image == STANDARD_INPUT or path.exists() or not glob.has_magic(image):
        return [image]
    found = glob.glob(image, recursive=True)  # noqa: PTH207 (Path.glob takes no absolute pattern)
    return sorted(file for file in found if Path(file).is_file())


def _labels(sources: Sequence[str], class_names: Sequence[str], file: Path | None) -> dict[str, str]:
    """Return the label of each image that has one: in the file, else the nearest folder that is named like a class."""
    if file is None:
        known = set(class_names)
        found = {
            source: next((parent.name for parent in Path(source).absolute().parents if parent.name in known), None)
            for source in sources
            if source != STANDARD_INPUT and "://" not in source
        }
        return {source: label for source, label in found.items() if label is not None}
    from cifar_core.datasets.kinds.csv_file import read_rows
    from sweeps.core.errors import SweepError

    given = {path.resolve(): (label, line) for path, label, _, line in read_rows(str(file))}
    for label, line in given.values():
        if label not in class_names:
            raise SweepError(
                f"{file} line {line}: {label!r} is not a class of this network: {', '.join(class_names[:10])}"
                + (", …" if len(class_names) > 10 else "")
            )
    return {source: given[path][0] for source in sources if (path := Path(source).resolve()) in given}


def _print_accuracy(pairs: Sequence[tuple[str, str]], class_names: Sequence[str], *, images: int) -> None:
    import numpy as np

    from cifar_core.evaluation import confusion
    from sweeps.cli.terminal import console
    from sweeps.core.formatting import accuracy, plural
    from sweeps.views.show import print_confusion

    number = {name: index for index, name in enumerate(class_names)}
    labels_N, predicted_N = (np.array([number[pair[side]] for pair in pairs]) for side in (0, 1))
    counts = confusion(labels_N, predicted_N, classes=len(class_names))
    output = console()
    print_confusion(counts, output, class_names=class_names, heading="acc %")
    right = sum(counts[k][k] for k in range(len(counts)))
    of = (
        plural(len(pairs), "image")
        if len(pairs) == images
        else f"{len(pairs)} of {plural(images, 'image')} with a label"
    )
    output.print(f"{accuracy(right / len(pairs))} correct on {of}", highlight=False)


def _predicted(model: Any, sources: Sequence[str]) -> Iterator[tuple[str, Prediction]]:
    """Yield each image with its prediction. Print unreadable images on standard error."""
    from cifar_core.errors import ImageError

    given = sys.stdin.buffer.read() if STANDARD_INPUT in sources else b""
    for begin in range(0, len(sources), CHUNK):
        read = []
        for source in sources[begin : begin + CHUNK]:
            try:
                read.append((source, model.read(given if source == STANDARD_INPUT else source)))
            except ImageError as error:
                click.echo(f"{escaped(source)}: {error}", err=True)
        if read:
            yield from zip((s for s, _ in read), model.predict_many(pixels for _, pixels in read), strict=True)


def _print_table(found: Sequence[tuple[str, Prediction]], *, run: str, top: int) -> None:
    from rich.table import Table

    from sweeps.cli.terminal import console

    table = Table(box=None, header_style="bold", pad_edge=False)
    table.add_column("image", overflow="fold")
    for rank in range(1, top + 1):
        table.add_column("class" if rank == 1 else f"{rank}.", no_wrap=True)
        table.add_column("%", justify="right", no_wrap=True)
    for source, prediction in found:
        cells = [
            cell
            for label, probability in list(prediction.probabilities.items())[:top]
            for cell in (label, f"{100 * probability:.1f}")
        ]
        table.add_row(source, *cells)
    output = console()
    output.print(table)
    output.print(f"by {run}", style="dim", highlight=False)


def _write_csv(rows: Sequence[Mapping[str, Any]], path: Path, *, columns: Sequence[str]) -> None:
    from cifar_core.common.files import atomic_write

    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=columns)
    writer.writeheader()
    writer.writerows(rows)
    with atomic_write(path) as file:
        file.write(text.getvalue().encode("utf-8"))
