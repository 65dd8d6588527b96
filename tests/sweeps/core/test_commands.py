"""The command lines that messages suggest."""

from __future__ import annotations

from pathlib import Path

from sweeps.core.commands import command_on


def test_a_command_contains_the_runs_folder_unless_it_is_the_default() -> None:
    assert command_on("status", "tiny", runs=Path("runs")) == "sweeps status tiny"
    assert command_on("stop", "tiny", runs=Path("/a b/runs")) == "sweeps stop tiny --runs '/a b/runs'"
