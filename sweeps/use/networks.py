"""A trained network by the name of a sweep, a configuration or a run, loaded for prediction or exported."""

from __future__ import annotations

from pathlib import Path

from cifar_core import Classifier, ExportedModel
from cifar_core.common.errors import closest
from cifar_core.export_formats import FORMATS, FormatName
from sweeps.core.commands import DEFAULT_RUNS
from sweeps.core.errors import SweepError
from sweeps.use.weights import find_weights


def load_model(name: str, *, runs: str | Path = DEFAULT_RUNS, device: str = "auto") -> Classifier:
    """Return a trained network, ready to predict: `load_model("quick").predict("cat.jpg").label`.

    It includes normalisation, image size and class names.

    Args:
        name: a sweep, for its best configuration; a configuration such as `quick-003` or `ladder/deep`, for one of its
            replicates; or a run such as `quick-003-s1`, or the beginning of a run id.
        runs: the runs folder.
        device: where to compute; `auto` is a GPU where there is one.

    Raises:
        SweepError: there is no such run, or its weights are gone.
        RecordError: the record cannot be read.
        CheckpointError: the weights are damaged.
    """
    from cifar_core import Classifier
    from sweeps.record.reader import MlflowReader

    return Classifier.load(find_weights(MlflowReader(Path(runs)), name, runs=Path(runs)).path, device=device)


def export_model(
    name: str,
    path: str | Path | None = None,
    *,
    format: FormatName,
    runs: str | Path = DEFAULT_RUNS,
    overwrite: bool = False,
) -> ExportedModel:
    """Export a trained network, and a description of its use to `path` + `.json`.

    Args:
        name: a sweep, for its best configuration; or a run, as for `load_model`.
        path: the file, in an existing folder; None takes `name` with `.pt`, `.pt2` or `.onnx` in the current folder.
        format: `state-dict`, the network's weights; `torch-export` or `onnx`, a graph that takes RGB pixels in [0, 1]
            and normalises them.
        runs: the runs folder.
        overwrite: replace existing files.

    Returns:
        The paths of the files, and the largest difference of the written network's logits from the original's.

    Raises:
        SweepError: there is no such run, or its weights are gone.
        RecordError: the record cannot be read.
        ExportError: the network cannot be exported; no file was written.
        CheckpointError: the weights are damaged.
    """
    from cifar_core.export import Origin, check_writable, export_checkpoint
    from sweeps.record.reader import MlflowReader

    if format not in FORMATS:
        raise SweepError(f"unknown format {format!r}: {closest(format, FORMATS)}")
    chosen = FORMATS[format]
    file = Path(name.replace("/", "-") + chosen.suffix if path is None else path)
    # Before the record is read, so that this error is raised at once.
    check_writable(file, overwrite=overwrite)
    chosen.require()
    weights = find_weights(MlflowReader(Path(runs)), name, runs=Path(runs))
    origin = Origin(
        name=weights.run,
        run_id=weights.run_id,
        key=weights.key,
        val_accuracy=weights.val_accuracy,
        test_accuracy=weights.test_accuracy,
    )
    return export_checkpoint(weights.path, file, format=format, origin=origin, overwrite=overwrite)
