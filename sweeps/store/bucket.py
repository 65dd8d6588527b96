"""Files below a URL such as `s3://bucket/prefix`, through pyarrow's file systems, or fsspec's where it has none.

Files are written atomically: an object store publishes complete objects only, and elsewhere a file is written under
a temporary name and moved. Credentials come from the environment, as the store's own library reads them.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from cifar_core.common.files import read_regular
from sweeps.core.address import is_bucket
from sweeps.core.errors import StoreError
from sweeps.core.storages import STUDY_STORAGE

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

_CONNECT_SECONDS = 5.0
_REQUEST_SECONDS = 20.0
_ATTEMPTS = 3
_ATOMIC_SCHEMES = ("s3", "gs", "gcs", "abfs", "abfss", "az", "memory")
"""URL schemes of stores in which a write is atomic."""
_SECRETS = ("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "PGPASSWORD", "AZURE_STORAGE_KEY", "RAY_AUTH_TOKEN")


class Bucket:
    """Files below one URL. Names are relative to it, with slashes. The connection is opened at the first use."""

    def __init__(self, address: str) -> None:
        """Create a bucket.

        Args:
            address: URL as `check_storage` returns it.
        """
        self.address = address
        self._scheme = urlsplit(address).scheme
        self._opened: tuple[FileSystem, str] | None = None

    def __getstate__(self) -> dict[str, Any]:
        return {"address": self.address}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__init__(state["address"])  # type: ignore[misc]

    def url(self, name: str) -> str:
        """Return the URL of a file."""
        parts = urlsplit(self.address)
        return parts._replace(path=f"{parts.path.rstrip('/')}/{name}").geturl()

    def read(self, name: str) -> bytes | None:
        """Return the content of a file; None if it does not exist.

        Raises:
            StoreError: The storage cannot be read.
        """
        with self._connected() as (files, root):
            try:
                with files.open_input_file(f"{root}/{name}") as file:
                    content: bytes = file.read()
                    return content
            except FileNotFoundError:
                return None

    def write(self, name: str, content: bytes) -> None:
        """Write a file atomically.

        Raises:
            StoreError: The storage cannot be written.
        """
        with self._connected() as (files, root):
            path = f"{root}/{name}"
            if self._scheme in _ATOMIC_SCHEMES:
                with files.open_output_stream(path) as file:
                    file.write(content)
                return
            folder, _, last = path.rpartition("/")
            files.create_dir(folder, recursive=True)
            hidden = f"{folder}/.{last}.{secrets.token_hex(4)}"
            with files.open_output_stream(hidden) as file:
                file.write(content)
            files.move(hidden, path)

    def copy(self, name: str, to: str) -> None:
        """Copy a file within the storage, if it exists.

        Raises:
            StoreError: The storage cannot be written.
        """
        with self._connected() as (files, root):
            from pyarrow.fs import FileType

            if files.get_file_info(f"{root}/{name}").type is FileType.File:
                files.copy_file(f"{root}/{name}", f"{root}/{to}")

    def delete(self, name: str) -> None:
        """Delete a file, or a folder and everything in it, if it exists.

        Raises:
            StoreError: The storage cannot be written.
        """
        with self._connected() as (files, root):
            from pyarrow.fs import FileType

            found = files.get_file_info(f"{root}/{name}").type
            try:
                if found is FileType.Directory:
                    files.delete_dir(f"{root}/{name}")
                elif found is FileType.File:
                    files.delete_file(f"{root}/{name}")
            except FileNotFoundError:
                return  # another process has deleted it

    def names(self, below: str) -> list[str]:
        """Return the names of all files below a folder, in alphabetical order.

        Raises:
            StoreError: The storage cannot be read.
        """
        with self._connected() as (files, root):
            from pyarrow.fs import FileSelector, FileType

            selector = FileSelector(f"{root}/{below}", allow_not_found=True, recursive=True)
            found = [info.path for info in files.get_file_info(selector) if info.type is FileType.File]
            return sorted(path.removeprefix(f"{root}/") for path in found)

    def check(self) -> None:
        """Write a small file, read it and delete it.

        Raises:
            StoreError: One of these operations failed.
        """
        name, content = f".sweeps-check-{secrets.token_hex(6)}", secrets.token_bytes(16)
        self.write(name, content)
        if self.read(name) != content:
            raise StoreError(f"the storage {self.address} returned other data than was written to it")
        self.delete(name)

    @contextmanager
    def _connected(self) -> Iterator[tuple[FileSystem, str]]:
        try:
            if self._opened is None:
                self._opened = _open(self.address)
            yield self._opened
        except StoreError:
            raise
        except Exception as error:  # the libraries of stores have no common base class of errors
            raise StoreError(f"the storage {self.address} {_error_text(error)}") from None


def open_bucket(url: str) -> tuple[Bucket, str]:
    """Return a bucket for the folder of a file, and the file's name in it."""
    base, question, options = url.partition("?")
    folder, _, name = base.rpartition("/")
    return Bucket(f"{folder}{question}{options}"), name


def read_log(log: str, *, runs: Path) -> bytes | None:
    """Return a trial's log; None if it does not exist or cannot be read.

    Args:
        log: Path relative to the runs folder, or URL.
        runs: The runs folder.
    """
    try:
        if is_bucket(log):
            bucket, name = open_bucket(log)
            return bucket.read(name)
        return read_regular(runs / log)
    except (OSError, StoreError):
        return None


def _open(address: str) -> tuple[FileSystem, str]:
    """Return the file system of an address, and the path of its root in it."""
    from pyarrow.fs import FileSystem, FSSpecHandler, PyFileSystem

    parts = urlsplit(address)
    root = f"{parts.netloc}{parts.path}".rstrip("/")
    if parts.scheme == "s3":
        return _s3(dict(parse_qsl(parts.query))), root
    try:
        files, root = FileSystem.from_uri(address)
        return files, root.rstrip("/")
    except ValueError:  # a scheme that pyarrow does not support
        import fsspec

        files, root = fsspec.core.url_to_fs(address)
        return PyFileSystem(FSSpecHandler(files)), root.rstrip("/")


def _s3(options: dict[str, str]) -> FileSystem:
    from pyarrow.fs import AwsStandardS3RetryStrategy, S3FileSystem

    endpoint = (
        options.get("endpoint_override")
        or os.environ.get("AWS_ENDPOINT_URL_S3")
        or os.environ.get("AWS_ENDPOINT_URL")
        or os.environ.get("MLFLOW_S3_ENDPOINT_URL")
    )
    region = options.get("region") or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return S3FileSystem(
        endpoint_override=endpoint,
        region=region,
        scheme=options.get("scheme"),
        connect_timeout=_CONNECT_SECONDS,
        request_timeout=_REQUEST_SECONDS,
        retry_strategy=AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
        background_writes=False,
    )


_REASONS = (
    (("NO_SUCH_BUCKET", "NoSuchBucket"), "does not exist. Create the bucket, or name another one"),
    (
        ("ACCESS_DENIED", "AccessDenied", "Forbidden", "INVALID_ACCESS_KEY", "InvalidAccessKeyId", "SIGNATURE", "403",
         "No credentials", "Unable to locate credentials", "ExpiredToken", "UNRECOGNIZED_CLIENT"),
        "denied access. Check the credentials in the environment (such as AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY) "
        "and the permissions to read, write and delete",
    ),
    (
        ("NETWORK_CONNECTION", "curlCode", "Could not connect", "Connection refused", "timed out", "Timeout"),
        "does not answer. Check its address (AWS_ENDPOINT_URL for an S3-compatible server) and the network",
    ),
)  # fmt: skip


def _error_text(error: Exception) -> str:
    """Return the predicate of an error message for a storage, from the error of its library."""
    text = redact_secrets(" ".join(str(error).split()).partition("; Details:")[0])
    if isinstance(error, ImportError):
        return f"needs a package that is not installed: {text}"
    for signs, reason in _REASONS:
        if any(sign in text for sign in signs):
            return f"{reason} ({text})"
    return f"cannot be used ({type(error).__name__}: {text})"


def redact_secrets(text: str) -> str:
    """Return a text with `***` in place of the secrets in the environment."""
    values = [os.environ.get(name) for name in _SECRETS]
    login = os.environ.get(STUDY_STORAGE, "").partition("://")[2].rpartition("@")[0]
    password = login.partition(":")[2]
    for secret in filter(None, [*values, password, unquote(password)]):
        text = text.replace(secret, "***")
    return text
