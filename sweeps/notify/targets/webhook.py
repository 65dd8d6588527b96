"""A web URL that accepts JSON."""

from __future__ import annotations

import urllib.parse

from sweeps.notify.message import Message
from sweeps.notify.targets.target import InvalidTargetError, NotificationError, Target, scheme_of

ANSWER_SECONDS = 4.0
"""Timeout of each step of the request."""


class Webhook(Target):
    """Posts the message."""

    example = "an https:// URL"

    @staticmethod
    def accepts(text: str) -> bool:
        return scheme_of(text) in ("http", "https")

    def __init__(self, text: str) -> None:
        scheme = scheme_of(text)
        try:
            parts = urllib.parse.urlsplit(text)
            address = parts.hostname and parts.hostname + ("" if parts.port is None else f":{parts.port}")
        except ValueError:
            address = None
        if not address:
            raise InvalidTargetError(f"{scheme}://... is not a complete URL such as https://host/path?key=value")
        self.label = f"{scheme}://{address}"
        self._url = text

    def send(self, message: Message) -> None:
        import requests

        headers = {"Content-Type": "application/json", "User-Agent": "cifar-sweeps"}
        try:
            # A redirect would turn the POST into a GET, or send it to another host.
            answer = requests.post(
                self._url, data=message.as_json(), headers=headers, timeout=ANSWER_SECONDS, allow_redirects=False
            )
        except requests.Timeout:
            raise NotificationError(f"no answer within {ANSWER_SECONDS:.0f} s") from None
        except requests.ConnectionError:
            raise NotificationError("no connection") from None
        if answer.status_code >= 300:
            raise NotificationError(f"it answered {answer.status_code}")
