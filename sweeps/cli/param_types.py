"""Parameter types with tab completion: sweeps, runs, columns, keys of a file. Heavy imports are inside functions."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import reduce
from operator import getitem
from pathlib import Path
from typing import Any

import click
from click.shell_completion import CompletionItem
from click.types import StringParamType

from sweeps.core.errors import SweepError

Candidates = Callable[[click.Context, str], Iterable[str]]
"""Returns the completions for the context and the incomplete word."""

OPEN = "open"
"""Type of a completion without a following space: a folder, a key before its value, or a library before a network."""

_LAST_NAME = re.compile(r"[\w.]*$")
_NAME_OF_RUN = re.compile(r"(.+)-(\d+)(-s\d+)?")


def _items(candidates: Iterable[str], typed: str) -> list[CompletionItem[str]]:
    return [
        CompletionItem(candidate, type=OPEN if candidate.endswith(("/", "=", ":")) else "plain")
        for candidate in candidates
        if candidate.startswith(typed)
    ]


class Text(StringParamType):
    """A text with completions."""

    def __init__(self, candidates: Candidates) -> None:
        self._candidates = candidates

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        return _items(self._candidates(ctx, incomplete), incomplete)


class YamlFile(click.Path):
    """A file, with completion of YAML files."""

    def __init__(self) -> None:
        super().__init__(path_type=Path, dir_okay=False)

    def shell_complete(self, ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem[str]]:
        return _items(_yaml_files(ctx, incomplete), incomplete)


class SweepName(Text):
    """A valid name of a sweep, which cannot lead out of the runs folder."""

    name = "sweep"

    def __init__(self) -> None:
        super().__init__(_sweeps)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        from sweeps.files.settings import check_name

        try:
            return check_name(value)
        except ValueError as error:
            sweep, _, part = str(value).partition("/")
            if part and part.strip("./") and sweep not in ("", ".", ".."):
                raise SweepError(f"{value!r} is a run of a sweep. Name the sweep: {sweep}") from None
            raise SweepError(str(error)) from None


def _runs_folder(ctx: click.Context) -> Path:
    named = ctx.params.get("runs")
    # In `sweeps leaderboard` the option may have no folder and may be repeated.
    folders = [value for value in ctx.params.get("runs_or_folder") or () if Path(value).is_dir()]
    return Path(named or (folders[-1] if folders else "runs"))


def _sweeps(ctx: click.Context, typed: str) -> Iterable[str]:
    from sweeps.search.state import sweep_names

    return sweep_names(_runs_folder(ctx))


def _runs(ctx: click.Context, typed: str) -> Iterator[str]:
    from sweeps.record.names import run_names

    for name in run_names(_runs_folder(ctx)):
        yield name
        number = _NAME_OF_RUN.fullmatch(name)
        if number and "/" in typed:
            yield f"{number[1]}/{int(number[2])}{number[3] or ''}"


def _sweeps_and_runs(ctx: click.Context, typed: str) -> Iterator[str]:
    yield from _sweeps(ctx, typed)
    yield from _runs(ctx, typed)


def _sql_columns(ctx: click.Context, typed: str) -> Iterator[str]:
    """Yield the expression with its last word replaced by each column."""
    before = _LAST_NAME.sub("", typed)
    if not before.count("'") % 2 and not before.count('"') % 2:  # not inside a string literal
        yield from (before + column for column in _full_names())


def _columns(ctx: click.Context, typed: str) -> Iterator[str]:
    """Yield columns by their full names and by their short names in tables."""
    from sweeps.views.columns import column_aliases

    before, columns = typed[: typed.rfind(",") + 1], list(_full_names())
    # A short name that is the beginning of a column would hide the column.
    short = [
        name
        for name, named in column_aliases(columns).items()
        if len(set(named)) == 1 and name.isidentifier() and not any(column.startswith(name) for column in columns)
    ]
    yield from (before + column for column in (*columns, *short))


def _full_names() -> Iterable[str]:
    from sweeps.record.columns import COLUMNS, LAST_COLUMNS

    fields = _schema("sweep")["properties"]["parameters"]["properties"]
    return dict.fromkeys((*COLUMNS, *fields, *LAST_COLUMNS))


def _yaml_files(ctx: click.Context, typed: str) -> Iterator[str]:
    folder = typed[: typed.rfind("/") + 1]
    for path in sorted(Path(folder or ".").expanduser().iterdir()):
        if path.name.startswith(".") and not typed[len(folder) :].startswith("."):
            continue
        if path.is_dir():
            yield f"{folder}{path.name}/"
        elif path.suffix in (".yaml", ".yml"):
            yield folder + path.name


def _folders(ctx: click.Context, typed: str) -> Iterator[str]:
    return (path for path in _yaml_files(ctx, typed) if path.endswith("/"))


def _rungs(ctx: click.Context, typed: str) -> Iterator[str]:
    from sweeps.files.ladder_file import load_ladder

    before, file = typed[: typed.rfind(",") + 1], _file(ctx)
    for rung in () if file is None else load_ladder(file).rungs:
        if rung.name not in before.split(","):
            yield before + rung.name


def _settings(ctx: click.Context, typed: str) -> Iterator[str]:
    """Yield `path=` for each key of a file and, after a path, its possible values."""
    path, equals, _ = typed.partition("=")
    keys = _keys(_schema(_kind_of_file(ctx)))
    if not equals:
        yield from (f"{key}=" for key in keys)
        return
    yield from (f"{path}={value}" for value in _values(keys.get(path, {})))


def _file(ctx: click.Context) -> Path | None:
    # If the last option has no value yet, click leaves all arguments in `args`.
    return ctx.params.get("file") or next((Path(text) for text in ctx.args if text.endswith((".yaml", ".yml"))), None)


def _kind_of_file(ctx: click.Context) -> str:
    file = _file(ctx)
    text = file.read_text(encoding="utf-8") if file is not None and file.is_file() else ""
    is_ladder = ctx.info_name == "ladder" or re.search(r"^(rungs|extends)\s*:", text, flags=re.MULTILINE)
    return "ladder" if is_ladder else "sweep"


def _schema(kind: str) -> Mapping[str, Any]:
    """Return the schema from its file, because generating it is too slow for completion."""
    import sweeps

    schema: Mapping[str, Any] = json.loads(
        Path(sweeps.__file__).with_name("files").joinpath(f"{kind}.schema.json").read_text(encoding="utf-8")
    )
    return schema


def _keys(schema: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return the dotted path and the schema of each key of a file that is not a block."""
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
    if "$ref" not in schema["properties"]["base"]:  # of a sweep, whose base may be for a training function
        walk(schema["$defs"]["TrainingConfig"], "base.")
    return found


def _values(field: Mapping[str, Any]) -> Iterator[str]:
    yield from map(str, field.get("enum", ()))
    if "const" in field:
        yield str(field["const"])
    yield from map(str, field.get("examples", ()))
    if field.get("type") == "boolean":
        yield from ("true", "false")
    for part in field.get("anyOf", ()):
        yield from _values(part)


def _networks(ctx: click.Context, typed: str) -> Iterable[str]:
    return _values(_keys(_schema("sweep"))["base.model.name"])


YAML_FILE = YamlFile()
RUN = Text(_runs)
SWEEP = Text(_sweeps)
SWEEP_OR_RUN = Text(_sweeps_and_runs)
FOLDER_OR_SERVER = Text(_folders)
SETTING = Text(_settings)
SQL = Text(_sql_columns)
COLUMN = Text(_columns)
"""A column, or several separated by commas."""
NETWORK_PATTERN = Text(_networks)
RUNGS = Text(_rungs)
