"""Telling others how a sweep goes: a web address or a command hears of a new best and of the end.

Nothing here can hold a sweep up or change it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from cifar_core.lazy import lazy_face

if TYPE_CHECKING:
    from sweeps.notify.notifier import Notifier
    from sweeps.notify.target import Target, parse_targets

__all__ = ["Notifier", "Target", "parse_targets"]

__getattr__, __dir__ = lazy_face(__name__, {"Notifier": "notifier", "Target": "target", "parse_targets": "target"})
