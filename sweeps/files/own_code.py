"""Keys that sweep and ladder files share for a training function or a program of the user's own."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterable, Mapping
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, field_validator

from sweeps.core.task import AnyTask
from sweeps.files.settings import FileOfConfigurations, checked_function
from sweeps.files.yaml_file import flow_text
from sweeps.tasks.program.callee import code_of_command, fault_of_program, missing_executable
from sweeps.tasks.program.command import command_faults
from sweeps.tasks.program.config import DEFAULT_COMMAND, argument_path, argument_paths
from sweeps.tasks.program.reports import recorded_name
from sweeps.tasks.registry import PROGRAMS, task_named


def _as_words(value: Any) -> Any:
    if isinstance(value, str):
        raise ValueError(f"is a list of words: write command: {flow_text(shlex.split(value))}")
    if isinstance(value, list | tuple):
        return tuple(str(word) if isinstance(word, int | float) else word for word in value)
    return value


class FileOfOwnCode(FileOfConfigurations):
    """A file that may name a training function or a program."""

    train: str | None = None
    """Training function of your own, `module:function`, whose keyword arguments are the parameters. Without it,
    networks are trained on CIFAR-10."""
    program: str | None = None
    """Script of your own, such as `train.py`, that runs once per trial, with the parameters as its arguments. With
    `command` also a module or an executable."""
    command: Annotated[tuple[str, ...], BeforeValidator(_as_words)] | None = None
    """Command line of `program` as a list of words, with the macros of W&B. Without it,
    `[${env}, ${interpreter}, ${program}, ${args}]`."""
    epochs: int | None = Field(default=None, ge=1)
    """Number of results after which a trial of `program` ends. Without it, a trial ends when the program ends."""

    @field_validator("train")
    @classmethod
    def _check_train(cls, value: str | None) -> str | None:
        return checked_function(value)

    @field_validator("command")
    @classmethod
    def _check_command(cls, value: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if value is not None and (faults := command_faults(value)):
            raise ValueError("\n".join(faults))
        return value

    @property
    def task(self) -> AnyTask:
        """The trained task."""
        return task_named(self.train) if self.program is None else PROGRAMS

    @property
    def user_code(self) -> str | None:
        """The training function, script or program of the user; None for the built-in networks."""
        if self.program is None:
            return self.train
        return code_of_command(self.program, self.command or DEFAULT_COMMAND) or self.program

    def key_errors(self) -> list[str]:
        """Return what is wrong with the keys of a program."""
        if self.program is None:
            errors = ["command: names no script. Write program: train.py"] if self.command is not None else []
            if self.epochs is not None:
                errors.append("epochs: unknown key 'epochs' without program: did you mean 'base.epochs'?")
            return errors
        errors = []
        if self.train is not None:
            errors.append("program: cannot be combined with train. Leave one of them out")
        if fault := fault_of_program(self.program, self.command or DEFAULT_COMMAND):
            errors.append(f"program: {fault}")
        return errors

    def missing_here(self) -> list[str]:
        """Return a warning about an executable that this machine lacks."""
        if self.program is None:
            return []
        name = missing_executable(self.program, self.command or DEFAULT_COMMAND)
        return [] if name is None else [f"command: there is no executable {name!r} on the PATH of this machine"]

    def program_values(self, *, metric: str, names: Collection[str]) -> dict[str, Any]:
        """Return the values that other keys than `base` set for a program; none without one.

        Args:
            metric: name of the metric by which its results are known.
            names: of its arguments.
        """
        if self.program is None:
            return {}
        fixed: dict[str, Any] = {"program": self.program, "result_metric": metric}
        if self.command is not None:
            fixed["command"] = list(self.command)
        if self.epochs is not None:
            fixed["epochs"] = self.epochs
        if "seed" in names:
            fixed["passes_seed"] = True
        return fixed


def renamed_for_program(
    content: Mapping[str, Any], *, blocks: Iterable[str], lists: Iterable[str], kept: Collection[str] = ()
) -> dict[str, Any]:
    """Give arguments and the metric of a program names that the record does not use itself.

    Args:
        content: of a file with a `program`.
        blocks: keys with mappings of arguments.
        lists: keys with lists of such mappings.
        kept: names in these lists that are no arguments.
    """
    changed = dict(content)
    mappings = {key: content[key] for key in blocks if isinstance(content.get(key), Mapping)}
    paths = argument_paths({str(name) for block in mappings.values() for name in block})
    for key, block in mappings.items():
        changed[key] = {paths[str(name)]: _with_paths(value, paths) for name, value in block.items()}
    for key in lists:
        if isinstance(entries := content.get(key), list | tuple):
            changed[key] = [_renamed(entry, {**paths, **{name: name for name in kept}}) for entry in entries]
    metric = content.get("metric")
    if isinstance(metric, Mapping) and isinstance(metric.get("name"), str):
        changed["metric"] = {**metric, "name": recorded_name(metric["name"])}
    return changed


def _with_paths(parameter: Any, paths: Mapping[str, str]) -> Any:
    """Return a parameter of a program with the renamed arguments in its conditions."""
    if isinstance(parameter, Mapping) and isinstance(parameter.get("when"), Mapping):
        return {**parameter, "when": _renamed(parameter["when"], paths)}
    return parameter


def _renamed(arguments: Any, paths: Mapping[str, str]) -> Any:
    if not isinstance(arguments, Mapping):
        return arguments
    return {paths.get(str(name), argument_path(str(name))): value for name, value in arguments.items()}
