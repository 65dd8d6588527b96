"""CIFAR-10 in the files that torchvision reads, so that a notebook's torchvision cell downloads nothing.

The images, the labels and their order are the official ones. The files differ in bytes: the official ones contain the
names of the photographs, which not every source has. torchvision compares each file's MD5 with the official one;
`accept_torchvision_files` makes it accept these files.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from pathlib import Path

import numpy as np

from cifar_core.common.errors import DataUnavailableError
from cifar_core.common.files import atomic_write
from cifar_core.data.images import CIFAR10_FINGERPRINTS, CLASS_NAMES, LabelledImages, fingerprint

FOLDER = "cifar-10-batches-py"
_META = "batches.meta"
_TRAINING = tuple(f"data_batch_{number}" for number in range(1, 6))
_TEST = "test_batch"
_IMAGES_A_FILE = 10_000


def write_torchvision_files(root: Path, *, train: LabelledImages, test: LabelledImages) -> Path:
    """Write both parts for `torchvision.datasets.CIFAR10(root)`; return the folder of the files.

    Raises:
        DataUnavailableError: the folder cannot be written.
    """
    folder = root / FOLDER
    parts = [train.subset(slice(begin, begin + _IMAGES_A_FILE)) for begin in range(0, len(train), _IMAGES_A_FILE)]
    meta = {"num_cases_per_batch": _IMAGES_A_FILE, "label_names": list(CLASS_NAMES), "num_vis": 3072}
    try:
        for name, part in zip((*_TRAINING, _TEST), (*parts, test), strict=True):
            data = part.images_NHWC.transpose(0, 3, 1, 2).reshape(len(part), -1)
            _write(folder / name, {"batch_label": name, "labels": part.labels_N.tolist(), "data": np.array(data)})
        _write(folder / _META, meta)
    except OSError as error:
        raise DataUnavailableError(f"{folder} cannot be written ({error.strerror}). Name another folder.") from None
    return folder


def accept_torchvision_files(root: str | Path) -> None:
    """Make `torchvision.datasets.CIFAR10` accept the files under a folder, in this process, after verifying them.

    Raises:
        DataUnavailableError: files are missing, or their images and labels are not those of CIFAR-10.
    """
    from torchvision.datasets import CIFAR10

    folder = Path(root) / FOLDER
    try:
        content = {name: (folder / name).read_bytes() for name in (*_TRAINING, _TEST, _META)}
    except OSError as error:
        raise DataUnavailableError(
            f"{folder} does not contain CIFAR-10 for torchvision ({error.strerror}). "
            f"Run `sweeps data --torchvision {root}`."
        ) from None
    for names, expected in ((_TRAINING, CIFAR10_FINGERPRINTS.of("train")), ((_TEST,), CIFAR10_FINGERPRINTS.of("test"))):
        if _fingerprints([content[name] for name in names]) != expected:
            raise DataUnavailableError(
                f"{folder} contains other images. Run `sweeps data --torchvision {root}` to write them again."
            )
    md5 = {name: hashlib.md5(each, usedforsecurity=False).hexdigest() for name, each in content.items()}
    CIFAR10.train_list = [[name, md5[name]] for name in _TRAINING]
    CIFAR10.test_list = [[_TEST, md5[_TEST]]]
    CIFAR10.meta = {"filename": _META, "key": "label_names", "md5": md5[_META]}


class _ArraysOnly(pickle.Unpickler):
    """Unpickles numbers and arrays only, nothing that could execute code."""

    def find_class(self, module: str, name: str) -> object:
        if module.split(".")[0] == "numpy" and name in ("_reconstruct", "ndarray", "dtype"):
            return super().find_class(module, name)
        if (module, name) == ("_codecs", "encode"):
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is not part of CIFAR-10")


def _fingerprints(contents: list[bytes]) -> tuple[str, str] | None:
    try:
        entries = [_ArraysOnly(io.BytesIO(content), encoding="latin1").load() for content in contents]
        images = np.concatenate([entry["data"] for entry in entries]).reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
        labels = np.array([label for entry in entries for label in entry["labels"]], dtype=np.uint8)
    except Exception:  # a damaged pickle may raise anything
        return None
    return fingerprint(np.asarray(images, dtype=np.uint8)), fingerprint(labels)


def _write(path: Path, content: object) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_write(path) as file:
        file.write(pickle.dumps(content, protocol=2))
