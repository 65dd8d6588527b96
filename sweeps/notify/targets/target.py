"""Contract of a target of notifications.

A URL may contain a password or a token anywhere. Only its scheme is printed, and the host of a web URL.
"""

from __future__ import annotations

import abc
import re
from typing import ClassVar

from sweeps.notify.message import Message

_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*)://")


class NotificationError(Exception):
    """A message could not be sent. The text contains no secret."""


class InvalidTargetError(Exception):
    """The text of a target is invalid. The error contains no secret."""


class Target(abc.ABC):
    """One URL, command or service. Each kind is a file."""

    example: ClassVar[str]
    """Example of a valid text, for errors."""
    label: str
    """Name without secrets."""

    @staticmethod
    @abc.abstractmethod
    def accepts(text: str) -> bool:
        """Return whether a text is of this kind. The kinds are tried in order."""

    @abc.abstractmethod
    def __init__(self, text: str) -> None:
        """Parse a text of this kind.

        Raises:
            InvalidTargetError: The text is invalid.
            SweepError: A package has to be installed first.
        """

    @abc.abstractmethod
    def send(self, message: Message) -> None:
        """Send a message and wait for the answer.

        Raises:
            NotificationError: The message was not accepted, or there was no answer in time.
        """


def scheme_of(text: str) -> str | None:
    """Return the scheme of a URL in lower case; None for any other text."""
    found = _SCHEME.match(text)
    return None if found is None else found[1].lower()
