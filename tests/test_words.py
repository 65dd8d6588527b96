"""Texts of the code, its screens and the docs use the field's words: these phrases are not used."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

INSTEAD = {
    r"go(es|ing)? on|went on": "resumes, continues",
    r"anew": "again, from the start",
    r"mend(s|ed|ing)?": "repairs",
    r"whoever|nobody|somebody|anybody|everybody": "the passive, or the reader as `you`",
    r"(is|are|was|were|be|been|being) told": "receives, is reported",
    r"hears?|heard": "receives",
    r"hardly": "rarely, with a number",
    r"brings? \w+ level": "updates",
    r"lies (in|at|on|under|beside|there)": "is in",
    r"stands (in|at|on|under|beside|there|behind)": "is in",
    r"of one's own|one's own": "custom, your own",
    r"nothing yet": "no docstring",
    r"keeps? (\w+ )?off": "locks",
    r"told apart": "distinguished",
    r"the truth": "actual",
    r"(?<!make )(?<!makes )sure": "certain, or the probability",
    r"look(s|ed)? at the test": "accesses the test set",
    r"as it was begun|was begun": "started",
    r"no longer there|is away": "missing, unreachable",
    r"beside": "next to, in addition to",
}
"""Regular expressions of phrases that are not used, and the words to use."""
PHRASES = {re.compile(rf"\b({phrase})\b", re.IGNORECASE): words for phrase, words in INSTEAD.items()}


def texts_of_code(source: str) -> Iterator[tuple[int, str]]:
    """Yield each comment and each string that is a sentence, with its line."""
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value:
            yield from enumerate(node.value.splitlines(), node.lineno)


def texts_of_page(source: str) -> Iterator[tuple[int, str]]:
    """Yield the lines of a page, without its code blocks."""
    in_block = False
    for number, line in enumerate(source.splitlines(), 1):
        if line.lstrip().startswith("```"):
            in_block = not in_block
        elif not in_block:
            yield number, re.sub(r"`[^`]*`", "", line)


def found(texts: Iterator[tuple[int, str]]) -> list[str]:
    """Return where a phrase is used, with the words to use instead."""
    return [
        f"{line}: {match[0]!r}: use {words}"
        for line, text in texts
        for phrase, words in PHRASES.items()
        for match in phrase.finditer(text)
    ]


@pytest.mark.parametrize("package", ["sweeps", "cifar_core", "benchmarks"])
def test_code_and_screens_use_the_words_of_the_field(package: str) -> None:
    files = sorted((ROOT / package).rglob("*.py"))
    assert len(files) > 5
    assert [
        f"{path.relative_to(ROOT)}:{each}" for path in files for each in found(texts_of_code(path.read_text()))
    ] == []


def test_the_docs_use_the_words_of_the_field() -> None:
    pages = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
    assert [
        f"{page.relative_to(ROOT)}:{each}" for page in pages for each in found(texts_of_page(page.read_text()))
    ] == []


def test_a_phrase_is_found_in_comments_strings_and_pages() -> None:
    assert found(texts_of_code('"It goes on."  # and is mended\n')) == [
        "1: 'mended': use repairs",
        "1: 'goes on': use resumes, continues",
    ]
    assert found(texts_of_page("```\nanew\n```\nbegun `anew` anew\n")) == ["4: 'anew': use again, from the start"]
