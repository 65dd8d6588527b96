"""All functions and verbs that train have the same options."""

from __future__ import annotations

import dataclasses

import pytest

from sweeps.cli.ladder import ablate, ladder
from sweeps.cli.replicate import replicate
from sweeps.cli.retrain import retrain
from sweeps.cli.run import run
from sweeps.driver.options import RunKeywords, RunOptions

KEYWORDS = set(RunKeywords.__annotations__)


def test_the_keywords_of_a_run_are_the_fields_of_its_options() -> None:
    assert {field.name for field in dataclasses.fields(RunOptions)} - {"runs", "new", "widen"} == KEYWORDS


@pytest.mark.parametrize("verb", [run, ladder, ablate, replicate, retrain], ids=lambda verb: str(verb.name))
def test_every_verb_that_trains_has_every_run_option(verb: object) -> None:
    names = {parameter.name for parameter in verb.params}  # type: ignore[attr-defined]

    assert KEYWORDS | {"runs"} <= names


@pytest.mark.parametrize("verb", [run, ladder, ablate, replicate], ids=lambda verb: str(verb.name))
def test_every_verb_that_writes_a_page_has_no_report(verb: object) -> None:
    assert "report" in {parameter.name for parameter in verb.params}  # type: ignore[attr-defined]
