"""Which storages a sweep has: who says it, and in which order they are heard."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sweeps.core.address import check_database, check_storage, check_study_storage
from sweeps.core.errors import SweepError

STORAGE, STUDY_STORAGE = "SWEEPS_STORAGE", "SWEEPS_STUDY_STORAGE"


@dataclass(frozen=True, kw_only=True)
class Storages:
    """Where a sweep keeps what it goes on from. Each is None where it lies in the sweep's folder under `runs`."""

    storage: str | None = None
    """Of checkpoints and logs: a folder's path, or a URL."""
    study_storage: str | None = None
    """Of the study: a database's URL, without a password."""


LOCAL = Storages()
"""Everything in the sweep's folder."""


def resolve_storages(*, flag: Storages = LOCAL, file: Storages = LOCAL, environment: bool = True) -> Storages:
    """Return what was asked for: on the command line, else in the environment, else in the sweep's file.

    Args:
        flag: what the command line says.
        file: what the file says.
        environment: False for what was asked of this very sweep alone.

    Raises:
        SweepError: one is no storage, or holds a secret.
    """
    said = dict(os.environ) if environment else {}
    return Storages(
        storage=_first({"--storage": flag.storage, STORAGE: said.get(STORAGE), "storage": file.storage}, check_storage),
        study_storage=_first(
            {
                "--study-storage": flag.study_storage,
                STUDY_STORAGE: without_password(said.get(STUDY_STORAGE)),
                "study_storage": file.study_storage,
            },
            check_study_storage,
        ),
    )


def _first(said: Mapping[str, str | None], check: Callable[[str], str]) -> str | None:
    for who, value in said.items():
        if value:
            try:
                return check(value)
            except ValueError as error:
                raise SweepError(f"{who}: {error}") from None
    return None


def without_password(url: str | None) -> str | None:
    """Return a database's URL as it may be written down."""
    if not url or "://" not in url:
        return url
    scheme, _, rest = url.partition("://")
    login, at, host = rest.rpartition("@")
    return f"{scheme}://{login.partition(':')[0]}{at}{host}"


def with_password(url: str) -> str:
    """Return a database's URL with the password that the environment has for it, where it has one.

    Raises:
        SweepError: what the environment says is no database's URL.
    """
    said = os.environ.get(STUDY_STORAGE)
    if not said:
        return url
    try:
        check_database(said)
    except ValueError as error:
        raise SweepError(f"{STUDY_STORAGE}: {error}") from None
    return said if without_password(said) == url else url
