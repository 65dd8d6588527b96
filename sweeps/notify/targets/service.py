"""A service that apprise supports: Slack, mail, ntfy and a hundred more."""

from __future__ import annotations

import logging

from sweeps.core.errors import SweepError
from sweeps.notify.message import Message
from sweeps.notify.targets.target import InvalidTargetError, NotificationError, Target, scheme_of

_KINDS = {"ended": "success", "interrupted": "warning", "failed": "failure", "new_best": "info"}
"""Event → apprise's notification type."""


class Service(Target):
    """Sends text and error of the message."""

    example = "a URL of apprise such as slack://..."

    @staticmethod
    def accepts(text: str) -> bool:
        return scheme_of(text) is not None

    def __init__(self, text: str) -> None:
        self.label = f"{scheme_of(text)}://..."
        try:
            import apprise
        except ImportError:
            raise SweepError(
                f"notify: {self.label} needs apprise, which is not installed. Run `pip install 'cifar-sweeps[notify]'`."
            ) from None
        # It logs URLs, which may contain secrets.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        service = apprise.Apprise.instantiate(text)
        if service is None:
            raise InvalidTargetError(
                f"apprise does not accept this {self.label} URL (see https://github.com/caronc/apprise/wiki)"
            )
        self._service = service

    def send(self, message: Message) -> None:
        body = message.text if message.error is None else f"{message.text}\n{message.error}"
        if not self._service.notify(body=body, title=f"Sweep {message.sweep}", notify_type=_KINDS[message.event]):
            raise NotificationError("it did not accept the message")
