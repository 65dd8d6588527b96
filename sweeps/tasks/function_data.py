"""The data set that the module of a training function declares.

    def data():
        return {"train": (features, labels), "validation": (..., ...), "test": (..., ...)}

It is called once by the driver. Trials receive all parts but `test`, and numpy arrays without a copy. The content of
all parts is part of the identity of a run.
"""

from __future__ import annotations

import hashlib
import inspect
import pickle
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from cifar_core.common.errors import ModelError, UserError, closest

DATA = "data"
"""Name of the function that declares the data set."""
TEST = "test"
"""Name of the part that no trial receives."""


class SealedDataError(UserError):
    """A training tried to read the test part."""


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """A loaded data set."""

    parts: Mapping[str, Any]
    """All parts by name, with `TEST` if there is one. Their numpy arrays are read-only."""
    fingerprint: str
    """Hash of the content; 16 hexadecimal digits."""

    @property
    def for_trials(self) -> dict[str, Any]:
        """The parts that trials receive."""
        return {name: part for name, part in self.parts.items() if name != TEST}

    @property
    def test(self) -> Any:
        """The test part; None if there is none."""
        return self.parts.get(TEST)


class TrialData(Mapping[str, Any]):
    """The parts of the data set that a function receives, by name."""

    def __init__(self, parts: Mapping[str, Any], *, module: str) -> None:
        self._parts = parts
        self._module = module

    def __getitem__(self, name: str) -> Any:
        if name in self._parts:
            return self._parts[name]
        if name == TEST:
            raise SealedDataError(
                f"a training function must not read data[{TEST!r}]. Write `def test(trial, **config)` in "
                f"{self._module}.py: it receives this part to evaluate a complete run"
            )
        raise KeyError(f"{name!r}: {self._module}.data() returns no such part: {closest(name, self._parts)}")

    def __contains__(self, name: object) -> bool:
        return name in self._parts

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)


class _SealedFunction:
    """Replaces `data` in its module while a training may call it."""

    def __init__(self, original: Any, *, module: str) -> None:
        self.original = original
        self._module = module

    def __call__(self) -> Any:
        raise SealedDataError(
            f"a training function must not call {self._module}.{DATA}(), which returns the test part too. Use "
            "trial.data"
        )


def declares_data(module: str) -> bool:
    """Return whether an imported module has a function `data` without required parameters."""
    return _function_of(module) is not None


def load_data(module: str) -> DataSet | None:
    """Return the data set that an imported module declares; None if it declares none.

    Raises:
        ModelError: its function raised an error, or did not return parts by name.
    """
    function = _function_of(module)
    if function is None:
        return None
    try:
        parts = function()
    except Exception as error:
        raise ModelError(f"{module}.{DATA}() raised {type(error).__name__}: {error}") from error
    if not isinstance(parts, Mapping) or not parts or not all(isinstance(name, str) for name in parts):
        raise ModelError(
            f"{module}.{DATA}() returned a {type(parts).__name__}. It declares the data set of the training function: "
            f"return a dictionary such as {{'train': ..., 'validation': ..., {TEST!r}: ...}}, or rename it"
        )
    digest = hashlib.sha256()
    for content in _contents({name: parts[name] for name in sorted(parts)}):
        digest.update(content)
    return DataSet(parts=dict(parts), fingerprint=digest.hexdigest()[:16])


def seal_data(module: str) -> None:
    """Make `data` of an imported module raise an error in this process, before a training function is called."""
    function = _function_of(module)
    if function is not None:
        setattr(sys.modules[module], DATA, _SealedFunction(function, module=module))


def _function_of(module: str) -> Any:
    found = getattr(sys.modules.get(module), DATA, None)
    if isinstance(found, _SealedFunction):
        return found.original
    if not inspect.isfunction(found):
        return None
    required = [each for each in inspect.signature(found).parameters.values() if each.default is each.empty]
    return None if required else found


def size_of(value: Any) -> int:
    """Return the bytes of the numpy arrays in a value."""
    return sum(array.nbytes for array in _arrays(value))


def _arrays(value: Any) -> Iterator[Any]:
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        yield value
    elif isinstance(value, Mapping):
        for each in value.values():
            yield from _arrays(each)
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _arrays(each)


def _contents(value: Any) -> Iterator[bytes]:
    """Yield bytes that are equal for equal values, and make arrays read-only, as they are in a worker."""
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray) and value.dtype != object:
        value.flags.writeable = False
        yield f"array {value.dtype.str} {value.shape}\n".encode()
        yield numpy.ascontiguousarray(value).data if value.size else b""
    elif isinstance(value, Mapping):
        yield f"mapping {len(value)}\n".encode()
        for name, each in value.items():
            yield f"{name!r}\n".encode()
            yield from _contents(each)
    elif isinstance(value, list | tuple):
        yield f"{type(value).__name__} {len(value)}\n".encode()
        for each in value:
            yield from _contents(each)
    elif isinstance(value, set | frozenset):
        yield from sorted(b"".join(_contents(each)) for each in value)
    elif value is None or isinstance(value, bool | int | float | str | bytes):
        yield f"{type(value).__name__} {value!r}\n".encode()
    elif (torch := sys.modules.get("torch")) is not None and isinstance(value, torch.Tensor):
        yield from _contents(value.detach().cpu().numpy().copy())
    else:
        try:
            yield pickle.dumps(value, protocol=5)
        except Exception as error:
            kind = type(value).__name__
            raise ModelError(f"a part of the data is a {kind}, which cannot be pickled: {error}") from error
