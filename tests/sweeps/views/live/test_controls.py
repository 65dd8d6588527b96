"""The keys of the live view, and its page."""

from __future__ import annotations

import http.client
import json
import threading
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_drawing import lines, live_state

from sweeps.core.errors import SweepError
from sweeps.views.live.controls import Controls
from sweeps.views.live.keys import DOWN, UP, keys_in
from sweeps.views.live.live_state import LiveState
from sweeps.views.live.web import WatchServer


class Given:
    """Commands that are noted. A fake of those to a driver."""

    def __init__(self) -> None:
        self.commands: list[str] = []

    def pause(self) -> str:
        return self._note("pause")

    def resume(self) -> str:
        return self._note("resume")

    def skip(self, trial: str) -> str:
        if trial == "trial 101":
            raise SweepError("trial 101 is in its last epoch.")
        return self._note(f"skip {trial}")

    def set_slots(self, slots: int) -> str:
        return self._note(f"slots {slots}")

    def _note(self, command: str) -> str:
        self.commands.append(command)
        return f"done: {command}"


def controls(state: LiveState, given: Given) -> Controls:
    made = Controls(lambda: state, given, leave=lambda: given._note("leave"))
    made._keys._before = []  # as with a terminal
    made.live_state()  # drawn once
    return made


@pytest.mark.parametrize(
    ("keys", "commands"),
    [
        ("p", ["pause"]),
        ("s", ["skip trial 100"]),
        ([DOWN, DOWN, "s"], ["skip trial 100"]),
        ("+", ["slots 3"]),
        ("-", ["slots 1"]),
        ("q", ["leave"]),
        ("x", []),
    ],
)
def test_a_key_gives_its_command(keys: list[str], commands: list[str]) -> None:
    given = Given()
    made = controls(live_state(running=2), given)
    for key in keys:
        made.on_key(key)
    assert given.commands == commands


def test_p_resumes_a_paused_sweep_and_the_footer_says_so() -> None:
    given = Given()
    made = controls(live_state(is_paused=True), given)
    assert made.live_state().footer.startswith("p resume")
    made.on_key("p")
    assert given.commands == ["resume"]


def test_the_last_slot_is_kept_and_a_refusal_is_shown() -> None:
    given = Given()
    made = controls(live_state(slots=1), given)
    made.on_key("-")
    assert "at least one slot" in made.live_state().footer
    made.on_key(UP)
    made.on_key("s")
    assert made.live_state().footer == "trial 101 is in its last epoch."
    assert given.commands == []


def test_without_a_trial_nothing_is_skipped() -> None:
    given = Given()
    made = controls(live_state(running=0), given)
    made.on_key(DOWN)
    made.on_key("s")
    assert given.commands == []
    assert made.live_state().selected is None


def test_a_key_before_the_first_drawing_does_nothing() -> None:
    given = Given()
    Controls(live_state, given, leave=lambda: given._note("leave")).on_key("p")
    assert given.commands == []


@given(st.binary())
def test_any_bytes_of_a_terminal_are_keys_or_ignored(typed: bytes) -> None:
    assert all(key in (UP, DOWN) or len(key) == 1 for key in keys_in(typed))


def test_arrows_are_read_as_up_and_down() -> None:
    assert keys_in(b"\x1b[Aq\x1b[Bs\x03") == [UP, "q", DOWN, "s"]


@pytest.mark.parametrize("height", [1, 2, 3, 12, 20])
def test_the_footer_is_the_last_line_and_fits(height: int) -> None:
    drawn = lines(live_state(footer="p pause  s skip"), height=height)
    assert len(drawn) <= height
    assert (drawn[-1] == "p pause  s skip") == (height > 2)


@pytest.fixture
def page() -> Iterator[tuple[WatchServer, Given]]:
    given = Given()
    server = WatchServer(lambda: live_state(best=None), given)
    thread = threading.Thread(target=server.serve, daemon=True)
    thread.start()
    yield server, given
    server.close()
    thread.join()


def ask(
    server: WatchServer, path: str, *, method: str = "GET", body: str | None = None, host: str | None = None
) -> tuple[int, bytes]:
    parts = urlsplit(server.address)
    connection = http.client.HTTPConnection("127.0.0.1", parts.port, timeout=10)
    connection.request(method, path.replace("TOKEN", parts.query), body, {"Host": host or parts.netloc})
    answer = connection.getresponse()
    return answer.status, answer.read()


def test_the_page_and_its_state_need_the_token(page: tuple[WatchServer, Given]) -> None:
    server, _ = page
    assert ask(server, "/?TOKEN")[0] == 200
    status, content = ask(server, "/state?TOKEN")
    assert (status, json.loads(content)["title"]) == (200, "quick")
    for path in ("/", "/state", "/state?token=wrong"):
        assert ask(server, path)[0] == 403
    assert ask(server, "/?TOKEN", host="evil.example")[0] == 403
    assert ask(server, "/other?TOKEN")[0] == 404


def test_a_button_gives_its_command_and_shows_the_reply(page: tuple[WatchServer, Given]) -> None:
    server, given = page
    asked = json.dumps({"command": "skip", "argument": "trial 100"})
    assert ask(server, "/command", method="POST", body=asked)[0] == 403
    status, content = ask(server, "/command?TOKEN", method="POST", body=asked)
    assert (status, json.loads(content)) == (200, {"reply": "done: skip trial 100"})
    refused = json.dumps({"command": "skip", "argument": "trial 101"})
    assert b"last epoch" in ask(server, "/command?TOKEN", method="POST", body=refused)[1]
    assert given.commands == ["skip trial 100"]


@pytest.mark.parametrize("body", ["", "[]", "{}", '{"command": "rm"}', '{"command": "slots", "argument": "two"}'])
def test_a_wrong_request_is_refused(page: tuple[WatchServer, Given], body: str) -> None:
    server, given = page
    assert ask(server, "/command?TOKEN", method="POST", body=body)[0] == 400
    assert given.commands == []
