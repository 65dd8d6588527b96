"""A web address that takes JSON."""

from __future__ import annotations

import urllib.parse

from sweeps.notify.message import Message
from sweeps.notify.targets.target import NotToldError, Target, WrongTargetError, scheme_of

ANSWER_SECONDS = 4.0
"""How long a web address may take for each step of its answer."""


class Webhook(Target):
    """Posts the message."""

    example = "an https:// address"

    @staticmethod
    def takes(text: str) -> bool:
        return scheme_of(text) in ("http", "https")

    def __init__(self, text: str) -> None:
        scheme = scheme_of(text)
        try:
            parts = urllib.parse.urlsplit(text)
            address = parts.hostname and parts.hostname + ("" if parts.port is None else f":{parts.port}")
        except ValueError:
            address = None
        if not address:
            raise WrongTargetError(f"{scheme}://... is no complete address, such as https://host/path?key=value")
        self.label = f"{scheme}://{address}"
        self._url = text

    def tell(self, message: Message) -> None:
        import requests

        headers = {"Content-Type": "application/json", "User-Agent": "cifar-sweeps"}
        try:
            # A redirect would turn the POST into a GET, or carry it to a stranger.
            answer = requests.post(
                self._url, data=message.as_json(), headers=headers, timeout=ANSWER_SECONDS, allow_redirects=False
            )
        except requests.Timeout:
            raise NotToldError(f"no answer within {ANSWER_SECONDS:.0f} s") from None
        except requests.ConnectionError:
            raise NotToldError("no connection") from None
        if answer.status_code >= 300:
            raise NotToldError(f"it answered {answer.status_code}")
