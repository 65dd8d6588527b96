"""Who is told: a web address that takes a POST, or a command that takes JSON on its standard input.

An address may hold a password or a token anywhere: what is printed of it is its scheme and host alone.
"""

from __future__ import annotations

import base64
import contextlib
import http.client
import os
import re
import shlex
import shutil
import signal
import subprocess
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from sweeps.errors import SweepError
from sweeps.notify.message import Message

ANSWER_SECONDS = 4.0
"""How long a web address may take for each step of its answer."""
COMMAND_SECONDS = 30.0
"""How long a command may take while the sweep goes on."""

_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")
_WHAT = "an http:// or https:// address, or a command that is there"


class NotToldError(Exception):
    """It did not hear of it; says why in a few words, without a secret."""


class Target(Protocol):
    """Whoever is told."""

    @property
    def label(self) -> str:
        """What may be printed of it."""
        ...

    def tell(self, message: Message) -> None:
        """Tell it, and wait until it has heard.

        Raises:
            NotToldError: it has not.
        """
        ...


def parse_targets(texts: Sequence[str]) -> list[Target]:
    """Return who is told, each once, from web addresses and commands as a person writes them.

    Raises:
        SweepError: one cannot work at all.
    """
    return [_parse(text) for text in dict.fromkeys(texts)]


def _parse(text: str) -> Target:
    if _URL.match(text.strip()):
        return _webhook(text.strip())
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise SweepError(f"notify: a command that no shell would take ({error}): check its quotes") from None
    if not words:
        raise SweepError(f"notify: is empty: give {_WHAT}")
    program = shutil.which(os.path.expanduser(words[0]))  # noqa: PTH111  a Path would lose the ./
    if program is None:
        # What looks like a part of an address is not printed: it may hold a secret.
        shown = "its first word" if re.search(r"[@?=:]", words[0]) else repr(words[0])
        raise SweepError(f"notify: {shown} is no command that can be run here: give {_WHAT}")
    return Command(str(Path(program).absolute()), tuple(words[1:]))


def _webhook(url: str) -> Webhook:
    scheme = url.partition("://")[0].lower()
    if scheme not in ("http", "https"):
        raise SweepError(f"notify: {scheme}://... cannot be told anything: give {_WHAT}")
    try:
        parts = urllib.parse.urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    if not host or not url.isascii() or re.search(r"[\s\x00-\x1f\x7f]", url):
        raise SweepError(
            f"notify: {scheme}://... is no complete address, such as https://host/path?key=value, with every other "
            "character percent-encoded"
        )
    place = (f"[{host}]" if ":" in host else host) + ("" if port is None else f":{port}")
    authorization = None
    if parts.username is not None:
        pair = ":".join(urllib.parse.unquote(part or "") for part in (parts.username, parts.password))
        authorization = "Basic " + base64.b64encode(pair.encode("utf-8")).decode("ascii")
    bare = urllib.parse.urlunsplit((scheme, place, parts.path or "/", parts.query, ""))
    return Webhook(f"{scheme}://{place}", bare, authorization)


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect would turn the POST into a GET, or carry it to a stranger."""

    def redirect_request(self, *request: Any, **more: Any) -> None:
        return None


@dataclass(frozen=True)
class Webhook:
    """A web address that takes the JSON as a POST."""

    label: str
    url: str = field(repr=False)
    authorization: str | None = field(repr=False)

    def tell(self, message: Message) -> None:
        headers = {"Content-Type": "application/json", "User-Agent": "cifar-sweeps"}
        if self.authorization is not None:
            headers["Authorization"] = self.authorization
        request = urllib.request.Request(self.url, data=message.as_json(), headers=headers, method="POST")
        try:
            with urllib.request.build_opener(_NoRedirects).open(request, timeout=ANSWER_SECONDS):
                pass
        except urllib.error.HTTPError as error:
            error.close()
            raise NotToldError(f"it answered {error.code}") from None
        except TimeoutError:
            raise NotToldError(f"no answer within {ANSWER_SECONDS:.0f} s") from None
        except urllib.error.URLError as error:
            raise NotToldError(_reason(error.reason)) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise NotToldError(_reason(error)) from None


def _reason(error: object) -> str:
    """Return why a connection failed; of what is no system error only the kind: its words may hold the address."""
    if isinstance(error, TimeoutError):
        return f"no answer within {ANSWER_SECONDS:.0f} s"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return type(error).__name__


@dataclass(frozen=True)
class Command:
    """A program that is started without a shell, in a session of its own: Ctrl-C in the terminal is not for it."""

    program: str
    arguments: tuple[str, ...] = field(repr=False)

    @property
    def label(self) -> str:
        return Path(self.program).name

    def tell(self, message: Message) -> None:
        try:
            process = subprocess.Popen(
                [self.program, *self.arguments],
                stdin=subprocess.PIPE,
                # What it prints would tear the screen; where it should be kept, the command itself can say so.
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **message.environment()},
                start_new_session=True,
            )
        except OSError as error:
            raise NotToldError(error.strerror or "it cannot be started") from None
        try:
            process.communicate(message.as_json(), timeout=COMMAND_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise NotToldError(f"not done after {COMMAND_SECONDS:.0f} s, so it was ended") from None
        if process.returncode:
            raise NotToldError(f"it exited with {process.returncode}")
