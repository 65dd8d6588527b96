"""What a command runs: a script, a module (`-m pkg.train`) or an executable, and where it is on this machine."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from cifar_core.common.user_modules import MAIN, find_script, has_module, is_script, no_module, written_name

PROGRAM = "${program}"
INTERPRETER = "${interpreter}"
_MODULE_OPTIONS = ("-m", "--module")
_OTHER_SCRIPT = re.compile(r"[^-$].*\.(?:sh|bash|jl|R|r|lua|js|ts|rb|pl|m)")
_MODULE = re.compile(r"[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_ENVIRONMENT = re.compile(r"\$\{env\}|env|/usr/bin/env|[A-Za-z_]\w*=.*")
_LAUNCHERS = ("torch", "accelerate", "deepspeed", "coverage", "cProfile", "profile", "trace", "pdb", "debugpy")
"""Packages whose modules run another script or module."""


def callee_index(command: Sequence[str]) -> int | None:
    """Return the index of the word that names what a command runs; None if there is no such word.

    That is a Python script, else a module, else another script, else the executable.
    """
    scripts = [index for index, word in enumerate(command) if is_script(word) and not word.startswith(("-", "$"))]
    others = [index for index, word in enumerate(command) if _OTHER_SCRIPT.fullmatch(word)]
    first = next((index for index, word in enumerate(command) if not _ENVIRONMENT.fullmatch(word)), None)
    executables = [first] if first is not None and not command[first].startswith("$") else []
    return next(iter([*scripts, *_module_indices(command), *others, *executables]), None)


def _module_indices(command: Sequence[str]) -> list[int]:
    return [
        index
        for index, word in enumerate(command)
        if index and command[index - 1] in _MODULE_OPTIONS
        if _MODULE.fullmatch(word) and word.partition(".")[0] not in _LAUNCHERS
    ]


def kind_of_program(command: Sequence[str]) -> Literal["script", "module", "executable"] | None:
    """Return what `${program}` of a command is; None if the command does not contain it."""
    index = next((index for index, word in enumerate(command) if PROGRAM in word), None)
    if index is None:
        return None
    if index and command[index - 1] in _MODULE_OPTIONS:
        return "module"
    return "executable" if all(_ENVIRONMENT.fullmatch(word) for word in command[:index]) else "script"


def located(program: str, command: Sequence[str]) -> str | None:
    """Return what replaces `${program}` on this machine; None if this machine has none."""
    kind = kind_of_program(command)
    if kind is None or (kind == "executable" and _is_on_path(program)):
        return program
    if kind == "module":
        return None if _is_missing(program, command) else program
    path = find_script(program)
    if path is None:
        return None
    return str(path.absolute()) if kind == "executable" or Path(program) != path else program


def _is_on_path(program: str) -> bool:
    """Return whether an executable is named as one on the PATH, which another machine may have if this one has not."""
    return os.sep not in program and (shutil.which(program) is not None or not Path(program).exists())


def _is_missing(module: str, command: Sequence[str]) -> bool:
    """Return whether a module is neither here nor, possibly, in the environment of another interpreter."""
    return not has_module(module) and (INTERPRETER in command or has_module(module.partition(".")[0]))


def fault_of_program(program: str, command: Sequence[str]) -> str | None:
    """Return why a program cannot be run on this machine; None if it can."""
    kind, found = kind_of_program(command), located(program, command)
    if kind is None:  # the command names what it runs itself
        code = written_name(code_of_command(program, command) or "")
        if is_script(code):
            return None if find_script(code) else _no_file(code)
        return no_module(code) if code and not has_module(code) else None
    if found is None:
        return no_module(program) if kind == "module" else _no_file(program)
    if kind == "executable" and os.sep in found and not os.access(found, os.X_OK):
        return f"{program} is not executable. Run `chmod +x {program}`, or name its interpreter in command"
    return None


def _no_file(name: str) -> str:
    script = f"{name}.py"
    hint = f"Did you mean {script!r}?" if Path(script).is_file() else "Change to the folder that contains it"
    return f"there is no file {name!r} in {Path.cwd()}. {hint}"


def missing_executable(program: str, command: Sequence[str]) -> str | None:
    """Return the executable that a command starts with, if the PATH of this machine does not have it."""
    words = [program if word == PROGRAM else word for word in command if not _ENVIRONMENT.fullmatch(word)]
    first = words[0] if words else ""
    is_macro = first.startswith("$") or not first
    return None if is_macro or os.sep in first or Path(first).is_file() or shutil.which(first) else first


def code_of_command(program: str, command: Sequence[str]) -> str | None:
    """Return the user code that a command runs: a script, or `module:__main__` for `-m module`; None for none."""
    words = [program if word == PROGRAM else word for word in command]
    if scripts := [word for word in words if is_script(word)]:
        return scripts[0]
    for index in _module_indices(words):
        if has_module(words[index]) or _is_missing(words[index], words):
            return f"{words[index]}:{MAIN}"
    return None
