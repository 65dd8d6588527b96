"""How a storage is named: a folder or a URL, and never with a password in it, for names are written down."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import SplitResult, parse_qsl, urlsplit

_SECRET = ("secret", "password", "passwd", "token", "access_key", "credential", "session", "account_key", "sig")
_MALFORMED_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/*")
"""What begins a storage that is no folder of anybody's, but a URL with a slash too few or too many."""
_DATABASES = ("postgresql", "mysql", "mariadb", "sqlite")


def is_bucket(storage: str) -> bool:
    """Return whether a storage is named by a URL: files are put there whole, and nothing is written to in place."""
    return "://" in storage


def check_storage(storage: str) -> str:
    """Return the name of a storage for checkpoints and logs as it is kept: a URL as it is, a folder as a whole path.

    Raises:
        ValueError: it is none, or holds a secret.
    """
    if not storage.strip():
        raise ValueError("an empty storage: name a folder, or a URL such as s3://bucket/prefix")
    if not is_bucket(storage):
        if half := _MALFORMED_URL.match(storage):
            scheme = half[0].rstrip("/")
            raise ValueError(
                f"{storage!r} is no storage: is {scheme.lower()}//{storage[half.end() :]} meant? A folder of such a "
                f"name is ./{storage}"
            )
        return str(Path(storage).expanduser().resolve())
    parts = _without_secrets(
        storage, "credentials come from the environment (such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) alone"
    )
    if parts.scheme == "file":
        return str(Path(parts.path).resolve())
    if not parts.netloc or parts.scheme in ("http", "https"):
        raise ValueError(f"{storage!r} is no storage: use a folder, or a URL such as s3://bucket/prefix")
    # A scheme is the same in capitals; the names after it need not be.
    return parts.scheme + storage[len(parts.scheme) :].rstrip("/")


def check_study_storage(url: str) -> str:
    """Return the URL of a database for studies as it is kept: a SQLite file by its whole path.

    Raises:
        ValueError: it is none, or holds a password.
    """
    _without_secrets(
        url, "a password comes from the environment alone (PGPASSWORD, or ~/.pgpass), or with SWEEPS_STUDY_STORAGE"
    )
    check_database(url)
    return _absolute_sqlite_url(url) if url.startswith("sqlite") else url


def _absolute_sqlite_url(url: str) -> str:
    """Return the URL of a SQLite file so that it means the same from every folder.

    Raises:
        ValueError: it is of no file.
    """
    scheme, _, rest = url.partition("://")
    path, mark, options = rest.removeprefix("/").partition("?")
    if path in ("", ":memory:") or "mode=memory" in options:
        raise ValueError("a SQLite database in memory ends with its driver: name a file, sqlite:////folder/studies.db")
    if path.startswith("file:"):
        return url
    return f"{scheme}:///{Path(path).expanduser().resolve()}{mark}{options}"


def check_database(url: str) -> str:
    """Return a database's URL, perhaps with a password in it, which only the environment may hold.

    Raises:
        ValueError: it is no database that studies can be kept in.
    """
    kind = url.partition("://")[0].partition("+")[0] if "://" in url else ""
    if kind not in _DATABASES:
        # Without the URL: what is wrong about it may be its password.
        raise ValueError("study_storage is no database's URL: use one such as postgresql://user@host/database")
    if url.partition("://")[2].partition("/")[0].count("@") > 1:
        raise ValueError(
            "there is more than one @ before the host in study_storage's URL: in a password write %40 for it"
        )
    return url


def _without_secrets(url: str, advice: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        password = parts.password
    except ValueError:
        raise ValueError("it is no URL that can be read") from None
    if password is not None:
        raise ValueError(f"there is a password in its URL, which would be written down with every run: {advice}")
    for name, _ in parse_qsl(parts.query, keep_blank_values=True):
        if any(word in name.lower() for word in _SECRET):
            raise ValueError(f"there is {name!r} in its URL, which would be written down with every run: {advice}")
    if parts.username is not None and parts.scheme == "s3":
        raise ValueError(f"there is a user in its URL: {advice}")
    return parts
