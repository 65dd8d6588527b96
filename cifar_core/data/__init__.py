"""CIFAR-10 as numpy arrays: fetched, verified, kept on disk, split into training and validation images."""

from __future__ import annotations

from cifar_core.data.images import CLASS_NAMES, Cifar10, Fingerprints, LabelledImages, fingerprint
from cifar_core.data.load import (
    cifar10_fault,
    default_directory,
    fetch_cifar10,
    load_cifar10,
    load_test_images,
    load_training_images,
    training_fingerprint,
)
from cifar_core.data.sources import SourceName
from cifar_core.data.split import require_split, split_indices, split_train_validation
from cifar_core.data.store import FetchReport
from cifar_core.data.torchvision_layout import accept_torchvision_files, write_torchvision_files

__all__ = [
    "CLASS_NAMES",
    "Cifar10",
    "FetchReport",
    "Fingerprints",
    "LabelledImages",
    "SourceName",
    "accept_torchvision_files",
    "cifar10_fault",
    "default_directory",
    "fetch_cifar10",
    "fingerprint",
    "load_cifar10",
    "load_test_images",
    "load_training_images",
    "require_split",
    "split_indices",
    "split_train_validation",
    "training_fingerprint",
    "write_torchvision_files",
]
