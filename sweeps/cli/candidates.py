"""What a word of a command line may become: sweeps, runs, columns, keys of a file. Imports nothing that takes long."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem


@dataclass(frozen=True)
class Word:
    """The word at the cursor, as far as it is typed, and what stands before it."""

    text: str
    before: tuple[str, ...]
    context: click.Context


Candidates = Callable[[Word], Iterable[str]]

OPEN = "open"
"""Type of a candidate after which no space follows: a folder, or a key that waits for its value."""

_LAST_NAME = re.compile(r"[\w.]*$")
_NAME_OF_RUN = re.compile(r"(.+)-(\d+)(-s\d+)?")


def candidates(parameter: click.Parameter, word: Word) -> list[CompletionItem[str]] | None:
    """Return what a parameter's word may become; None where click itself knows: choices, options, plain files."""
    found = _BY_PARAMETER.get(parameter.name or "")
    if found is None:
        return None
    whole = (candidate for candidate in found(word) if candidate.startswith(word.text))
    return [CompletionItem(candidate, type=OPEN if candidate.endswith(("/", "=")) else "plain") for candidate in whole]


def _runs_folder(word: Word) -> Path:
    named = word.context.params.get("runs")
    # `sweeps leaderboard` takes the option without a folder too, and more than once.
    folders = [value for value in word.context.params.get("runs_or_folder") or () if Path(value).is_dir()]
    return Path(named or (folders[-1] if folders else "runs"))


def _sweeps(word: Word) -> Iterable[str]:
    from sweeps.study.state import sweep_names

    return sweep_names(_runs_folder(word))


def _runs(word: Word) -> Iterator[str]:
    from sweeps.tracking.names import names_of_runs

    for name in names_of_runs(_runs_folder(word)):
        yield name
        number = _NAME_OF_RUN.fullmatch(name)
        if number and "/" in word.text:
            yield f"{number[1]}/{int(number[2])}{number[3] or ''}"


def _sweeps_and_runs(word: Word) -> Iterator[str]:
    yield from _sweeps(word)
    yield from _runs(word)


def _sql_columns(word: Word) -> Iterator[str]:
    """Give the text before the last word of an expression with each column behind it."""
    before = _LAST_NAME.sub("", word.text)
    if not before.count("'") % 2 and not before.count('"') % 2:  # else inside of a text of the expression
        yield from (before + column for column in _full_names())


def _columns(word: Word) -> Iterator[str]:
    """Give columns by their full names, and by the short ones that screens show."""
    from sweeps.views.columns import spoken_columns

    before, columns = word.text[: word.text.rfind(",") + 1], list(_full_names())
    # A short name that a column begins with would only stand in its way.
    spoken = [
        spoken
        for spoken, meant in spoken_columns(columns).items()
        if len(set(meant)) == 1 and spoken.isidentifier() and not any(column.startswith(spoken) for column in columns)
    ]
    yield from (before + column for column in (*columns, *spoken))


def _full_names() -> Iterable[str]:
    from sweeps.tracking.columns import COLUMNS, LAST_COLUMNS

    fields = _schema("sweep")["properties"]["parameters"]["properties"]
    return dict.fromkeys((*COLUMNS, *fields, *LAST_COLUMNS))


def _yaml_files(word: Word) -> Iterator[str]:
    typed = word.text[: word.text.rfind("/") + 1]
    for path in sorted(Path(typed or ".").expanduser().iterdir()):
        if path.name.startswith(".") and not word.text[len(typed) :].startswith("."):
            continue
        if path.is_dir():
            yield f"{typed}{path.name}/"
        elif path.suffix in (".yaml", ".yml"):
            yield typed + path.name


def _folders(word: Word) -> Iterator[str]:
    return (path for path in _yaml_files(word) if path.endswith("/"))


def _rungs(word: Word) -> Iterator[str]:
    from sweeps.spec.ladder_file import load_ladder

    before, file = word.text[: word.text.rfind(",") + 1], _file(word)
    for rung in () if file is None else load_ladder(file).rungs:
        if rung.name not in before.split(","):
            yield before + rung.name


def _settings(word: Word) -> Iterator[str]:
    """Give `path=` for each key of a file and, behind a path, the values that it may have."""
    path, equals, _ = word.text.partition("=")
    keys = _keys(_schema(_kind_of_file(word)))
    if not equals:
        yield from (f"{key}=" for key in keys)
        return
    yield from (f"{path}={value}" for value in _values(keys.get(path, {})))


def _file(word: Word) -> Path | None:
    # click reads no argument of a line whose last option waits for its value.
    return next((Path(text) for text in word.before if text.endswith((".yaml", ".yml"))), None)


def _kind_of_file(word: Word) -> str:
    file = _file(word)
    if word.context.info_name == "ladder" or file is None or not file.is_file():
        return "ladder" if word.context.info_name == "ladder" else "sweep"
    return (
        "ladder"
        if re.search(r"^(rungs|extends)\s*:", file.read_text(encoding="utf-8"), flags=re.MULTILINE)
        else "sweep"
    )


def _schema(kind: str) -> Mapping[str, Any]:
    """Return the schema from its file: making it takes longer than a person waits."""
    import sweeps

    schema: Mapping[str, Any] = json.loads(
        Path(sweeps.__file__).with_name("spec").joinpath(f"{kind}.schema.json").read_text(encoding="utf-8")
    )
    return schema


def _keys(schema: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return dotted path to schema for each key of a file that is no block."""
    found: dict[str, dict[str, Any]] = {}

    def walk(block: Mapping[str, Any], prefix: str) -> None:
        for part in (block, *block.get("oneOf", ())):
            for key, value in part.get("properties", {}).items():
                named = reduce(getitem, value["$ref"].split("/")[1:], schema) if "$ref" in value else value
                if prefix != "parameters." and ("properties" in named or "oneOf" in named):
                    walk(named, f"{prefix}{key}.")
                else:
                    found.setdefault(f"{prefix}{key}", {"anyOf": []})["anyOf"].append(named)

    walk(schema, "")
    return found


def _values(field: Mapping[str, Any]) -> Iterator[str]:
    yield from map(str, field.get("enum", ()))
    if "const" in field:
        yield str(field["const"])
    if field.get("type") == "boolean":
        yield from ("true", "false")
    for part in field.get("anyOf", ()):
        yield from _values(part)


_BY_PARAMETER: Mapping[str, Candidates] = {
    "file": _yaml_files,
    "source": _folders,
    "sweep": _sweeps,
    "run": _runs,
    "first": _runs,
    "second": _runs,
    "name": _sweeps_and_runs,
    "overrides": _settings,
    "where": _sql_columns,
    "sql": _sql_columns,
    "columns": _columns,
    "by": _columns,
    "sort": _columns,
    "only": _rungs,
}
"""A parameter's name in the code to what its word may be: it means the same in every verb, a new one too."""
