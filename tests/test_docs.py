"""The documents say what the program does."""

from __future__ import annotations

import ast
import csv
import re
import runpy
import shlex
import subprocess
import tomllib
from pathlib import Path

import click
import pytest

from cifar_core.models.registry import ARCHITECTURES
from sweeps.cli.main import sweeps
from sweeps.files.ladder_file import load_ladder

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
VERBS = sorted(sweeps.commands)


def commands_in(text: str) -> list[list[str]]:
    """Every `sweeps ...` line of the fenced blocks, as words, without its comment."""
    blocks = re.findall(r"```\n(.*?)```", text, flags=re.DOTALL)
    lines = [line for block in blocks for line in block.splitlines() if line.startswith("sweeps ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help_with_an_example(verb: str) -> None:
    command = sweeps.commands[verb]
    text = command.get_help(click.Context(command, info_name=f"sweeps {verb}"))
    assert "Example:" in text
    assert f"sweeps {verb}" in text.partition("Example:")[2]


@pytest.mark.parametrize("words", commands_in(README), ids=" ".join)
def test_every_command_of_the_readme_is_understood(words: list[str]) -> None:
    verb = sweeps.commands[words[0]]
    with verb.make_context(words[0], list(words[1:])) as context:
        for value in context.params.values():
            if isinstance(value, Path) and value.suffix == ".yaml" and value.name != "mine.yaml":
                assert (ROOT / value).is_file()


def test_the_readme_names_every_make_target_it_promises() -> None:
    listed = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for target in re.findall(r"`make ([a-z-]+)", README):
        assert f"make {target} " in listed


def test_the_newest_release_of_the_changelog_is_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    newest = re.search(r"^## (\d\S+)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert newest is not None
    assert newest[1] == version


def test_every_relative_link_of_the_documents_leads_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_every_message_of_the_troubleshooting_page_is_in_the_code() -> None:
    page = (ROOT / "docs" / "how-to" / "troubleshooting.md").read_text(encoding="utf-8")
    messages = re.findall(r"^\| `([^`]+)` \|", page, flags=re.MULTILINE)
    texts = [
        text for package in ("sweeps", "cifar_core") for path in (ROOT / package).rglob("*.py") for text in _texts(path)
    ]
    assert len(messages) > 30
    assert [message for message in messages if message != OF_TORCH and not _is_in(message, texts)] == []


OF_TORCH = "CUDA out of memory"


def _texts(path: Path) -> list[str]:
    """Return the texts of a module, with a placeholder for each value."""
    nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
    formatted = [
        "".join(str(part.value) if isinstance(part, ast.Constant) else "…" for part in node.values)
        for node in nodes
        if isinstance(node, ast.JoinedStr)
    ]
    plain = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return [*formatted, *(re.sub(r"%[.\d]*[sdf]", "…", text) for text in plain)]


def _is_in(message: str, texts: list[str]) -> bool:
    pattern = re.compile(".*?".join(map(re.escape, message.split("…"))), flags=re.DOTALL | re.IGNORECASE)
    return any(pattern.search(text) for text in texts)


def test_every_architecture_is_named_in_the_changelog() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert [name for name in ARCHITECTURES if f"`{name}`" not in changelog] == []


LADDER_PAGE = runpy.run_path(str(ROOT / "benchmarks" / "ladder_page.py"))


def test_the_tables_of_the_ladder_page_are_those_of_the_committed_results() -> None:
    page = (ROOT / "docs" / "explanation" / "ladder.md").read_text(encoding="utf-8")
    assert list(LADDER_PAGE["tables_in"](page)) == ["ladder-laptop", "ladder", "climb-laptop-final", "best", "minutes"]
    assert LADDER_PAGE["page_with_tables"](page) == page


@pytest.mark.parametrize("name", sorted(path.stem for path in (ROOT / "experiments" / "results").glob("*.csv")))
def test_the_committed_results_are_of_rungs_that_their_file_has(name: str) -> None:
    with (ROOT / "experiments" / "results" / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        measured = {(row["rung"], row["from"]) for row in csv.DictReader(file)}
    assert measured <= {(rung.name, rung.parent or "") for rung in LADDER_PAGE["rungs_of"](name)}


@pytest.mark.parametrize("name", ["ladder-laptop", "climb-laptop-final", "ladder"])
def test_the_picture_of_a_committed_table_has_its_verdicts(name: str) -> None:
    drawn = LADDER_PAGE["comparisons_of"](ROOT / "experiments" / "results" / f"{name}.csv")
    assert drawn[0].finding == "start"
    for rung in drawn[1:]:
        is_open = "no significant" in rung.verdict or "do not differ" in rung.verdict
        assert (rung.finding in ("better", "worse")) == (not is_open), rung
        if rung.finding in ("better", "worse"):
            assert (rung.value > rung.before) == (rung.finding == "better"), rung
    assert LADDER_PAGE["ladder_figure"](drawn).axes


def test_rungs_run_again_replace_their_lines_in_the_order_of_the_ladder(tmp_path: Path) -> None:
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    columns = "rung,from,budget,runs,accuracy,difference_points\n"
    old.write_text(columns + "a,,full,1,50,\nc,a,full,1,70,\nd,a,full,1,80,\n", encoding="utf-8")
    reduced = "b,a,1/2,3,40,-9\nc,a,1/2,3,45,-5\n"
    new.write_text(columns + "c,a,full,1,71,\nb,a,full,3,60,\na,,full,0,,\n" + reduced, encoding="utf-8")

    is_complete = LADDER_PAGE["take_table"](new, old, rungs=["a", "b", "c", "d"])

    lines = "a,,full,1,50,\nb,a,full,3,60,\nc,a,full,1,71,\nd,a,full,1,80,\n"
    assert old.read_text(encoding="utf-8") == columns + lines
    assert not is_complete, "the pictures of the record lack a and d"
    assert LADDER_PAGE["take_table"](old, old, rungs=["a", "b", "c", "d"])


def test_a_rung_run_again_without_its_parent_keeps_its_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = tmp_path / "old.csv", tmp_path / "new.csv"
    columns = "rung,from,budget,runs,accuracy,difference_points\n"
    old.write_text(columns + "a,,full,1,50,\nb,a,full,1,60,+10\nc,b,full,1,70,+10\n", encoding="utf-8")
    new.write_text(columns + "b,a,full,1,61,\nc,b,full,1,72,+11\n", encoding="utf-8")

    LADDER_PAGE["take_table"](new, old, rungs=["a", "b", "c"])

    assert old.read_text(encoding="utf-8") == columns + "a,,full,1,50,\nb,a,full,1,60,+10\nc,b,full,1,72,+11\n"
    assert capsys.readouterr().out == "old: b is kept unchanged: the record lacks its parent a\n"


def test_the_ladder_page_speaks_of_every_rung() -> None:
    page = (ROOT / "docs" / "explanation" / "ladder.md").read_text(encoding="utf-8")
    rungs = load_ladder(ROOT / "experiments" / "ladder.yaml").rungs
    assert [rung.name for rung in rungs if rung.name not in page] == []


def test_every_test_that_the_reliability_page_names_is_there() -> None:
    page = (ROOT / "docs" / "explanation" / "reliability.md").read_text(encoding="utf-8")
    named = re.findall(r"`(tests/[\w/]+\.py)(?:::(\w+))?`", page)
    assert len(named) > 10
    for path, name in named:
        content = (ROOT / path).read_text(encoding="utf-8")
        assert not name or re.search(rf"(def|class) {name}\b", content), f"{path}::{name}"
    for script in re.findall(r"`python (\S+\.py)", page):
        assert (ROOT / script).is_file()
