"""Checks of a sweep's storage before anything is trained."""

from __future__ import annotations

import os
from pathlib import Path

import optuna
from rich.console import Console

from cifar_core.common.files import atomic_write
from sweeps.core.address import is_bucket
from sweeps.core.errors import SweepError
from sweeps.core.formatting import print_sentence
from sweeps.driver.plan import CLUSTER, STORAGE
from sweeps.store.bucket import Bucket
from sweeps.store.folder import SweepFolder


def check_storage(folder: SweepFolder) -> None:
    """Raise SweepError unless a sweep's storage is writable."""
    storage = folder.storages.storage
    if storage is None:
        return
    if is_bucket(storage):
        Bucket(storage).check()
        return
    try:
        Path(storage).mkdir(parents=True, exist_ok=True)
        with atomic_write(Path(storage) / f".sweeps-check-{os.getpid()}") as file:
            file.write(b"")
        (Path(storage) / f".sweeps-check-{os.getpid()}").unlink()
    except OSError as error:
        raise SweepError(
            f"the storage {storage} cannot be written ({error.strerror}). Choose another folder."
        ) from None


def check_same_storage(study: optuna.Study, folder: SweepFolder) -> None:
    """Raise SweepError if a study's checkpoints are in another storage. The first start stores the storage's name."""
    storage = folder.storages.storage
    if STORAGE not in study.user_attrs:
        if folder.storages.study_storage is not None:
            study.set_user_attr(STORAGE, storage)
    elif study.user_attrs[STORAGE] != storage:
        raise SweepError(
            f"{folder.sweep} was started with its checkpoints in {study.user_attrs[STORAGE] or 'a runs folder'}. Use "
            "the same storage, or change `name` in the file to start a new sweep."
        )


def note_cluster_change(study: optuna.Study, *, sweep: str, address: str | None, console: Console) -> None:
    """Print a notice if a sweep that ran on a Ray cluster now runs locally, and store the current address.

    Args:
        study: stores the address for the next start.
        sweep: its name.
        address: of the current cluster; None for this machine.
        console: for the notice.
    """
    before = study.user_attrs.get(CLUSTER)
    if before is not None and address is None:
        print_sentence(
            console,
            f"{sweep} ran on the Ray cluster at {before} before and now runs on this machine only. To use the cluster, "
            f"pass --address {before} or set RAY_ADDRESS.",
        )
    if before != address:
        study.set_user_attr(CLUSTER, address)


def require_folder_for_tensorboard(folder: SweepFolder) -> None:
    """Raise SweepError if a sweep is stored in a bucket."""
    storage = folder.storages.storage
    if storage is not None and is_bucket(storage):
        raise SweepError(
            f"--tensorboard needs a folder, but {folder.sweep} is stored in {storage}. Remove --tensorboard, or the "
            "key `tensorboard` of the file."
        )
