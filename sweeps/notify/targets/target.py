"""What a target of notifications is: whoever is told of a sweep.

An address may hold a password or a token anywhere: what is printed of it is its scheme, of a web address its host too.
"""

from __future__ import annotations

import abc
import re
from typing import ClassVar

from sweeps.notify.message import Message

_SCHEME = re.compile(r"\s*([A-Za-z][A-Za-z0-9+.-]*)://")


class NotToldError(Exception):
    """It did not hear of it; says why in a few words, without a secret."""


class WrongTargetError(Exception):
    """The text cannot work; says why without a secret."""


class Target(abc.ABC):
    """One address, command or service. Each kind is a file."""

    example: ClassVar[str]
    """Such a text in a few words, for an error."""
    label: str
    """What may be printed of it."""

    @staticmethod
    @abc.abstractmethod
    def takes(text: str) -> bool:
        """Return whether a text is meant for this kind; the kinds are asked in their order."""

    @abc.abstractmethod
    def __init__(self, text: str) -> None:
        """Read a text that this kind takes.

        Raises:
            WrongTargetError: it cannot work at all.
            SweepError: something has to be installed first.
        """

    @abc.abstractmethod
    def tell(self, message: Message) -> None:
        """Tell it, and wait until it has heard.

        Raises:
            NotToldError: it has not, or gives no answer within seconds.
        """


def scheme_of(text: str) -> str | None:
    """Return the scheme of an address in small letters; None of a text that is none."""
    found = _SCHEME.match(text)
    return None if found is None else found[1].lower()
