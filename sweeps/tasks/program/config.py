"""The configuration of one run of a program: its arguments, and how it is called."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Literal, Self

from pydantic import ConfigDict, Field

from sweeps.tasks.function_signature import RESERVED
from sweeps.tasks.plain_config import PlainConfig

PROGRAM = "program"
"""Name of the task."""
DEFAULT_COMMAND = ("${env}", "${interpreter}", "${program}", "${args}")
"""The command of a file that contains none, as in W&B."""
_BLOCK = "arg"
"""Block of the arguments whose names the record needs for its own columns."""


class ProgramConfig(PlainConfig):
    """The arguments of one run of a program, as extra fields, and the command that passes them."""

    model_config = ConfigDict(extra="allow")

    train: Literal["program"] = "program"
    program: str
    """Path of the script, as `${program}` of the command."""
    command: tuple[str, ...] = DEFAULT_COMMAND
    """Words of the command line, with macros."""
    result_metric: str
    """Name of the number by which a report counts as a result: the metric of the sweep."""
    epochs: int = Field(default=0, ge=0)
    """Results after which the trial ends; 0: it ends with the program."""
    passes_seed: bool = False
    """Whether the seed is an argument."""
    arg: dict[str, Any] = Field(default_factory=dict)
    """Arguments with reserved names: see `argument_path`."""

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of the program, nested ones under dotted names."""
        seed = {"seed": self.seed} if self.passes_seed else {}
        return {**dict(_flat(self.__pydantic_extra__ or {})), **dict(_flat(self.arg)), **seed}

    def _paths(self) -> dict[str, Any]:
        """Return the arguments but the seed by their dotted paths."""
        return {**dict(_flat(self.arg, f"{_BLOCK}.")), **dict(_flat(self.__pydantic_extra__ or {}))}

    def without_each(self, *, but: Collection[str]) -> dict[str, Self]:
        """Return the configuration without each of its arguments, by dotted path.

        Args:
            but: names of arguments that are kept.
        """
        found = {}
        for path in self._paths():
            if path.removeprefix(f"{_BLOCK}.") not in but:
                values = block = self.model_dump()
                *blocks, last = path.split(".")
                for name in blocks:
                    block = block[name]
                del block[last]
                found[path] = self.model_validate(values)
        return found

    def canonical(self) -> dict[str, Any]:
        defaults = {"command": list(DEFAULT_COMMAND), "epochs": 0, "passes_seed": False, "arg": {}}
        return {name: value for name, value in super().canonical().items() if defaults.get(name, _NOTHING) != value}

    def resolved(self) -> dict[str, Any]:
        values = self.model_dump(mode="json")
        values["command"] = " ".join(self.command)
        del values["result_metric"], values["passes_seed"]
        for name in (_BLOCK, *(self.__pydantic_extra__ or {})):
            del values[name]
        return {**values, **self._paths()}

    def dotted(self, *, only_non_default: bool = False) -> dict[str, Any]:
        if not only_non_default:
            return self.resolved()
        return {**self._paths(), **({"seed": self.seed} if self.passes_seed else {})}

    def shortened(self, scale: float) -> Self:
        return super().shortened(scale) if self.epochs else self


_NOTHING = object()
_RESERVED = RESERVED | ProgramConfig.model_fields.keys() - {"seed"}


def argument_path(name: str) -> str:
    """Return the dotted path of an argument in a configuration: `arg.epochs` where the record has such a column."""
    return f"{_BLOCK}.{name}" if name.partition(".")[0] in _RESERVED - {_BLOCK} else name


def argument_paths(names: Iterable[str]) -> Mapping[str, str]:
    """Return the dotted path of each argument: `arg.optimizer` if `optimizer.lr` is there too."""
    names = list(names)
    blocks = {
        ".".join(parts[:count]) for parts in (name.split(".") for name in names) for count in range(1, len(parts))
    }
    return {name: f"{_BLOCK}.{name}" if name in blocks else argument_path(name) for name in names}


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value
