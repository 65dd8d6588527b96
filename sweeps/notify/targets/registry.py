"""The kinds of targets.

A new kind is a file and an entry in `TARGETS`; tests/sweeps/test_notify.py asks of each what every one does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sweeps.core.errors import SweepError
from sweeps.notify.targets.command import Command
from sweeps.notify.targets.service import Service
from sweeps.notify.targets.target import Target, WrongTargetError
from sweeps.notify.targets.webhook import Webhook

TARGETS: Mapping[str, type[Target]] = {"webhook": Webhook, "service": Service, "command": Command}
"""Name to kind; the first that takes a text has it."""


def parse_targets(texts: Sequence[str]) -> list[Target]:
    """Return who is told, each once, from addresses and commands as a person writes them.

    Raises:
        SweepError: one cannot work at all.
    """
    return [_parse(text.strip()) for text in dict.fromkeys(texts)]


def _parse(text: str) -> Target:
    kind = next(kind for kind in TARGETS.values() if kind.takes(text))
    try:
        return kind(text)
    except WrongTargetError as error:
        *first, last = (kind.example for kind in TARGETS.values())
        raise SweepError(f"notify: {error}: give {', '.join(first)}, or {last}") from None
