"""The live view below a notebook's cell. IPython is not a dependency: a fake takes the output."""

from __future__ import annotations

import io
import itertools
import sys
import time
import types
from typing import Any

import pytest
from rich.console import Console
from test_drawing import live_state

from sweeps.driver.progress import redraws, show_progress
from sweeps.search.state import SweepState
from sweeps.system.output import is_notebook, terminal_copy
from sweeps.views.live.live_state import LiveState
from sweeps.views.live.notebook import NotebookScreen


class Shown:
    """A display handle as IPython gives it: one output, whose content is replaced."""

    def __init__(self) -> None:
        self.contents: list[str] = []

    def display(self, content: Any, *, display_id: bool) -> Shown:
        assert display_id
        self.contents.append(content.data)
        return self

    def update(self, content: Any) -> None:
        self.contents.append(content.data)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    output = Shown()
    shell = types.SimpleNamespace(kernel=object())
    package: Any = types.ModuleType("IPython")
    package.get_ipython = lambda: shell
    display: Any = types.ModuleType("IPython.display")
    display.display, display.HTML = output.display, lambda data: types.SimpleNamespace(data=data)
    monkeypatch.setitem(sys.modules, "IPython", package)
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    return output


def test_a_notebook_redraws_the_view_in_place_twice_a_second(shown: Shown, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.views.live.notebook.SECONDS", 0.02)
    reads = itertools.count(1)

    with NotebookScreen(lambda: live_state(title="<quick>", elapsed=float(next(reads)))) as screen:
        deadline = time.monotonic() + 10
        while len(shown.contents) < 4 and time.monotonic() < deadline:
            time.sleep(0.01)

    assert len(shown.contents) == len(set(shown.contents)) >= 5, "the time advances, and the end is shown"
    assert "&lt;quick&gt;: 3 of 20 trials done" in shown.contents[-1]
    assert not screen._thread.is_alive()


def test_an_error_while_drawing_in_a_notebook_does_not_stop_the_sweep(
    shown: Shown, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sweeps.views.live.notebook.SECONDS", 0.02)
    reads = 0

    def read() -> LiveState:
        nonlocal reads
        reads += 1
        if reads > 1:
            raise RuntimeError("dictionary changed size during iteration")
        return live_state()

    with NotebookScreen(read):
        deadline = time.monotonic() + 10
        while reads < 4 and time.monotonic() < deadline:
            time.sleep(0.01)

    assert reads >= 4, "drawing continues after an error"
    assert len(shown.contents) == 1


def test_a_sweep_in_a_notebook_has_a_live_view_instead_of_lines(shown: Shown) -> None:
    assert is_notebook()
    output = io.StringIO()

    with show_progress(
        Console(file=output), SweepState(sweep="tiny", metric="val_accuracy", maximize=True), prints_through=False
    ):
        pass

    assert "tiny: 0 trials done" in shown.contents[-1]
    assert output.getvalue() == ""


def test_a_terminal_is_not_a_notebook() -> None:
    assert not is_notebook()


@pytest.mark.parametrize("output", ["a notebook", "a pipe"])
def test_forced_colours_do_not_make_a_terminal(
    output: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    if output == "a notebook":
        request.getfixturevalue("shown")
    monkeypatch.setenv("FORCE_COLOR", "1")  # as a notebook's kernel sets it

    with terminal_copy() as console:
        assert not redraws(console)
        console.print("a line", style="bold")

    assert capfd.readouterr().out == "a line\n"
