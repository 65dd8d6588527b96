"""The generated pages of docs/reference are those that the code gives."""

from __future__ import annotations

import ast
import re
import runpy
from pathlib import Path

import pytest

from sweeps.cli.main import sweeps
from sweeps.core.exit_codes import FAILED_OF_VERB
from sweeps.core.variables import VARIABLES
from sweeps.record.columns import RECORD_COLUMNS

ROOT = Path(__file__).parent.parent
REFERENCE = runpy.run_path(str(ROOT / "docs" / "site" / "reference.py"))
SOURCES = [path for package in ("sweeps", "cifar_core") for path in sorted((ROOT / package).rglob("*.py"))]
INTERNAL = {"HOME", "COMP_WORD", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "SWEEPS_PAUSED"}
"""The home folder, a word that a shell completes, and switches of Ray and of `check` that `sweeps` itself sets."""


@pytest.mark.parametrize("name", REFERENCE["PAGES"])
def test_a_generated_page_is_what_the_code_gives(name: str) -> None:
    committed = (REFERENCE["FOLDER"] / name).read_text(encoding="utf-8")
    assert committed == REFERENCE["PAGES"][name](), f"docs/reference/{name} is out of date: `{REFERENCE['COMMAND']}`"


@pytest.mark.parametrize("verb", sweeps.commands)
def test_every_verb_and_each_of_its_options_is_in_the_reference(verb: str) -> None:
    page = (ROOT / "docs" / "reference" / "verbs.md").read_text(encoding="utf-8")
    section = re.split(r"^#{2,3} ", page.partition(f"### sweeps {verb}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]
    shared = page.partition("## Options of a run\n")[2]
    shown = [parameter for parameter in sweeps.commands[verb].params if not getattr(parameter, "hidden", False)]
    options = [option for parameter in shown for option in parameter.opts if option.startswith("-")]
    assert [option for option in options if f"`{option}`" not in section + shared] == []
    assert f"sweeps {verb}" in section.rpartition("Example:")[2]


def test_every_column_and_every_argument_has_a_meaning() -> None:
    silent = [name for name, column in RECORD_COLUMNS.items() if not column.meaning]
    silent += [f"{verb} {p.name}" for verb, command in sweeps.commands.items() for p in command.params if not p.help]
    assert silent == []


def test_every_environment_variable_that_the_code_reads_is_listed() -> None:
    read = {name for path in SOURCES for name in _variables_of(path)}
    known = {name for variables in VARIABLES.values() for names in variables for name in names.split(", ")}
    assert len(read) > 10
    assert read - known - INTERNAL == set()


def test_no_exit_code_is_written_as_a_number() -> None:
    exits = [
        f"{path.name}:{node.lineno}"
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and re.search(r"(^|\.)_?exit$", ast.unparse(node.func))
        and node.args
        and isinstance(node.args[0], ast.Constant)
    ]
    assert exits == []
    assert set(FAILED_OF_VERB) <= {*sweeps.commands, "inspect mistakes"}


def _variables_of(path: Path) -> set[str]:
    """Return the environment variables that a module gets from `os.environ`, by a literal or a constant of its own."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    constants = {
        target.id: node.value.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }
    found = set()
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or ast.unparse(node.func) != "os.environ.get":
            continue
        name = node.args[0]
        if isinstance(name, ast.Constant):
            found.add(str(name.value).upper())
        elif isinstance(name, ast.Name) and name.id in constants:
            found.add(constants[name.id])
    return found
