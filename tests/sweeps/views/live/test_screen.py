"""The live view on a terminal does not affect the sweep."""

from __future__ import annotations

import io

from rich.console import Console
from test_drawing import live_state

from sweeps.views.live.live_state import LiveState
from sweeps.views.live.screen import Screen


def test_an_error_while_drawing_keeps_the_last_view_and_the_sweep() -> None:
    broken = False

    def read() -> LiveState:
        if broken:
            raise RuntimeError("dictionary changed size during iteration")
        return live_state()

    with Screen(Console(file=io.StringIO(), force_terminal=True, width=100, height=20), read) as screen:
        before = screen.drawn().plain
        broken = True
        assert screen.drawn().plain == before

    assert before.startswith("quick: 3 of 20 trials done")


def test_the_last_line_and_the_columns_for_ctrl_c_stay_empty() -> None:
    console = Console(file=io.StringIO(), force_terminal=True, width=60, height=10)

    lines = Screen(console, lambda: live_state(running=30, ended=30)).drawn().plain.split("\n")

    assert len(lines) <= 9
    assert max(map(len, lines)) <= 58
