"""A service that apprise knows: Slack, mail, ntfy and a hundred more."""

from __future__ import annotations

import logging

from sweeps.core.errors import SweepError
from sweeps.notify.message import Message
from sweeps.notify.targets.target import NotToldError, Target, WrongTargetError, scheme_of

_KINDS = {"ended": "success", "interrupted": "warning", "failed": "failure", "new_best": "info"}
"""Event to apprise's word for how good news it is."""


class Service(Target):
    """Sends the sentence, and what to do about it."""

    example = "an address of apprise such as slack://..."

    @staticmethod
    def takes(text: str) -> bool:
        return scheme_of(text) is not None

    def __init__(self, text: str) -> None:
        self.label = f"{scheme_of(text)}://..."
        try:
            import apprise
        except ImportError:
            raise SweepError(
                f"notify: {self.label} is told through apprise, which is not installed: "
                "pip install --constraint requirements.lock -e '.[notify]'"
            ) from None
        # It logs addresses.
        logging.getLogger("apprise").setLevel(logging.CRITICAL + 1)
        service = apprise.Apprise.instantiate(text)
        if service is None:
            raise WrongTargetError(
                f"{self.label} is no address that apprise takes, which lists them at "
                "https://github.com/caronc/apprise/wiki"
            )
        self._service = service

    def tell(self, message: Message) -> None:
        body = message.text if message.error is None else f"{message.text}\n{message.error}"
        if not self._service.notify(body=body, title=f"Sweep {message.sweep}", notify_type=_KINDS[message.event]):
            raise NotToldError("it did not take the message")
