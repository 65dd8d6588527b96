"""Whether a sweep can be kept where it is asked to be, looked at before anything is trained for it."""

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
    """Look whether a sweep's storage takes what it will be given, before anything is trained for it.

    Raises:
        SweepError: it does not; says what to do.
    """
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
        raise SweepError(f"the storage {storage} cannot be written ({error.strerror}): name another folder") from None


def check_same_storage(study: optuna.Study, folder: SweepFolder) -> None:
    """Refuse to go on with a study elsewhere than where its checkpoints are; the first start notes where.

    Raises:
        SweepError: they are elsewhere.
    """
    storage = folder.storages.storage
    if STORAGE not in study.user_attrs:
        if folder.storages.study_storage is not None:
            study.set_user_attr(STORAGE, storage)
    elif study.user_attrs[STORAGE] != storage:
        raise SweepError(
            f"{folder.sweep} was begun with its checkpoints in {study.user_attrs[STORAGE] or 'a runs folder'}: give "
            "that as its storage, or give the file another name"
        )


def note_cluster_change(study: optuna.Study, *, sweep: str, address: str | None, console: Console) -> None:
    """Say where a sweep that ran on a Ray cluster goes on without it: an address is asked for anew at each start.

    Args:
        study: in which it is noted for the next start.
        sweep: its name.
        address: of the cluster that it runs on now, None for this machine.
        console: where it is said.
    """
    before = study.user_attrs.get(CLUSTER)
    if before is not None and address is None:
        print_sentence(
            console,
            f"{sweep} ran on the Ray cluster at {before} before, and now runs on this machine alone: there again with "
            f"--address {before}, or RAY_ADDRESS",
        )
    if before != address:
        study.set_user_attr(CLUSTER, address)


def require_folder(folder: SweepFolder, what: str) -> None:
    """Refuse what can only be written to a folder where a sweep is kept in a bucket.

    Raises:
        SweepError: it is.
    """
    storage = folder.storages.storage
    if storage is not None and is_bucket(storage):
        raise SweepError(f"{what} are written to a folder, and {folder.sweep} is kept in {storage}: leave them out")
