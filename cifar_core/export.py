"""A trained network as a file that others can use, checked, with a JSON beside it that says how."""

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
from cifar_core.data.images import CLASS_NAMES
from cifar_core.errors import ExportError
from cifar_core.export_formats import BATCH, FORMATS, INPUT, OUTPUT, ExportFormat, FormatName, Predict, quiet
from cifar_core.image_file import SIZE
from cifar_core.operations.normalize import NORMALIZATIONS
from cifar_core.predict import Classifier

CHECK_BATCHES = (1, 7)
"""Images in each batch on which a written file is compared with the classifier."""
TOLERANCE = 1e-4
"""How far a graph's logits may be from the classifier's, as a share of the largest of them, or of 1 where that is less.

Two programs that sum in another order differ by some 1e-6; another network, or another normalisation, by some 1e-1.
Weights alone, put into the same network, must give the same to the last bit.
"""


@dataclass(frozen=True, kw_only=True)
class Origin:
    """The recorded run that a network comes from, as far as it is known; accuracies are shares from 0 to 1."""

    name: str | None = None
    run_id: str | None = None
    key: str | None = None
    val_accuracy: float | None = None
    test_accuracy: float | None = None


@dataclass(frozen=True, kw_only=True)
class ExportedModel:
    """Two files: a network, and what using it takes."""

    path: Path
    about_path: Path
    format: FormatName
    size_bytes: int
    sha256: str
    largest_difference: float
    """Of a logit from the classifier's, on the images of the check."""
    tolerance: float
    """What it was allowed to be."""

    def about(self) -> dict[str, Any]:
        """Return what the JSON says."""
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
    """Write a checkpoint's network to `path`, and to `path` + `.json` what using it takes.

    Both appear when all is done and checked, or neither. What is written is loaded again and its logits on fixed random
    images are compared with those of `Classifier` in float32. `torch-export` and `onnx` take float32 N×3×32×32 pixels
    in [0, 1] and normalise inside the graph; `state-dict` is the bare network's weights.

    Args:
        checkpoint: of `cifar_core.checkpoint`, from any device.
        path: the file to write, in a folder that is there.
        format: `state-dict`, `torch-export` or `onnx`.
        origin: the run that the JSON names.
        overwrite: replace what is there.

    Raises:
        ExportError: the file cannot be written, the network cannot be exported in this format, something is not
            installed, or what was written computes something else.
        CheckpointError: the checkpoint is missing or damaged.
        ModelError: a network of one's own cannot be built.
    """
    path = Path(path)
    about_path = about_path_of(path)
    check_writable(path, overwrite=overwrite)
    chosen = FORMATS[format]
    versions = _versions() | chosen.require()
    network, config = load_network(Path(checkpoint), device="cpu")
    # The file's weights lie in memory as everybody expects, whatever is fastest here.
    network.eval().to(memory_format=torch.contiguous_format)
    # Loaded anew, so that nothing that an exporter does to its network goes unnoticed.
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
    """Return where the JSON of an exported file lies: `quick.onnx.json` beside `quick.onnx`."""
    return Path(f"{path}.json")


def check_writable(path: Path, *, overwrite: bool = False) -> None:
    """Find out, before minutes are spent, whether a file and its JSON can be written.

    Raises:
        ExportError: they cannot; says what to do.
    """
    try:
        _require_writable(path, overwrite=overwrite)
    except OSError as error:  # a name that is too long, a folder that may not be looked into
        raise ExportError(f"{str(path)!r} cannot be written: {error.strerror or error}") from error


def _require_writable(path: Path, *, overwrite: bool) -> None:
    if "\0" in str(path) or not _is_text(str(path)):
        raise ExportError(f"{str(path)!r} cannot be written: its name must be text in UTF-8, for the JSON holds it")
    if path.is_dir():
        raise ExportError(f"{path} is a folder: name a file in it")
    if not path.parent.is_dir():
        raise ExportError(f"{path} cannot be written: there is no folder {path.parent}; make it, or name another")
    for file in (path, about_path_of(path)):
        there = os.path.lexists(file)
        if there and (file.is_symlink() or not file.is_file()):
            raise ExportError(f"{file} is there and is no plain file: name another")
        if there and not overwrite:
            raise ExportError(f"{file} is there already: name another file, or overwrite it (--force)")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise ExportError(f"{path} cannot be written: the folder {path.parent} does not allow it")


def _is_text(name: str) -> bool:
    """Return whether a name holds no byte that is not UTF-8: Python keeps those of a command line as surrogates."""
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _check(file: Path, chosen: ExportFormat, classifier: Classifier) -> tuple[float, float]:
    """Return by how much a file's logits differ at most from the classifier's, and by how much they may.

    Raises:
        ExportError: they differ by more, or the file cannot be loaded.
    """
    name = classifier.config.model.name
    try:
        with quiet():
            wanted, got = _logits(classifier), _logits(chosen.load(file, classifier.config))
    except Exception as error:  # whatever a loader, or a network of one's own, may raise
        raise ExportError(
            f"model {name!r} was written and cannot be used again: {type(error).__name__}: {error}"
        ) from error
    if got.shape != wanted.shape or not wanted.isfinite().all():
        raise ExportError(f"model {name!r} gives logits that cannot be compared: not finite, or of {tuple(got.shape)}")
    difference = (got - wanted).abs().max().item()
    tolerance = TOLERANCE * max(1.0, wanted.abs().max().item()) if chosen.normalizes else 0.0
    if not difference <= tolerance:  # not `>`: NaN compares with nothing
        raise ExportError(
            f"model {name!r} does not compute the same when it is loaded again: logits differ by {difference:.2g}, "
            f"more than {tolerance:.2g}; nothing was kept. Is its forward random in evaluation, or does it keep a "
            "state that is no buffer?"
        )
    return difference, tolerance


@torch.no_grad()
def _logits(predict: Predict) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    batches = [
        torch.randint(0, 256, (count, SIZE, SIZE, 3), dtype=torch.uint8, generator=generator) for count in CHECK_BATCHES
    ]
    return torch.cat([predict(images_NHWC) for images_NHWC in batches])


def _about(
    exported: ExportedModel, *, config: TrainingConfig, origin: Origin, versions: dict[str, str]
) -> dict[str, Any]:
    chosen = FORMATS[exported.format]
    mean, std = NORMALIZATIONS[config.data.normalization]
    return {
        "file": exported.path.name,
        "format": exported.format,
        "bytes": exported.size_bytes,
        "sha256": exported.sha256,
        "run": asdict(origin),
        "input": {
            "name": INPUT,
            "dtype": "float32",
            "shape": [BATCH, 3, SIZE, SIZE],
            "layout": "NCHW",
            "colour_order": "RGB",
            "value_range": [0, 1],
            "from_an_image": "cut to the square in its middle, scaled to 32×32, divided by 255; not normalised"
            + ("" if chosen.normalizes else ": see normalization"),
        },
        "normalization": {
            "name": config.data.normalization,
            "mean": mean,
            "std": std,
            "formula": f"({INPUT} - mean) / std",
            "applied_by": "the graph: never by the caller" if chosen.normalizes else "the caller: not in this file",
            "inside": chosen.normalizes,
        },
        "test_time_augmentation": {
            "name": config.test_time_augmentation,
            "applied_by": "the graph: one image in, its views averaged" if chosen.normalizes else "the caller",
            "inside": chosen.normalizes,
        },
        "output": {"name": OUTPUT, "dtype": "float32", "shape": [BATCH, 10]},
        "class_names": list(CLASS_NAMES),
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
