"""Resolve the storages of a sweep from the command line, the environment and the file."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from sweeps.core.address import check_database, check_storage, check_study_storage
from sweeps.core.errors import SweepError

STORAGE, STUDY_STORAGE = "SWEEPS_STORAGE", "SWEEPS_STUDY_STORAGE"


@dataclass(frozen=True, kw_only=True)
class Storages:
    """Where a sweep is stored. None means the sweep's folder under `runs`."""

    storage: str | None = None
    """Folder or URL for checkpoints and logs."""
    study_storage: str | None = None
    """Database URL for the study, without a password."""


LOCAL = Storages()
"""Everything is stored in the sweep's folder."""


def resolve_storages(*, flag: Storages = LOCAL, file: Storages = LOCAL, environment: bool = True) -> Storages:
    """Return the requested storages: of the command line, else of the environment, else of the sweep's file.

    Args:
        flag: storages of the command line.
        file: storages of the file.
        environment: False ignores the environment, which applies to all sweeps.

    Raises:
        SweepError: one is not a valid storage, or contains a secret.
    """
    variables = dict(os.environ) if environment else {}
    return Storages(
        storage=_first(
            {"--storage": flag.storage, STORAGE: variables.get(STORAGE), "storage": file.storage}, check_storage
        ),
        study_storage=_first(
            {
                "--study-storage": flag.study_storage,
                STUDY_STORAGE: without_password(variables.get(STUDY_STORAGE)),
                "study_storage": file.study_storage,
            },
            check_study_storage,
        ),
    )


def _first(values: Mapping[str, str | None], check: Callable[[str], str]) -> str | None:
    for name, value in values.items():
        if value:
            try:
                return check(value)
            except ValueError as error:
                raise SweepError(f"{name}: {error}") from None
    return None


def without_password(url: str | None) -> str | None:
    """Return a database URL without its password, as it may be recorded."""
    if not url or "://" not in url:
        return url
    scheme, _, rest = url.partition("://")
    login, at, host = rest.rpartition("@")
    return f"{scheme}://{login.partition(':')[0]}{at}{host}"


def with_password(url: str) -> str:
    """Return a database URL with its password from the environment, if there is one.

    Raises:
        SweepError: the environment variable is not a database URL.
    """
    full_url = os.environ.get(STUDY_STORAGE)
    if not full_url:
        return url
    try:
        check_database(full_url)
    except ValueError as error:
        raise SweepError(f"{STUDY_STORAGE}: {error}") from None
    return full_url if without_password(full_url) == url else url
