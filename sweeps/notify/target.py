"""Targets of notifications: a web address that takes JSON, a command, or a service that apprise knows.

An address may hold a password or a token anywhere: what is printed of it is its scheme, of a web address its host too.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
import urllib.parse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sweeps.errors import SweepError
from sweeps.notify.message import Message

ANSWER_SECONDS = 4.0
"""How long a web address may take for each step of its answer."""
COMMAND_SECONDS = 30.0
"""How long a command may take while the sweep goes on."""

_URL = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*)://")
_WHAT = "an https:// address, an address of apprise such as slack://..., or a command that is there"


class NotToldError(Exception):
    """It did not hear of it; says why in a few words, without a secret."""


@dataclass(frozen=True)
class Target:
    """Whoever is told."""

    label: str
    """What may be printed of it."""
    tell: Callable[[Message], None] = field(repr=False)
    """Tells it, and waits until it has heard; raises NotToldError where it has not."""


def parse_targets(texts: Sequence[str]) -> list[Target]:
    """Return who is told, each once, from web addresses and commands as a person writes them.

    Raises:
        SweepError: one cannot work at all.
    """
    return [_parse(text.strip()) for text in dict.fromkeys(texts)]


def _parse(text: str) -> Target:
    if url := _URL.match(text):
        scheme = url[1].lower()
        return _webhook(text, scheme) if scheme in ("http", "https") else _service(text, scheme)
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
    command = [str(Path(program).absolute()), *words[1:]]
    return Target(Path(program).name, lambda message: _run(command, message))


def _webhook(url: str, scheme: str) -> Target:
    try:
        parts = urllib.parse.urlsplit(url)
        place = parts.hostname and parts.hostname + ("" if parts.port is None else f":{parts.port}")
    except ValueError:
        place = None
    if not place:
        raise SweepError(f"notify: {scheme}://... is no complete address, such as https://host/path?key=value")
    return Target(f"{scheme}://{place}", lambda message: _post(url, message))


def _service(url: str, scheme: str) -> Target:
    try:
        import apprise
    except ImportError:
        raise SweepError(
            f"notify: {scheme}://... is told through apprise, which is not installed: "
            "pip install --constraint requirements.lock -e '.[notify]'"
        ) from None
    # It logs addresses.
    logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
    service = apprise.Apprise.instantiate(url)
    if service is None:
        raise SweepError(
            f"notify: {scheme}://... is no address that apprise takes, which lists them at "
            f"https://github.com/caronc/apprise/wiki: give {_WHAT}"
        )
    kinds = {"ended": "success", "interrupted": "warning", "failed": "failure", "new_best": "info"}

    def tell(message: Message) -> None:
        body = message.text if message.error is None else f"{message.text}\n{message.error}"
        if not service.notify(body=body, title=f"Sweep {message.sweep}", notify_type=kinds[message.event]):
            raise NotToldError("it did not take the message")

    return Target(f"{scheme}://...", tell)


def _post(url: str, message: Message) -> None:
    import requests

    headers = {"Content-Type": "application/json", "User-Agent": "cifar-sweeps"}
    try:
        # A redirect would turn the POST into a GET, or carry it to a stranger.
        answer = requests.post(
            url, data=message.as_json(), headers=headers, timeout=ANSWER_SECONDS, allow_redirects=False
        )
    except requests.Timeout:
        raise NotToldError(f"no answer within {ANSWER_SECONDS:.0f} s") from None
    except requests.ConnectionError:
        raise NotToldError("no connection") from None
    if answer.status_code >= 300:
        raise NotToldError(f"it answered {answer.status_code}")


def _run(command: Sequence[str], message: Message) -> None:
    """Run it without a shell, in a session of its own: Ctrl-C in the terminal is not for it."""
    try:
        process = subprocess.Popen(
            command,
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
