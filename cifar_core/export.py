"""Export of a trained network to a verified file for other programs, with a JSON file that describes its use."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from cifar_core.checkpoint import load_network
from cifar_core.common.files import atomic_path
from cifar_core.config import TrainingConfig
from cifar_core.data.images import class_names_of
from cifar_core.errors import ExportError
from cifar_core.export_formats import BATCH, FORMATS, INPUT, OUTPUT, ExportFormat, FormatName, Predict, quiet
from cifar_core.predict import Classifier

CHECK_BATCHES = (1, 7)
"""Images in each batch on which a written file is compared with the classifier."""
TOLERANCE = 1e-4
"""Largest allowed difference of a graph's logits from the classifier's, as a share of the largest logit, at least of 1.

Another order of summation changes logits by about 1e-6; another network, or another normalisation, by about 1e-1.
Weights loaded into the same network must give bit-identical logits.
"""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The recorded run that a network comes from, as far as known; accuracies are shares from 0 to 1."""

    name: str | None = None
    run_id: str | None = None
    key: str | None = None
    val_accuracy: float | None = None
    test_accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class ExportedModel:
    """An exported network and the JSON file that describes its use."""

    path: Path
    about_path: Path
    format: FormatName
    size_bytes: int
    sha256: str
    largest_difference: float
    """Of the file's logits from the classifier's, on the images of the check."""
    tolerance: float
    """Largest allowed difference."""

    def about(self) -> dict[str, Any]:
        """Return the content of the JSON file."""
        content: dict[str, Any] = json.loads(self.about_path.read_text(encoding="utf-8"))
        return content


def export_checkpoint(
    checkpoint: str | Path,
    path: str | Path,
    *,
    format: FormatName,
    origin: Origin | None = None,
    overwrite: bool = False,
) -> ExportedModel:
    """Write a checkpoint's network to `path`, and a description of its use to `path` + `.json`.

    Either both files are written, or neither. The written network is loaded again, and its logits on fixed random
    images are compared with those of `Classifier` in float32. `torch-export` and `onnx` take float32 N×3×H×H pixels
    in [0, 1] and normalise inside the graph; `state-dict` contains the network's weights alone.

    Args:
        checkpoint: of `cifar_core.checkpoint`, from any device.
        path: the file to write, in an existing folder.
        format: `state-dict`, `torch-export` or `onnx`.
        origin: the run that the JSON names.
        overwrite: replace existing files.

    Raises:
        ExportError: the file cannot be written, the network cannot be exported in this format, a package is not
            installed, or the written network computes other logits.
        CheckpointError: the checkpoint is missing or damaged.
        ModelError: a custom network cannot be built.
    """
    path = Path(path)
    about_path = about_path_of(path)
    check_writable(path, overwrite=overwrite)
    chosen = FORMATS[format]
    versions = _versions() | chosen.require()
    network, config = load_network(Path(checkpoint), device="cpu")
    # The default layout for the file, whichever is fastest on this machine.
    network.eval().to(memory_format=torch.contiguous_format)
    # A separate copy, so that the comparison detects an exporter that modifies its network.
    original, _ = load_network(Path(checkpoint), device="cpu")
    classifier = Classifier(original, config.model_copy(update={"precision": "float32"}))
    try:
        with atomic_path(about_path) as about_file, atomic_path(path) as file:
            file.write_bytes(chosen.encode(network, config))
            difference, tolerance = _check(file, chosen, classifier)
            content = file.read_bytes()
            exported = ExportedModel(
                path=path,
                about_path=about_path,
                format=format,
                size_bytes=len(content),
                sha256=hashlib.sha256(content).hexdigest(),
                largest_difference=difference,
                tolerance=tolerance,
            )
            about = _about(exported, config=config, origin=origin or Origin(), versions=versions)
            about_file.write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error.strerror or error}") from error
    return exported


def about_path_of(path: Path) -> Path:
    """Return the path of the JSON of an exported file: `quick.onnx.json` for `quick.onnx`."""
    return Path(f"{path}.json")


def check_writable(path: Path, *, overwrite: bool = False) -> None:
    """Check that a file and its JSON can be written, before the export takes minutes.

    Raises:
        ExportError: they cannot be written.
    """
    try:
        _require_writable(path, overwrite=overwrite)
    except OSError as error:  # a name that is too long, a folder without permission
        raise ExportError(f"{str(path)!r} cannot be written: {error.strerror or error}") from error


def _require_writable(path: Path, *, overwrite: bool) -> None:
    if "\0" in str(path) or not _is_text(str(path)):
        raise ExportError(f"{str(path)!r} cannot be written: its name must be UTF-8, because the JSON contains it")
    if path.is_dir():
        raise ExportError(f"{path} is a folder. Name a file in it.")
    if not path.parent.is_dir():
        raise ExportError(f"there is no folder {path.parent} for {path.name}. Create it, or name another.")
    for file in (path, about_path_of(path)):
        exists = os.path.lexists(file)
        if exists and (file.is_symlink() or not file.is_file()):
            raise ExportError(f"{file} exists and is not a regular file. Name another.")
        if exists and not overwrite:
            raise ExportError(f"{file} already exists. Name another file, or overwrite it (--force).")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ExportError(f"{path} cannot be written: you have no permission to write to the folder {path.parent}")


def _is_text(name: str) -> bool:
    """Return whether a name is valid UTF-8: Python keeps other bytes of a command line as surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _check(file: Path, chosen: ExportFormat, classifier: Classifier) -> tuple[float, float]:
    """Return the largest difference of a file's logits from the classifier's, and the largest allowed one.

    Raises:
        ExportError: the difference exceeds the tolerance, or the file cannot be loaded.
    """
    name = classifier.config.model.name
    try:
        with quiet():
            size = classifier.config.data.image_size
            expected, actual = _logits(classifier, size), _logits(chosen.load(file, classifier.config), size)
    except Exception as error:  # of a loader, or of a custom network
        raise ExportError(
            f"model {name!r} cannot be loaded from the written file: {type(error).__name__}: {error}"
        ) from error
    if actual.shape != expected.shape or not expected.isfinite().all():
        raise ExportError(f"model {name!r} has logits that are not finite, or of another shape: {tuple(actual.shape)}")
    difference = (actual - expected).abs().max().item()
    tolerance = TOLERANCE * max(1.0, expected.abs().max().item()) if chosen.normalizes else 0.0
    if not difference <= tolerance:  # not `>`, which is false for NaN
        raise ExportError(
            f"model {name!r} computes other logits when it is loaded again: they differ by {difference:.2g}, more than "
            f"{tolerance:.2g}. No file was written. Check whether its forward is random in evaluation, or whether it "
            "keeps state that is not a buffer"
        )
    return difference, tolerance


@torch.no_grad()
def _logits(predict: Predict, size: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    batches = [
        torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, generator=generator) for count in CHECK_BATCHES
    ]
    return torch.cat([predict(images_NHWC) for images_NHWC in batches])


def _about(
    exported: ExportedModel, *, config: TrainingConfig, origin: Origin, versions: dict[str, str]
) -> dict[str, Any]:
    chosen = FORMATS[exported.format]
    mean, std = config.data.constants
    size = config.data.image_size
    return {
        "file": exported.path.name,
        "format": exported.format,
        "bytes": exported.size_bytes,
        "sha256": exported.sha256,
        "run": asdict(origin),
        "input": {
            "name": INPUT,
            "dtype": "float32",
            "shape": [BATCH, 3, size, size],
            "layout": "NCHW",
            "colour_order": "RGB",
            "value_range": [0, 1],
            "from_an_image": f"cropped to the centre square, scaled to {size}×{size}, divided by 255, not normalised"
            + ("" if chosen.normalizes else ": see normalization"),
        },
        "normalization": {
            "name": config.data.normalization,
            "mean": mean,
            "std": std,
            "formula": f"({INPUT} - mean) / std",
            "applied_by": "the graph, not the caller" if chosen.normalizes else "the caller",
            "inside": chosen.normalizes,
        },
        "test_time_augmentation": {
            "name": config.test_time_augmentation,
            "applied_by": "the graph, to each image" if chosen.normalizes else "the caller",
            "inside": chosen.normalizes,
        },
        "output": {"name": OUTPUT, "dtype": "float32", "shape": [BATCH, config.data.classes]},
        "class_names": list(class_names_of(config)),
        "precision": {"computes_in": "float32", "trained_in": config.precision},
        "check": {
            "batches": CHECK_BATCHES,
            "largest_difference": exported.largest_difference,
            "tolerance": exported.tolerance,
        },
        "usage": chosen.usage(exported.path.name, config),
        "config": config.model_dump(mode="json"),
        "versions": versions,
    }


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "torch": torch.__version__}
    with contextlib.suppress(PackageNotFoundError):
        found["cifar-sweeps"] = version("cifar-sweeps")
    return found
