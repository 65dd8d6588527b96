"""The text of a sweep file that is converted from one of W&B, with a comment where they differ."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.core.errors import SpecError
from sweeps.files.foreign import foreign_file
from sweeps.files.ladder_file import is_ladder
from sweeps.files.sweep import validated_translation
from sweeps.files.wandb import Note, Translation, is_wandb, translated
from sweeps.files.yaml_file import Document, flow_text, read_yaml
from sweeps.use.starter import schema_reference

_WIDTH = 118
_PARAMETERS = "parameters"


@dataclass(frozen=True, kw_only=True)
class ConvertedFile:
    """A converted file."""

    text: str
    left_out: int
    """Number of keys and values of the source without an equivalent."""


def convert(source: Path, path: Path, *, name: str | None, networks: Sequence[str] = ()) -> ConvertedFile:
    """Return a sweep file converted from one of W&B.

    Args:
        source: the file of W&B.
        path: the file to write.
        name: of the sweep; None for that of the source, or else of the file.
        networks: built-in networks to search instead of the program of the source.

    Raises:
        SpecError: the source is no file of W&B, or what is left of it is invalid.
    """
    content = read_yaml(source)
    if (reason := foreign_file(content)) is not None:
        raise SpecError(source, [reason])
    if is_ladder(content) or not is_wandb(content):
        raise SpecError(source, [f"line 1: the file is not one of W&B. Copy it to {path} instead"])
    if networks and isinstance(content.get(_PARAMETERS), Mapping):
        content[_PARAMETERS] = _without_network(content[_PARAMETERS]) | {"model.name": {"values": list(networks)}}
    translation = translated(content, stem=path.stem, built_in=bool(networks))
    if name is not None:
        translation.content["name"] = name
    validated_translation(content, translation, with_errors=False)
    head = [
        f"# yaml-language-server: $schema={schema_reference(path, 'sweep')}",
        *_comment(f"Converted from {source.name}. `sweeps plan {path.name}` shows what this file would run."),
    ]
    left_out = sum(note.is_left_out for note in translation.notes)
    return ConvertedFile(text="\n".join([*head, *_lines(translation, content)]) + "\n", left_out=left_out)


def _without_network(parameters: Mapping[str, Any]) -> dict[str, Any]:
    return {name: each for name, each in parameters.items() if name not in ("model", "arch", "architecture")}


def _lines(translation: Translation, source: Document) -> Iterator[str]:
    """Yield the lines of the converted file: each note above its key, what was left out as a comment."""
    content, notes = dict(translation.content), _Notes(translation.notes, source)
    parameters = content.pop(_PARAMETERS, {})
    names = {new: old for new, old in translation.renamed.items() if new.startswith(f"{_PARAMETERS}.")}
    for key, value in content.items():
        yield from notes.take(key)
        yield f"{flow_text(key)}: {flow_text(value)}"
    for key in notes.other_keys():
        yield from notes.take(key)
    yield from notes.take_exactly(_PARAMETERS)
    yield f"{_PARAMETERS}:"
    for path, parameter in parameters.items():
        yield from notes.take(names.get(f"{_PARAMETERS}.{path}", f"{_PARAMETERS}.{path}"), indent="  ")
        yield f"  {flow_text(path)}: {flow_text(parameter)}"
    yield from notes.take(_PARAMETERS, indent="  ")


class _Notes:
    """The notes that are not written yet."""

    def __init__(self, notes: Sequence[Note], source: Document) -> None:
        self._notes = list(notes)
        self._source = source

    def other_keys(self) -> list[str]:
        """Return the keys outside of `parameters`."""
        return [note.key for note in self._notes if note.key.partition(".")[0] != _PARAMETERS]

    def take(self, key: str, *, indent: str = "") -> list[str]:
        """Return the notes on a key, and below it, as comments."""
        found = [note for note in self._notes if note.key == key or note.key.startswith(f"{key}.")]
        return [line for note in found for line in self._written(note, key, indent)]

    def take_exactly(self, key: str) -> list[str]:
        """Return the notes on a key as comments."""
        return [line for note in self._notes.copy() if note.key == key for line in self._written(note, key, "")]

    def _written(self, note: Note, key: str, indent: str) -> list[str]:
        self._notes.remove(note)
        if note.is_left_out:
            return _comment(f"{note.key}: {flow_text(_at(self._source, note.key))} ({note.text})", indent=indent)
        inner = note.key.removeprefix(key).removeprefix(".")
        return _comment(f"{inner}: {note.text}" if inner else note.text, indent=indent)


def _at(source: Any, key: str) -> Any:
    """Return the value under a dotted key, whose parts may contain dots themselves; None if there is none."""
    if isinstance(source, list):
        source = {str(index): value for index, value in enumerate(source)}
    if not isinstance(source, Mapping):
        return None
    if key in source:
        return source[key]
    inner = (_at(value, key.removeprefix(f"{name}.")) for name, value in source.items() if key.startswith(f"{name}."))
    return next(inner, None)


def _comment(text: str, *, indent: str = "") -> list[str]:
    prefix = f"{indent}# "
    return textwrap.wrap(text, _WIDTH, initial_indent=prefix, subsequent_indent=prefix, break_on_hyphens=False)
