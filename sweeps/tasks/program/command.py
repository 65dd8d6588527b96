"""The command line of a program: words with the macros of W&B's sweep files, replaced for one trial."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cifar_core.common.errors import closest

_MACRO = re.compile(r"\$\{([^}]*)\}")
_VARIABLE = "envvar:"

_WORDS: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "args": lambda given: [f"--{name}={value}" for name, value in given.items()],
    "args_no_hyphens": lambda given: [f"{name}={value}" for name, value in given.items()],
    "args_no_boolean_flags": lambda given: [
        f"--{name}" if value is True else f"--{name}={value}" for name, value in given.items() if value is not False
    ],
    "args_no_equals": lambda given: [word for name, value in given.items() for word in (f"--{name}", str(value))],
    "args_append_hydra": lambda given: [f"+{name}={value}" for name, value in given.items()],
    "args_override_hydra": lambda given: [f"++{name}={value}" for name, value in given.items()],
}
"""Macros that stand for several words."""
_SINGLE = ("env", "interpreter", "program", "args_json", "args_json_file")
MACROS = (*_SINGLE, *_WORDS, f"{_VARIABLE}NAME")
"""All macros, without `${` and `}`."""


def command_faults(command: Sequence[str]) -> list[str]:
    """Return the errors of a command: unknown macros, a macro for several words within a word, unset variables."""
    faults = []
    for word in command:
        for name in _MACRO.findall(word):
            if name.startswith(_VARIABLE):
                if name.removeprefix(_VARIABLE) not in os.environ:
                    faults.append(f"the environment variable {name.removeprefix(_VARIABLE)} of {word!r} is not set")
            elif name in _WORDS:
                if word != f"${{{name}}}":
                    faults.append(f"${{{name}}} stands for several words: make it an entry of its own, not {word!r}")
            elif name not in _SINGLE and word == f"${{{name}}}":  # in a longer word it is of the program, as Hydra's
                faults.append(f"unknown macro ${{{name}}}: {closest(name, MACROS)}")
    return faults


def command_line(
    command: Sequence[str], *, program: str, arguments: Mapping[str, Any], arguments_file: Path
) -> list[str]:
    """Return the words of a command, its macros replaced.

    Args:
        command: of the sweep's file.
        program: path of the script on this machine.
        arguments: name to value.
        arguments_file: where `${args_json_file}` writes them.

    Raises:
        OSError: the file cannot be written.
        KeyError: an environment variable is not set.
    """

    def replaced(match: re.Match[str]) -> str:
        name = match[1]
        if name == "args_json_file":
            arguments_file.write_text(json.dumps(dict(arguments)), encoding="utf-8")
        if name.startswith(_VARIABLE):
            return os.environ[name.removeprefix(_VARIABLE)]
        known = {
            "env": "/usr/bin/env",
            "interpreter": sys.executable,
            "program": program,
            "args_json": json.dumps(dict(arguments)),
            "args_json_file": str(arguments_file),
        }
        return known.get(name, match[0])

    words: list[str] = []
    for word in command:
        several = _WORDS.get(word[2:-1]) if _MACRO.fullmatch(word) else None
        words += [_MACRO.sub(replaced, word)] if several is None else several(arguments)
    return words
