"""Write the generated pages of docs/reference from the code: `make docs-reference`.

tests/test_reference.py fails where a committed page is not the generated one.
"""

from __future__ import annotations

import inspect
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from cifar_core.common.json_schema import Schema, field_docstrings, record_schema
from cifar_core.config import FIELDS_OF_KIND, TrainingConfig
from cifar_core.models.registry import ARCHITECTURES
from cifar_core.operations.normalize import NORMALIZATIONS
from cifar_core.operations.registry import OPERATIONS
from cifar_core.recipes import RECIPES
from sweeps.cli.main import sweeps
from sweeps.cli.options import RUN_OPTIONS
from sweeps.core.exit_codes import FAILED_OF_VERB, AnswerCode, ExitCode
from sweeps.core.variables import VARIABLES
from sweeps.files.parameter import DISTRIBUTIONS
from sweeps.files.scale import Scale
from sweeps.files.schema import file_schema
from sweeps.files.settings import FileOfConfigurations
from sweeps.files.sweep import METHODS
from sweeps.record.columns import RECORD_COLUMNS, Column, Unit
from sweeps.stopping.rules import RULES
from sweeps.tasks.image_schema import config_definitions, resolve_reference

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "reference"
COMMAND = "make docs-reference"
_HEAD = f"<!-- Generated from the code by `{COMMAND}`. Change the code, not this page. -->"
_DEFAULT = re.compile(r"\s*\[default: (.*)\]$")
_CODE = re.compile(
    r"(?<![`\w/-])(--[a-z][a-z-]*|\$[A-Z_0-9]+|[a-z0-9]+://(?:\.\.\.|[^\s)]*[^\s).,])|\w+\.\w+=\w+"
    r"|\w+(?:[./]\w+)*\.(?:yaml|jsonl|html|png))"
)


def page(title: str, *parts: str) -> str:
    """Return a page: its head, and its parts with an empty line between them."""
    return "\n\n".join([f"# {title}", _HEAD, *filter(None, parts)]) + "\n"


def table(headings: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table in Markdown; empty without rows. A column without any text is left out."""
    lines = [list(row) for row in rows]
    used = [index for index in range(len(headings)) if any(row[index] for row in lines)]
    cells = [headings, ["---"] * len(headings), *lines]
    return "\n".join("| " + " | ".join(_cell(row[index]) for index in used) + " |" for row in cells) if lines else ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def code(value: Any) -> str:
    """Return a value as a YAML file has it, as code."""
    return f"`{value if isinstance(value, str) and value else json.dumps(value, ensure_ascii=False)}`"


def listed(values: Iterable[Any]) -> str:
    """Return values as code, with commas."""
    return ", ".join(map(code, values))


# ---------------------------------------------------------------------------------------------------------------- verbs


def verbs() -> str:
    """Return the page of the command line."""
    names = [name for verb in sweeps.sections.values() for name in verb]
    assert set(names) == set(sweeps.commands)
    overview = table(
        ["verb", "purpose"],
        [(f"[`sweeps {name}`](#sweeps-{name})", _marked(_summary(sweeps.commands[name]))) for name in names],
    )
    sections = [
        f"## {title}\n\n" + "\n\n".join(_verb(f"sweeps {name}", sweeps.commands[name], level=3) for name in names)
        for title, names in sweeps.sections.items()
    ]
    return page(
        "Verbs",
        "`sweeps VERB --help` prints the same. [Exit codes](exit-codes.md) and [environment variables](environment.md) "
        "have pages of their own.",
        overview,
        *sections,
        "## Options of a run",
        "All verbs that train take these options.",
        _options([option for option in sweeps.commands["run"].params if option.name in RUN_OPTIONS]),
    )


def _summary(command: click.Command) -> str:
    return " ".join(str(command.help).partition("\n\n")[0].split())


def _verb(name: str, command: click.Command, *, level: int) -> str:
    paragraphs = inspect.cleandoc(str(command.help)).split("\n\n")
    context = click.Context(command, info_name=name)
    usage = f"{name} {' '.join(command.collect_usage_pieces(context))}"
    arguments = [each for each in command.params if isinstance(each, click.Argument)]
    options = [each for each in command.params if isinstance(each, click.Option) and not each.hidden]
    own = [option for option in options if option.name not in RUN_OPTIONS]
    parts = [
        f"{'#' * level} {name}",
        *(_paragraph(each) for each in paragraphs[:-1]),
        f"```text\n{usage}\n```",
        table(["argument", "default", "meaning"], [(_argument(each, context), *_help(each)) for each in arguments]),
        _options(own),
        "" if own == options else "And the [options of a run](#options-of-a-run).",
        _paragraph(paragraphs[-1]),
    ]
    if isinstance(command, click.Group):
        parts += [_verb(f"{name} {each}", command.commands[each], level=level + 1) for each in command.commands]
    return "\n\n".join(filter(None, parts))


def _paragraph(text: str) -> str:
    """Return a paragraph of a help: one that click keeps as it is (`\\b`) is a sentence and a block of code."""
    if not text.startswith("\b"):
        return _marked(" ".join(text.split()))
    lines = text.splitlines()[1:]
    title = next((line for line in lines if not line.startswith(" ")), None)
    block = inspect.cleandoc("\n".join(line for line in lines if line.startswith(" ")))
    return f"{title}\n\n```sh\n{block}\n```" if title else f"```python\n{block}\n```"


def _options(options: Iterable[click.Parameter]) -> str:
    return table(
        ["option", "value", "default", "meaning"],
        [_option(option) for option in options if isinstance(option, click.Option)],
    )


def _option(option: click.Option) -> tuple[str, str, str, str]:
    default, text = _help(option)
    shown = option.get_help_extra(click.Context(click.Command("verb"))).get("default", "")
    return (
        ", ".join(map(code, [*option.opts, *option.secondary_opts])),
        _value(option),
        default or (code(shown) if shown else "required" if option.required else ""),
        text,
    )


def _help(parameter: click.Parameter) -> tuple[str, str]:
    """Return the default that a help names, and the help without it."""
    default = _DEFAULT.search(str(parameter.help))
    return _marked(default[1]) if default else "", _marked(_DEFAULT.sub("", str(parameter.help)))


def _argument(argument: click.Argument, context: click.Context) -> str:
    return listed(argument.type.choices) if isinstance(argument.type, click.Choice) else _metavar(argument, context)


def _value(option: click.Option) -> str:
    """Return the value that follows an option."""
    if option.is_flag:
        return ""
    match option.type:
        case click.Choice(choices=choices):
            return listed(choices)
        case click.IntRange() | click.FloatRange():
            kind = "integer" if isinstance(option.type, click.IntRange) else "number"
            bounds = {
                "exclusiveMinimum" if option.type.min_open else "minimum": option.type.min,
                "exclusiveMaximum" if option.type.max_open else "maximum": option.type.max,
            }
            return _range(kind, {name: bound for name, bound in bounds.items() if bound is not None})
    return _metavar(option, click.Context(click.Command("verb")))


def _metavar(parameter: click.Parameter, context: click.Context) -> str:
    # A bar would end the cell of a table.
    return code((parameter.metavar or parameter.make_metavar(context)).replace("|", " or "))


def _marked(text: str) -> str:
    """Return a text of the command line with options, variables, addresses and files as code."""
    parts = text.split("`")
    parts[::2] = [_CODE.sub(r"`\1`", part) for part in parts[::2]]
    return "`".join(parts)


# ---------------------------------------------------------------------------------------------------------------- files


def sweep_file() -> str:
    """Return the page of a sweep file's keys."""
    schema = file_schema("sweep")
    definitions = schema["$defs"]
    blocks = ("metric", "limits", "resources", "replicates", "confirm", "keep")
    rules = [record_schema(rule) for rule in RULES.values()]
    names = dict.fromkeys(field for rule in rules for field in rule["properties"])
    return page(
        "Sweep file",
        "`sweeps run FILE` reads it. An unknown key is refused, and the error names the closest known one. `sweeps "
        "schema sweep` prints the JSON Schema. [Write a sweep or ladder file](../how-to/files.md) is the guide. An "
        "example, `experiments/quick.yaml`:",
        f"```text\n{(ROOT / 'experiments' / 'quick.yaml').read_text(encoding='utf-8').strip()}\n```",
        "## Keys",
        _keys(schema, links={**{block: f"#{block}" for block in blocks}, **_SWEEP_LINKS}),
        *(f"## {block}\n\n{_described(definitions[block.capitalize()])}" for block in blocks),
        "## Samplers",
        table(["method", "proposes"], [(code(name), text) for name, text in METHODS.items()]),
        "## early_terminate",
        "`type` is the name of a rule.",
        table(["type", "rule", "fields"], [_rule(rule) for rule in rules]),
        table(
            ["field", "type", "default", "meaning"],
            [_key(schema, name, _first(rules, name), required=False) for name in names if name != "type"],
        ),
        "## parameters",
        f"{definitions['Parameter']['description']} A path is that of any field of a "
        "[training configuration](training-configuration.md), or a keyword argument of `train`.",
        table(["form", "values"], _FORMS),
        table(
            ["key", "type", "meaning"],
            [(key, kind, text) for key, kind, _, text in _rows(definitions["Parameter"], schema)],
        ),
        table(["distribution", "draws"], [(code(name), text) for name, text in DISTRIBUTIONS.items()]),
    )


_SWEEP_LINKS = {
    "method": "#samplers",
    "early_terminate": "#early_terminate",
    "parameters": "#parameters",
    "base": "training-configuration.md",
    "metrics": "../how-to/several-objectives.md#several-objectives",
    "where": "../how-to/several-objectives.md#conditions",
    "start_with": "training-configuration.md",
    "train": "../how-to/own-training.md",
    "program": "../how-to/own-program.md",
    "command": "../how-to/own-program.md#the-command",
}
_FORMS = [
    ("`model.name: {values: [simple, resnet]}`", "one of the list"),
    ("`epochs: {value: 6}`", "always this one"),
    ("`schedule.step_size: {min: 1, max: 4}`", "from 1 to 4: integers, since the field takes only these"),
    ("`optimizer.lr: {min: 0.001, max: 0.3, distribution: log_uniform_values}`", "uniform in the logarithm"),
    ("`model.dropout: {min: 0, max: 0.5, distribution: q_uniform, q: 0.1}`", "0, 0.1, 0.2, 0.3, 0.4 or 0.5"),
    (
        "`model.width: {values: [8, 16], when: {model.name: [deep, resnet]}}`",
        "only in trials whose `model.name` is `deep` or `resnet`",
    ),
]


def ladder_file() -> str:
    """Return the page of a ladder file's keys."""
    schema = file_schema("ladder")
    rung = schema["properties"]["rungs"]["items"]
    own = {name: field for name, field in rung["properties"].items() if "$ref" not in field}
    links = {
        "scale": "#scale",
        "limits": "sweep-file.md#limits",
        "resources": "sweep-file.md#resources",
        "base": "training-configuration.md",
        "rungs": "#rungs",
        "extends": "../how-to/files.md#a-ladder-that-extends-another",
        "evaluate": "../how-to/files.md#a-ladder-that-is-still-being-chosen",
    }
    return page(
        "Ladder file",
        "`sweeps ladder FILE` reads it. An unknown key is refused, and the error names the closest known one. `sweeps "
        "schema ladder` prints the JSON Schema. A ladder has `rungs`, or `extends` another one.",
        "## Keys",
        _keys(schema, links=links),
        "## rungs",
        f"{rung['description']} Fields are written nested or as [dotted paths](training-configuration.md).",
        table(
            ["key", "type", "default", "meaning"],
            [_key(schema, name, field, required=name in rung["required"]) for name, field in own.items()],
        ),
        "## scale",
        _described(record_schema(Scale)),
    )


def _keys(schema: Schema, *, links: Mapping[str, str]) -> str:
    """Return the table of a file's keys: those that are required first, those of every kind of file last."""
    required = schema["required"]
    rows = []
    for name in sorted(schema["properties"], key=lambda key: (key not in required, key in _OF_EVERY_FILE)):
        key, *others = _key(schema, name, schema["properties"][name], required=name in required)
        rows.append((f"[{key}]({links[name]})" if name in links else key, *others))
    return table(["key", "type", "default", "meaning"], rows)


_OF_EVERY_FILE = frozenset(FileOfConfigurations.model_fields)


def _described(definition: Schema) -> str:
    """Return a block's sentence and the table of its keys."""
    return f"{definition['description']}\n\n" + table(
        ["key", "type", "default", "meaning"], _rows(definition, {"$defs": {}})
    )


def _rows(definition: Schema, schema: Schema) -> list[tuple[str, str, str, str]]:
    return [_key(schema, name, field, required=False) for name, field in definition["properties"].items()]


def _rule(rule: Schema) -> tuple[str, str, str]:
    name = rule["properties"]["type"]["const"]
    fields = [field for field in rule["properties"] if field != "type"]
    return code(name), rule["description"], listed(fields if name != "none" else ())


def _first(schemas: Iterable[Schema], name: str) -> Schema:
    return next(each["properties"][name] for each in schemas if name in each["properties"])


def _key(schema: Schema, name: str, field: Schema, *, required: bool) -> tuple[str, str, str, str]:
    """Return key, type, default and meaning of a field of a JSON Schema."""
    default = field.get("default")
    shown = "required" if required else "" if default in (None, [], "", {}) else code(default)
    return code(name), _kind(schema, field), shown, field["description"]


def _kind(schema: Schema, field: Schema) -> str:
    """Return the type of a field of a JSON Schema in words."""
    if "$ref" in field:
        return "mapping"
    if "enum" in field:
        return listed(field["enum"])
    if "const" in field:
        return code(field["const"])
    if parts := field.get("anyOf") or field.get("oneOf"):
        shared = {name: field[name] for name in _BOUNDS if name in field}
        kinds = dict.fromkeys(_kind(schema, shared | part) for part in parts if part.get("type") != "null")
        if any(kind.startswith("number") for kind in kinds):
            kinds = dict.fromkeys(kind for kind in kinds if not kind.startswith("integer"))
        return " or ".join(kinds)
    match field.get("type"):
        case "integer" | "number" as kind:
            return _range(kind, field)
        case "array":
            items = field.get("items", {})
            several = [_kind(schema, each) for each in items] if isinstance(items, list) else [_kind(schema, items)]
            return f"list of {' and '.join(several) if len(set(several)) > 1 else several[0]}"
        case "object":
            return "mapping"
        case "boolean":
            return "`true` or `false`"
        case "string":
            return "string"
        case [kind, "null"]:
            return _kind(schema, {"type": kind})
    return "any value"


_BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "gt": ">", "maximum": "≤", "exclusiveMaximum": "<"}
"""Keyword of a JSON Schema to its sign."""


def _range(kind: str, field: Mapping[str, Any]) -> str:
    even = "even " if field.get("multipleOf") == 2 else ""
    if kind == "integer" and "exclusiveMaximum" in field:
        field = {**field, "maximum": field["exclusiveMaximum"] - 1}
    if "minimum" in field and "maximum" in field:
        return f"{even}{kind}, {field['minimum']:,} to {field['maximum']:,}"
    bounds = [f"{sign} {field[name]:,}" for name, sign in _BOUNDS.items() if name in field]
    return " ".join([f"{even}{kind}", " and ".join(bounds)]).strip()


# -------------------------------------------------------------------------------------------------------- configuration


def training_configuration() -> str:
    """Return the page of a training configuration's fields."""
    schema = {"$defs": config_definitions()}
    fields = schema["$defs"]["TrainingConfig"]["properties"]
    below = {"model": [_architectures()], "data": [_normalizations(), _recipes(), _operations()]}
    parts = ["## Top level", _fields(schema, {key: field for key, field in fields.items() if "$ref" not in field})]
    for name, block in TrainingConfig():
        if f"{name}Config".lower() == type(block).__name__.lower():
            described = resolve_reference(schema, fields[name])
            docstrings = field_docstrings(type(block))
            own = {key: field | {"description": docstrings[key]} for key, field in described["properties"].items()}
            parts += [f"## {name}", described["description"], _fields(schema, own, block=name), *below.get(name, ())]
    return page(
        "Training configuration",
        f"{TrainingConfig.__doc__} `base` of a sweep or a ladder, a rung, and `--set` set its fields. A sweep searches "
        "them as `parameters` under the dotted path. A field that the chosen model, optimizer or schedule does not use "
        "has no effect.",
        *parts,
    )


def _fields(schema: Schema, fields: Mapping[str, Schema], *, block: str = "") -> str:
    rows = []
    for name, field in fields.items():
        path, kind, default, text = _key(schema, f"{block}.{name}" if block else name, field, required=False)
        kinds = FIELDS_OF_KIND.get(block, {})
        users = [each for each, used in kinds.items() if name in used]
        if block == "model" and users:  # each architecture has a default of its own
            own = {each: ARCHITECTURES[each].defaults[name] for each in users}
            default = ", ".join(
                f"{code(each)}: {'none' if value is None else code(value)}" for each, value in own.items()
            )
            users = []
        rows.append((path, kind, default, listed(users) if len(users) < len(kinds) else "", text))
    return table(["field", "type and range", "default", "used by", "meaning"], rows)


def _architectures() -> str:
    rows = []
    for name, architecture in ARCHITECTURES.items():
        module, _, owner = architecture.path.partition(":")
        sentence = str(inspect.getdoc(getattr(import_module(module), owner))).partition("\n\n")[0]
        rows.append((code(name), sentence, f"{architecture.least_size}×{architecture.least_size}"))
    return (
        "### Architectures\n\n"
        "A field applies to the architectures that have a default for it. C(n,k) is a convolution to n channels with a "
        "k×k kernel, BN a batch norm, M a 2×2 max-pool, L(n) a linear layer to n units.\n\n"
        + table(["model.name", "layers at the default width", "smallest image"], rows)
        + "\n\n`timm:NAME` and `torchvision:NAME` are networks of these libraries (`sweeps inspect models 'timm:*'` "
        "lists them; timm needs `pip install timm`). They use `model.pretrained`, `model.weights` and `model.options`, "
        "the keyword arguments of their constructors. Classes and image size follow from the data."
    )


def _normalizations() -> str:
    def shown(values: Sequence[float]) -> str:
        return " ".join(f"{value:.4g}" for value in values)

    return "### Normalisations\n\n" + table(
        ["data.normalization", "means (red, green, blue)", "standard deviations"],
        [(code(name), shown(mean), shown(std)) for name, (mean, std) in NORMALIZATIONS.items()],
    )


def _recipes() -> str:
    rows = [(code(name), listed(each.op for each in operations)) for name, operations in RECIPES.items()]
    return "### Recipes\n\nThe operations have their defaults.\n\n" + table(["data.augmentation", "operations"], rows)


def _operations() -> str:
    parts = [
        "### Operations",
        "A list of operations is applied in order. It contains `normalize` once, and ends with images of 32×32 pixels: "
        "`[{crop: {padding: 2}}, normalize, flip]`.",
    ]
    for name, operation in OPERATIONS.items():
        described = record_schema(operation)
        fields = {key: field for key, field in described["properties"].items() if key != "op"}
        parts += [
            f"#### {name}",
            described["description"],
            table(
                ["parameter", "type and range", "default", "meaning"],
                [_key({}, key, field, required=False) for key, field in fields.items()],
            ),
        ]
    return "\n\n".join(filter(None, parts))


# -------------------------------------------------------------------------------------------- columns, codes, variables


def columns() -> str:
    """Return the page of the leaderboard's columns."""
    first = [column for column in RECORD_COLUMNS.values() if not column.is_last]
    last = [column for column in RECORD_COLUMNS.values() if column.is_last]
    return page(
        "Columns",
        "`sweeps leaderboard`, its exports, `sweeps.leaderboard()` and the SQL tables `runs` and `configurations` "
        "have these columns. A screen shows some of them, under their headings. `--columns`, `--sort` and `--by` take "
        "names, headings and short names. `--where` and `--sql` take names only. [Query the leaderboard]"
        "(../how-to/leaderboard.md) explains how rows are ranked.",
        "A row of a configuration has the mean over its seeds in the averaged columns, and the value of the run that "
        "represents it in the others. A share is from 0 to 1; a screen shows it in percent.",
        "## First columns",
        _columns(first),
        "## Configuration",
        "Each field of the [training configuration](training-configuration.md) under its dotted path, such as "
        "`optimizer.lr`. The heading is its last part where that is unique.",
        "## Last columns",
        _columns(last),
    )


_UNITS = {
    Unit.NONE: "",
    Unit.SHARE: "share",
    Unit.SECONDS: "s",
    Unit.MILLIONS: "millions",
}


def _columns(shown: Iterable[Column]) -> str:
    return table(
        ["name", "heading", "type", "unit", "averaged", "meaning"],
        [
            (
                code(column.name),
                ", ".join([column.heading, *map(code, column.words)]),
                column.kind.value,
                _UNITS[column.unit],
                "yes" if column.is_averaged else "",
                column.meaning,
            )
            for column in shown
        ],
    )


def exit_codes() -> str:
    """Return the page of the exit codes."""
    return page(
        "Exit codes",
        table(["code", "meaning"], [(str(exit_code.value), exit_code.meaning) for exit_code in ExitCode]),
        "Pruned and diverged trials are no failures. A run that reaches `limits.timeout` exits with 0. An error of "
        "`sweeps` itself prints a traceback and exits with 1.",
        "## Code 1 by verb",
        "For a verb that trains, some trials failed. These verbs use it for something else:",
        table(
            ["verb", "meaning of 1"],
            [
                (f"[`sweeps {verb}`](verbs.md#sweeps-{verb.replace(' ', '-')})", text)
                for verb, text in FAILED_OF_VERB.items()
            ],
        ),
        "## Answers of `sweeps judge`",
        "[`sweeps judge`](verbs.md#sweeps-judge) exits with its answer, so that a script need not read its output.",
        table(["code", "answer"], [(str(answer.value), answer.meaning) for answer in AnswerCode]),
    )


def environment() -> str:
    """Return the page of the environment variables."""
    parts = []
    for group, variables in VARIABLES.items():
        rows = [(listed(names.split(", ")), each.default, each.meaning) for names, each in variables.items()]
        parts += [f"## {group}", table(["variable", "default", "meaning"], rows)]
    return page(
        "Environment variables",
        "An option of the command line overrides a variable, and a variable overrides the key of a file. The commands "
        "of `--notify` [receive variables too](../how-to/watching.md#notifications).",
        *parts,
    )


PAGES: Mapping[str, Callable[[], str]] = {
    "verbs.md": verbs,
    "sweep-file.md": sweep_file,
    "ladder-file.md": ladder_file,
    "training-configuration.md": training_configuration,
    "columns.md": columns,
    "exit-codes.md": exit_codes,
    "environment.md": environment,
}
"""File under docs/reference to the function that returns its text."""


def main() -> None:
    for name, text in PAGES.items():
        (FOLDER / name).write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
