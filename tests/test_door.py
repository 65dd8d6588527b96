"""What stands at the project's door agrees with the house behind it."""

from __future__ import annotations

import configparser
import tomllib
from pathlib import Path

import yaml

from sweeps.cli.main import sweeps

ROOT = Path(__file__).parent.parent
SETTINGS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def read(path: str) -> str:
    return (ROOT / path).read_text(encoding="utf-8")


def test_the_citation_says_what_the_package_says_of_itself() -> None:
    project, citation = SETTINGS["project"], yaml.safe_load(read("CITATION.cff"))

    assert citation["version"] == project["version"]
    assert (citation["title"], citation["license"]) == (project["name"], project["license"])
    assert citation["authors"] == project["authors"]
    assert citation["abstract"] == project["description"]
    assert citation["cff-version"] == "1.2.0"


def test_a_commit_passes_make_check_and_no_tool_of_another_version() -> None:
    (repository,) = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]

    assert repository["repo"] == "local"
    assert [(hook["entry"], hook["language"]) for hook in repository["hooks"]] == [("make check", "system")]


def test_the_workflow_runs_what_ci_runs_anywhere() -> None:
    steps = yaml.safe_load(read(".github/workflows/ci.yml"))["jobs"]["test"]["steps"]

    assert steps[-1]["run"] == ".ci/run"
    version = next(step["with"]["python-version"] for step in steps if "setup-python" in step.get("uses", ""))
    assert SETTINGS["project"]["requires-python"] == f">={version}"


def test_the_issue_form_asks_for_what_the_doctor_can_say() -> None:
    form = yaml.safe_load(read(".github/ISSUE_TEMPLATE/bug.yml"))

    (doctor,) = (field for field in form["body"] if "`sweeps doctor --json`" in field["attributes"]["label"])
    assert doctor["validations"]["required"]
    assert any("--json" in parameter.opts for parameter in sweeps.commands["doctor"].params)


def test_an_editor_writes_lines_as_ruff_wants_them() -> None:
    style = configparser.ConfigParser()
    style.read_string("[all]\n" + read(".editorconfig"))

    assert style["*.py"]["max_line_length"] == str(SETTINGS["tool"]["ruff"]["line-length"])
    assert style["{Makefile,.ci/run}"]["indent_style"] == "tab"
