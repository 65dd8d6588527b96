"""The configuration of a training function from its signature: names, types and defaults of its keywords."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, Literal, get_args

from pydantic import ConfigDict, Field, create_model

from cifar_core.common.errors import ModelError, closest
from cifar_core.common.user_import import import_verified
from cifar_core.common.user_modules import FUNCTION, code_of, parse_name
from cifar_core.common.validation import StrictModel
from sweeps.tasks.plain_config import PlainConfig

_BASE_FIELDS = ("train", "epochs", "seed")
RESERVED = frozenset(
    {"train", "rank", "sweep", "rung", "trial", "run_id", "status", "key", "metric", "goal", "protocol", "source"}
    | {"study", "error", "log", "confirmed", "reduced", "replicates", "started", "git_sha"}
)
"""Names of columns of the record, which are not allowed as keywords."""


_POSITIONAL = inspect.Parameter.POSITIONAL_OR_KEYWORD


class FunctionConfig(PlainConfig):
    """The recorded keyword arguments of a training function. Any keyword is accepted."""

    model_config = ConfigDict(extra="allow")

    train: str
    """Import path of the function, `module:function`."""

    def arguments(self) -> dict[str, Any]:
        """Return the keyword arguments without `epochs` and `seed`."""
        return {name: value for name, value in self.model_dump().items() if name not in _BASE_FIELDS}


class _Keywords(StrictModel, FunctionConfig):
    """Base class of a function's configuration, which refuses unknown keywords."""

    @classmethod
    def _key_hint(cls, name: str) -> str:
        (function,) = get_args(cls.model_fields["train"].annotation)
        keywords = [each for each in cls.model_fields if each not in _BASE_FIELDS]
        return closest(name, [*keywords, "epochs", "seed"]).replace("Known: ", f"Keywords of {function}: ")


def import_function(path: str) -> Callable[..., Any]:
    """Import a training function.

    Args:
        path: `module:function`.

    Raises:
        ModelError: It cannot be imported, or is not a function.
    """
    module_name, name = parse_name(path, kind=FUNCTION)
    try:
        with import_verified(code_of(path, kind=FUNCTION)) as module:
            found = getattr(module, name, None)
    except ModelError:
        raise
    except (Exception, SystemExit) as error:
        raise ModelError(
            f"function {path!r}: importing {module_name!r} raised {type(error).__name__}: {error}. "
            f"Run `python -c 'import {module_name}'` to see the traceback"
        ) from error
    if found is None:
        known = [each for each, value in vars(module).items() if inspect.isfunction(value)]
        raise ModelError(
            f"function {path!r}: {module_name!r} ({module.__file__}) has no {name!r} ({closest(name, known)})"
        )
    if not callable(found):
        raise ModelError(f"function {path!r}: {name} is a {type(found).__name__}, not a function")
    return found  # type: ignore[no-any-return]


def config_type_of(function: Callable[..., Any], *, name: str) -> type[FunctionConfig]:
    """Return the configuration whose fields are a function's keywords.

    Raises:
        ModelError: The signature is not supported.
    """
    fields: dict[str, Any] = {"train": (Literal[name], name)}
    for keyword in keywords(function, name=name):
        # Keywords without a default are checked by `required_keywords`, since not every part of a file sets them.
        default = None if keyword.default is keyword.empty else keyword.default
        if keyword.name == "epochs":
            fields["epochs"] = (int, Field(default=default or 1, ge=1))
        elif keyword.name not in _BASE_FIELDS:
            kind = _type_of(keyword)
            fields[keyword.name] = (kind | None if keyword.default is keyword.empty else kind, default)
    try:
        model: type[FunctionConfig] = create_model(f"keywords of {name}", __base__=_Keywords, **fields)
    except Exception as error:  # a type or a default that pydantic does not support
        raise ModelError(f"function {name!r}: its keywords are not supported: {error}") from error
    return model


def required_keywords(function: Callable[..., Any], *, name: str) -> list[str]:
    """Return the keywords without a default."""
    return [each.name for each in keywords(function, name=name) if each.default is each.empty and each.name != "seed"]


def takes_epochs(function: Callable[..., Any], *, name: str) -> bool:
    """Return whether a function has the keyword `epochs`."""
    return "epochs" in {each.name for each in keywords(function, name=name)}


def untyped_keywords(function: Callable[..., Any], *, name: str) -> list[str]:
    """Return the keywords without an annotation."""
    return [each.name for each in keywords(function, name=name) if each.annotation is each.empty]


def keywords(function: Callable[..., Any], *, name: str) -> list[inspect.Parameter]:
    """Return all parameters of a function but the first, which is the trial.

    Raises:
        ModelError: The function has no trial parameter, or a parameter that is not a valid keyword.
    """
    parameters = list(inspect.signature(function).parameters.values())
    others = parameters[1:]
    if not parameters or parameters[0].kind not in (inspect.Parameter.POSITIONAL_ONLY, _POSITIONAL):
        raise ModelError(f"function {name!r}: the first parameter must be the trial. Write `def train(trial, *, ...)`")
    for each in others:
        if each.kind in (each.VAR_POSITIONAL, each.VAR_KEYWORD, each.POSITIONAL_ONLY):
            raise ModelError(f"function {name!r}: {each.name} is not a keyword parameter. Make it one")
        if each.name in RESERVED or each.name.startswith("_") or hasattr(FunctionConfig, each.name):
            raise ModelError(f"function {name!r}: the keyword {each.name!r} is reserved. Rename it")
    if inspect.isgeneratorfunction(function) and "epochs" not in {each.name for each in others}:
        raise ModelError(f"function {name!r}: a generator needs a keyword `epochs` with the number of its results")
    return [each.replace(annotation=_evaluated(each, function, name=name)) for each in others]


def _evaluated(keyword: inspect.Parameter, function: Callable[..., Any], *, name: str) -> Any:
    """Return an annotation, also if it is a string because of `from __future__ import annotations`."""
    if not isinstance(keyword.annotation, str):
        return keyword.annotation
    try:
        return eval(keyword.annotation, getattr(function, "__globals__", {}))
    except Exception as error:
        raise ModelError(
            f"function {name!r}: the annotation {keyword.annotation!r} of {keyword.name} is invalid: {error}"
        ) from error


def _type_of(keyword: inspect.Parameter) -> Any:
    if keyword.annotation is not keyword.empty:
        return keyword.annotation
    if keyword.default in (keyword.empty, None):
        return bool | int | float | str | list[Any] | dict[str, Any]
    # Without annotation, a default of 1 accepts 0.5 too, and a default of 0.5 accepts 1.
    kind = type(keyword.default)
    return float if kind is float else int | float if kind is int else kind
