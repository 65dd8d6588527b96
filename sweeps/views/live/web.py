"""The live view of a sweep as a web page, on this machine only.

The address contains a token, so that other users of the machine and pages of other origins can neither read the sweep
nor give it commands.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import asdict
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from urllib.parse import parse_qs, urlsplit

from sweeps.core.errors import SweepError
from sweeps.views.live.controls import Commands
from sweeps.views.live.live_state import LiveState

HOST = "127.0.0.1"
_MAX_BODY = 1000


class WatchServer:
    """Serves the page, its state as JSON, and the commands of its buttons."""

    def __init__(self, live_state: Callable[[], LiveState], commands: Commands, *, port: int = 0) -> None:
        """Bind the port.

        Args:
            live_state: Returns the state of the sweep; called by several threads, one at a time.
            commands: Carries out the buttons.
            port: 0 for a free one.

        Raises:
            OSError: The port is taken.
        """
        self._live_state, self._commands = live_state, commands
        self._token = secrets.token_urlsafe(24)
        self._lock = threading.Lock()
        self._page = files("sweeps.views.live").joinpath("web.html").read_text(encoding="utf-8")
        self._server = ThreadingHTTPServer((HOST, port), self._handler())
        self._server.daemon_threads = True

    @property
    def address(self) -> str:
        """Address of the page with its token."""
        return f"http://{HOST}:{self._server.server_address[1]}/?token={self._token}"

    def serve(self) -> None:
        """Answer requests until `close`, or an exception such as that of Ctrl-C."""
        self._server.serve_forever(poll_interval=0.2)

    def close(self) -> None:
        """End `serve` and free the port."""
        self._server.shutdown()
        self._server.server_close()

    def page(self) -> tuple[str, str]:
        """Return the page, and its content security policy."""
        nonce = secrets.token_urlsafe(16)
        policy = (
            f"default-src 'none'; script-src 'nonce-{nonce}'; style-src 'nonce-{nonce}'; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        return self._page.replace("NONCE", nonce), policy

    def state(self) -> str:
        """Return the state as JSON; an error as its text."""
        with self._lock:
            try:
                return json.dumps(_plain(asdict(self._live_state())))
            except SweepError as error:
                return json.dumps({"error": str(error)})

    def carry_out(self, command: str, argument: str) -> str:
        """Return the reply to a command of the page.

        Raises:
            ValueError: There is no such command.
        """
        found: dict[str, Callable[[], str]] = {
            "pause": self._commands.pause,
            "resume": self._commands.resume,
            "skip": lambda: self._commands.skip(argument),
            "slots": lambda: self._commands.set_slots(int(argument)),
        }
        if command not in found:
            raise ValueError(f"no command {command!r}")
        try:
            return found[command]()
        except SweepError as error:
            return str(error)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        server = self

        class Handler(BaseHTTPRequestHandler):
            """One request."""

            def do_GET(self) -> None:
                path = urlsplit(self.path).path
                if not self._is_allowed():
                    return
                if path == "/":
                    page, policy = server.page()
                    self._answer(page, kind="text/html; charset=utf-8", policy=policy)
                elif path == "/state":
                    self._answer(server.state(), kind="application/json")
                else:
                    self.send_error(HTTPStatus.NOT_FOUND)

            def do_POST(self) -> None:
                if not self._is_allowed():
                    return
                length = self.headers.get("Content-Length", "")
                if not length.isdecimal() or int(length) > _MAX_BODY:
                    self.send_error(HTTPStatus.BAD_REQUEST)
                    return
                try:
                    asked = json.loads(self.rfile.read(int(length)))
                    reply = server.carry_out(str(asked["command"]), str(asked.get("argument", "")))
                except (ValueError, KeyError, TypeError, AttributeError):
                    self.send_error(HTTPStatus.BAD_REQUEST)
                    return
                self._answer(json.dumps({"reply": reply}), kind="application/json")

            def _is_allowed(self) -> bool:
                """Return whether the request has the token and was sent to this address; answer it if not."""
                given = parse_qs(urlsplit(self.path).query).get("token", [""])[0]
                port = server._server.server_address[1]
                is_here = self.headers.get("Host") in (f"{HOST}:{port}", f"localhost:{port}")
                if is_here and secrets.compare_digest(given.encode(), server._token.encode()):
                    return True
                self.send_error(HTTPStatus.FORBIDDEN, "Open the address that sweeps watch has printed")
                return False

            def _answer(self, content: str, *, kind: str, policy: str = "default-src 'none'") -> None:
                body = content.encode()
                self.send_response(HTTPStatus.OK)
                headers = {
                    "Content-Type": kind,
                    "Content-Length": str(len(body)),
                    "Content-Security-Policy": policy,
                    "Cache-Control": "no-store",
                    "Referrer-Policy": "no-referrer",
                    "X-Content-Type-Options": "nosniff",
                }
                for name, value in headers.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *told: object) -> None:
                """Print nothing: the token is part of each address."""

        return Handler


def _plain(value: object) -> object:
    """Return a value for JSON, which has neither infinities nor NaN."""
    if isinstance(value, dict):
        return {str(name): _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float) and (value != value or value in (float("inf"), float("-inf"))):
        return None
    return value
