"""Read YAML files and apply `--set path=value`. Numbers follow YAML 1.2, in which `1e-3` is a number."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import yaml

from sweeps.core.errors import SpecError
from sweeps.tasks.registry import IMAGES

_RESETTING_KEYS = tuple(f"{block}.name" for block in IMAGES.reset_by_name)

_SHOWN = 60
"""Largest number of characters of a value in an error."""

_TAG = "tag:yaml.org,2002:"
_PADDED, _SEXAGESIMAL = "!padded", "!sexagesimal"
_MERGE = f"{_TAG}merge"

_FLOAT = re.compile(
    r"[-+]?(?:\d[\d_]*\.[\d_]*(?:[eE][-+]?\d+)?|\.\d[\d_]*(?:[eE][-+]?\d+)?|\d[\d_]*[eE][-+]?\d+)"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_RESOLVERS = {
    f"{_TAG}int": (re.compile(r"[-+]?(?:0b[01_]+|0x[0-9a-fA-F_]+|0|[1-9][\d_]*)"), "-+0123456789"),
    f"{_TAG}float": (_FLOAT, "-+.0123456789"),
    _PADDED: (re.compile(r"[-+]?0[\d_]+"), "-+0123456789"),
    _SEXAGESIMAL: (re.compile(r"[-+]?\d[\d_]*(?::[0-5]?\d)+(?:\.\d*)?"), "-+0123456789"),
}
"""Plain scalars that are numbers. YAML 1.1, which PyYAML reads, has the string `1e-3`, `010` as 8 and `1:30` as 90."""


class _Loader(yaml.SafeLoader):
    pass


class _Dumper(yaml.SafeDumper):
    pass


def _resolve_as_yaml_1_2(kind: type[_Loader | _Dumper]) -> None:
    kept = {
        first: [(tag, pattern) for tag, pattern in pairs if tag not in _RESOLVERS]
        for first, pairs in kind.yaml_implicit_resolvers.items()
    }
    kind.yaml_implicit_resolvers = kept
    for tag, (pattern, first) in _RESOLVERS.items():
        kind.add_implicit_resolver(tag, re.compile(rf"(?:{pattern.pattern})$"), list(first))


_resolve_as_yaml_1_2(_Loader)
_resolve_as_yaml_1_2(_Dumper)


def dump_yaml(content: Mapping[str, Any]) -> str:
    """Return content as YAML that `load_yaml` parses to the same content."""
    return yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False, allow_unicode=True)


def load_yaml(text: str) -> Any:
    """Return the content of a text from `dump_yaml`."""
    return _parse(text, Path("configuration"))[0]


def flow_text(value: Any) -> str:
    """Return a value as one line of YAML."""
    text = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, sort_keys=False, width=10**6, allow_unicode=True)
    return text.removesuffix("\n...\n").strip()


class Document(dict[str, Any]):
    """Keys and values of a YAML file, with the line of each key and errors of values."""

    def __init__(
        self, path: Path, content: Mapping[str, Any], *, mistakes: Mapping[str, str], locations: Mapping[str, str]
    ) -> None:
        super().__init__(content)
        self.path = path
        self.mistakes = dict(mistakes)
        """Dotted key to the error of its value."""
        self._locations = dict(locations)

    def with_content(
        self, content: Mapping[str, Any], *, renamed: Mapping[str, str], mistakes: Mapping[str, str]
    ) -> Document:
        """Return a document with other content.

        Args:
            content: the new keys and values.
            renamed: dotted key to the one whose line it has.
            mistakes: further errors by key.
        """
        locations = dict(self._locations)
        for new, old in renamed.items():
            inner = [key for key in self._locations if key == old or key.startswith(f"{old}.")]
            locations |= {new + key.removeprefix(old): self._locations[key] for key in inner}
        return Document(self.path, content, mistakes={**self.mistakes, **mistakes}, locations=locations)

    def override(self, override: str) -> None:
        """Set a key from `path=value`."""
        key, value, reading = _parsed_override(override)
        set_path(self, key, value)
        replaced = [old for old in (*self._locations, *self.mistakes) if old == key or old.startswith(f"{key}.")]
        for old in replaced:
            self._locations.pop(old, None)
            self.mistakes.pop(old, None)
        self._locations[key] = f"--set {key}"
        self.mistakes |= {f"{key}.{inner}" if inner else key: text for inner, text in reading.mistakes.items()}

    def located(self, errors: Iterable[str]) -> list[str]:
        """Return errors of the form `key: error` with the line of each key in front, in the order of the lines."""
        found = [(self.location_of(key_of(error)), error) for error in dict.fromkeys(errors)]
        found.sort(key=lambda pair: int(pair[0].removeprefix("line ")) if pair[0].startswith("line ") else 0)
        return [f"{location}: {_without(location.removeprefix('--set '), error)}" for location, error in found]

    def location_of(self, key: str) -> str:
        """Return the line of a dotted key, or of its closest existing parent."""
        while key and key not in self._locations:
            key = key.rpartition(".")[0]
        return self._locations.get(key, "line 1")


def _without(key: str, error: str) -> str:
    """Return an error without its key, for a key from `--set`."""
    return error.removeprefix(f"{key}: ")


_KEY = re.compile(r"[\w.:/\[\] -]*?(?=\s\(|: |$)")


def key_of(error: str) -> str:
    """Return the dotted key at the start of an error: `rungs.2` of `rungs[2] (deep): model.name: …`."""
    match = _KEY.match(error)
    return re.sub(r"\[(\d+)\]", r".\1", match[0]) if match and match.end() < len(error) else ""


class _Reading:
    """Converts YAML nodes to values, and collects the lines and the errors of keys."""

    def __init__(self, loader: _Loader) -> None:
        self._loader = loader
        self.lines: dict[str, int] = {}
        self.mistakes: dict[str, str] = {}

    def value(self, node: yaml.Node, key: str) -> Any:
        """Return the value of a node.

        Raises:
            yaml.MarkedYAMLError: the node has an invalid key or value.
            RecursionError: blocks are nested too deeply, or an anchor contains itself.
        """
        self.lines.setdefault(key, node.start_mark.line + 1)
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, key)
        if node.tag not in (f"{_TAG}map", f"{_TAG}seq"):
            self.mistakes[key] = f"the tag {_short(node.tag)} is not supported. Leave it out"
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, key)
        return [self.value(child, _below(key, index)) for index, child in enumerate(node.value)]

    def _mapping(self, node: yaml.MappingNode, key: str) -> dict[str, Any]:
        merged: dict[str, Any] = {}
        own: dict[str, Any] = {}
        for name, child in node.value:
            if name.tag == _MERGE:
                merged = merged | self._merged(child, key)
        for name, child in node.value:
            if name.tag == _MERGE:
                continue
            if not isinstance(name, yaml.ScalarNode):
                raise _error("a key must be a string, not a list or a mapping", name)
            if name.value in own:
                raise _error(f"the key {name.value!r} is used twice", name)
            inner = _below(key, name.value)
            # The line of the key: its value may be on a later line.
            self.lines[inner] = name.start_mark.line + 1
            own[name.value] = self.value(child, inner)
        return merged | own

    def _merged(self, node: yaml.Node, key: str) -> dict[str, Any]:
        parts = node.value if isinstance(node, yaml.SequenceNode) else [node]
        merged: dict[str, Any] = {}
        for part in reversed(parts):
            if not isinstance(part, yaml.MappingNode):
                raise _error("`<<` needs a mapping, such as *range, or a list of mappings", part)
            merged |= self.value(part, key)
        return merged

    def _scalar(self, node: yaml.ScalarNode, key: str) -> Any:
        if node.tag == f"{_TAG}str":
            return node.value
        text = node.value if len(node.value) <= _SHOWN else f"{node.value[:_SHOWN]}…"
        quoted = f"'{text}' with quotes"
        if node.tag == _PADDED:
            digits = node.value.replace("_", "").lstrip("-+")
            octal = f" and {int(digits, 8)} for others" if re.fullmatch("[0-7]{1,40}", digits) else ""
            number = ("-" if text[0] == "-" else "") + (digits.lstrip("0") or "0")
            self.mistakes[key] = (
                f"{text} is a string for some YAML parsers{octal}. Write {number}, or {quoted} for a string"
            )
            return float(number) if len(number) > _SHOWN else int(number)
        if node.tag == _SEXAGESIMAL:
            seconds = 0.0
            for part in text.replace("_", "").lstrip("-+").split(":"):
                seconds = seconds * 60 + float(part or 0)
            self.mistakes[key] = (
                f"{text} is a base-60 number for some YAML parsers. Write {seconds:g}, a duration such as "
                f"{_as_duration(text)}, or {quoted} for a string"
            )
            return seconds
        try:
            value = self._loader.construct_object(node)
        except yaml.constructor.ConstructorError as error:
            raise _error(error.problem or str(error.context), node) from None
        except (ValueError, OverflowError) as error:
            self.mistakes[key] = f"{text} is invalid: {error}"
            return text
        if isinstance(value, bool | int | float | str | None):
            return value
        kind = "a date" if node.tag == f"{_TAG}timestamp" else f"of type {_short(node.tag)}"
        self.mistakes[key] = f"{text.strip()} is {kind} in YAML. For a string write {quoted}"
        return text


def _as_duration(text: str) -> str:
    parts = text.lstrip("-+").split(":")
    units = "hms"[: len(parts)] if len(parts) < 4 else ""
    return " or ".join(
        "".join(f"{part.lstrip('0') or '0'}{unit}" for part, unit in zip(parts, chosen, strict=False))
        for chosen in dict.fromkeys((units, "ms"[: len(parts)] if len(parts) == 2 else units))
    )


def _below(key: str, name: object) -> str:
    return f"{key}.{name}" if key else str(name)


def _short(tag: str | None) -> str:
    return f"{tag}".replace(_TAG, "!!")


def _error(problem: str, node: yaml.Node) -> yaml.MarkedYAMLError:
    return yaml.constructor.ConstructorError(problem=problem, problem_mark=node.start_mark)


def read_yaml(path: Path, *, overrides: Sequence[str] = ()) -> Document:
    """Return a file's content with the overrides applied. Errors of single values are in its `mistakes`.

    Raises:
        SpecError: the file is missing, is not YAML, is not a mapping, or an override is not `path=value`.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        near = sorted(str(p) for p in path.parent.glob("*.yaml")) if path.parent.is_dir() else []
        hint = f". The folder contains {', '.join(near)}" if near else ""
        raise SpecError(path, [f"the file does not exist{hint}"]) from None
    except (OSError, ValueError) as error:
        raise SpecError(path, [f"the file cannot be read as text: {error}"]) from None
    if path.suffix == ".json":
        text = text.replace("\t", " ")  # which JSON allows between values, and YAML does not
    content, reading = _parse(text, path)
    if not isinstance(content, dict):
        what = {"NoneType": "nothing", "list": "a list", "str": "a string"}.get(type(content).__name__, "one value")
        raise SpecError(path, [f"line 1: the file contains {what} instead of a mapping such as `name: quick`"])
    locations = {key: f"line {line}" for key, line in reading.lines.items()}
    document = Document(path, content, mistakes=reading.mistakes, locations=locations)
    for override in overrides:
        document.override(override)
    return document


def _parse(text: str, path: Path) -> tuple[Any, _Reading]:
    loader = None
    try:
        loader = _Loader(text)
        reading = _Reading(loader)
        node = loader.get_single_node()
        return (None if node is None else reading.value(node, "")), reading
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        location = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        problem = "a tab. Indent with spaces" if "'\\t'" in str(error.problem) else error.problem or error.context
        raise SpecError(path, [f"{location}invalid YAML: {problem}"]) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise SpecError(path, [f"line {line}: invalid YAML: {error.reason}: {error.character!r}"]) from None
    except RecursionError:
        raise SpecError(path, ["line 1: invalid YAML: nested too deeply, or an anchor contains itself"]) from None
    finally:
        if loader is not None:
            loader.dispose()


def parse_override(override: str) -> tuple[str, Any]:
    """Return the path and the value of `path=value`.

    Raises:
        SpecError: it is not one, or its value is not YAML.
    """
    key, value, reading = _parsed_override(override)
    if reading.mistakes:
        raise SpecError(f"--set {key}", list(reading.mistakes.values()))
    return key, value


def _parsed_override(override: str) -> tuple[str, Any, _Reading]:
    key, equals, text = override.partition("=")
    if not equals or not key.strip():
        raise SpecError("--set", [f"{override!r} is invalid. Write path=value, such as base.epochs=3"])
    return key.strip(), *_parse(text, Path(f"--set {key}"))


def set_path(tree: dict[str, Any], path: str, value: Any) -> None:
    """Set a dotted path in a nested mapping. Another model or schedule name resets its block.

    Under `parameters` the rest of the path is a single key, because parameters are dotted paths.
    """
    if path.startswith("parameters."):
        parameters = tree.get("parameters")
        tree["parameters"] = {
            **(parameters if isinstance(parameters, dict) else {}), path.removeprefix("parameters."): value
        }  # fmt: skip
        return
    *parents, last = path.split(".")
    block = tree
    for parent in parents:
        child = block.get(parent)
        if not isinstance(child, dict):
            child = {}
            block[parent] = child
        block = child
    if path.endswith(_RESETTING_KEYS) and block.get(last) != value:
        block.clear()
    block[last] = value


def merge(base: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return nested `base` updated with nested `changes`. Another model or schedule name resets its block."""
    result = deepcopy(dict(base))
    for path, value in flatten(changes).items():
        set_path(result, path, deepcopy(value))
    return result


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return a nested mapping as dotted paths. `name` comes first in its block, because it resets the others."""
    flat: dict[str, Any] = {}
    for key, value in sorted(tree.items(), key=lambda item: item[0] != "name"):
        if isinstance(value, Mapping) and value and f"{prefix}{key}" != "model.options":
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value
    return flat
