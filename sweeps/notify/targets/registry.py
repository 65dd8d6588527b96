"""The registry of the kinds of targets.

To add a kind, add a file and an entry in `TARGETS`. tests/sweeps/notify tests all kinds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from sweeps.core.errors import SweepError
from sweeps.notify.targets.command import Command
from sweeps.notify.targets.service import Service
from sweeps.notify.targets.target import InvalidTargetError, Target
from sweeps.notify.targets.webhook import Webhook

TARGETS: Mapping[str, type[Target]] = {"webhook": Webhook, "service": Service, "command": Command}
"""Name → kind. The first kind that accepts a text is used."""


def parse_targets(texts: Sequence[str]) -> list[Target]:
    """Return the targets of URLs and commands, without duplicates.

    Raises:
        SweepError: A text is invalid.
    """
    return [_parse(text.strip()) for text in dict.fromkeys(texts)]


def _parse(text: str) -> Target:
    kind = next(kind for kind in TARGETS.values() if kind.accepts(text))
    try:
        return kind(text)
    except InvalidTargetError as error:
        *first, last = (kind.example for kind in TARGETS.values())
        raise SweepError(f"notify: {error}. Use {', '.join(first)}, or {last}") from None
