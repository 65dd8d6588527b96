"""Output in other encodings, closed pipes, and Python without docstrings."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from sweeps.cli.main import sweeps
from sweeps.files.schema import schema_file

ROOT = Path(__file__).parents[3]
PRINT = """
import click
from sweeps.cli.terminal import console, prepare_streams
prepare_streams()
click.echo("a → b × \\udcff é")
console().print("12.70 (12.06–13.37) ±")
"""


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, *arguments], capture_output=True, check=False, env=os.environ | environment, cwd=ROOT
    )


@pytest.mark.parametrize(
    ("encoding", "shown"),
    [
        ("ascii", rb"a > b x \xff \xe9|12.70 (12.06-13.37) +-|"),
        ("utf-8", "a → b × \\xff é|12.70 (12.06–13.37) ±|".encode()),
        ("latin-1", "a > b × \\xff é|12.70 (12.06-13.37) ±|".encode("latin-1")),
    ],
)
def test_characters_that_an_encoding_lacks_are_replaced(encoding: str, shown: bytes) -> None:
    process = run("-c", PRINT, PYTHONIOENCODING=encoding)

    assert process.stderr == b""
    assert process.stdout.replace(b"\n", b"|") == shown


def test_a_closed_pipe_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    process = subprocess.run(
        [sys.executable, "-c", "from sweeps.cli.main import main; main()", "--help"],
        stdout=write,
        stderr=subprocess.PIPE,
        check=False,
        cwd=ROOT,
    )
    os.close(write)

    assert (process.returncode, process.stderr) == (0, b"")


def test_help_and_schema_are_the_same_without_docstrings() -> None:
    code = (
        "from sweeps.cli.main import sweeps\n"
        "for words in (['--help'], ['plan', '--help'], ['schema', 'sweep']):\n"
        "    sweeps(words, standalone_mode=False)\n"
        "    print('\\f', end='')"
    )
    asked = run("-OO", "-c", code).stdout.split(b"\f")

    assert b"Train the missing trials of a sweep" in asked[0]
    assert b"Starts nothing." in asked[1]
    assert asked[2] == schema_file("sweep").read_bytes()


def test_the_help_has_sections_and_truncates_nothing() -> None:
    text = sweeps.get_help(sweeps.make_context("sweeps", [], resilient_parsing=True, terminal_width=80))

    assert re.findall(r"^(\w+):$", text, re.MULTILINE) == [
        "Options",
        "View",
        "Write",
        "Run",
        "Steer",
        "Confirm",
        "Use",
        "Maintain",
    ]
    assert "..." not in text.partition("View:")[2]
    assert max(map(len, text.splitlines())) <= 80
    assert set(re.findall(r"^  ([a-z]+)  ", text, re.MULTILINE)) == set(sweeps.commands)


def test_every_console_is_made_in_one_module() -> None:
    # Rich parses `[/red]` in a file name as markup, unless markup is off.
    made = [path for path in (ROOT / "sweeps").rglob("*.py") if re.search(r"(?<!\w)Console\(", path.read_text("utf-8"))]

    assert [path.name for path in made] == ["formatting.py"]
