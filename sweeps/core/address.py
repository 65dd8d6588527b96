"""Check the address of a storage: a folder or a URL, without a password, because addresses are recorded."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlsplit

_SECRET = ("secret", "password", "passwd", "token", "access_key", "credential", "session", "account_key", "sig")
_MALFORMED_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/*")
"""The beginning of a URL with one slash too few or too many."""
_DATABASES = ("postgresql", "mysql", "mariadb", "sqlite")


def is_bucket(storage: str) -> bool:
    """Return whether a storage is a URL. Files there are only written as a whole, never appended to."""
    return "://" in storage


def check_storage(storage: str) -> str:
    """Return the address of a storage for checkpoints and logs as it is recorded: a URL unchanged, a folder as an
    absolute path.

    Raises:
        ValueError: it is not a valid address, or contains a secret.
    """
    if not storage.strip():
        raise ValueError(
            "the value of the storage is an empty string. Give a folder, or a URL such as s3://bucket/prefix"
        )
    if not is_bucket(storage):
        if half := _MALFORMED_URL.match(storage):
            scheme = half[0].rstrip("/")
            raise ValueError(
                f"{storage!r} is not a valid storage. Did you mean {scheme.lower()}//{storage[half.end() :]}? For a "
                f"folder of that name write ./{storage}"
            )
        return str(Path(storage).expanduser().resolve())
    parts = _without_secrets(
        storage, "Set credentials in the environment instead, such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
    )
    if parts.scheme == "file":
        return str(Path(parts.path).resolve())
    if not parts.netloc or parts.scheme in ("http", "https"):
        raise ValueError(f"{storage!r} is not a valid storage. Give a folder, or a URL such as s3://bucket/prefix")
    # A scheme is case-insensitive; the names after it may be case-sensitive.
    return parts.scheme + storage[len(parts.scheme) :].rstrip("/")


def check_study_storage(url: str) -> str:
    """Return the URL of a study database as it is recorded, a SQLite file with its absolute path.

    Raises:
        ValueError: it is not a database URL, or contains a password.
    """
    _without_secrets(
        url, "Set the password with PGPASSWORD or ~/.pgpass, or put the URL with it in SWEEPS_STUDY_STORAGE"
    )
    check_database(url)
    return _absolute_sqlite_url(url) if url.startswith("sqlite") else url


def _absolute_sqlite_url(url: str) -> str:
    """Return the URL of a SQLite file with an absolute path.

    Raises:
        ValueError: it names no file.
    """
    scheme, _, rest = url.partition("://")
    path, mark, options = rest.removeprefix("/").partition("?")
    if path in ("", ":memory:") or "mode=memory" in options:
        raise ValueError("a SQLite database in memory ends with the driver. Name a file: sqlite:////folder/studies.db")
    if path.startswith("file:"):
        return url
    return f"{scheme}:///{Path(path).expanduser().resolve()}{mark}{options}"


def check_database(url: str) -> str:
    """Return a database URL unchanged. It may contain a password, which is allowed in the environment only.

    Raises:
        ValueError: it is not a database that can store studies.
    """
    kind = url.partition("://")[0].partition("+")[0] if "://" in url else ""
    if kind not in _DATABASES:
        # The message omits the URL, which may contain a password.
        raise ValueError("study_storage is not a database URL. Use one such as postgresql://user@host/database")
    if url.partition("://")[2].partition("/")[0].count("@") > 1:
        raise ValueError(
            "the URL in study_storage has more than one @ before the host. Write %40 for an @ in the password"
        )
    return url


def _without_secrets(url: str, advice: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        raise ValueError("the URL cannot be parsed. Check it for unbalanced [ ] or an invalid port") from None
    if password is not None:
        raise ValueError(f"the URL contains a password, which would be recorded with every run. {advice}")
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if any(word in name.lower() for word in _SECRET):
            raise ValueError(f"the URL contains {name!r}, which would be recorded with every run. {advice}")
    if parts.username is not None and parts.scheme == "s3":
        raise ValueError(f"the URL contains a user. {advice}")
    return parts
