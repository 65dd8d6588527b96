"""A real S3 server for tests: moto's, as a process of its own, with the environment that its users need."""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "tests", "AWS_SECRET_ACCESS_KEY": "not-for-any-log", "AWS_REGION": "us-east-1"}


class S3:
    """A server, and how it is reached."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        self._numbers = itertools.count()

    @property
    def environment(self) -> dict[str, str]:
        return {**ENVIRONMENT, "AWS_ENDPOINT_URL": self.endpoint}

    def new_bucket(self) -> str:
        """Make a bucket and return its URL."""
        name = f"bucket-{next(self._numbers)}"
        self._client.create_bucket(Bucket=name)
        return f"s3://{name}"

    def content(self, url: str) -> dict[str, bytes]:
        """Return every file of a bucket: name to content; one that is being deleted may be missing."""
        bucket, _, below = url.removeprefix("s3://").partition("/")
        found = self._client.list_objects_v2(Bucket=bucket, Prefix=below).get("Contents", [])
        content = {}
        for key in (entry["Key"] for entry in found if not entry["Key"].endswith("/")):
            with contextlib.suppress(self._client.exceptions.NoSuchKey):
                content[key] = self._client.get_object(Bucket=bucket, Key=key)["Body"].read()
        return content

    @functools.cached_property
    def _client(self):  # type: ignore[no-untyped-def]
        import boto3

        return boto3.client(
            "s3",
            endpoint_url=self.endpoint,
            aws_access_key_id=ENVIRONMENT["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=ENVIRONMENT["AWS_SECRET_ACCESS_KEY"],
            region_name=ENVIRONMENT["AWS_REGION"],
        )


@contextmanager
def s3_server(*, host: str = "127.0.0.1", log: Path | None = None) -> Iterator[S3]:
    """Run a server within the block."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("moto_server")), "-H", host, "-p", str(port)]
    with (log or Path(os.devnull)).open("ab") as output:
        server = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection((host, port), timeout=1).close()
                break
            except OSError:
                assert time.monotonic() < deadline, "moto's server did not start"
                time.sleep(0.2)
        yield S3(f"http://{host}:{port}")
    finally:
        server.terminate()
        server.wait(20)
